r"""Correlations of features with scores, with errors over families and false discoveries held down.

For each feature and score, on the models that have both: Pearson's r and Spearman's (Pearson's of midranks). p is the
usual one, t with n - 2 degrees of freedom, which takes every model for an independent case; p_family is that of the
jackknife over families (`infoplane.uncertainty.family_resampling`). q is p_family after Benjamini and Hochberg over all
rows of one method: among rows with q <= 0.05, a share of 5 % is expected to be false, at most.

Sources: Spearman, "The proof and measurement of association between two things", American Journal of Psychology 15
(1904); Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from infoplane.analysis.forecasting.case_table import Cases, Sample
from infoplane.analysis.forecasting.printed_correlations import published_p
from infoplane.errors import ResultError, SettingError
from infoplane.uncertainty import DRAWS, MIN_FAMILIES, Floats, correlation_of, covariances, infer, midranks

METHODS = ("pearson", "spearman")


@dataclass(frozen=True)
class Correlation:
    """One feature and one score.

    Attributes:
        feature, score, method: `pearson` or `spearman`.
        n, families: complete cases, and the families that they are of.
        value: r; None where it does not exist.
        interval: 95 %, jackknife over families on atanh r.
        bootstrap: 95 %, percentiles over drawn families.
        p: of n independent models.
        p_family: of families as the unit.
        q: p_family (p where there is none) after Benjamini and Hochberg.
        reliability: sqrt of both reliabilities, by which errors of measurement shrink r; None where unknown.
        unit: what was drawn, `families` or `models`.
        warning: why the row should not be trusted.
    """

    feature: str
    score: str
    method: str
    n: int
    families: int
    value: float | None
    interval: tuple[float, float] | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None
    p_family: float | None = None
    q: float | None = None
    reliability: float | None = None
    unit: str | None = None
    warning: str | None = None


def correlations(
    cases: Cases, features: Sequence[str], scores: Sequence[str], *, seed: int = 0, draws: int = DRAWS
) -> tuple[Correlation, ...]:
    """Pearson and Spearman of each feature with each score.

    Raises:
        SettingError: a column that is not there; statsmodels is not installed.
        ResultError: no pair has enough models.
    """
    rows = []
    for score in scores:
        for feature in features:
            try:
                sample = cases.sample([feature], score)
            except ResultError as error:
                rows += [Correlation(feature, score, m, 0, 0, None, warning=str(error)) for m in METHODS]
                continue
            shrunk = _shrunk(cases, feature, score)
            rows += [replace(_of(sample, feature, score, m, seed, draws), reliability=shrunk) for m in METHODS]
    if all(row.n == 0 for row in rows):
        raise ResultError(str(rows[0].warning) if rows else "no feature and score to correlate: name some")
    adjusted = []
    for method in METHODS:
        mine = [row for row in rows if row.method == method]
        adjusted += _with_q(mine)
    return tuple(adjusted)


def _of(sample: Sample, feature: str, score: str, method: str, seed: int, draws: int) -> Correlation:
    x, y, n = sample.x[:, 0], sample.y, len(sample.y)
    row = Correlation(feature, score, method, n, sample.families, None)

    def pearson(weights: Floats) -> Floats:
        return correlation_of(covariances(np.column_stack([x, y]), weights))

    def spearman(weights: Floats) -> Floats:
        a, b = midranks(x, weights), midranks(y, weights)
        total = weights.sum(axis=1)
        a = a - (weights * a).sum(axis=1, keepdims=True) / total[:, None]
        b = b - (weights * b).sum(axis=1, keepdims=True) / total[:, None]
        ab, aa, bb = (np.einsum("kn,kn,kn->k", weights, u, v) for u, v in ((a, b), (a, a), (b, b)))
        safe = (aa > 0) & (bb > 0)
        return np.where(safe, ab / np.sqrt(np.where(safe, aa * bb, 1)), np.nan)

    inference = infer(pearson if method == "pearson" else spearman, sample.family, seed=seed, draws=draws)
    if not np.isfinite(inference.value):
        return replace(row, unit=inference.unit, warning="one of the two is constant on the models that have both")
    warning = None
    if inference.unit == "models":
        warning = (
            f"{sample.families} families, and {MIN_FAMILIES} are needed to draw them: models were, so the interval "
            "speaks of these families only"
        )
    return replace(
        row,
        value=inference.value,
        interval=inference.interval,
        bootstrap=inference.bootstrap,
        p=published_p(inference.value, n),
        p_family=inference.p,
        unit=inference.unit,
        warning=warning,
    )


def _shrunk(cases: Cases, feature: str, score: str) -> float | None:
    both = cases.reliability(feature), cases.reliability(score)
    if both == (None, None):
        return None
    product = 1.0
    for share in both:
        product *= max(share, 0.0) if share is not None else 1.0
    return float(np.sqrt(product))


def _with_q(rows: Sequence[Correlation]) -> list[Correlation]:
    q = false_discovery([row.p if row.p_family is None else row.p_family for row in rows])
    return [replace(row, q=value) for row, value in zip(rows, q, strict=True)]


def false_discovery(p: Sequence[float | None]) -> list[float | None]:
    """q values of Benjamini and Hochberg; None stays None and does not count as a test."""
    known = [value for value in p if value is not None]
    if not known:
        return list(p)
    q = iter(statsmodels("stats.multitest").multipletests(known, method="fdr_bh")[1].tolist())
    return [None if value is None else float(next(q)) for value in p]


def statsmodels(module: str) -> ModuleType:
    """A module of statsmodels, which is loaded only where it is used.

    Raises:
        SettingError: it is not installed.
    """
    import importlib
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the import of statsmodels warns of is not the user's to mend
            loaded: ModuleType = importlib.import_module(f"statsmodels.{module}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("statsmodels", "patsy", "pandas")):
            raise
        raise SettingError(f"a forecast needs the package {error.name}: pip install 'infoplane[forecast]'") from None
    return loaded
