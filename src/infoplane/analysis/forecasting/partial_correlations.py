r"""What structure tells of a score beyond what is known anyway.

The partial correlation of feature x and score y given baselines B is the correlation of what OLS on B leaves of
both. With t the statistic of x in y ~ x + B and d = n - 2 - rank(B) its degrees of freedom,

    r = t / sqrt(t^2 + d),        also  r = -P_xy / sqrt(P_xx P_yy),   P the inverse covariance of (x, y, B).

t, p and R^2 are of statsmodels' OLS; the second form is what is repeated over families for the interval and for
p_family (`infoplane.uncertainty.family_resampling`). "family" among the baselines gives every family its own mean: the
within transformation, which subtracts the family's mean from x, y and B. What is left is found inside families only.

Gains of x over B: of the adjusted R^2, and of R^2 on families left out,

    R^2_out = 1 - sum (y - yhat_(-family))^2 / sum (y - ybar_(-family))^2,

OLS and mean fitted to the other families. With family means there is none: a new family's is unknown.

Sources: Frisch and Waugh, Econometrica 1 (1933); Fisher, "The distribution of the partial correlation coefficient",
Metron 3 (1924); Yule, "On the theory of correlation for any number of variables", Proc. R. Soc. A 79 (1907).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from infoplane.analysis.forecasting.case_table import Cases, Sample
from infoplane.analysis.forecasting.correlations import false_discovery, statsmodels
from infoplane.errors import ResultError
from infoplane.uncertainty import DRAWS, MIN_FAMILIES, Floats, correlation_of, covariances, infer

FAMILY = "family"
_DETERMINED = 0.99  # R^2 of a feature on the baselines, above which a warning is given


@dataclass(frozen=True)
class Partial:
    """One feature and one score, given baselines.

    Attributes:
        feature, score, baselines: `family` among the baselines stands for the families' own means.
        n, families: complete cases, and their families.
        value: partial correlation; None where it does not exist.
        interval, bootstrap, p_family, unit: as of `infoplane.analysis.forecasting.correlations.Correlation`.
        p: of OLS, all models independent.
        q: p_family (p where there is none) after Benjamini and Hochberg over all features, given the same baselines.
        r2: of the baselines.
        gain: what the feature adds to the adjusted R^2.
        held_out_r2, held_out_gain: the same on families left out; None with family means.
        explained: R^2 of the feature on the baselines.
        warning: why the row should not be trusted.
    """

    feature: str
    score: str
    baselines: tuple[str, ...]
    n: int
    families: int
    value: float | None
    interval: tuple[float, float] | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None
    p_family: float | None = None
    q: float | None = None
    r2: float | None = None
    gain: float | None = None
    held_out_r2: float | None = None
    held_out_gain: float | None = None
    explained: float | None = None
    unit: str | None = None
    warning: str | None = None


def baseline_sets(baselines: Sequence[str], families: int) -> tuple[tuple[str, ...], ...]:
    """The sets that a feature is judged against: the first baseline, the first two, ..., family means, all of it."""
    sets = [tuple(baselines[: i + 1]) for i in range(len(baselines))]
    if families > 1:
        sets += [(FAMILY,), (*baselines, FAMILY)]
    return tuple(dict.fromkeys(sets))


def partials(
    cases: Cases,
    features: Sequence[str],
    scores: Sequence[str],
    baselines: Sequence[str],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[Partial, ...]:
    """Partial correlations of each feature with each score given each set of baselines.

    Raises:
        SettingError: a column that is not there; statsmodels is not installed.
    """
    found = []
    for given in baseline_sets(baselines, cases.family_count):
        rows = []
        columns = [b for b in given if b != FAMILY]
        for score in scores:
            for feature in features:
                try:
                    sample = cases.sample([feature, *columns], score)
                except ResultError as error:
                    rows.append(Partial(feature, score, given, 0, 0, None, warning=str(error)))
                    continue
                rows.append(
                    _of(sample, Partial(feature, score, given, len(sample.y), sample.families, None), seed, draws)
                )
        q = false_discovery([row.p if row.p_family is None else row.p_family for row in rows])
        found += [replace(row, q=value) for row, value in zip(rows, q, strict=True)]
    return tuple(found)


def _of(sample: Sample, row: Partial, seed: int, draws: int) -> Partial:
    within = sample.family if FAMILY in row.baselines else None
    z = np.column_stack([sample.x[:, :1], sample.y, sample.x[:, 1:]])

    def statistic(weights: Floats) -> Floats:
        return correlation_of(covariances(z, weights, within))

    inference = infer(statistic, sample.family, seed=seed, draws=draws)
    if not np.isfinite(inference.value):
        return replace(row, unit=inference.unit, warning="the baselines alone determine the feature or the score here")
    design = _design(sample, within is not None)
    x = sample.x[:, 0]
    ols = statsmodels("regression.linear_model").OLS
    base, full, own = ols(sample.y, design), ols(sample.y, np.column_stack([design, x])), ols(x, design)
    base, full, own = base.fit(), full.fit(), own.fit()
    if full.df_resid < 1:
        return replace(row, warning="as many baselines and families as models: nothing is left to compare")
    warning = None
    if own.rsquared > _DETERMINED:
        warning = f"the baselines determine {row.feature} to {own.rsquared:.1%}: little of its own is left to judge"
    elif inference.unit == "models":
        warning = f"{sample.families} families, and {MIN_FAMILIES} are needed to draw them: models were"
    out_base, out_full = (None, None) if within is not None else _held_out(sample)
    return replace(
        row,
        value=inference.value,
        interval=inference.interval,
        bootstrap=inference.bootstrap,
        p_family=inference.p,
        p=float(full.pvalues[-1]),
        r2=float(base.rsquared),
        gain=float(full.rsquared_adj - base.rsquared_adj),
        held_out_r2=out_base,
        held_out_gain=None if out_base is None or out_full is None else out_full - out_base,
        explained=float(own.rsquared),
        unit=inference.unit,
        warning=warning,
    )


def _design(sample: Sample, within: bool) -> Floats:
    """Constant and baselines; a constant for each family where they have their own means."""
    first = np.eye(sample.families)[sample.family] if within else np.ones((len(sample.y), 1))
    return np.column_stack([first, sample.x[:, 1:]])


def _held_out(sample: Sample) -> tuple[float | None, float | None]:
    """R^2 on families left out, of the baselines and with the feature; None where a family is all there is."""
    if sample.families < 2:
        return None, None
    ones = np.ones((len(sample.y), 1))
    designs = np.column_stack([ones, sample.x[:, 1:]]), np.column_stack([ones, sample.x])
    errors, spread = np.zeros(2), 0.0
    for f in range(sample.families):
        out = sample.family == f
        y = sample.y[~out]
        if len(y) <= designs[1].shape[1]:
            return None, None
        spread += float(np.sum((sample.y[out] - y.mean()) ** 2))
        for i, design in enumerate(designs):
            beta = np.linalg.lstsq(design[~out], y, rcond=None)[0]
            errors[i] += float(np.sum((sample.y[out] - design[out] @ beta) ** 2))
    base, full = 1 - errors / spread
    return float(base), float(full)
