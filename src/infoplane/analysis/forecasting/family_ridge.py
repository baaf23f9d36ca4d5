r"""Ridge regression that never sees the family it predicts, and intervals for a model of a new family.

On features standardised over the training models (mean 0, standard deviation 1), ridge minimises

    sum_i (y_i - b_0 - x_i b)^2 + alpha |b|^2.

alpha is chosen from `ALPHAS` by leaving each training family out in turn (the larger alpha where two do as well). To
predict family f, all of this is done on the other families alone, the choice of alpha too: mu_(-f). All fits come
from sums over families, so leaving one out is a subtraction.

The interval for a model x of a new family is a jackknife+ over K families with n_k models. With residuals
R_ki = |y_ki - mu_(-k)(x_ki)|, its upper end is the 1 - alpha quantile of mu_(-k)(x) + R_ki, model (k, i) having the
mass 1 / (K n_k); its lower end that of mu_(-k)(x) - R_ki from below. The quantile leaves room for a model that was
not seen: mass C reached counts as C N / (N + 1), interpolated between models, with N the number of independent
residuals, between K (a family is one draw) and all models (each is),

    N = K / mean_k( rho + (1 - rho) / n_k ),      rho the intraclass correlation of the ranks of R.

With `strict`, N = K and no interpolation: the hierarchical jackknife+, which covers with a probability of at least
1 - 2 alpha if families are drawn alike and the models of each too, and covers 92 to 98 % in practice where 90 % are
meant; without, 88.6 to 93.5 % (docs/findings/forecast.md). Either is given only with K >= 1/alpha - 1 families.

Sources: Hoerl and Kennard, Technometrics 12 (1970); Barber, Candes, Ramdas and Tibshirani, "Predictive inference with
the jackknife+", Annals of Statistics 49 (2021); Lee, Barber and Willett, "Distribution-free inference with
hierarchical data" (arXiv 2306.06342); Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for two-layer
hierarchical models", JASA 118 (2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.analysis.forecasting.case_table import Sample
from infoplane.errors import ResultError
from infoplane.uncertainty import Floats, icc, midranks

ALPHAS: Floats = np.logspace(3, -3, 13)
"""Penalties that are tried, the largest first."""
MIN_TRAINING = 3
"""Families that a nested validation needs: one left out, one left out of the rest, one to fit."""


@dataclass(frozen=True)
class FamilyRidge:
    """Fits to all families, and to all but each one.

    Attributes:
        intercept, coefficients, alpha: of all families; (p,) coefficients in units of the features.
        held_intercept, held_coefficients, held_alpha: (G,), (G, p), (G,), without each family.
        held_out: (n,) predictions of each model by the fit without its family.
        residuals: (n,) the score less that.
        family: (n,) codes.
    """

    intercept: float
    coefficients: Floats
    alpha: float
    held_intercept: Floats
    held_coefficients: Floats
    held_alpha: Floats
    held_out: Floats
    residuals: Floats
    family: npt.NDArray[np.int64]

    def predict(self, x: Floats) -> Floats:
        """(n', p) features to (n',) scores."""
        return np.asarray(self.intercept + x @ self.coefficients)

    def interval(self, x: Floats, level: float, strict: bool = False) -> Floats:
        """(n', 2) ends of the interval for models of a new family.

        Args:
            x: (n', p) features.
            level: wanted coverage, such as 0.9.
            strict: with the guarantee, and wider.

        Raises:
            ResultError: too few families for that level.
        """
        families = len(self.held_alpha)
        check_level(level, families)
        near = self.held_intercept[:, None] + self.held_coefficients @ x.T  # (G, n')
        near = near[self.family]
        spread = np.abs(self.residuals)
        size = np.bincount(self.family)
        mass = 1 / (families * size[self.family])
        rho = 1.0 if strict else icc(midranks(spread, np.ones((1, len(spread))))[0], self.family)
        count = families / float(np.mean(rho + (1 - rho) / size))
        above = _quantile(near + spread[:, None], mass, level, count, strict)
        below = _quantile(spread[:, None] - near, mass, level, count, strict)
        return np.column_stack([-below, above])


def families_for(level: float) -> int:
    """Families that an interval of this level needs: 1/alpha - 1."""
    return math.ceil(1 / (1 - level) - 1 - 1e-9)


def check_level(level: float, families: int) -> None:
    """Refuse a level that the families cannot support.

    Raises:
        ResultError: fewer than 1/alpha - 1 families.
    """
    if families < (needed := families_for(level)):
        least = 1 - 1 / (families + 1)
        raise ResultError(
            f"{families} families cannot support {level:.0%} intervals, which need {needed}: the most that "
            f"they support is {math.floor(100 * least)} %; measure more families, or ask for a lower level"
        )


def _quantile(values: Floats, mass: Floats, level: float, count: float, strict: bool) -> Floats:
    """(n',) quantiles of the columns of (n, n') values, of `count` independent ones with one more to come."""
    order = np.argsort(values, axis=0)
    reached = np.cumsum(mass[order], axis=0) * count / (count + 1)
    ordered = np.take_along_axis(values, order, axis=0)
    if strict:
        first = np.argmax(reached >= level - 1e-12, axis=0)
        return np.asarray(np.take_along_axis(ordered, first[None], axis=0)[0])
    return np.array([np.interp(level, quantiles, value) for quantiles, value in zip(reached.T, ordered.T, strict=True)])


def fit_ridge(sample: Sample) -> FamilyRidge:
    """Fit to all families and to all but each, alpha chosen by leaving families out of each training set.

    Raises:
        ResultError: fewer than `MIN_TRAINING` families.
    """
    families, (n, p) = sample.families, sample.x.shape
    if families < MIN_TRAINING:
        raise ResultError(
            f"{families} {'family' if families == 1 else 'families'}: a forecast is validated on families left out, "
            f"and needs {MIN_TRAINING} or more"
        )
    centre, scale = sample.x.mean(axis=0), sample.x.std(axis=0)  # only so that sums of squares keep their digits
    x, middle = (sample.x - centre) / np.where(scale > 0, scale, 1), sample.y.mean()
    y, family = sample.y - middle, sample.family
    z = np.column_stack([np.ones(n), x, y])
    by_family = np.zeros((families, p + 2, p + 2))
    np.add.at(by_family, family, np.einsum("ni,nj->nij", z, z))
    total = by_family.sum(axis=0)
    without = total - by_family
    without_both = without[:, None] - by_family[None, :]
    same = np.arange(families)
    without_both[same, same] = without  # not used: a family is not left out of itself, but its sums must be sums

    outer_b0, outer_b = _path(without)  # (G, A), (G, A, p)
    held = outer_b0[family] + np.einsum("nap,np->na", outer_b[family], x)  # (n, A)
    errors = (y[:, None] - held) ** 2
    best = int(np.argmin(errors.sum(axis=0)))

    inner_b0, inner_b = _path(without_both)  # (G, G, A), (G, G, A, p)
    inner = inner_b0[:, family] + np.einsum("fnap,np->fna", inner_b[:, family], x)  # (G, n, A)
    inner_errors = (y[None, :, None] - inner) ** 2 * (family[None, :] != same[:, None])[:, :, None]
    chosen = np.argmin(inner_errors.sum(axis=1), axis=1)  # (G,)

    b0, b = _path(total[None])
    unit = np.where(scale > 0, scale, 1)

    def raw(intercept: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
        slopes = coefficients / unit
        return intercept + middle - slopes @ centre, slopes

    intercept, slopes = raw(b0[0, best], b[0, best])
    held_intercept, held_slopes = raw(outer_b0[same, chosen], outer_b[same, chosen])
    predicted = held_intercept[family] + np.einsum("np,np->n", held_slopes[family], sample.x)
    return FamilyRidge(
        float(intercept),
        slopes,
        float(ALPHAS[best]),
        held_intercept,
        held_slopes,
        ALPHAS[chosen],
        predicted,
        sample.y - predicted,
        family,
    )


def _path(sums: Floats) -> tuple[Floats, Floats]:
    """Fits for all ALPHAS from (..., p + 2, p + 2) sums of products of (1, x, y): (..., A) and (..., A, p)."""
    n = sums[..., 0, 0][..., None]
    mean = sums[..., 0, 1:-1] / n
    y_mean = sums[..., 0, -1] / n[..., 0]
    covariance = sums[..., 1:-1, 1:-1] - n[..., None] * mean[..., :, None] * mean[..., None, :]
    with_y = sums[..., 1:-1, -1] - n * mean * y_mean[..., None]
    spread = np.sqrt(np.maximum(np.einsum("...ii->...i", covariance) / n, 0))
    flat = spread < 1e-9
    unit = np.where(flat, 1.0, spread)
    standard = np.where(
        flat[..., :, None] | flat[..., None, :], 0, covariance / (unit[..., :, None] * unit[..., None, :])
    )
    target = np.where(flat, 0, with_y / unit)
    values, vectors = np.linalg.eigh(standard)
    rotated = np.einsum("...ji,...j->...i", vectors, target)
    shrunk = rotated[..., None, :] / (np.maximum(values, 0)[..., None, :] + ALPHAS[:, None])  # (..., A, p)
    b = np.einsum("...ij,...aj->...ai", vectors, shrunk) / unit[..., None, :]
    return y_mean[..., None] - np.einsum("...ai,...i->...a", b, mean), b
