"""The answer at the top of the page of a forecast: what structure adds to what is known anyway, and what is found.

A correlation is found where its q is at most 0.05 (`infoplane.analysis.forecasting.verdicts`). Structure improves a
forecast where the interval of the difference in RMSE lies below 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from infoplane.analysis.forecasting import BASELINES, BOTH, STRUCTURE, Correlation, Forecast, Q, Validation
from infoplane.report.parts import words

FAR = 0.3
"""Pearson's and Spearman's r that lie further apart than this are said to disagree."""


def answer(forecast: Forecast) -> list[str]:
    """One to three sentences."""
    return [*_of_forecasts(forecast), *_of_correlations(forecast), *_of_methods(forecast)]


def _of_forecasts(forecast: Forecast) -> Iterator[str]:
    """Of which scores structure improves the forecast, on families left out."""
    by_score: dict[str, list[Validation]] = {}
    for row in forecast.validations:
        by_score.setdefault(row.score, []).append(row)
    kinds: dict[str, list[str]] = {}
    against = "the mean of the other families"
    for score, rows in by_score.items():
        by = {row.predictor: row for row in rows}
        full = by.get(BOTH) or by.get(STRUCTURE)
        if full is None:
            continue
        if BASELINES in by:
            against = words.listed(list(forecast.provenance["settings"]["baselines"]))
        kinds.setdefault(_kind(full.interval), []).append(score)
    if not kinds:
        return
    structure = words.listed(list(forecast.provenance["settings"]["structure"]))
    parts = [
        kind.format(structure=structure, against=against, scores=words.listed(scores)) for kind, scores in kinds.items()
    ]
    yield f"When each family is forecast from the others, {'; '.join(parts)}."


def _kind(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "there are too few families to say whether {structure} improves the forecast of {scores}"
    if interval[1] < 0:
        return "adding {structure} to {against} improves the forecast of {scores}"
    if interval[0] > 0:
        return "adding {structure} to {against} makes the forecast of {scores} worse"
    return "adding {structure} to {against} does not measurably improve the forecast of {scores}"


def _of_correlations(forecast: Forecast) -> Iterator[str]:
    """How many pairs of a feature and a score are found, and how many of them beyond the baselines."""
    structure = forecast.provenance["settings"]["structure"]
    rows = [
        r for r in forecast.correlations if r.method == "pearson" and r.feature in structure and r.value is not None
    ]
    if not rows:
        return
    found = [r for r in rows if _is_found(r)]
    given = tuple(forecast.provenance["settings"]["baselines"])
    if not found:
        one = "The one correlation with a score cannot be told from zero."
        yield one if len(rows) == 1 else f"None of {len(rows)} correlations with scores can be told from zero."
        return
    best = max(found, key=lambda r: abs(r.value or 0.0))
    ends = "" if best.interval is None else f", {_r(best.interval[0])} to {_r(best.interval[1])}"
    named = f"{best.feature} with {best.score}, r = {_r(best.value)}{ends}"
    if len(rows) == 1:
        sentence = f"The one correlation with a score is found ({named})"
    else:
        are = "is" if len(found) == 1 else "are"
        sentence = f"Of {len(rows)} correlations with scores, {len(found)} {are} found, the strongest {named}"
    if given:
        beyond = [
            r for r in forecast.partials
            if r.baselines == given and r.feature in structure and r.q is not None and r.q <= Q
        ]  # fmt: skip
        what = words.listed(list(given))
        sentence += f"; {len(beyond) or 'none'} {'says' if len(beyond) <= 1 else 'say'} something beyond {what}"
    yield f"{sentence}."


def _of_methods(forecast: Forecast) -> Iterator[str]:
    """Where Pearson and Spearman say different things, a few models or a bend make one of them."""
    by = {(r.feature, r.score, r.method): r for r in forecast.correlations}
    apart = []
    for (feature, score, method), r in by.items():
        other = by.get((feature, score, "spearman"))
        if method != "pearson" or other is None or r.value is None or other.value is None:
            continue
        if _is_found(r) != _is_found(other) or abs(r.value - other.value) > FAR:
            apart.append(f"{feature} with {score} ({_r(r.value)} and {_r(other.value)})")
    if apart:
        more = f" and {len(apart) - 2} more" if len(apart) > 2 else ""
        listed = ", ".join(apart[:2]) + more if more else words.listed(apart)
        yield f"Pearson and Spearman disagree on {listed}: a few outlying models or a curved relation may decide there."


def _is_found(row: Correlation) -> bool:
    return row.q is not None and row.q <= Q


def _r(value: float | None) -> str:
    return words.MISSING if value is None else words.signed(f"{value:+.2f}")
