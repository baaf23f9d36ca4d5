"""The page of a forecast: what it says in words, forecasts against what came, correlations plain and beyond size."""

from __future__ import annotations

from pathlib import Path

import altair as alt
from altair.typing import ChartType

from infoplane.analysis.forecasting import BOTH, Correlation, Forecast, Partial
from infoplane.report.forecasting.answer import answer
from infoplane.report.parts import (
    SCRIPT,
    Caveat,
    Cell,
    Datum,
    Figure,
    Glance,
    Reading,
    caveats,
    colour_of,
    document,
    draw,
    opening,
    origin,
    said,
    section,
    sortable_table,
    theme,
    words,
    write_page,
)

READINGS = {
    "forecast-actual": Reading(
        "Forecast against actual",
        "Scatter plots, one a score: the score that came against the score forecast from all features, with intervals.",
        "Each model was forecast without its family. On the dashed line the forecast was right; the bars are "
        "prediction intervals at the stated level.",
        "Points near the line may owe it to size alone: the table below has the same error for size, loss and the "
        "mean.",
    ),
    "forecast-correlations": Reading(
        "Correlations, plain and beyond the baselines",
        "Forest plot: for each feature the correlation with each score, plain and given the baselines, with intervals.",
        "A mark away from zero whose bar leaves it out is a correlation. Where the plain one is large and the one "
        "given all baselines is about zero, the feature has found size again.",
        "Intervals take families for the unit. A correlation over models is no cause.",
    ),
}


def render_forecast(forecast: Forecast) -> str:
    """The report of a forecast as the text of one self-contained HTML page."""
    return _page(forecast, forecast_figures(forecast))


def write_forecast_report(forecast: Forecast, folder: str | Path) -> list[Path]:
    """Write the report of a forecast: `report.html`, and its figures as SVG and PNG in `figures/`.

    Args:
        forecast: what is shown.
        folder: folder or address to write to.

    Returns:
        The paths written, the page first.
    """
    figures = forecast_figures(forecast)
    return write_page(_page(forecast, figures), figures, folder)


def forecast_figures(forecast: Forecast) -> tuple[Figure, ...]:
    """Every figure that the forecast has the rows for."""
    charts = {"forecast-actual": _actual(forecast), "forecast-correlations": _forest(forecast)}
    return tuple(draw(name, chart) for name, chart in charts.items() if chart is not None)


def glance_at_forecast(forecast: Forecast) -> Glance:
    """Its title, answer and first figure, as the page has them."""
    return Glance(_title(forecast), answer(forecast), _actual(forecast) or _forest(forecast))


def _title(forecast: Forecast) -> str:
    families = len(set(forecast.provenance["families"]))
    of = words.count(families, "family").replace("familys", "families")
    return f"Scores of {len(forecast.provenance['models'])} models of {of}"


def _page(forecast: Forecast, figures: tuple[Figure, ...]) -> str:
    p = forecast.provenance
    title = _title(forecast)
    drawn = [section(figure, READINGS[figure.name]) for figure in figures]
    body = "\n".join(
        [
            opening("forecast", title, answer(forecast), "".join(drawn[:1])),
            caveats([Caveat(words.sentence(w)) for w in p["warnings"]]),
            f'<section id="detail"><h2>In detail</h2>\n{said(list(forecast.verdicts))}</section>',
            *drawn[1:],
            f'<section id="validation"><h2>Families left out</h2>\n{_validations(forecast)}</section>',
            f'<section id="correlations"><h2>Correlations</h2>\n{_correlations(forecast)}</section>',
            _predictions(forecast),
            origin({k: v for k, v in p.items() if k not in ("models", "families")}),
            "<footer>A pure function of the stored forecast. It loads nothing from outside.</footer>",
            f"<script>{SCRIPT}</script>",
        ]
    )
    return document(title, body, figures)


def _actual(forecast: Forecast) -> ChartType | None:
    """A panel a score: forecasts from all features, or from what there is."""
    panels: list[ChartType] = []
    everyone = list[str](forecast.provenance["families"])
    for score in dict.fromkeys(h.score for h in forecast.held_out):
        rows = [h for h in forecast.held_out if h.score == score]
        named = [h.predictor for h in rows]
        rows = [h for h in rows if h.predictor == (BOTH if BOTH in named else named[-1])]
        points: list[Datum] = [
            {
                "model": h.model,
                "family": h.family,
                "x": h.predicted,
                "y": h.actual,
                "low": (h.interval or (h.predicted, h.predicted))[0],
                "high": (h.interval or (h.predicted, h.predicted))[1],
            }
            for h in rows
        ]
        domain = list(theme.span([v for h in rows for v in (h.predicted, h.actual, *(h.interval or ()))], 0.05, None))
        scale = alt.Scale(domain=domain, nice=False, zero=False)
        x, low = (alt.X(f"{k}:Q", scale=scale, title="forecast without the family") for k in ("x", "low"))
        y = alt.Y("y:Q", scale=scale, title="actual")
        line = alt.Chart(theme.values([{"x": v, "y": v} for v in domain])).mark_line(
            color=theme.QUIET, strokeDash=[6, 4], strokeWidth=1.2
        )
        tips = [
            theme.tip("model", "model"),
            theme.tip("family", "family"),
            theme.tip("x", "forecast", "ratio"),
            theme.tip("low", "from", "ratio"),
            theme.tip("high", "to", "ratio"),
            theme.tip("y", "actual", "ratio"),
        ]
        colour = colour_of(everyone, legend=not panels)
        base = alt.Chart(theme.values(points))
        panels.append(
            alt.layer(
                line.encode(x=alt.X("x:Q", scale=scale), y=y),
                base.mark_rule(opacity=0.35).encode(x=low, x2="high:Q", y=y, color=colour),
                base.mark_point(filled=True, size=45, opacity=0.9).encode(x=x, y=y, color=colour, tooltip=tips),
            ).properties(width=300, height=270, title=score)
        )
    if not panels:
        return None
    return alt.vconcat(*(alt.hconcat(*panels[i : i + 2]) for i in range(0, len(panels), 2)))


def _forest(forecast: Forecast) -> ChartType | None:
    """A panel a score: Pearson's r of each feature, plain and given all baselines."""
    structure = forecast.provenance["settings"]["structure"]
    given = tuple(forecast.provenance["settings"]["baselines"])
    rows = [(r, "plain") for r in forecast.correlations if r.method == "pearson" and r.feature in structure]
    rows += [(r, "given the baselines") for r in forecast.partials if given and r.baselines == given]  # type: ignore[misc]
    points = [
        {
            "feature": r.feature,
            "score": r.score,
            "kind": kind,
            "r": r.value,
            "low": (r.interval or (r.value, r.value))[0],
            "high": (r.interval or (r.value, r.value))[1],
        }
        for r, kind in rows
        if r.value is not None
    ]
    if not points:
        return None
    scale = alt.Scale(domain=[-1, 1])
    r, low = (alt.X(f"{k}:Q", scale=scale, title="correlation") for k in ("r", "low"))
    y = alt.Y("feature:N", sort=list(structure), title=None)
    offset = alt.YOffset("kind:N", sort=["plain", "given the baselines"])
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["plain", "given the baselines"], range=["#0072b2", "#d55e00"]),
        legend=alt.Legend(title=None, orient="top"),
    )
    tips = [
        theme.tip("feature", "feature"),
        theme.tip("kind", "correlation"),
        theme.tip("r", "r", "ratio"),
        theme.tip("low", "from", "ratio"),
        theme.tip("high", "to", "ratio"),
    ]
    panels = []
    for score in dict.fromkeys(p["score"] for p in points):
        base = alt.Chart(theme.values([p for p in points if p["score"] == score]))
        zero = alt.Chart(theme.values([{"r": 0.0}])).mark_rule(color=theme.QUIET, strokeDash=[3, 3])
        panels.append(
            alt.layer(
                zero.encode(x=alt.X("r:Q", scale=scale)),
                base.mark_rule(strokeWidth=1.6).encode(x=low, x2="high:Q", y=y, yOffset=offset, color=colour),
                base.mark_point(filled=True, size=50).encode(x=r, y=y, yOffset=offset, color=colour, tooltip=tips),
            ).properties(width=230, height=max(70, 42 * len(structure)), title=score)
        )
    return alt.vconcat(*(alt.hconcat(*panels[i : i + 2]) for i in range(0, len(panels), 2)))


def _validations(forecast: Forecast) -> str:
    header = [
        "score",
        "from",
        "RMSE",
        "R²",
        "RMSE minus that of the baselines",
        "interval covers",
        "models",
        "families",
    ]
    rows: list[list[Cell]] = [
        [
            (v.score, v.score),
            (v.predictor, v.predictor),
            (f"{v.rmse:.4g}", v.rmse),
            (words.number(v.r2, 3), v.r2),
            (_with_ends(v.difference, v.interval), v.difference),
            (words.MISSING if v.coverage is None else f"{v.coverage:.0%} of {v.level:.0%}", v.coverage),
            (str(v.n), v.n),
            (str(v.families), v.families),
        ]
        for v in forecast.validations
    ]
    return sortable_table(header, rows, 2) if rows else said(["No score could be forecast: see what to read first."])


def _correlations(forecast: Forecast) -> str:
    header = ["score", "feature", "given", "method", "r", "p, families", "q", "models", "families"]
    rows: list[list[Cell]] = []
    for c in forecast.correlations:
        rows.append([(c.score, c.score), (c.feature, c.feature), (words.MISSING, ""), (c.method, c.method), *_tail(c)])
    for r in forecast.partials:
        given = ", ".join(r.baselines)
        rows.append([(r.score, r.score), (r.feature, r.feature), (given, given), ("partial", "partial"), *_tail(r)])
    return sortable_table(header, rows, 4)


def _tail(row: Correlation | Partial) -> list[Cell]:
    p = [(words.MISSING if v is None else f"{v:.2g}", v) for v in (row.p_family, row.q)]
    return [
        (_with_ends(row.value, row.interval), row.value),
        *p,
        (str(row.n), row.n),
        (str(row.families), row.families),
    ]


def _predictions(forecast: Forecast) -> str:
    if not forecast.predictions:
        return ""
    header = ["model", "score", "from", "forecast", "nearest reference models", "refused"]
    rows: list[list[Cell]] = []
    for p in forecast.predictions:
        near = ", ".join(name for name, _ in p.nearest)
        rows.append(
            [
                (p.model, p.model),
                (p.score, p.score),
                (p.predictor, p.predictor),
                (_with_ends(p.value, p.interval), "" if p.value is None else repr(p.value)),
                (near, near),
                (p.refused or "", p.refused or ""),
            ]
        )
    return f'<section id="predictions"><h2>New models</h2>\n{sortable_table(header, rows, 6)}</section>'


def _with_ends(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return words.MISSING
    shown = words.signed(f"{value:.3g}")
    return shown if interval is None else f"{shown} ({words.signed(f'{interval[0]:.3g} to {interval[1]:.3g}')})"
