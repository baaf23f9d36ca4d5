"""Figures of several training runs: one path for each in the plane, one line for each over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import altair as alt
from altair.typing import ChartType

from infoplane.analysis.training import Seeds, Series, Trajectory
from infoplane.errors import ResultError
from infoplane.report.parts import COLOURS, Figure, draw, theme
from infoplane.report.training.run_figures import HEIGHT, TITLES, WIDTH, domains_of, place_of, plane_of, step_axis
from infoplane.report.training.run_view import QUANTITIES


def several_figures(groups: Sequence[Seeds]) -> tuple[Figure, ...]:
    """Every figure that the runs have the rows for."""
    charts = {"runs-plane": runs_plane(groups), "runs-curves": runs_curves(groups)}
    return tuple(draw(name, chart) for name, chart in charts.items() if chart is not None)


class _OfARun(TypedDict):
    configuration: str
    run: str
    step: int


class PathPoint(_OfARun):
    """A checkpoint of a run on the plane; `index` is its place among the steps of all runs."""

    index: int
    x: float
    y: float


class CurvePoint(_OfARun):
    """A checkpoint of a run, and its value; `at` is its place on the axis of steps."""

    at: float
    value: float


def runs_plane(groups: Sequence[Seeds]) -> ChartType | None:
    """A path for each run, as far as the step that a slider picks."""
    points, unit = list[PathPoint](), "efficiency"
    for group in groups:
        for number, run in enumerate(group.runs, start=1):
            x, y = (series_of(run, quantity) for quantity in ("complexity", "expressivity"))
            if x is None or y is None or x.steps.tolist() != y.steps.tolist():
                continue
            unit = x.unit
            points += [
                {
                    "configuration": group.name,
                    "run": f"{group.name} {number}",
                    "step": int(s),
                    "index": 0,
                    "x": a,
                    "y": b,
                }
                for s, a, b in zip(x.steps, x.values.tolist(), y.values.tolist(), strict=True)
            ]
    if not points:
        return None
    steps = sorted({p["step"] for p in points})
    for p in points:
        p["index"] = steps.index(p["step"])
    domains = domains_of([p["x"] for p in points], [p["y"] for p in points])
    ax, ay, diagonal = plane_of(domains, unit)
    last = len(steps) - 1
    picked = alt.param(name="picked", value=last, bind=alt.binding_range(min=0, max=last, step=1, name="checkpoint "))
    so_far = "datum.index <= picked"
    colour = _colour(groups)
    tips = [
        theme.tip("run", "run"),
        theme.tip("step", "step"),
        theme.tip("x", "complexity", unit),
        theme.tip("y", "expressivity", unit),
    ]
    every = alt.Chart(theme.values(points))
    return (
        alt.layer(
            diagonal,
            every.mark_line(strokeWidth=1.3, opacity=0.75)
            .encode(x=ax, y=ay, order="index:Q", color=colour, detail="run:N")
            .transform_filter(so_far),
            every.mark_point(filled=True, size=26, opacity=0.9)
            .encode(x=ax, y=ay, color=colour, tooltip=tips)
            .transform_filter(so_far),
            alt.Chart(theme.values([{"index": i, "text": f"shown: up to step {s:,}"} for i, s in enumerate(steps)]))
            .mark_text(align="left", baseline="top", fontSize=12, color=theme.INK)
            .encode(x=alt.value(8), y=alt.value(4), text="text:N")
            .transform_filter("datum.index == picked"),
        )
        .add_params(picked)
        .properties(width=WIDTH, height=HEIGHT)
    )


def runs_curves(groups: Sequence[Seeds]) -> ChartType | None:
    """A panel a quantity, two beside each other, a line a run."""
    panels = []
    for quantity in QUANTITIES:
        points, unit = list[CurvePoint](), ""
        for group in groups:
            for number, run in enumerate(group.runs, start=1):
                series = series_of(run, quantity)
                if series is None:
                    continue
                unit = series.unit
                points += [
                    {
                        "configuration": group.name,
                        "run": f"{group.name} {number}",
                        "step": int(s),
                        "at": place_of(s),
                        "value": v,
                    }
                    for s, v in zip(series.steps, series.values.tolist(), strict=True)
                ]
        if points:
            panels.append(_panel(quantity, unit, points, groups))
    if not panels:
        return None
    return alt.vconcat(*(alt.hconcat(*panels[i : i + 2]) for i in range(0, len(panels), 2)))


def _panel(quantity: str, unit: str, points: list[CurvePoint], groups: Sequence[Seeds]) -> ChartType:
    x = step_axis([p["step"] for p in points])
    scale = alt.Scale(domain=list(theme.span([p["value"] for p in points], 0.06, None)), nice=False, zero=False)
    y = alt.Y("value:Q", title=theme.AXIS_TITLES.get(unit, unit), axis=theme.value_axis(unit), scale=scale)
    tips = [theme.tip("run", "run"), theme.tip("step", "step"), theme.tip("value", "value", unit)]
    data = alt.Chart(theme.values(points))
    return alt.layer(
        data.mark_line(strokeWidth=1.3, opacity=0.75).encode(x=x, y=y, color=_colour(groups), detail="run:N"),
        data.mark_point(filled=True, size=16).encode(x=x, y=y, color=_colour(groups), tooltip=tips),
    ).properties(width=330, height=180, title=TITLES[quantity])


def _colour(groups: Sequence[Seeds]) -> alt.Color:
    names = [group.name for group in groups]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    legend = alt.Legend(title=None, orient="top", columns=4, symbolType="stroke", labelLimit=220)
    return alt.Color("configuration:N", scale=alt.Scale(domain=names, range=colours), legend=legend)


def series_of(run: Trajectory, quantity: str) -> Series | None:
    """A quantity of a run, None where it was not measured."""
    try:
        return run.series(quantity)
    except ResultError:
        return None
