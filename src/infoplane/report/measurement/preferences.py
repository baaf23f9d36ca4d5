"""Preference pairs on the page: what the states tell of which answer was preferred, in sentences and as a figure.

Figures are said as parts of the one bit that there is to know, chosen or rejected: 100 % would be to know it always.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import altair as alt
from altair.typing import ChartType

from infoplane.measurement import Estimate
from infoplane.report.measurement.view import MODEL, View
from infoplane.report.parts import theme, words

WIDTH, PANEL = 300, 230
FIGURES = (
    ("preference", "answers", "all tokens of the answers"),
    ("preference", "matched", "length and place matched"),
    ("preference_given_token", "matched", "beyond the choice of words"),
)
"""Quantity, sample, and what is said of it; each holds less of what is not preference than the one before."""
_COLOURS = ("#0072b2", "#009e73", "#d55e00")


def figure_of(view: View, quantity: str, sample: str, layer: str = MODEL) -> Estimate | None:
    """The first estimate of a figure: the one to read."""
    rows = view.measurement.select(quantity=quantity, layer=layer, position_set=sample)
    return rows[0] if rows else None


def is_of_preferences(view: View) -> bool:
    """Whether preferences were measured."""
    return figure_of(view, *FIGURES[0][:2]) is not None and not view.is_difference


def answer(view: View) -> list[str]:
    """What the states tell, and what is left once length, place and words are taken out."""
    return list(_sentences(view))


def _sentences(view: View) -> Iterator[str]:
    raw, matched, given = (figure_of(view, quantity, sample) for quantity, sample, _ in FIGURES)
    if raw is None:
        return
    pairs = (view.measurement.provenance.get("preferences") or {}).get("pairs")
    of = f", over {words.count(pairs, 'pair')}" if isinstance(pairs, int) else ""
    if is_told(raw):
        yield (
            f"The states of {view.model_name} tell {_share(raw, view)} of which of two answers people preferred{of} "
            "(100 % would be to know it always)."
        )
    else:
        yield (
            f"The states of {view.model_name} are not known to tell which of two answers people preferred{of}: "
            f"{_share(raw, view)}, where 100 % would be to know it always."
        )
    if matched is not None:
        left = f"{_share(matched, view)} is left"
        if not is_told(matched):
            left = f"nothing certain is left: {_share(matched, view)}"
        sentence = f"Where both answers have as many tokens, compared place by place, {left}"
        if given is not None:
            sentence += (
                f"; beyond the choice of words, {'they tell' if is_told(given) else 'nothing certain is told:'} "
            )
            sentence += _share(given, view)
        yield f"{sentence}."


def is_told(row: Estimate) -> bool:
    """Whether a figure is known to be above 0; without an interval it is not."""
    return row.interval is not None and row.interval[0] > 0


def _share(row: Estimate, view: View) -> str:
    """`0.06 % (0.01 to 0.23 %)`: the interval is longer above than below."""
    scale = _scale(row, view)
    if scale is None:
        return words.spoken(row)
    percent = f"{words.NO_BREAK}%"
    value = words.number(100 * scale * row.value, 2) + percent
    if row.interval is None:
        return value
    low, high = (words.number(100 * scale * end, 2) for end in row.interval)
    return f"{value} ({low} to {high}{percent})"


def _scale(row: Estimate, view: View) -> float | None:
    """What makes parts of one bit of a figure; None where it cannot be known."""
    if row.unit == "bits":
        return 1.0
    return math.log(view.m) / math.log(2) if row.unit == "efficiency" and view.m else None


# ---------------------------------------------------------------------- the figure


def preferences(view: View) -> ChartType | None:
    """The three figures of the whole model with what a swap of answers gives, and over depth."""
    first = figure_of(view, *FIGURES[0][:2])
    if first is None or view.is_difference:
        return None
    scale = _scale(first, view)
    title = "share of which was preferred" if scale else first.unit
    factor, form = (scale, ".2%") if scale else (1.0, ".5f")
    whole = [point for point in (_point(view, i, MODEL, factor) for i in range(len(FIGURES))) if point]
    layers = [
        {**point, "depth": layer.depth}
        for layer in view.layers
        for i in range(len(FIGURES))
        if (point := _point(view, i, layer.name, factor))
    ]
    names = [name for _, _, name in FIGURES]
    colour = alt.Color(
        "what:N", scale=alt.Scale(domain=names, range=list(_COLOURS)), legend=alt.Legend(title=None, orient="top")
    )
    axis = alt.Axis(format="~%" if scale else "~g", tickCount=5)
    tips = [theme.tip("what", "figure"), *(
        alt.Tooltip(f"{field}:Q", title=name, format=form)
        for field, name in (("value", "value"), ("low", "from"), ("high", "to"), ("null_high", "of swapped answers"))
    )]  # fmt: skip
    base = alt.Chart(theme.values(whole))
    x, low, null = (alt.X(f"{field}:Q", title=title, axis=axis) for field in ("value", "low", "null_low"))
    y = alt.Y("what:N", sort=names, title=None, axis=alt.Axis(labels=False, ticks=False))
    zero = alt.Chart(theme.values([{"value": 0.0}])).mark_rule(color=theme.QUIET, strokeDash=[3, 3])
    forest = alt.layer(
        zero.encode(x=x),
        base.mark_rule(strokeWidth=14, color=theme.QUIET, opacity=0.3).encode(x=null, x2="null_high:Q", y=y),
        base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q", y=y, color=colour),
        base.mark_point(filled=True, size=90).encode(x=x, y=y, color=colour, tooltip=tips),
    ).properties(width=WIDTH, height=PANEL, title="the whole model")
    panels: list[ChartType] = [forest]
    if len({point["depth"] for point in layers}) > 1:
        data = alt.Chart(theme.values(layers))
        depth = alt.X("depth:Q", title="depth (block)", axis=alt.Axis(format="d", tickMinStep=1))
        # intervals of single layers may be long: what all three do stays in sight
        seen = [point["value"] for point in layers] + [p["high"] for p in layers if p["what"] != FIGURES[-1][2]]
        span = alt.Scale(domain=list(theme.span([float(v) for v in seen], 0.08)), nice=False, zero=False)
        up, up_low = (alt.Y(f"{field}:Q", title=title, axis=axis, scale=span) for field in ("value", "low"))
        panels.append(
            alt.layer(
                data.mark_area(opacity=0.15, clip=True).encode(x=depth, y=up_low, y2="high:Q", color=colour),
                data.mark_line(strokeWidth=1.6).encode(x=depth, y=up, color=colour),
                data.mark_point(filled=True, size=22).encode(
                    x=depth, y=up, color=colour, tooltip=[theme.tip("layer", "layer"), *tips]
                ),
            ).properties(width=WIDTH, height=PANEL, title="over depth")
        )
    return alt.hconcat(*panels, spacing=24)


def _point(view: View, i: int, layer: str, scale: float) -> dict[str, float | str | int] | None:
    quantity, sample, name = FIGURES[i]
    row = figure_of(view, quantity, sample, layer)
    if row is None:
        return None
    low, high = row.interval or (row.value, row.value)
    swapped = view.measurement.select(quantity=f"{quantity}_swapped", layer=layer, position_set=sample)
    spread = next((control.standard_error for control in swapped), None) or 0.0
    values = {"value": row.value, "low": low, "high": high, "null_low": -2 * spread, "null_high": 2 * spread}
    return {"what": name, "layer": layer, **{key: scale * value for key, value in values.items()}}
