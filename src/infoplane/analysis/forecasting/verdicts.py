"""What the tables of a forecast say, in words: which part of a correlation is size, and whether structure helps.

Rules, on Pearson's r and the baselines in the order they were given. A feature is *found* where the q of its
correlation is at most 0.05. Given all baselines it is then

- **beyond the baselines** where the q of its partial correlation is at most 0.05;
- **explained** by the first set of them given which it is not, if less than half of r is left there;
- **undecided** otherwise: too few models to tell it from the baselines.

A feature that is not found can still be beyond the baselines, where they hid it.

Structure *improves* the forecast where the interval of the difference in RMSE lies below 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from infoplane.analysis.forecasting.correlations import Correlation
from infoplane.analysis.forecasting.partial_correlations import FAMILY, Partial
from infoplane.analysis.forecasting.validation import BASELINES, BOTH, MEAN, STRUCTURE, Validation

Q = 0.05


def of_feature(row: Correlation, given: Sequence[Partial]) -> str:
    """One sentence about a feature and a score.

    Args:
        row: its Pearson correlation.
        given: its partial correlations, the baselines in the order they were given.
    """
    name = f"{row.feature} and {row.score}"
    if row.value is None:
        return f"{name}: no correlation ({row.warning})."
    sentence = f"{name}: r = {row.value:+.2f}{_interval(row.interval)}, q = {_q(row.q)}"
    sentence = f"{sentence}, {row.n} models of {row.families} families"
    is_discovery = row.q is not None and row.q <= Q
    sets = [p for p in given if p.value is not None and FAMILY not in p.baselines]
    if not sets:
        rest = "No baseline was given, so nothing says whether this is size."
        return f"{sentence}. {rest}" if is_discovery else f"{sentence}: not told from chance."
    last = sets[-1]
    known, inside = _listed(last.baselines), _inside(given, last)
    if last.q is not None and last.q <= Q:
        hidden = "" if is_discovery else ", which hid it"
        return f"{sentence}; {_given(last)}: it says something beyond {known}{hidden}.{inside}"
    if not is_discovery:
        return f"{sentence}: not told from chance."
    first = next(p for p in sets if p.q is None or p.q > Q)
    if first.value is not None and abs(first.value) < abs(row.value) / 2:
        return f"{sentence}; {_given(first)}: the correlation is explained by {_listed(first.baselines)}.{inside}"
    return f"{sentence}; {_given(last)}: not told from an effect of {known} with so few models.{inside}"


def of_validation(rows: Sequence[Validation]) -> str:
    """One sentence about whether structure improves the forecast of a score."""
    by = {row.predictor: row for row in rows}
    full = by.get(BOTH) or by.get(STRUCTURE)
    if full is None:
        return ""
    reference = by[BASELINES] if BASELINES in by else by[MEAN]
    what = "all baselines" if BASELINES in by else "the mean of the other families"
    sentence = (
        f"{full.score}, on families left out: RMSE {full.rmse:.3g} with structure and {reference.rmse:.3g} with "
        f"{what}, difference {full.difference:+.2g}{_interval(full.interval, '.2g')}"
    )
    if full.interval is None:
        end = "too few families to say whether structure improves the forecast"
    elif full.interval[1] < 0:
        end = "structure improves the forecast"
    elif full.interval[0] > 0:
        end = "structure makes the forecast worse"
    else:
        end = f"structure adds nothing that can be told from chance to {what}"
    mean = by[MEAN]
    best = min(rows, key=lambda row: row.rmse)
    worse = f"; no predictor beats the mean ({mean.rmse:.3g})" if best is mean else ""
    return f"{sentence}: {end}{worse}."


def _given(p: Partial) -> str:
    return f"given {_listed(p.baselines)} {p.value:+.2f}{_interval(p.interval)}, q = {_q(p.q)}"


def _inside(given: Sequence[Partial], last: Partial) -> str:
    """What is left inside families, given the same baselines."""
    rows = [p for p in given if p.value is not None and p.baselines == (*last.baselines, FAMILY)]
    if not rows:
        return ""
    p = rows[0]
    end = "found there too" if p.q is not None and p.q <= Q else "not found there"
    return f" Inside families it is {p.value:+.2f}{_interval(p.interval)}: {end}."


def _interval(ends: tuple[float, float] | None, form: str = ".2f") -> str:
    return f" ({ends[0]:{'+' + form}} to {ends[1]:{'+' + form}})" if ends else ""


def _q(q: float | None) -> str:
    return "unknown" if q is None else f"{q:.3f}" if q >= 0.001 else "below 0.001"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
