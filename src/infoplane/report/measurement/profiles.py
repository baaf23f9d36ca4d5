"""Profiles over depth: each quantity by layer, orders as colours, 95 % intervals as bands.

Blocks are joined by a line. Embedding and final norm stand apart as hollow points, because they are
reported and never averaged in. A row that carries a warning is drawn dashed and pale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import altair as alt
from altair.typing import ChartType

from infoplane.measurement import Estimate
from infoplane.report.measurement.view import Layer, View
from infoplane.report.parts import theme, words

TITLES = {
    "complexity": "complexity: about the n-gram just read",
    "expressivity": "expressivity: about the n-gram to come",
    "optimality": "optimality",
    "ceiling": "ceiling",
    "entropy": "entropy",
}
WIDE, NARROW, HEIGHT = 350, 206, 190


def profiles(view: View) -> ChartType | None:
    """Two wide panels over three narrow ones; what was not measured is left out."""
    pick = alt.selection_point(name="picked_order", fields=["series"], bind="legend")
    colour = _order_colour(view)
    lines = []
    held = False  # the selection lives in one panel, whose name is given so that Altair numbers none
    for names, width in (
        (("complexity", "expressivity"), WIDE),
        (("optimality", "ceiling", "entropy"), NARROW),
    ):
        panels = []
        for name in names:
            # Entropy and ceiling belong to no label: those of the first position set stand for all.
            orders = (None,) if name in ("entropy", "ceiling") else view.orders
            points = [
                _point(layer, row, _series(order))
                for order in orders
                for layer in view.layers
                if (row := view.row(name, layer.name, order)) is not None
            ]
            if not points:
                continue
            unit = "ratio" if name == "optimality" else view.unit
            by_order = orders != (None,) and len(view.orders) > 1
            panel = _Panel(view, points, unit, width, colour if by_order else alt.value(theme.INK), by_order, pick)
            panels.append(panel.draw(TITLES[name], hold=by_order and not held))
            held |= by_order
        if panels:
            lines.append(alt.hconcat(*panels))
    return alt.vconcat(*lines).resolve_scale(color="shared") if lines else None


def label_profiles(view: View) -> ChartType | None:
    """Information about each label column that came with the text, by layer."""
    pick = alt.selection_point(name="picked_label", fields=["series"], bind="legend")
    points = [
        _point(layer, row, side.removeprefix("label:"))
        for side in view.labels
        for layer in view.layers
        if (row := view.row("information", layer.name, side=side)) is not None
    ]
    if not points:
        return None
    scale = alt.Scale(range=[*theme.ORDER_COLOURS.values(), *theme.SHARE_COLOURS])
    colour = alt.Color("series:N", title="label", scale=scale, legend=alt.Legend(symbolType="stroke", symbolOpacity=1))
    return _Panel(view, points, view.unit, 2 * WIDE - 40, colour, True, pick).draw("", hold=True)


def _order_colour(view: View) -> alt.Color:
    colours = [theme.ORDER_COLOURS.get(order, theme.INK) for order in view.orders]
    scale = alt.Scale(domain=[_series(order) for order in view.orders], range=colours)
    legend = alt.Legend(title="order", symbolType="stroke", symbolOpacity=1, orient="top", direction="horizontal")
    return alt.Color("series:N", scale=scale, legend=legend)


def _series(order: int | None) -> str:
    return "all" if order is None else f"{order} ({words.gram(order)})"


class ProfilePoint(TypedDict):
    """A quantity at a layer, with the ends of its interval, and its warning."""

    layer: str
    depth: int
    block: bool
    series: str
    value: float
    low: float
    high: float
    warned: bool
    note: str


Channel: TypeAlias = "alt.Color | Mapping[str, object]"
"""An encoding: of a field, of a value, or of a value that hangs on a condition."""


def _point(layer: Layer, row: Estimate, series: str) -> ProfilePoint:
    low, high = row.interval or (row.value, row.value)
    return {
        "layer": layer.name,
        "depth": layer.depth,
        "block": layer.kind == "block",
        "series": series,
        "value": row.value,
        "low": low,
        "high": high,
        "warned": row.warning is not None,
        "note": row.warning or "none",
    }


@dataclass(frozen=True)
class _Panel:
    view: View
    points: list[ProfilePoint]
    unit: str
    width: int
    colour: Channel
    fades: bool
    """Whether series fade when another one is picked in the legend."""
    pick: alt.Parameter

    def draw(self, title: str, hold: bool) -> ChartType:
        """The panel; with `hold`, it carries the selection that all panels listen to."""
        ends = [end for p in self.points for end in (p["low"], p["high"])]
        # A quantity far from 0 would be a flat line in a plot that starts there.
        low, high = min(ends), max(ends)
        domain = theme.span(ends, 0.06, 0.0 if low <= 0 or low < 0.75 * high or low == high else None)
        scale = alt.Scale(domain=list(domain), nice=False, zero=False)
        axis, unit_title = theme.value_axis(self.unit), theme.AXIS_TITLES.get(self.unit, self.unit)
        x = depth_axis(self.view, self.width)
        y, y_low = (alt.Y(f"{f}:Q", title=unit_title, axis=axis, scale=scale) for f in ("value", "low"))
        tips = [
            theme.tip("layer", "layer"),
            theme.tip("series", "series"),
            theme.tip("value", "value", self.unit),
            theme.tip("low", "from", self.unit),
            theme.tip("high", "to", self.unit),
            theme.tip("note", "warning"),
        ]
        line, band = {"color": self.colour, "opacity": self._opacity(1.0, 0.12)}, self._opacity(0.22, 0.04)
        dash = alt.StrokeDash("warned:N", scale=alt.Scale(domain=[False, True], range=[[1, 0], [5, 3]]), legend=None)
        blocks = alt.Chart(theme.values([p for p in self.points if p["block"]]))
        others = alt.Chart(theme.values([p for p in self.points if not p["block"]]))
        dots = blocks.mark_point(filled=True, size=22).encode(x=x, y=y, tooltip=tips, **line)
        layers = [
            blocks.mark_area().encode(x=x, y=y_low, y2="high:Q", color=self.colour, opacity=band),
            blocks.mark_line(strokeWidth=1.8).encode(x=x, y=y, strokeDash=dash, **line),
            dots.properties(name=self.pick.name + "_panel").add_params(self.pick) if hold else dots,
            others.mark_rule(strokeWidth=1).encode(x=x, y=y_low, y2="high:Q", **line),
            others.mark_point(filled=False, size=42, strokeWidth=1.5).encode(x=x, y=y, tooltip=tips, **line),
        ]
        if self.view.is_difference:
            layers.insert(0, alt.Chart(theme.values([{"value": 0}])).mark_rule(color=theme.QUIET).encode(y=y))
        return alt.layer(*layers).properties(width=self.width, height=HEIGHT, title=title)

    def _opacity(self, full: float, faded: float) -> Channel:
        if not self.fades:
            return alt.value(full)
        return alt.when(self.pick).then(alt.value(full)).otherwise(alt.value(faded))


def depth_axis(view: View, width: int) -> alt.X:
    """Depth on x: block numbers, with the embedding and the final norm named at the ends."""
    depths = [layer.depth for layer in view.blocks]
    first, last = min(depths, default=0), max(depths, default=0)
    most = width / 32
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if (last - first) / s <= most), int((last - first) / most))
    outside = {layer.depth: layer.name.removeprefix("final_") for layer in view.layers if layer.kind != "block"}
    # A tick beside a named end would run into its name.
    near = {d + away for d in outside for away in ((-1, 1) if step > 1 else ())}
    ticks = [d for d in range(first + -first % step, last + 1, step) if d not in near] or [first]
    text = "format(datum.value, 'd')"
    for depth, label in outside.items():
        text = f"datum.value === {depth} ? '{label}' : {text}"
    axis = alt.Axis(values=sorted({*ticks, *outside}), labelExpr=text, grid=False, labelOverlap=False)
    domain = [first - 1.6, last + 1.6] if outside else [first - 0.6, last + 0.6]
    return alt.X("depth:Q", title="block", axis=axis, scale=alt.Scale(domain=domain, nice=False, zero=False))
