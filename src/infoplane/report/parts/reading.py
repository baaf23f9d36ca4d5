"""Reading help: for each figure a title, a description, what to see, and what not to conclude."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Reading:
    title: str
    description: str
    """What a reader who cannot see the figure is told."""
    see: str
    beware: str


READINGS = {
    "information-plane": Reading(
        "The information plane",
        "Scatter plot of the layers: complexity across, expressivity upward, joined in the order of "
        "depth, with the mean over blocks and the diagonal.",
        "Each point is a layer. To the right, it keeps more about the token it stands on; upward, it "
        "carries more about the token to come. Follow the path from the embedding to the final norm: a "
        "model that compresses moves left (it forgets what it no longer needs) while it moves up (it gets "
        "ready to predict).",
        "The diagonal is a reference, not a bound. A hidden state has read more than one token, so it may "
        "carry more about the next token than it keeps about the present one, and a point above the line "
        "is no error. The star is a mean over blocks, not a layer: the model never was at that place.",
    ),
    "preferences": Reading(
        "Which answer was preferred",
        "Interval plot of three figures of preference information for the whole model, and line charts over depth.",
        "Each figure is a part of the one bit that there is to know, chosen or rejected, with its 95 % interval. The "
        "first counts all tokens; the second as many tokens of both answers, place by place, so that length and place "
        "say nothing; the third what the states tell beyond the token itself. Grey: what is found when chosen and "
        "rejected are swapped by chance, twice the spread of these draws.",
        "That states tell which answer people preferred does not mean that the model would choose it. A figure whose "
        "interval reaches into the grey is not known to be above 0.",
    ),
    "ceiling-plane": Reading(
        "Against the ceiling",
        "Scatter plot of the layers: ceiling across, expressivity upward, with the bound that no layer can pass.",
        "Across is the ceiling: all that the code keeps of everything it has read. Here the diagonal is a "
        "bound, a theorem: nothing can be said about the future that was not kept of the past. The "
        "distance to the line is what the layer keeps without its being about the next token.",
        "A point far below the line is not a bad layer. What it keeps may serve tokens further on, and "
        "much of the next token cannot be known by anyone. An estimate above the line by more than its "
        "interval would mean a fault: please report it.",
    ),
    "profiles": Reading(
        "Profiles over depth",
        "Line charts over the layers: complexity, expressivity and optimality by order, ceiling and entropy.",
        "Each line is one order: what is known about one token, or about two, three or four in a row. "
        "Bands are 95 % intervals; hollow points are the embedding and the final norm, which no mean "
        "includes. Click an order in the legend to see it alone; shift-click adds another, a click beside "
        "it brings all back.",
        "Dashed lines carry a warning: their labels recur too rarely to be trusted. Orders stand on "
        "slightly different positions, so do not subtract them here; the shares below do that on one set. "
        "Each layer has reference points of its own, so a step between neighbouring layers is as uncertain as the "
        "bands of both: to compare layers, measure with shared points. "
        "Mind the axes: they start at 0 only where the values come near it.",
    ),
    "shares": Reading(
        "What the kept information is about",
        "Stacked bars by layer for the input and the output side: token, bigram, trigram, quadgram and residual.",
        "Each bar is a layer and the line across it its ceiling. The lowest part is what one token accounts "
        "for; each further part is what one more token of width adds; the grey rest is what these parts "
        "do not account for. All parts stand on the same positions, so they add up.",
        "A part below the zero line is an increment that came out negative: noise, drawn as it is. Parts "
        "of the wide orders inherit their warnings. The residual is what is left over, not something "
        "measured on its own: what the narrow parts miss ends up there.",
    ),
    "controls": Reading(
        "Controls: what can be trusted",
        "Estimates by order beside their controls: permuted labels, labels of another document, and halves of the "
        "documents.",
        "Beside each estimate stands the same computation on labels that tell nothing: permuted over "
        "positions, and taken from another document. The third control is the mean of the estimates from two halves "
        "of the documents, less that from all. All three should lie on the zero line. Large marks are "
        "the whole model with twice the standard error (the estimate with its 95 % interval); small ticks "
        "are single blocks.",
        "Do not subtract a control from an estimate: the bias is not the same for labels that do mean "
        "something. Where a control leaves zero, take differences of its size for noise. Where halves do, the "
        "estimate still falls or rises with more text: measure more.",
    ),
    "labels": Reading(
        "Information about other labels",
        "Line chart over the layers of the information about each label column that came with the text.",
        "How much each layer's code tells about the labels that were given with the text, on the same "
        "scale as the rest.",
        "A label with few values can hold little: compare with its own entropy before calling a number small.",
    ),
}

WITH_BOUND = (
    " The green line is the frontier: what codes of the present token alone achieve on held-out text. The blue band is "
    "saturation, what the present token itself tells about the next one: between what it saves on held-out text and "
    "the plug-in estimate, which is too high. Where the band begins above the plot, a line of text has its ends.",
    " A layer above the frontier, or in the band or above it, is no error either: it has read more than one token. The "
    "frontier is achieved, so better codes may exist, and it may lie in the band, whose lower end is low.",
)
"""What more there is to see in the information plane, and not to conclude, of a measurement with the bound."""


def with_bound(reading: Reading) -> Reading:
    see, beware = WITH_BOUND
    return replace(reading, see=reading.see + see, beware=reading.beware + beware)


GLOSSARY = (
    ("entropy", "H(Z′): how evenly the code Z′ uses its m symbols."),
    (
        "complexity",
        "I(X; Z′): what the code keeps about the token just read, or about the last k (order k).",
    ),
    ("expressivity", "I(Y; Z′): what the code carries about the next token, or the next k."),
    ("optimality", "expressivity divided by complexity, at the same order. It may exceed 1."),
    ("ceiling", "I(everything read; Z′), the upper bound of every information here."),
    (
        "share",
        "what one more token of width adds, on one common set of positions; with the residual, the ceiling.",
    ),
    ("controls", "the same estimate with labels that tell nothing, and of halves less all; 0 is expected."),
    (
        "repeated mass",
        "share of positions whose label occurs more than once. Low: little to estimate from.",
    ),
    ("Z′", "a hidden state seen through m reference directions: the one it points to, drawn softly."),
    (
        "P_k",
        "positions where the k tokens up to here and the k tokens after it both exist: all numbers of "
        "order k stand on them.",
    ),
)
