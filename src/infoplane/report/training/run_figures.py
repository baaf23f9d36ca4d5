"""Figures of a training run: its path in the plane, its quantities over the steps, its layers over the steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import altair as alt
import numpy as np
import numpy.typing as npt
from altair.typing import ChartType

from infoplane.analysis.training import Series
from infoplane.report.parts import Datum, Figure, draw, theme
from infoplane.report.training.run_view import QUANTITIES, RunView

WIDTH, HEIGHT = 680, 430
_LONG = 34
"""Pixels between two checkpoints from which on an arrow stands between them."""
TITLES = {
    "complexity": "complexity: about the token just read",
    "expressivity": "expressivity: about the token to come",
    "optimality": "optimality",
    "distance_to_ceiling": "distance to the ceiling",
    "distance_to_diagonal": "distance to the diagonal",
    "gap": "gap: below the frontier of the token",
    "context_gain": "context gain: beyond the token alone",
    "loss": "next-token loss",
}
PHASE_COLOURS = {"fitting": "#0072b2", "compression": "#d55e00", "plateau": "#b4b8bf"}


def run_figures(view: RunView) -> tuple[Figure, ...]:
    """Every figure that the run has the rows for."""
    charts = {"run-plane": run_plane(view), "run-curves": run_curves(view), "run-layers": run_layers(view)}
    return tuple(draw(name, chart) for name, chart in charts.items() if chart is not None)


# ---------------------------------------------------------------------- the plane


def run_plane(view: RunView) -> ChartType | None:
    """The whole model's path, and the layers of the checkpoint that a slider picks."""
    x, y = view.series.get("complexity"), view.series.get("expressivity")
    if x is None or y is None or x.steps.tolist() != y.steps.tolist():
        return None
    path = []
    for i in range(len(x)):
        point = {"step": int(x.steps[i]), "index": i, "at": place_of(x.steps[i]), "x": x.values[i], "y": y.values[i]}
        for name, series in (("x", x), ("y", y)):
            low, high = (series.values[i],) * 2 if series.intervals is None else series.intervals[i]
            point |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        path.append({k: float(v) if k in "xy" else v for k, v in point.items()})
    layers = []
    for i, p in enumerate(path):
        for depth, layer in enumerate(view.layers):
            a, b = view.row(i, "complexity", layer), view.row(i, "expressivity", layer)
            if a is not None and b is not None:
                layers.append(
                    {"step": p["step"], "index": i, "layer": layer, "depth": depth, "x": a.value, "y": b.value}
                )
    both = [*path, *layers]
    domains = domains_of([float(p["x"]) for p in both], [float(p["y"]) for p in both])
    ax, ay, diagonal = plane_of(domains, view.unit)
    last = len(path) - 1
    slider = alt.binding_range(min=0, max=last, step=1, name="checkpoint ")
    picked = alt.param(name="picked", value=last, bind=slider)
    so_far, now = "datum.index <= picked", "datum.index == picked"
    colour = alt.Color(
        "at:Q",
        scale=alt.Scale(range=list(theme.DEPTH_COLOURS), domain=[place_of(x.steps[0]), place_of(x.steps[last])]),
        legend=alt.Legend(title="step", labelExpr=STEP_LABEL, values=ticks_of(x.steps), gradientLength=150),
    )
    tips = [
        theme.tip("step", "step"),
        theme.tip("x", "complexity", view.unit),
        theme.tip("y", "expressivity", view.unit),
    ]
    line = alt.Chart(theme.values(path))
    x_low, y_low = ax.copy(deep=False), ay.copy(deep=False)
    x_low.shorthand, y_low.shorthand = "x_low:Q", "y_low:Q"
    bars = line.mark_rule(color=theme.QUIET, opacity=0.5).transform_filter(so_far)
    layer_chart = alt.Chart(theme.values(layers))
    return (
        alt.layer(
            diagonal,
            layer_chart.mark_line(color=theme.QUIET, opacity=0.45, strokeWidth=1)
            .encode(x=ax, y=ay, order="depth:Q")
            .transform_filter(now),
            layer_chart.mark_point(filled=True, color=theme.QUIET, size=36, opacity=0.7)
            .encode(x=ax, y=ay, tooltip=[theme.tip("layer", "layer"), *tips])
            .transform_filter(now),
            line.mark_line(color=theme.INK, strokeWidth=1.4)
            .encode(x=ax, y=ay, order="index:Q")
            .transform_filter(so_far),
            bars.encode(x=x_low, x2="x_high:Q", y=ay),
            bars.encode(x=ax, y=y_low, y2="y_high:Q"),
            alt.Chart(theme.values(_arrows(path, domains)))
            .mark_point(shape=theme.ARROW, filled=True, size=46, color=theme.INK, opacity=1)
            .encode(x=ax, y=ay, angle=alt.Angle("angle:Q", scale=None))
            .transform_filter(so_far),
            line.mark_point(filled=True, size=80, opacity=1, stroke="white", strokeWidth=0.6)
            .encode(x=ax, y=ay, color=colour, tooltip=tips)
            .transform_filter(so_far),
            *step_names(ax, ay, path, domains, now),
        )
        .add_params(picked)
        .properties(width=WIDTH, height=HEIGHT)
    )


Domains: TypeAlias = "tuple[tuple[float, float], tuple[float, float]]"
"""What the two axes of a plane span."""


def domains_of(xs: Sequence[float], ys: Sequence[float]) -> Domains:
    """Wide enough for points there."""
    return theme.span(xs, 0.08), theme.span(ys, 0.08)


def _pixels(x: float, y: float, domains: Domains) -> tuple[float, float]:
    """From the lower left corner."""
    (left, right), (bottom, top) = domains
    return WIDTH * (x - left) / (right - left), HEIGHT * (y - bottom) / (top - bottom)


def _arrows(path: Sequence[Mapping[str, float]], domains: Domains) -> list[Datum]:
    """Heads of arrows in the middle of those steps of the path that are long enough to have one."""
    heads = list[Datum]()
    for a, b in itertools.pairwise(path):
        (x, y), (u, v) = (_pixels(p["x"], p["y"], domains) for p in (a, b))
        if math.hypot(u - x, v - y) >= _LONG:
            middle = {axis: (a[axis] + b[axis]) / 2 for axis in "xy"}
            heads.append({**middle, "angle": math.degrees(math.atan2(u - x, v - y)), "index": b["index"]})
    return heads


def step_names(x: alt.X, y: alt.Y, path: Sequence[Mapping[str, float]], domains: Domains, now: str) -> list[ChartType]:
    """The first and the last step beside their points, and the step that the slider stands at in the corner."""
    names = []
    for end in [path[0], path[-1]] if len(path) > 1 else path[:1]:
        across, up = _pixels(end["x"], end["y"], domains)
        right, high = across < WIDTH / 2, up > HEIGHT - 30  # inward, and below where there is no room above
        at = theme.values([{"x": end["x"], "y": end["y"], "text": f"step {end['step']:,.0f}"}])
        mark = alt.Chart(at).mark_text(
            dx=10 if right else -10, dy=16 if high else -14, align="left" if right else "right", fontSize=11,
            fontWeight="bold", color=theme.INK,
        )  # fmt: skip
        names.append(mark.encode(x=x, y=y, text="text:N"))
    corner = [{"index": p["index"], "text": f"shown: step {p['step']:,.0f}"} for p in path]
    shown = alt.Chart(theme.values(corner)).mark_text(align="left", baseline="top", fontSize=12, color=theme.INK)
    names.append(shown.encode(x=alt.value(8), y=alt.value(4), text="text:N").transform_filter(now))
    return names


def plane_of(domains: Domains, unit: str) -> tuple[alt.X, alt.Y, ChartType]:
    """Axes of the plane, and the dashed line on which both are equal."""
    x_domain, y_domain = (list(domain) for domain in domains)
    x_title = theme.axis_title("complexity: what is kept about the present token", unit)
    y_title = theme.axis_title("expressivity: what is kept about the next token", unit)
    x_scale, y_scale = (alt.Scale(domain=domain, nice=False, zero=False) for domain in (x_domain, y_domain))
    x = alt.X("x:Q", scale=x_scale, axis=theme.value_axis(unit), title=x_title)
    y = alt.Y("y:Q", scale=y_scale, axis=theme.value_axis(unit), title=y_title)
    high = min(x_domain[1], y_domain[1])
    ends = alt.Chart(theme.values([{"x": 0.0, "y": 0.0}, {"x": high, "y": high}]))
    dashed = ends.mark_line(color=theme.QUIET, strokeDash=[6, 4], strokeWidth=1.5, clip=True).encode(x=x, y=y)
    return x, y, dashed


# ---------------------------------------------------------------------- over the steps


def run_curves(view: RunView) -> ChartType | None:
    """A panel a quantity, two beside each other, the phases of complexity behind all of them."""
    phases = view.phases.get("complexity")
    stretches = (
        [{"from": place_of(p.start_step), "to": place_of(p.end_step), "phase": p.kind} for p in phases.segments]
        if phases
        else []
    )
    panels = [_panel(name, view.series[name], stretches) for name in QUANTITIES if name in view.series]
    if not panels:
        return None
    lines = [alt.hconcat(*panels[i : i + 2]) for i in range(0, len(panels), 2)]
    chart: alt.VConcatChart = alt.vconcat(*lines).resolve_scale(color="shared")
    return chart


def _panel(name: str, series: Series, stretches: Sequence[Datum]) -> ChartType:
    intervals = series.intervals
    points = []
    for i in range(len(series)):
        low, high = (series.values[i],) * 2 if intervals is None else intervals[i]
        points.append(
            {
                "step": int(series.steps[i]),
                "at": place_of(series.steps[i]),
                "value": float(series.values[i]),
                "low": float(low),
                "high": float(high),
            }
        )
    ends = [p[k] for p in points for k in ("low", "high")]
    scale = alt.Scale(domain=list(theme.span(ends, 0.06, None)), nice=False, zero=False)
    x = step_axis(series.steps)
    axis, title = theme.value_axis(series.unit), theme.AXIS_TITLES.get(series.unit, series.unit)
    y, y_low = (alt.Y(f"{f}:Q", title=title, axis=axis, scale=scale) for f in ("value", "low"))
    tips = [
        theme.tip("step", "step"),
        theme.tip("value", "value", series.unit),
        theme.tip("low", "from", series.unit),
        theme.tip("high", "to", series.unit),
    ]
    data = alt.Chart(theme.values(points))
    layers = [
        data.mark_area(color=theme.INK, opacity=0.18).encode(x=x, y=y_low, y2="high:Q"),
        data.mark_line(color=theme.INK, strokeWidth=1.6).encode(x=x, y=y),
        data.mark_point(color=theme.INK, filled=True, size=24).encode(x=x, y=y, tooltip=tips),
    ]
    if stretches:
        kinds = list(PHASE_COLOURS)
        colour = alt.Color(
            "phase:N",
            scale=alt.Scale(domain=kinds, range=[PHASE_COLOURS[k] for k in kinds]),
            legend=alt.Legend(title="phase of complexity", orient="top", symbolOpacity=0.4),
        )
        left = x.copy(deep=False)
        left.shorthand = "from:Q"
        layers.insert(
            0, alt.Chart(theme.values(stretches)).mark_rect(opacity=0.13).encode(x=left, x2="to:Q", color=colour)
        )
    return alt.layer(*layers).properties(width=330, height=180, title=TITLES[name])


def run_layers(view: RunView) -> ChartType | None:
    """Complexity and expressivity of each layer at each checkpoint, as two maps."""
    panels = []
    for name in ("complexity", "expressivity"):
        cells = []
        for i, point in enumerate(view.trajectory.measured):
            for layer in view.layers:
                row = view.row(i, name, layer)
                if row is not None:
                    cells.append({"step": f"{point.step:,}", "index": i, "layer": layer, "value": row.value})
        if not cells:
            continue
        steps = [f"{p.step:,}" for p in view.trajectory.measured]
        panels.append(
            alt.Chart(theme.values(cells))
            .mark_rect()
            .encode(
                x=alt.X("step:N", sort=steps, title="step", axis=alt.Axis(labelAngle=-60, labelOverlap=True)),
                y=alt.Y("layer:N", sort=list(reversed(view.layers)), title=None),
                color=alt.Color(
                    "value:Q",
                    scale=alt.Scale(range=list(theme.DEPTH_COLOURS)),
                    legend=alt.Legend(title=name, format=".0%" if view.unit == "efficiency" else ".2f"),
                ),
                tooltip=[theme.tip("layer", "layer"), theme.tip("step", "step"), theme.tip("value", name, view.unit)],
            )
            .properties(width=290, height=max(90, 16 * len(view.layers)), title=TITLES[name])
        )
    return alt.hconcat(*panels).resolve_scale(color="independent") if panels else None


# ---------------------------------------------------------------------- steps on a logarithmic axis that holds 0

STEP_LABEL = "format(round(pow(10, datum.value) - 1), '~s')"


def step_axis(steps: Sequence[int] | npt.NDArray[np.int64]) -> alt.X:
    """The axis of `at`, the places of these steps."""
    axis = alt.Axis(values=ticks_of(steps), labelExpr=STEP_LABEL, grid=False)
    return alt.X("at:Q", title="step", scale=alt.Scale(nice=False, zero=False), axis=axis)


def place_of(step: float) -> float:
    return math.log10(1 + float(step))


def ticks_of(steps: Sequence[int] | npt.NDArray[np.int64]) -> list[float]:
    """Places of 0 and the powers of ten within the steps."""
    first, last = int(min(steps)), int(max(steps))
    wanted = [0, *(10**k for k in range(0, 13))]
    ticks = [s for s in wanted if first <= s <= last]
    return [place_of(s) for s in (ticks if len(ticks) > 1 else (first, last))]
