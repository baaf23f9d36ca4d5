"""Reference models on a plane: quiet marks with names, beside the layers of the model that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import altair as alt
from altair.typing import ChartType

from infoplane.analysis.references import standing
from infoplane.report.measurement.view import View
from infoplane.report.parts import Plane, theme, words

NAMED = 8
"""Marks have their names beside them up to so many; then a name is seen where the pointer is."""
REACH = 1.5
"""A mark is drawn if it lies within so many times the largest figure of a layer, on both axes."""


class Spot(TypedDict):
    """A place on the plane, with the ends of both intervals."""

    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float


class Mark(Spot):
    """A reference model on the plane."""

    name: str
    kind: str


def marks_of(view: View, across: str) -> list[Mark]:
    """Where the reference models lie that have both figures of the plane."""
    order = view.first_order
    own = view.row(across, order=None if across == "ceiling" else order), view.row("expressivity", order=order)
    if own[0] is None or own[1] is None:
        return []
    origin, found = view.measurement.origin, []
    for reference in view.beside:
        x, y = reference.row(own[0], origin), reference.row(own[1], origin)
        if x is None or y is None:
            continue
        (x_low, x_high), (y_low, y_high) = (row.interval or (row.value, row.value) for row in (x, y))
        kind = "untrained" if reference.untrained else "trained"
        found.append(
            Mark(
                name=reference.name, kind=kind, x=x.value, x_low=x_low, x_high=x_high, y=y.value, y_low=y_low,
                y_high=y_high,
            )
        )  # fmt: skip
    return found


def in_sight(view: View, across: str, marks: list[Mark]) -> tuple[list[Mark], list[Mark]]:
    """Marks that lie near enough to the layers to be drawn with them, and those that would squeeze them together."""
    ends = [
        max(
            ((row.interval or (row.value, row.value))[1] for row in view.measurement.select(quantity=quantity)),
            default=0.0,
        )
        for quantity in (across, "expressivity")
    ]
    across_to, upward_to = (REACH * end for end in ends)
    near = [mark for mark in marks if mark["x"] <= across_to and mark["y"] <= upward_to]
    return near, [mark for mark in marks if mark not in near]


def drawn(plane: Plane, marks: list[Mark], across: str, unit: str) -> list[ChartType]:
    """Layers of the marks: a ring for a trained model, a cross for an untrained one."""
    if not marks:
        return []
    tips = [
        theme.tip("name", "reference model"),
        theme.tip("kind", "weights"),
        theme.tip("x", across, unit),
        theme.tip("y", "expressivity", unit),
    ]
    layers = []
    for kind, shape in (("trained", "circle"), ("untrained", "M-1,-1L1,1M1,-1L-1,1")):
        of_kind = [mark for mark in marks if mark["kind"] == kind]
        if of_kind:
            points = alt.Chart(theme.values(of_kind)).mark_point(
                shape=shape, size=75, filled=False, stroke=theme.QUIET, strokeWidth=1.6, opacity=1
            )
            layers.append(points.encode(x=plane.x, y=plane.y, tooltip=tips))
    return layers


# ---------------------------------------------------------------------- in words


def sentences(view: View) -> Iterator[str]:
    """Which models the marks are, what to keep in mind, and how the model stands where they are many."""
    marks, far = in_sight(view, "complexity", marks_of(view, "complexity"))
    if far:
        places = words.listed([_place_of(mark, view.unit) for mark in far])
        yield f"Too far from these layers to be drawn with them: {places}."
    if marks:
        trained = [mark["name"] for mark in marks if mark["kind"] == "trained"]
        untrained = [mark["name"] for mark in marks if mark["kind"] == "untrained"]
        kinds = [f"{'the ring is' if len(trained) == 1 else 'rings are'} {words.listed(trained)}"] if trained else []
        if untrained:
            crosses = "the cross is untrained" if len(untrained) == 1 else "crosses are untrained"
            kinds.append(f"{crosses}: {words.listed(untrained)}")
        yield f"Reference models, measured in the same way on the same text: {'; '.join(kinds)}."
        if others := _of_other_tokenizers(view, marks):
            have = "has" if len(others) == 1 else "have"
            yield (
                f"{words.listed(others)} {have} another tokenizer, whose tokens are other pieces of text: read the "
                "distance to them as rough."
            )
    if view.apart:
        for why in dict.fromkeys(why for _, why in view.apart):
            names = [reference.name for reference, reason in view.apart if reason == why]
            yield f"Not shown: {words.listed(names)} ({why})."
    for reason in view.unreadable:
        yield f"A reference model is left out: {reason}."
    yield from _standings(view)


def _place_of(mark: Mark, unit: str) -> str:
    x, y = (words.cell(value, None, unit) + (" %" if unit == "efficiency" else "") for value in (mark["x"], mark["y"]))
    return f"{mark['name']} (complexity {x}, expressivity {y})"


def _of_other_tokenizers(view: View, marks: list[Mark]) -> list[str]:
    own, shown = view.measurement.origin.windows.tokenizer.hash, {mark["name"] for mark in marks}
    return [
        reference.name
        for reference in view.beside
        if reference.name in shown and reference.origin.windows.tokenizer.hash != own
    ]


def _standings(view: View) -> Iterator[str]:
    for quantity in ("complexity", "expressivity", "optimality"):
        row = view.row(quantity, order=view.first_order)
        found = None if row is None else standing(view.measurement, row, view.beside)
        if found is not None:
            yield (
                f"Of {found.models} trained reference models, {found.above} have a higher {quantity}, {found.below} a "
                f"lower one, and {found.like} cannot be told apart from this model."
            )
