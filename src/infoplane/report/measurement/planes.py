"""The two planes: (complexity, expressivity), and (ceiling, expressivity), where the diagonal is a bound.

A plane shows one order, layers joined in the order of depth, their mean as a star, and 95 % intervals.
Both axes start at 0, so that the diagonal is always in sight and lengths can be compared.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import altair as alt
from altair.typing import ChartType

from infoplane.measurement import Estimate
from infoplane.report.measurement import reference_marks
from infoplane.report.measurement.reference_marks import NAMED, Mark, Spot, in_sight, marks_of
from infoplane.report.measurement.view import MODEL, View
from infoplane.report.parts import (
    CHARACTER,
    HEIGHT,
    WIDTH,
    Box,
    Pixel,
    Plane,
    diagonal,
    frontier,
    saturation,
    theme,
    words,
)

REFERENCE = "diagonal (reference, not a bound): expressivity = complexity"
BOUND = "bound: expressivity = ceiling"
_SHAPES = {"block": "circle", "embedding": "square", "final norm": "diamond", "mean over blocks": theme.STAR}


class Point(Spot):
    """A layer, or the mean over blocks, on the plane; `fill` is its colour."""

    layer: str
    depth: int
    kind: str
    fill: str


def information_plane(view: View) -> ChartType | None:
    return _plane(view, "complexity", REFERENCE, bound=False)


def ceiling_plane(view: View) -> ChartType | None:
    return _plane(view, "ceiling", BOUND, bound=True)


def _plane(view: View, across: str, line: str, bound: bool) -> ChartType | None:
    if view.is_difference:  # a difference of two models is not a point of the plane
        return None
    points = _points(view, across)
    if not points:
        return None
    marks, _ = in_sight(view, across, marks_of(view, across))
    shown: list[Spot] = [*points, *marks]
    xs = [x for p in shown for x in (p["x"], p["x_low"], p["x_high"])]
    ys = [y for p in shown for y in (p["y"], p["y_low"], p["y_high"])]
    x_domain, y_domain = theme.span(xs, 0.1), theme.span(ys, 0.1)
    x = alt.X("x:Q", scale=_scale(x_domain), axis=theme.value_axis(view.unit), title=_x_title(across, view))
    gram = words.gram(view.first_order)
    y_title = theme.axis_title(f"expressivity: what is kept about the next {gram}", view.unit)
    y = alt.Y("y:Q", scale=_scale(y_domain), axis=theme.value_axis(view.unit), title=y_title)
    plane = Plane(x_domain, y_domain, x, y)
    pixels = [plane.pixel(p["x"], p["y"]) for p in shown]
    lines, covered = diagonal(plane, line, bound, pixels)
    taken: list[Box] = []
    if not bound and view.first_order == 1:  # what is known of the token alone
        frontier_layers, of_told = frontier(plane, view.frontier, taken)
        lines += frontier_layers
        if view.saturation is not None:
            drawn = [*_drawn(plane, points), *of_told, *plane.diagonal(covered)]
            lines += saturation(plane, view.saturation, view.unit, drawn, taken)
    quiet = reference_marks.drawn(plane, marks, across, view.unit)
    layers = [*lines, *quiet, *_marks(view, points, x, y, across), *_names(points, x, y, pixels, covered, taken)]
    layers += _names_of_references(marks, x, y, pixels[len(points) :], [*pixels, *covered], taken)
    chart: alt.LayerChart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT).resolve_scale(color="independent")
    return chart


def _points(view: View, across: str) -> list[Point]:
    order = view.first_order
    places = [(layer.name, layer.depth, layer.kind) for layer in view.layers]
    points = []
    for name, depth, kind in [*places, (MODEL, 0, "mean over blocks")]:
        x = view.row(across, name, None if across == "ceiling" else order)
        y = view.row("expressivity", name, order)
        if x is None or y is None:
            continue
        (x_low, x_high), (y_low, y_high) = _ends(x), _ends(y)
        points.append(
            Point(
                layer=name,
                depth=depth,
                kind=kind,
                fill=theme.MODEL_COLOUR if name == MODEL else theme.QUIET,
                x=x.value,
                x_low=x_low,
                x_high=x_high,
                y=y.value,
                y_low=y_low,
                y_high=y_high,
            )
        )
    return points


def _ends(row: Estimate) -> tuple[float, float]:
    return row.interval or (row.value, row.value)


def _scale(domain: tuple[float, float]) -> alt.Scale:
    return alt.Scale(domain=list(domain), nice=False, zero=False)


def _x_title(across: str, view: View) -> str:
    if across == "ceiling":
        return theme.axis_title("ceiling: what is kept of everything read", view.unit)
    gram = words.gram(view.first_order)
    return theme.axis_title(f"complexity: what is kept about the present {gram}", view.unit)


def _marks(view: View, points: list[Point], x: alt.X, y: alt.Y, across: str) -> list[ChartType]:
    path = [p for p in points if p["layer"] != MODEL]
    blocks = [p for p in path if p["kind"] == "block"]
    ends = [p for p in points if p["kind"] != "block"]
    order = alt.Order("depth:Q")
    line = alt.Chart(theme.values(path)).mark_line(color=theme.QUIET, strokeWidth=1.2, opacity=0.8)
    kinds = [kind for kind in _SHAPES if any(p["kind"] == kind for p in points)]
    shape = alt.Shape(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[_SHAPES[kind] for kind in kinds]),
        legend=alt.Legend(title="", symbolFillColor=theme.QUIET, symbolStrokeColor=theme.INK),
    )
    depths = [p["depth"] for p in blocks]
    legend = alt.Legend(title="depth (block)", gradientLength=150, format="d", values=_legend_depths(depths))
    colour = alt.Color(
        "depth:Q",
        scale=alt.Scale(range=list(theme.DEPTH_COLOURS), domain=[min(depths, default=0), max(depths, default=1)]),
        legend=legend if len(depths) > 1 else None,
    )
    tips = [
        theme.tip("layer", "layer"),
        theme.tip("x", across, view.unit),
        theme.tip("y", "expressivity", view.unit),
        theme.tip("x_low", f"{across} from", view.unit),
        theme.tip("x_high", f"{across} to", view.unit),
        theme.tip("y_low", "expressivity from", view.unit),
        theme.tip("y_high", "expressivity to", view.unit),
    ]
    dots = alt.Chart(theme.values(blocks)).mark_point(filled=True, size=70, opacity=1, stroke="white", strokeWidth=0.6)
    special = alt.Chart(theme.values(ends)).mark_point(
        filled=True, size=130, opacity=1, stroke=theme.INK, strokeWidth=1
    )
    mean = [p for p in ends if p["layer"] == MODEL]
    return [
        *_errors(path, x, y, theme.QUIET, 1, 0.55),
        *_errors(mean, x, y, theme.MODEL_COLOUR, 2.5),
        line.encode(x=x, y=y, order=order),
        dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=tips),
        special.encode(x=x, y=y, shape=shape, color=alt.Color("fill:N", scale=None), tooltip=tips),
        *_errors(mean, x, y, "white", 1),  # where they are shorter than the star
    ]


def _errors(
    points: list[Point], x: alt.X, y: alt.Y, colour: str, width: float, opacity: float = 1.0
) -> list[ChartType]:
    drawn = [p for p in points if p["x_low"] < p["x_high"] or p["y_low"] < p["y_high"]]
    if not drawn:
        return []
    base = alt.Chart(theme.values(drawn)).mark_rule(color=colour, strokeWidth=width, opacity=opacity)
    x_low, y_low = x.copy(deep=False), y.copy(deep=False)
    x_low.shorthand, y_low.shorthand = "x_low:Q", "y_low:Q"
    return [base.encode(x=x_low, x2="x_high:Q", y=y), base.encode(x=x, y=y_low, y2="y_high:Q")]


def _legend_depths(depths: list[int]) -> list[int]:
    if not depths:
        return []
    first, last = min(depths), max(depths)
    return sorted({first, last, *(round(first + (last - first) * part / 3) for part in (1, 2))})


# ---------------------------------------------------------------------- names beside points


def _drawn(plane: Plane, points: list[Point]) -> list[Pixel]:
    """Pixels of the path through the layers, of the points and of their intervals."""
    drawn = []
    for p in points:
        for ends in (((p["x_low"], p["y"]), (p["x_high"], p["y"])), ((p["x"], p["y_low"]), (p["x"], p["y_high"]))):
            drawn += plane.along([plane.pixel(*end) for end in ends])
    path = [plane.pixel(p["x"], p["y"]) for p in points if p["layer"] != MODEL]
    return [*drawn, *plane.along(path)]


def _names(
    points: list[Point], x: alt.X, y: alt.Y, pixels: list[Pixel], covered: list[Pixel], taken: list[Box]
) -> list[ChartType]:
    """Names of a few points, each put where it covers the fewest points and no other name; `taken` grows."""
    blocks = [i for i, p in enumerate(points) if p["kind"] == "block"]
    named = {i for i, p in enumerate(points) if p["kind"] != "block"} | set(blocks[:1]) | set(blocks[-1:])
    layers = []
    for i in sorted(named, key=lambda i: (points[i]["kind"] == "block", i)):
        text = "mean over blocks" if points[i]["layer"] == MODEL else points[i]["layer"]
        placed = _place(pixels[i], len(text) * CHARACTER, pixels + covered, taken)
        taken.append(placed[-1])
        layers.append(_text(points[i], text, placed, x, y, bold=points[i]["layer"] == MODEL))
    return layers


def _names_of_references(
    marks: list[Mark], x: alt.X, y: alt.Y, at: list[Pixel], covered: list[Pixel], taken: list[Box]
) -> list[ChartType]:
    if len(marks) > NAMED:
        return []
    layers = []
    for mark, pixel in zip(marks, at, strict=True):
        placed = _place(pixel, len(mark["name"]) * CHARACTER, covered, taken)
        if not _clashes(placed[-1], taken):  # where the pointer is it has its name all the same
            taken.append(placed[-1])
            layers.append(_text(mark, mark["name"], placed, x, y, quiet=True))
    return layers


def _text(
    at: Spot, text: str, placed: Placed, x: alt.X, y: alt.Y, bold: bool = False, quiet: bool = False
) -> ChartType:
    """A name beside its point; that of a reference model is quiet."""
    dx, dy, align, _ = placed
    chart = alt.Chart(theme.values([{"x": at["x"], "y": at["y"], "text": text}]))
    mark = chart.mark_text(
        dx=dx,
        dy=dy,
        align=align,
        baseline="middle",
        fontSize=11,
        color=theme.QUIET if quiet else theme.INK,
        fontWeight="bold" if bold else "normal",
        fontStyle="italic" if quiet else "normal",
    )
    named: alt.Chart = mark.encode(x=x, y=y, text="text:N")
    return named


def _clashes(box: Box, taken: list[Box]) -> int:
    return sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)


Align = Literal["left", "right", "center"]
Placed: TypeAlias = "tuple[int, int, Align, Box]"
"""Where a name stands: pixels to the right and downwards of its point, how it is aligned, and the box it takes."""


def _place(point: Pixel, width: float, points: list[Pixel], taken: list[Box]) -> Placed:
    best: tuple[int, Placed] | None = None
    places: tuple[tuple[int, int, Align], ...] = (
        (13, 0, "left"),
        (-13, 0, "right"),
        (0, -16, "center"),
        (0, 16, "center"),
        (12, -13, "left"),
        (12, 13, "left"),
        (-12, -13, "right"),
        (-12, 13, "right"),
        (0, -28, "center"),
        (0, 28, "center"),
    )
    for dx, dy, align in places:
        left = point[0] + dx - {"left": 0.0, "right": width, "center": width / 2}[align]
        box = (left, point[1] + dy - 7, left + width, point[1] + dy + 7)
        covered = sum(box[0] - 4 <= px <= box[2] + 4 and box[1] - 3 <= py <= box[3] + 3 for px, py in points)
        clash = _clashes(box, taken)
        outside = box[0] < 0 or box[2] > WIDTH or box[1] < 0 or box[3] > HEIGHT
        cost = covered + 10 * clash + 20 * outside
        if best is None or cost < best[0]:
            best = cost, (dx, dy, align, box)
    assert best is not None
    return best[1]
