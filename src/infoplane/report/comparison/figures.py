"""Figures of a comparison: the models in the plane, by family and size, and how each differs from the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import altair as alt
import polars as pl
from altair.typing import ChartType

from infoplane.analysis.comparison import Comparison
from infoplane.report.parts import UNKNOWN, Figure, colour_of, draw, theme, words

WIDTH, HEIGHT = 620, 430
SETS = {"word": "word", "char": "characters", "byte": "bytes"}
DIAGONAL = "diagonal: expressivity = complexity"
NAME_LENGTH = 230
"""Of the name of the diagonal, in pixels and with room at both ends."""
DIFFERS, UNCERTAIN = "differs", "not known to differ"


def compare_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """Every figure that the comparison has the rows for."""
    charts = {"models-plane": models_plane(comparison), "models-differences": models_differences(comparison)}
    return tuple(draw(name, chart) for name, chart in charts.items() if chart is not None)


def about(position_set: str, before: bool) -> str:
    """What the labels of a set of positions are: `the word just read`, `the next 4 bytes`."""
    kind, _, width = position_set.partition(":")
    if kind not in SETS:
        k = int(position_set.removeprefix("P_")) if position_set.startswith("P_") else 1
        thing = "token" if k == 1 else f"{k} tokens"
    else:
        thing = f"{SETS[kind]}" if width == "1" else f"{width} {'words' if kind == 'word' else SETS[kind]}"
    return f"the {'last' if before else 'next'} {thing}"


def subject(position_set: str) -> str:
    """What the figures of a set of positions are about."""
    if position_set in ("answers", "matched"):
        return "which of two answers is preferred"
    return f"{about(position_set, True)} and {about(position_set, False)}"


def labels_of(position_set: str) -> str:
    """What is counted on a set of positions, in one or two words: `tokens`, `4 bytes`."""
    if position_set in ("answers", "matched"):
        return "answers" if position_set == "answers" else "matched answers"
    kind, _, width = position_set.partition(":")
    if kind not in SETS:
        return {"P_1": "tokens", "P_2": "bigrams", "P_3": "trigrams", "P_4": "quadgrams"}.get(kind, kind)
    return f"{SETS[kind].rstrip('s')}s" if width == "1" else f"{width} {SETS[kind].rstrip('s')}s"


Channel = TypeVar("Channel", alt.X, alt.Y)


def models_plane(comparison: Comparison) -> ChartType | None:
    """Complexity across, expressivity upward, on the set of positions that compares best.

    A model whose figures do not compare with the others' there is a hollow point.
    """
    chosen = comparison.best_set
    alike = comparison.comparable(chosen)
    rows = comparison.values.filter(pl.col("position_set") == chosen)
    by = {(r["name"], r["quantity"]): r for r in rows.to_dicts()}
    points = []
    for m in comparison.members.to_dicts():
        x, y = by.get((m["name"], "complexity")), by.get((m["name"], "expressivity"))
        if x is None or y is None:
            continue
        size = m["parameters"]
        points.append(
            {
                "name": m["name"],
                "family": m["family"] or UNKNOWN,
                "x": x["value"],
                "y": y["value"],
                "x_low": x["low"] or x["value"],
                "x_high": x["high"] or x["value"],
                "y_low": y["low"] or y["value"],
                "y_high": y["high"] or y["value"],
                "parameters": size,
                "size": 6.0 if not size else math.log10(size),
                "of": _size(size),
                "compares": m["name"] in alike or not alike,
            }
        )
    if not points:
        return None
    unit = rows["unit"][0]
    ends = {axis: [p[f"{axis}{end}"] for p in points for end in ("", "_low", "_high")] for axis in "xy"}
    domains = {axis: list(theme.span(ends[axis], 0.15, None)) for axis in "xy"}  # models lie close together
    titles = {
        "x": f"complexity: what is kept about {about(chosen, True)}",
        "y": f"expressivity: what is kept about {about(chosen, False)}",
    }

    def axis_of(channel: type[Channel], field: str, axis: str) -> Channel:
        scale = alt.Scale(domain=domains[axis], nice=False, zero=False)
        return channel(
            f"{field}:Q", scale=scale, axis=theme.value_axis(unit), title=theme.axis_title(titles[axis], unit)
        )

    across, upward = axis_of(alt.X, "x", "x"), axis_of(alt.Y, "y", "y")
    colour = colour_of(p["family"] for p in points)
    sizes = [p["size"] for p in points]
    size = alt.Size(
        "size:Q",
        scale=alt.Scale(domain=[min(sizes) - 0.3, max(sizes) + 0.3], range=[50, 420]),
        legend=alt.Legend(
            title="parameters",
            values=_powers(sizes),
            symbolFillColor=theme.QUIET,
            symbolStrokeWidth=0,
            labelExpr="datum.value < 6 ? format(pow(10, datum.value - 3), '.3~r') + ' k' : datum.value < 9 ? "
            "format(pow(10, datum.value - 6), '.3~r') + ' M' : format(pow(10, datum.value - 9), '.3~r') + ' B'",
        )
        if len({round(s, 2) for s in sizes}) > 1
        else None,
    )
    tips = [
        theme.tip("name", "model"),
        theme.tip("family", "family"),
        theme.tip("of", "parameters"),
        theme.tip("x", "complexity", unit),
        theme.tip("y", "expressivity", unit),
    ]
    base = alt.Chart(theme.values(points))
    rule = base.mark_rule(opacity=0.6, strokeWidth=1.2)
    layers = [
        *_diagonal(domains, across, upward),
        rule.encode(x=axis_of(alt.X, "x_low", "x"), x2="x_high:Q", y=upward, color=colour),
        rule.encode(x=across, y=axis_of(alt.Y, "y_low", "y"), y2="y_high:Q", color=colour),
        base.transform_filter("datum.compares")
        .mark_point(filled=True, opacity=0.85, stroke="white", strokeWidth=0.8)
        .encode(x=across, y=upward, color=colour, size=size, tooltip=tips),
        base.transform_filter("!datum.compares")
        .mark_point(filled=False, strokeWidth=1.8)
        .encode(x=across, y=upward, color=colour, size=size, tooltip=tips),
    ]
    if len(points) <= 8:
        text = base.mark_text(dy=-14, fontSize=11, color=theme.INK)
        layers.append(text.encode(x=across, y=upward, text="name:N"))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _diagonal(domains: Mapping[str, list[float]], x: alt.X, y: alt.Y) -> list[ChartType]:
    """Layers of the dashed line and of its name, as far as they are in sight."""
    low, high = (pick(domains["x"][i], domains["y"][i]) for i, pick in ((0, max), (1, min)))
    if low >= high:
        return []
    ends = alt.Chart(theme.values([{"x": v, "y": v} for v in (low, high)]))
    line = ends.mark_line(color=theme.QUIET, strokeDash=[6, 4], strokeWidth=1.3, clip=True).encode(x=x, y=y)
    rise, run = (
        length * (high - low) / (domains[axis][1] - domains[axis][0]) for axis, length in (("y", HEIGHT), ("x", WIDTH))
    )
    if math.hypot(rise, run) < NAME_LENGTH:
        return [line]
    end = alt.Chart(theme.values([{"x": high, "y": high, "text": DIAGONAL}]))
    name = end.mark_text(
        color=theme.QUIET, fontSize=11, align="right", dx=-8, dy=-7, angle=360 - math.degrees(math.atan2(rise, run))
    )
    return [line, name.encode(x=x, y=y, text="text:N")]


def models_differences(comparison: Comparison) -> ChartType | None:
    """A panel a quantity, a row a model: the difference from the first, with its interval."""
    chosen = comparison.best_set
    rows = comparison.differences.filter(pl.col("position_set") == chosen)
    if not len(rows):
        return None
    family = dict(zip(comparison.members["name"], comparison.members["family"], strict=True))
    everyone = [f or UNKNOWN for f in family.values()]
    panels: list[ChartType] = []
    for quantity in ("complexity", "expressivity", "optimality"):
        some = rows.filter(pl.col("quantity") == quantity).to_dicts()
        if not some:
            continue
        points = [
            {
                "name": r["name"],
                "family": family[r["name"]] or UNKNOWN,
                "value": r["difference"],
                "low": r["difference"] if r["low"] is None else r["low"],
                "high": r["difference"] if r["high"] is None else r["high"],
                "differs": DIFFERS if r["claimed"] else UNCERTAIN,
            }
            for r in some
        ]
        unit = some[0]["unit"]
        x = alt.X("value:Q", title=theme.AXIS_TITLES.get(unit, unit), axis=theme.value_axis(unit))
        low = alt.X("low:Q", title=theme.AXIS_TITLES.get(unit, unit), axis=theme.value_axis(unit))
        names = [p["name"] for p in points]
        y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labels=not panels, ticks=False, domain=False))
        colour = colour_of(everyone, legend=False)
        fill = alt.condition(f"datum.differs === '{DIFFERS}'", alt.value(1.0), alt.value(0.35))
        tips = [
            theme.tip("name", "model"),
            theme.tip("value", "difference", unit),
            theme.tip("low", "from", unit),
            theme.tip("high", "to", unit),
            theme.tip("differs", "verdict"),
        ]
        base = alt.Chart(theme.values(points))
        zero = alt.Chart(theme.values([{"value": 0.0}])).mark_rule(color=theme.QUIET, strokeDash=[3, 3])
        panels.append(
            alt.layer(
                zero.encode(x=x),
                base.mark_rule(strokeWidth=1.6).encode(x=low, x2="high:Q", y=y, color=colour, opacity=fill),
                base.mark_point(filled=True, size=55).encode(x=x, y=y, color=colour, opacity=fill, tooltip=tips),
            ).properties(width=200, height=max(60, 18 * len(points)), title=quantity)
        )
    return alt.hconcat(*panels, spacing=18) if panels else None


def _powers(sizes: list[float]) -> list[float]:
    """Legend entries: half powers of ten that the sizes span, at most five, or the ends."""
    inside = [k / 2 for k in range(math.ceil(2 * min(sizes)), math.floor(2 * max(sizes)) + 1)]
    whole = [s for s in inside if s == round(s)]
    picked = inside if len(inside) <= 5 else whole
    return picked or [min(sizes), max(sizes)]


def _size(parameters: int | None) -> str:
    return words.amount(parameters) if parameters else "not known"
