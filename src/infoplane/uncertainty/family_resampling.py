r"""Errors of what is computed over models, with families as the unit that is drawn.

Models of one family share data, tokenizer and recipe, so n models are fewer than n independent cases. A statistic
theta is computed with weights on the models, and

- the **interval** is that of the jackknife over G families on a scale h where theta is nearly normal (atanh for
  correlations): theta_(-g) leaves family g out,

      SE^2 = (G - 1)/G sum_g (h(theta_(-g)) - mean)^2,      h^-1( h(theta) +- t_{0.975, d} SE ),

  and p is that of h(theta) / SE against t_d, with d = n^2 / sum_g n_g^2 - 1: as many degrees of freedom as there are
  families, less one, if all have as many models, and fewer where one has most (with d = G - 1, p below 0.01 came up
  twice too often);
- the **bootstrap** interval is the percentile one: G families drawn with replacement, B times.

Both are given because the percentile interval is too short with few families (docs/findings/forecast.md: how often each
covers). With fewer than `MIN_FAMILIES` families neither can be had: models are left out one at a time, and drawn with
replacement inside their family, and the result says `models`: it then speaks of these families only.

Sources: Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered errors", Review of
Economics and Statistics 90 (2008); MacKinnon, Nielsen and Webb, "Fast and reliable jackknife and bootstrap methods for
cluster-robust inference", Journal of Applied Econometrics 38 (2023); Carter, Schnepel and Steigerwald, "Asymptotic
behavior of a t test robust to cluster heterogeneity", Review of Economics and Statistics 99 (2017); Efron and
Tibshirani (1993), ch. 11 and 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

MIN_FAMILIES = 5
DRAWS = 2000
_LOST = 0.1  # of the draws may have no value (a constant column, say) before there is no bootstrap interval

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Takes weights (K, n) of the models, gives (K,) values; NaN where there is none."""


@dataclass(frozen=True)
class Inference:
    """A value with its errors.

    Attributes:
        value: the statistic, all models counted once.
        interval: jackknife, 95 %; None where it does not exist.
        bootstrap: percentile, 95 %; None where too many draws had no value.
        p: two-sided, of 0 on the scale of the interval.
        unit: `families` or `models`, whichever was left out and drawn.
    """

    value: float
    interval: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    p: float | None
    unit: str


def infer(
    statistic: Statistic, family: npt.NDArray[np.int64], *, seed: int, draws: int = DRAWS, correlation: bool = True
) -> Inference:
    """A statistic with its intervals and p.

    Args:
        statistic: of weights.
        family: (n,) codes 0 .. G-1.
        seed: of the bootstrap, PCG64.
        draws: of the bootstrap; 0 leaves it out.
        correlation: whether the scale is atanh; otherwise the statistic's own.
    """
    n, families = len(family), int(family.max()) + 1
    by_family = families >= MIN_FAMILIES
    unit = family if by_family else np.arange(n)
    count = families if by_family else n
    value = float(statistic(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return Inference(value, None, None, None, "families" if by_family else "models")
    left_out = statistic((unit[None, :] != np.arange(count)[:, None]).astype(np.float64))
    scale = _atanh if correlation else _same
    replicates = scale(left_out)
    interval, p = None, None
    if np.isfinite(replicates).all():
        error = float(np.sqrt((count - 1) / count * np.sum((replicates - replicates.mean()) ** 2)))
        size = np.bincount(unit)
        freedom = max(float(n**2 / np.sum(size**2)) - 1, 1.0)
        estimate, t = float(scale(np.array([value]))[0]), float(stdtrit(freedom, 0.975))
        low, high = estimate - t * error, estimate + t * error
        interval = (math.tanh(low), math.tanh(high)) if correlation else (low, high)
        p = float(2 * stdtr(freedom, -abs(estimate / error))) if error > 0 else None
    drawn = statistic(_weights(family, by_family, seed, draws)) if draws else np.empty(0)
    drawn = drawn[np.isfinite(drawn)]
    bootstrap = None
    if draws and len(drawn) >= (1 - _LOST) * draws:
        bootstrap = float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))
    return Inference(value, interval, bootstrap, p, "families" if by_family else "models")


def _weights(family: npt.NDArray[np.int64], by_family: bool, seed: int, draws: int) -> Floats:
    random = np.random.Generator(np.random.PCG64(seed))
    families = int(family.max()) + 1
    if by_family:
        times = random.multinomial(families, np.full(families, 1 / families), size=draws)
        return np.asarray(times[:, family], dtype=np.float64)
    weights = np.zeros((draws, len(family)))
    for f in range(families):
        members = np.flatnonzero(family == f)
        weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return weights


def _atanh(r: Floats) -> Floats:
    return np.asarray(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))  # NaN stays NaN


def _same(x: Floats) -> Floats:
    return x


def covariances(z: Floats, weights: Floats, within: npt.NDArray[np.int64] | None = None) -> Floats:
    """Weighted sums of squares and products about the mean, or about each family's own mean.

    Args:
        z: (n, k) columns.
        weights: (K, n), 0 and up.
        within: (n,) family codes, for sums about the families' means.

    Returns:
        (K, k, k) float64.
    """
    z = z - z.mean(axis=0)
    n, k = z.shape
    products: Floats = (weights @ np.einsum("ni,nj->nij", z, z).reshape(n, k * k)).reshape(-1, k, k)
    group = np.zeros(n, dtype=np.int64) if within is None else within
    for g in range(int(group.max()) + 1):
        mine = group == g
        total, first = weights[:, mine].sum(axis=1), weights[:, mine] @ z[mine]
        total = np.where(total > 0, total, 1)  # first is 0 there too
        products -= np.einsum("ki,kj->kij", first, first) / total[:, None, None]
    return products


def correlation_of(products: Floats) -> Floats:
    """(K,) correlation of the first two columns given all others, from (K, k, k) sums of products.

    r = -P_01 / sqrt(P_00 P_11), P the inverse. NaN where a column is determined by the others.
    """
    squares = np.einsum("kii->ki", products)
    # of a column that is constant in a draw rounding leaves a sum of either sign
    flat = ~(squares > _ROUNDING * squares.max(axis=0)).all(axis=1)
    scale = np.sqrt(np.where(flat[:, None], 1.0, squares))
    r = products / (scale[:, :, None] * scale[:, None, :])
    if r.shape[1] == 2:
        return np.asarray(np.where(flat, np.nan, np.clip(r[:, 0, 1], -1, 1)))
    others = r[:, 2:, 2:].copy()
    others[flat] = np.eye(others.shape[1])
    singular = flat | (np.linalg.eigvalsh(others)[:, 0] < _SINGULAR)
    others[singular] = np.eye(others.shape[1])
    # Residual sums of the first two after the others: the Schur complement.
    cross = r[:, 2:, :2]
    rest = r[:, :2, :2] - np.einsum("kai,kaj->kij", cross, np.linalg.solve(others, cross))
    left = np.minimum(rest[:, 0, 0], rest[:, 1, 1])
    singular |= left < _SINGULAR
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = rest[:, 0, 1] / np.sqrt(rest[:, 0, 0] * rest[:, 1, 1])
    return np.asarray(np.where(singular, np.nan, np.clip(correlations, -1, 1)))


_ROUNDING = 1e-13  # of the largest sum of squares over draws
_SINGULAR = 1e-8  # share of a variance, below which a column counts as determined by others


def midranks(x: Floats, weights: Floats) -> Floats:
    """(K, n) mean ranks of x where each value counts `weights` times.

    Args:
        x: (n,).
        weights: (K, n).
    """
    level = np.unique(x, return_inverse=True)[1].reshape(-1)
    counts = np.zeros((len(weights), int(level.max()) + 1))
    for j in range(counts.shape[1]):
        counts[:, j] = weights[:, level == j].sum(axis=1)
    below = np.cumsum(counts, axis=1) - counts
    return np.asarray((below + (counts + 1) / 2)[:, level])


def icc(values: Floats, family: npt.NDArray[np.int64]) -> float:
    """Intraclass correlation, 0 to 1: the share of the variance that lies between families.

    By one-way analysis of variance, (MSB - MSW) / (MSB + (m - 1) MSW) with m = (n - sum n_k^2 / n) / (K - 1); less
    than 0 counts as 0, and without families of two models or more it is 0: each model is its own.

    Args:
        values: (n,).
        family: (n,) codes 0 .. K-1.
    """
    n, size = len(values), np.bincount(family)
    families = len(size)
    if families < 2 or n == families:
        return 0.0
    mean = np.bincount(family, values) / size
    inside = float(np.sum((values - mean[family]) ** 2)) / (n - families)
    between = float(np.sum(size * (mean - values.mean()) ** 2)) / (families - 1)
    m = (n - float(np.sum(size**2)) / n) / (families - 1)
    whole = between + (m - 1) * inside
    return float(np.clip((between - inside) / whole, 0, 1)) if whole > 0 else 0.0
