"""The figure of a bound: what codes of each order tell, for what they keep, between the axis and the diagonal.

Left, all positions, and beside them what is known of saturation; right, the positions whose k-gram the other half of
the documents has, which are another population: the panels share their axes, not their truth.
"""

from __future__ import annotations

import math
from typing import TypedDict

import altair as alt
from altair.typing import ChartType

from infoplane.report.parts import Datum, Figure, draw, theme, words
from infoplane.report.text_bound.view import BoundView, Line

WIDTH, NARROW, HEIGHT = 318, 132, 330
ROOM = 0.12
"""Part of the height left free above the highest line."""
Domain = tuple[float, float]


def bound_figures(view: BoundView) -> tuple[Figure, ...]:
    """One figure for each target."""
    return tuple(draw(name, chart) for name, chart in bound_charts(view).items())


def bound_charts(view: BoundView) -> dict[str, ChartType]:
    """The same before they are drawn, by name."""
    return {figure_name(target): _chart(view, target) for target in view.targets}


def figure_name(target: int) -> str:
    return "frontier" if target == 1 else f"frontier-next-{target}"


def _chart(view: BoundView, target: int) -> ChartType:
    panels = {name: lines for name in ("all", "seen") if (lines := view.of(target, name))}
    drawn = [line for lines in panels.values() for line in lines]
    across = max(float(line.frontier.complexity[:, 0].max()) for line in drawn)
    upward = max(point["high"] for line in drawn for point in line.points())
    domains = (0.0, (across or 1.0) * 1.04), (0.0, (upward or 1.0) * (1 + ROOM))
    pick = alt.selection_point(name="picked_order", fields=["series"], bind="legend")
    titles = {"all": "all positions", "seen": "seen positions: the other half has the k-gram"}
    colour = _colour(sorted({line.frontier.order for line in drawn}))
    parts: list[ChartType] = []
    for name, lines in panels.items():
        panel = _panel(lines, domains, colour, pick, hold=not parts, title=titles[name], target=target)
        parts += [panel, _saturation(lines, domains[1], colour)] if name == "all" else [panel]
    chart: alt.HConcatChart = alt.hconcat(*parts).resolve_scale(color="shared")
    return chart


def _series(order: int) -> str:
    return f"{order} ({words.gram(order)})"


def _colour(orders: list[int]) -> alt.Color:
    """The same for every panel, whichever orders it has: then there is one legend."""
    scale = alt.Scale(domain=[_series(k) for k in orders], range=[theme.ORDER_COLOURS[k] for k in orders])
    legend = alt.Legend(
        title="tokens that the code sees, k", symbolType="stroke", symbolOpacity=1, orient="top", direction="horizontal"
    )
    return alt.Color("series:N", scale=scale, legend=legend)


def _panel(
    lines: list[Line],
    domains: tuple[Domain, Domain],
    colour: alt.Color,
    pick: alt.Parameter,
    *,
    hold: bool,
    title: str,
    target: int,
) -> ChartType:
    """With `hold`, the panel carries the selection that all listen to."""
    scales = [alt.Scale(domain=list(d), nice=False, zero=False) for d in domains]
    axis = theme.value_axis("nats")
    axis_title = "told about the next token" if target == 1 else f"told about the next {target} tokens"
    x = alt.X("x:Q", scale=scales[0], axis=axis, title="kept about the last k tokens (nats)")
    y, low = (alt.Y(f"{f}:Q", scale=scales[1], axis=axis, title=f"{axis_title} (nats)") for f in ("y", "low"))
    faint, band, full = (
        alt.when(pick).then(alt.value(a)).otherwise(alt.value(b)) for a, b in ((0.3, 0.04), (0.16, 0.03), (1.0, 0.1))
    )
    tips = [theme.tip("series", "order"), theme.tip("x", "kept", "nats"), theme.tip("y", "told", "nats")]
    ends = [theme.tip("low", "from", "nats"), theme.tip("high", "to", "nats")]
    coded = [
        theme.tip("length", "length"),
        theme.tip("beta", "beta"),
        theme.tip("smoothing", "smoothing"),
        theme.tip("symbols", "symbols in use"),
    ]
    path = alt.Chart(
        theme.values([{"series": _series(line.frontier.order), **p} for line in lines for p in line.points()])
    )
    codes = alt.Chart(theme.values([code for line in lines for code in _codes(line)]))
    last = alt.Chart(
        theme.values([{"series": _series(line.frontier.order), "x": line.end[0], "y": line.end[1]} for line in lines])
    )
    line = path.mark_line(strokeWidth=1.8, clip=True).encode(x=x, y=y, color=colour, opacity=full, tooltip=tips + ends)
    layers = [
        *_diagonal(domains, x, y),
        *_upper(lines, x, y, colour, full),
        path.mark_area(clip=True).encode(x=x, y=low, y2="high:Q", color=colour, opacity=band),
        codes.mark_point(filled=True, size=16, clip=True).encode(
            x=x, y=y, color=colour, opacity=faint, tooltip=tips + coded
        ),
        line.properties(name=pick.name + "_panel").add_params(pick) if hold else line,
        last.mark_point(filled=True, size=42).encode(x=x, y=y, color=colour, opacity=full, tooltip=tips),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


def _upper(lines: list[Line], x: alt.X, y: alt.Y, colour: alt.Color, opacity: object) -> list[ChartType]:
    """The upper side, dashed, where that is known."""
    points = [{"series": _series(line.frontier.order), **point} for line in lines for point in line.upper_points()]
    if not points:
        return []
    line = alt.Chart(theme.values(points)).mark_line(strokeWidth=1.1, strokeDash=[3, 3], clip=True)
    return [line.encode(x=x, y=y, color=colour, opacity=opacity)]


def _codes(line: Line) -> list[Datum]:
    f = line.frontier
    return [
        {
            "series": _series(f.order),
            "x": float(x),
            "y": float(y),
            "length": length,
            "smoothing": f"{smoothing:.3g}",
            "beta": f"{beta:g}" if math.isfinite(beta) else "none: a hard code",
            "symbols": symbols,
        }
        for (length, _, smoothing, beta, symbols), x, y in zip(
            f.codes, f.complexity[:, 0], f.relevance[:, 0], strict=True
        )
    ]


def _diagonal(domains: tuple[Domain, Domain], x: alt.X, y: alt.Y) -> list[ChartType]:
    (_, right), (_, top) = domains
    high = min(right, top)
    ends = alt.Chart(theme.values([{"x": v, "y": v} for v in (0.0, high)]))
    line = ends.mark_line(color=theme.QUIET, strokeDash=[6, 4], strokeWidth=1.2, clip=True).encode(x=x, y=y)
    # Above the diagonal is nothing, so its name stands there, unless the line is too steep to leave room for it.
    corner, name = 0.97 * high, "diagonal"
    left = corner / right * WIDTH > 70
    text = alt.Chart(theme.values([{"x": corner, "y": corner, "text": name}])).mark_text(
        align="right" if left else "left", dx=-9 if left else 9, color=theme.QUIET, fontSize=11, baseline="middle"
    )
    return [line, text.encode(x=x, y=y, text="text:N")]


class _Text(TypedDict):
    color: str
    fontSize: int


def _saturation(lines: list[Line], domain: Domain, colour: alt.Color) -> ChartType:
    """What is known of I(X_k; Y): a bar for each order, cut off with an arrow where it leaves the axis."""
    top = domain[1]
    rows = []
    for line in lines:
        f = line.frontier
        low, high = f.saturation
        beyond = low >= top
        rows.append(
            {
                "series": _series(f.order),
                "order": str(f.order),
                "low": min(max(low, 0.0), top),
                "high": min(max(high, 0.0), top),
                "from": words.number(low, 2),
                "to": words.number(high, 2),
                "is_cut": high > top,
                "beyond": beyond,
                "top": top,
            }
        )
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    none = alt.Axis(labels=False, ticks=False, domain=False, grid=True, tickCount=6)
    x = alt.X("order:N", axis=alt.Axis(labelAngle=0, grid=False), title="k")
    y_low, y_high, y_top = (alt.Y(f"{f}:Q", scale=scale, axis=none, title=None) for f in ("low", "high", "top"))
    base, cut, within, bar = (
        alt.Chart(theme.values(some))
        for some in (
            rows,
            [r for r in rows if r["is_cut"]],
            [r for r in rows if not r["is_cut"]],
            [r for r in rows if not r["beyond"]],
        )
    )
    tips = [theme.tip("series", "order"), theme.tip("from", "at least"), theme.tip("to", "at most")]
    text = _Text(color=theme.INK, fontSize=11)
    layers = [
        bar.mark_bar(width=22, opacity=0.45).encode(x=x, y=y_low, y2="high:Q", color=colour, tooltip=tips),
        # below the bar, or where there is no room on it
        bar.transform_filter(f"datum.low > {0.08 * top}").mark_text(**text, dy=9).encode(x=x, y=y_low, text="from:N"),
        bar.transform_filter(f"datum.low <= {0.08 * top}").mark_text(**text, dy=-8).encode(x=x, y=y_low, text="from:N"),
        within.mark_text(**text, dy=-8).encode(x=x, y=y_high, text="to:N"),
        cut.mark_point(shape="triangle-up", filled=True, size=55, opacity=1, yOffset=6, color=theme.INK).encode(
            x=x, y=y_top, tooltip=tips
        ),
        cut.mark_text(**text, dy=20).encode(x=x, y=y_top, text="to:N"),
        base.transform_filter("datum.beyond").mark_text(**text, dy=34).encode(x=x, y=y_top, text="from:N"),
    ]
    return alt.layer(*layers).properties(width=NARROW, height=HEIGHT, title="saturation")
