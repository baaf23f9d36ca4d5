"""The two planes: (complexity, expressivity), and (ceiling, expressivity), where the diagonal is a bound.

A plane shows one order, layers joined in the order of depth, their mean as a star, and 95 % intervals.
Both axes start at 0, so that the diagonal is always in sight and lengths can be compared.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np

from infoplane.measurement import Estimate
from infoplane.report import theme, words
from infoplane.report.view import MODEL, View

WIDTH, HEIGHT = 680, 430
REFERENCE = "diagonal (reference, not a bound): expressivity = complexity"
FRONTIER, FRONTIER_NAME = "#009e73", "frontier: codes of the token alone, on held-out text"
BOUND = "bound: expressivity = ceiling"
Domain = tuple[float, float]
Pixel = tuple[float, float]
_CHARACTER = 6.1  # mean width of a letter at size 11, in pixels
_SHAPES = {"block": "circle", "embedding": "square", "final norm": "diamond", "mean over blocks": theme.STAR}


def information_plane(view: View) -> Any | None:
    return _plane(view, "complexity", REFERENCE, bound=False)


def ceiling_plane(view: View) -> Any | None:
    return _plane(view, "ceiling", BOUND, bound=True)


def _plane(view: View, across: str, line: str, bound: bool) -> Any | None:
    if view.is_difference:  # a difference of two models is not a point of the plane
        return None
    points = _points(view, across)
    if not points:
        return None
    xs = [p[name] for p in points for name in ("x", "x_low", "x_high")]
    ys = [p[name] for p in points for name in ("y", "y_low", "y_high")]
    x_domain, y_domain = theme.span(xs, 0.1), theme.span(ys, 0.1)
    x = alt.X("x:Q", scale=_scale(x_domain), axis=theme.value_axis(view.unit), title=_x_title(across, view))
    gram = words.gram(view.first_order)
    y_title = theme.axis_title(f"expressivity: what is kept about the next {gram}", view.unit)
    y = alt.Y("y:Q", scale=_scale(y_domain), axis=theme.value_axis(view.unit), title=y_title)
    pixels = [(_pixel(p["x"], x_domain, WIDTH), HEIGHT - _pixel(p["y"], y_domain, HEIGHT)) for p in points]
    diagonal, covered = _diagonal(x_domain, y_domain, x, y, line, bound, pixels)
    frontier = [] if bound or view.first_order != 1 else _frontier(view.frontier, x_domain, y_domain, x, y)
    layers = [*diagonal, *frontier, *_marks(view, points, x, y, across), *_names(points, x, y, pixels, covered)]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT).resolve_scale(color="independent")


def _points(view: View, across: str) -> list[dict[str, Any]]:
    order = view.first_order
    places = [(layer.name, layer.depth, layer.kind) for layer in view.layers]
    found = []
    for name, depth, kind in [*places, (MODEL, 0, "mean over blocks")]:
        x = view.row(across, name, None if across == "ceiling" else order)
        y = view.row("expressivity", name, order)
        if x is None or y is None:
            continue
        point = {"layer": name, "depth": depth, "kind": kind, "x": x.value, "y": y.value}
        point["x_low"], point["x_high"] = _ends(x)
        point["y_low"], point["y_high"] = _ends(y)
        found.append(point)
    return found


def _ends(row: Estimate) -> tuple[float, float]:
    return row.interval or (row.value, row.value)


def _scale(domain: Domain) -> alt.Scale:
    return alt.Scale(domain=list(domain), nice=False, zero=False)


def _x_title(across: str, view: View) -> str:
    if across == "ceiling":
        return theme.axis_title("ceiling: what is kept of everything read", view.unit)
    gram = words.gram(view.first_order)
    return theme.axis_title(f"complexity: what is kept about the present {gram}", view.unit)


def _diagonal(
    x_domain: Domain, y_domain: Domain, x: Any, y: Any, text: str, bound: bool, pixels: list[Pixel]
) -> tuple[list[Any], list[Pixel]]:
    """Layers of the diagonal, and the pixels that its text covers."""
    low = max(x_domain[0], y_domain[0])
    high = min(x_domain[1], y_domain[1])
    if high <= low:
        return [], []
    layers = []
    if bound:  # no code can lie above this line: the area is not part of the plane
        corners = [{"x": v, "y": v, "top": y_domain[1]} for v in (low, high)]
        area = alt.Chart(theme.values(corners)).mark_area(color=theme.QUIET, opacity=0.16, clip=True)
        layers.append(area.encode(x=x, y=y, y2="top:Q"))
    ends = alt.Chart(theme.values([{"x": v, "y": v} for v in (low, high)]))
    dash = [1, 0] if bound else [6, 4]
    layers.append(ends.mark_line(color=theme.QUIET, strokeDash=dash, strokeWidth=1.5, clip=True).encode(x=x, y=y))

    # The text runs along the line, which has an angle because the two axes differ in scale; it goes
    # where the line is farthest from any point.
    start = (_pixel(low, x_domain, WIDTH), HEIGHT - _pixel(low, y_domain, HEIGHT))
    stop = (_pixel(high, x_domain, WIDTH), HEIGHT - _pixel(high, y_domain, HEIGHT))
    length = math.dist(start, stop)
    half = min(0.5, (_CHARACTER * len(text) / 2 + 30) / length)

    def along(share: float) -> list[Pixel]:
        parts = [share + half * (step / 10 - 1) for step in range(21)]
        return [(start[0] + p * (stop[0] - start[0]), start[1] + p * (stop[1] - start[1])) for p in parts]

    shares = [half + (1 - 2 * half) * step / 10 for step in range(11)]
    share = max(shares, key=lambda s: min((math.dist(a, b) for a in along(s) for b in pixels), default=0.0))
    middle = low + share * (high - low)
    label = alt.Chart(theme.values([{"x": middle, "y": middle, "text": text}]))
    angle = 360 - math.degrees(math.atan2(start[1] - stop[1], stop[0] - start[0]))
    mark = label.mark_text(angle=angle, dy=-8, color=theme.QUIET, fontSize=11, baseline="bottom")
    layers.append(mark.encode(x=x, y=y, text="text:N"))
    return layers, along(share)


def _frontier(corners: list[dict[str, float]], x_domain: Domain, y_domain: Domain, x: Any, y: Any) -> list[Any]:
    """The line that codes of the present token achieve, as far as the plane goes, flat after its last corner."""
    if not corners:
        return []
    line = [*corners, {"x": max(x_domain[1], corners[-1]["x"]), "y": corners[-1]["y"]}]
    data = alt.Chart(theme.values(line))
    tips = [theme.tip("x", "complexity"), theme.tip("y", "achieved by a code of the present token")]
    # the name stands where the line is three quarters up, or at its end if it never is
    at = min(0.75 * y_domain[1], corners[-1]["y"])
    where = float(np.interp(at, [c["y"] for c in corners], [c["x"] for c in corners]))
    name = alt.Chart(theme.values([{"x": min(where, 0.6 * x_domain[1]), "y": at, "text": FRONTIER_NAME}]))
    return [
        data.mark_line(color=FRONTIER, strokeWidth=1.6, clip=True).encode(x=x, y=y, tooltip=tips),
        name.mark_text(color=FRONTIER, fontSize=11, align="left", dx=10, dy=6).encode(x=x, y=y, text="text:N"),
    ]


def _marks(view: View, points: list[dict[str, Any]], x: Any, y: Any, across: str) -> list[Any]:
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
    fill = {"mean over blocks": theme.MODEL_COLOUR}
    for p in ends:
        p["fill"] = fill.get(p["kind"], theme.QUIET)
    tips = [
        theme.tip("layer", "layer"),
        theme.tip("x", across, view.unit), theme.tip("y", "expressivity", view.unit),
        theme.tip("x_low", f"{across} from", view.unit), theme.tip("x_high", f"{across} to", view.unit),
        theme.tip("y_low", "expressivity from", view.unit), theme.tip("y_high", "expressivity to", view.unit),
    ]  # fmt: skip
    dots = alt.Chart(theme.values(blocks)).mark_point(filled=True, size=70, opacity=1, stroke="white", strokeWidth=0.6)
    special = alt.Chart(theme.values(ends)).mark_point(
        filled=True, size=130, opacity=1, stroke=theme.INK, strokeWidth=1
    )
    mean = [p for p in ends if p["layer"] == MODEL]
    return [
        *_errors(path, x, y, {"color": theme.QUIET, "opacity": 0.55, "strokeWidth": 1}),
        *_errors(mean, x, y, {"color": theme.MODEL_COLOUR, "strokeWidth": 2.5}),
        line.encode(x=x, y=y, order=order),
        dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=tips),
        special.encode(x=x, y=y, shape=shape, color=alt.Color("fill:N", scale=None), tooltip=tips),
        *_errors(mean, x, y, {"color": "white", "strokeWidth": 1}),  # where they are shorter than the star
    ]


def _errors(points: list[dict[str, Any]], x: Any, y: Any, look: dict[str, Any]) -> list[Any]:
    drawn = [p for p in points if p["x_low"] < p["x_high"] or p["y_low"] < p["y_high"]]
    if not drawn:
        return []
    base = alt.Chart(theme.values(drawn)).mark_rule(**look)
    x_low, y_low = x.copy(deep=False), y.copy(deep=False)
    x_low.shorthand, y_low.shorthand = "x_low:Q", "y_low:Q"
    return [base.encode(x=x_low, x2="x_high:Q", y=y), base.encode(x=x, y=y_low, y2="y_high:Q")]


def _legend_depths(depths: list[int]) -> list[int]:
    if not depths:
        return []
    first, last = min(depths), max(depths)
    return sorted({first, last, *(round(first + (last - first) * part / 3) for part in (1, 2))})


# ---------------------------------------------------------------------- names beside points


def _names(points: list[dict[str, Any]], x: Any, y: Any, pixels: list[Pixel], covered: list[Pixel]) -> list[Any]:
    """Names of a few points, each put where it covers the fewest points and no other name."""
    blocks = [i for i, p in enumerate(points) if p["kind"] == "block"]
    named = {i for i, p in enumerate(points) if p["kind"] != "block"} | set(blocks[:1]) | set(blocks[-1:])
    taken: list[tuple[float, float, float, float]] = []
    layers = []
    for i in sorted(named, key=lambda i: (points[i]["kind"] == "block", i)):
        text = "mean over blocks" if points[i]["layer"] == MODEL else points[i]["layer"]
        dx, dy, align, box = _place(pixels[i], len(text) * _CHARACTER, pixels + covered, taken)
        taken.append(box)
        data = theme.values([{"x": points[i]["x"], "y": points[i]["y"], "text": text}])
        mark = alt.Chart(data).mark_text(
            dx=dx, dy=dy, align=align, baseline="middle", fontSize=11, color=theme.INK,
            fontWeight="bold" if points[i]["layer"] == MODEL else "normal",
        )  # fmt: skip
        layers.append(mark.encode(x=x, y=y, text="text:N"))
    return layers


def _pixel(value: float, domain: Domain, length: int) -> float:
    return (value - domain[0]) / (domain[1] - domain[0]) * length


def _place(at: Pixel, width: float, points: list[Pixel], taken: list[Any]) -> Any:
    best: Any = None
    for dx, dy, align in (
        (13, 0, "left"), (-13, 0, "right"), (0, -16, "center"), (0, 16, "center"), (12, -13, "left"),
        (12, 13, "left"), (-12, -13, "right"), (-12, 13, "right"), (0, -28, "center"), (0, 28, "center"),
    ):  # fmt: skip
        left = at[0] + dx - {"left": 0.0, "right": width, "center": width / 2}[align]
        box = (left, at[1] + dy - 7, left + width, at[1] + dy + 7)
        covered = sum(box[0] - 4 <= px <= box[2] + 4 and box[1] - 3 <= py <= box[3] + 3 for px, py in points)
        clash = sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)
        outside = box[0] < 0 or box[2] > WIDTH or box[1] < 0 or box[3] > HEIGHT
        cost = covered + 10 * clash + 20 * outside
        if best is None or cost < best[0]:
            best = (cost, dx, dy, align, box)
    return best[1:]
