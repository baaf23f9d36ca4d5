"""The answer at the top of the page of a measurement: what the model keeps and drops over depth, and against what.

Sentences are composed from the rows by the rules here, one to four of them. One that lacks a row that it needs is left
out, never half said; a change is claimed only where it is larger than both errors together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from infoplane.measurement import Estimate
from infoplane.report.measurement import preferences
from infoplane.report.measurement.view import MODEL, Layer, View, model_name
from infoplane.report.parts import words

NEXT_TO_NOTHING = 0.02
"""Complexity, in units of log m, below which its ratio with expressivity says nothing."""
MOSTLY = 0.5
"""Share of expressivity that the document alone tells, from which on the page says so."""
VERBS = {"complexity": "keeps", "expressivity": "carries"}
OF_NO_POINTS = ("nats/token", "bits/byte")
"""Units of what hangs on no reference points."""


@dataclass(frozen=True)
class Course:
    """What a quantity does from the first block to the last.

    Attributes:
        first, last: of those blocks.
        change: 1 where it rises, -1 where it falls, 0 where neither is clear; None where there are no intervals.
        extreme: the block between them, and its row, that is clearly above both ends, or clearly below; None for none.
    """

    first: Estimate
    last: Estimate
    change: int | None
    extreme: tuple[Layer, Estimate] | None


def answer(view: View) -> list[str]:
    """The sentences, the point first."""
    if view.is_difference:
        return list(_of_a_difference(view))
    if preferences.is_of_preferences(view):
        return preferences.answer(view)
    return [*_of_depth(view), *_of_the_whole(view), *_of_the_ratio(view)]


def in_the_answer(view: View) -> list[Estimate]:
    """The rows that the answer is made of: what is doubtful of them puts it in doubt."""
    if preferences.is_of_preferences(view):
        figures = [preferences.figure_of(view, quantity, sample) for quantity, sample, _ in preferences.FIGURES]
        return [row for row in figures if row is not None]
    k = view.first_order
    layers = [*(block.name for block in view.blocks), MODEL]
    rows = [view.row(quantity, layer, k) for quantity in ("complexity", "expressivity") for layer in layers]
    return [row for row in rows if row is not None]


def course(view: View, quantity: str) -> Course | None:
    """What a quantity does over depth; None of fewer than two blocks."""
    found = [(block, view.row(quantity, block.name, view.first_order)) for block in view.blocks]
    rows = [(block, row) for block, row in found if row is not None]
    if len(rows) < 2:
        return None
    first, last = rows[0][1], rows[-1][1]
    apart = differ(first, last)
    change = None if apart is None else (0 if not apart else 1 if last.value > first.value else -1)
    inside = rows[1:-1]
    extreme = None
    for pick, beyond in ((max, 1), (min, -1)):
        if not inside or extreme is not None:
            continue
        block, row = pick(inside, key=lambda found: found[1].value)
        if all(differ(row, end) and beyond * (row.value - end.value) > 0 for end in (first, last)):
            extreme = block, row
    return Course(first, last, change, extreme)


def differ(a: Estimate, b: Estimate) -> bool | None:
    """Whether two figures differ by more than both errors together; None where one has no interval."""
    one, other = words.half_width(a), words.half_width(b)
    if a.points_error is None or b.points_error is None:  # each layer has points of its own
        return None
    return None if one is None or other is None else abs(a.value - b.value) > math.hypot(one, other)


# ---------------------------------------------------------------------- sentences


def _of_depth(view: View) -> Iterator[str]:
    name, k = view.model_name, view.first_order
    kept, carried = course(view, "complexity"), course(view, "expressivity")
    if kept is not None:
        about = "the token it has just read" if k == 1 else f"the last {k} tokens"
        claims = {-1: f"{name} forgets {about} with depth", 1: f"{name} keeps more of {about} with depth"}
        claims[0] = f"{name} keeps about as much of {about} after its last block as after its first"
        claim = f"What {name} keeps of {about}" if kept.change is None else claims[kept.change]
        yield f"{claim}: {_ends(kept, view)}{_extreme(kept)}{_unit(view)}."
    if carried is not None:
        about = "the next token" if k == 1 else f"the next {k} tokens"
        ways = {-1: " falls", 1: " rises", 0: " is about the same at both ends", None: ""}
        way = ways[carried.change]
        yield f"What it carries about {about}{way}: {_ends(carried, view)}{_extreme(carried)}."


def _ends(of: Course, view: View) -> str:
    return f"{words.spoken(of.first)} after the first block, {words.spoken(of.last)} after the last"


def _extreme(of: Course) -> str:
    if of.extreme is None:
        return ""
    block, row = of.extreme
    what = "highest" if row.value > of.first.value else "lowest"
    return f", {what} in block {block.depth} ({words.spoken(row)})"


def _unit(view: View) -> str:
    """What 100 % is, where it is first used."""
    if view.unit != "efficiency":
        return ""
    directions = "a few directions" if view.m is None else f"{view.m} directions"
    return f" (100 % is the most that a state can hold when it is read as one of {directions}, log m)"


def _of_the_whole(view: View) -> Iterator[str]:
    k = view.first_order
    kept, carried = view.row("complexity", order=k), view.row("expressivity", order=k)
    if kept is None or carried is None:
        return
    blocks = len(view.blocks)
    over = "In its one block" if blocks == 1 else f"Over its {blocks} blocks" if blocks else "As a whole"
    every = view.measurement.origin.model.blocks
    if blocks and (every or 0) > blocks:
        over = f"Over the {blocks} that were measured of its {every} blocks"
    mean = (
        f"{over} it keeps {words.spoken(kept)} and carries {words.spoken(carried)}{' on average' if blocks > 1 else ''}"
    )
    if blocks < 2:
        mean += _unit(view)
    yield f"{mean}{_against_the_twin(view) or _against_the_bound(view)}."


def _against_the_twin(view: View) -> str:
    """What training made of it: the twin's own figures, and the paired differences."""
    own, paired = [], []
    for quantity in VERBS:
        difference, ours = view.from_twin(quantity), view.row(quantity, order=view.first_order)
        known = None if difference is None else is_known(difference)
        if difference is None or ours is None or known is None:
            return ""
        own.append(_plain(ours.value - difference.value, ours))
        points = _size(difference).removesuffix(f"{words.NO_BREAK}%")
        way = "less" if difference.value > 0 else "more"
        unit = " points" if view.unit == "efficiency" else ""
        paired.append(f"{points}{unit} {way}" if known else "no known difference")
    return f"; its untrained twin keeps {own[0]} and carries {own[1]} ({paired[0]}, and {paired[1]})"


def _plain(value: float, like: Estimate) -> str:
    if like.unit == "efficiency":
        return f"{words.number(100 * value, 1)}{words.NO_BREAK}%"
    return f"{words.number(value, 3)}{words.NO_BREAK}{words.UNIT_NAMES.get(like.unit, like.unit)}"


def _against_the_bound(view: View) -> str:
    k = view.first_order
    gap = view.row("gap", order=k, position_set=f"P_{k} seen")
    if gap is None or not is_known(gap) or gap.value <= 0:
        return ""
    what = "token" if k == 1 else f"{k} tokens"
    return (
        f"; keeping as much, the best code of the last {what} alone would tell {_size(gap)} more about the next one "
        f"than what the model keeps of {'it' if k == 1 else 'them'}"
    )


def _of_the_ratio(view: View) -> Iterator[str]:
    """Where optimality would mislead: it is near 1 for a code that keeps next to nothing, or only the topic."""
    kept, ratio = view.row("complexity", order=view.first_order), view.row("optimality", order=view.first_order)
    if kept is not None and ratio is not None and kept.unit == "efficiency":
        low, _ = kept.interval or (kept.value, kept.value)
        if kept.value < NEXT_TO_NOTHING or low <= 0:
            yield (
                f"It keeps next to nothing, so the ratio of the two, its optimality of {words.spoken(ratio)}, says "
                "nothing about how well it predicts."
            )
            return
    topic, carried = (
        view.row("expressivity_part", side="document", position_set="P_1"),
        view.row("expressivity", order=1),
    )
    if topic is not None and carried is not None and carried.value > 0 and topic.value / carried.value > MOSTLY:
        yield (
            f"Most of what it carries about the next token is the topic: knowing the document alone tells "
            f"{words.spoken(topic)}, so a high optimality does not mean that it predicts well."
        )


def _of_a_difference(view: View) -> Iterator[str]:
    k, provenance = view.first_order, view.measurement.provenance
    first, second = (model_name(provenance.get(end) or {}) for end in ("minuend", "subtrahend"))
    gram = words.gram(k)
    for quantity, what in (("complexity", f"the present {gram}"), ("expressivity", f"the next {gram}")):
        row = view.row(quantity, order=k)
        if row is None:
            continue
        verb, unit = VERBS[quantity], " of log m" if row.unit == "efficiency" else ""
        known = is_known(row)
        if known is None:
            size = words.number(100 * row.value, 2) + f"{words.NO_BREAK}%" if unit else words.number(row.value, 4)
            yield f"About {what}, {first} {verb} {size}{unit} more than {second}; how certain that is, is not known."
        elif known:
            yield f"{first} {verb} {_size(row)}{unit} {_way(row)} about {what} than {second}."
        else:
            yield f"About {what}, no difference is seen between {first} and {second} ({words.spoken(row)}{unit})."


def is_known(difference: Estimate) -> bool | None:
    """Whether a difference is other than 0; None where its errors, or those of the points, are not known."""
    if difference.interval is None or (difference.points_error is None and difference.unit not in OF_NO_POINTS):
        return None
    low, high = difference.interval
    return not low <= 0 <= high


def _size(row: Estimate) -> str:
    return words.spoken(row).removeprefix(words.MINUS)


def _way(row: Estimate) -> str:
    return "more" if row.value > 0 else "less"
