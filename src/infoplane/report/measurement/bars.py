"""Shares of the ceiling by layer, and controls by order.

Shares are stacked as they are: an increment below 0, which noise can make, is drawn below the zero
line, and a tick shows the ceiling that all parts of a layer add up to.
"""

from __future__ import annotations

from typing import TypedDict

import altair as alt
from altair.typing import ChartType

from infoplane.measurement import Estimate
from infoplane.report.measurement.profiles import depth_axis
from infoplane.report.measurement.view import MODEL, View
from infoplane.report.parts import Datum, theme, words

WIDTH = 720
SIDES = {"input": "about what was read (input side)", "output": "about what comes next (output side)"}
KINDS = ("estimate", "labels permuted", "labels of another document", "halves, less all")
KIND_COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73")
KIND_SHAPES = ("circle", "triangle-up", "square", "diamond")


# ---------------------------------------------------------------------- shares


def shares(view: View) -> ChartType | None:
    panels = [panel for side in SIDES if (panel := _shares(view, side)) is not None]
    return alt.vconcat(*panels) if panels else None


def part_name(order: int | None) -> str:
    if order is None:
        return "residual"
    return words.gram(order) if order == 1 else f"+ {words.gram(order)}"


def _shares(view: View, side: str) -> ChartType | None:
    parts = view.share_parts
    bars, totals = list[Datum](), list[Datum]()
    unit = None
    for layer in view.layers:
        rows = [(i, part, view.share(layer.name, side, part)) for i, part in enumerate(parts)]
        total = 0.0
        for i, part, row in rows:
            if row is None:
                continue
            unit = unit or row.unit
            total += row.value
            low, high = row.interval or (row.value, row.value)
            bars.append(
                {
                    "layer": layer.name,
                    "depth": layer.depth,
                    "place": i,
                    "part": part_name(part),
                    "value": row.value,
                    "low": low,
                    "high": high,
                }
            )
        if any(row is not None for _, _, row in rows):
            totals.append({"layer": layer.name, "depth": layer.depth, "total": total})
    if not bars or unit is None:
        return None
    names = [part_name(part) for part in parts]
    colours = [theme.SHARE_COLOURS[-1 if part is None else (part - 1) % 4] for part in parts]
    scale = alt.Scale(domain=names, range=colours)
    size = max(3, min(40, 0.8 * WIDTH / (len(view.layers) + 1.5)))
    x = depth_axis(view, WIDTH)
    tips = [
        theme.tip("layer", "layer"),
        theme.tip("part", "part"),
        theme.tip("value", "value", unit),
        theme.tip("low", "from", unit),
        theme.tip("high", "to", unit),
    ]
    y = alt.Y("value:Q", stack="zero", title=theme.axis_title("", unit).strip(" ()"), axis=theme.value_axis(unit))
    colour = alt.Color("part:N", scale=scale, title="part")
    bar = alt.Chart(theme.values(bars)).mark_bar(size=size)
    zero = alt.Chart(theme.values([{"value": 0}])).mark_rule(color=theme.INK)
    tick = alt.Chart(theme.values(totals)).mark_tick(
        orient="horizontal", thickness=2, size=size + 2, color=theme.INK, opacity=1
    )
    total_tips = [theme.tip("layer", "layer"), theme.tip("total", "ceiling", unit)]
    layers = [
        bar.encode(x=x, y=y, color=colour, order=alt.Order("place:Q"), tooltip=tips),
        zero.encode(y=alt.Y("value:Q")),
        tick.encode(x=x, y=alt.Y("total:Q"), tooltip=total_tips),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=190, title=SIDES[side])


# ---------------------------------------------------------------------- controls


class Control(TypedDict):
    """A figure or one of its controls, with the ends of its interval."""

    order: str
    layer: str
    kind: str
    value: float
    low: float
    high: float


def controls(view: View) -> ChartType | None:
    panels = [panel for quantity in ("complexity", "expressivity") if (panel := _controls(view, quantity))]
    return alt.hconcat(*panels) if panels else None


def _controls(view: View, quantity: str) -> ChartType | None:
    points: list[Control] = []
    has_controls = False
    for order in view.orders:
        for name in (*(layer.name for layer in view.blocks), MODEL):
            row = view.row(quantity, name, order)
            if row is None:
                continue
            points += _triple(row, order, name)
            has_controls |= row.control_permuted is not None or row.control_shifted is not None
    if not has_controls:
        return None
    ends = [end for p in points for end in (p["low"], p["high"])]
    y = alt.Y(
        "value:Q",
        title=theme.axis_title("", view.unit).strip(" ()"),
        axis=theme.value_axis(view.unit),
        scale=alt.Scale(domain=list(theme.span(ends, 0.05)), nice=False),
    )
    x = alt.X("order:N", title="order", axis=alt.Axis(labelAngle=0))
    offset = alt.XOffset("kind:N", sort=list(KINDS))
    legend = alt.Legend(orient="top", direction="horizontal", columns=2, symbolOpacity=1)
    colours = alt.Scale(domain=list(KINDS), range=list(KIND_COLOURS))
    shapes = alt.Scale(domain=list(KINDS), range=list(KIND_SHAPES))
    colour = alt.Color("kind:N", title="", scale=colours, legend=legend)
    shape = alt.Shape("kind:N", title="", scale=shapes, legend=legend)
    tips = [
        theme.tip("layer", "layer"),
        theme.tip("kind", "what"),
        theme.tip("order", "order"),
        theme.tip("value", "value", view.unit),
        theme.tip("low", "from", view.unit),
        theme.tip("high", "to", view.unit),
    ]
    faint = alt.Chart(theme.values([p for p in points if p["layer"] != MODEL])).mark_tick(
        thickness=1, size=14, opacity=0.28, orient="horizontal"
    )
    whole = alt.Chart(theme.values([p for p in points if p["layer"] == MODEL]))
    y_low = y.copy(deep=False)
    y_low.shorthand = "low:Q"
    zero = alt.Chart(theme.values([{"value": 0}])).mark_rule(color=theme.INK).encode(y=y)
    layers = [
        zero,
        faint.encode(x=x, xOffset=offset, y=y, color=colour, tooltip=tips),
        whole.mark_rule(strokeWidth=2).encode(x=x, xOffset=offset, y=y_low, y2="high:Q", color=colour),
        whole.mark_point(filled=True, size=75, opacity=1, stroke="white", strokeWidth=0.8).encode(
            x=x, xOffset=offset, y=y, color=colour, shape=shape, tooltip=tips
        ),
    ]
    return alt.layer(*layers).properties(width=350, height=260, title=quantity)


def _triple(row: Estimate, order: int, layer: str) -> list[Control]:
    low, high = row.interval or (row.value, row.value)
    triples = [(KINDS[0], row.value, low, high)]
    for kind, value, error in (
        (KINDS[1], row.control_permuted, row.control_permuted_error),
        (KINDS[2], row.control_shifted, row.control_shifted_error),
        (KINDS[3], row.control_halved, row.control_halved_error),
    ):
        if value is not None:
            triples.append((kind, value, value - 2 * (error or 0.0), value + 2 * (error or 0.0)))
    return [
        {"order": str(order), "layer": layer, "kind": kind, "value": v, "low": a, "high": b}
        for kind, v, a, b in triples
    ]
