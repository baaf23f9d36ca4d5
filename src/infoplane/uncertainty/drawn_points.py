r"""The error of a figure that is a mean over random draws of reference points, beside the error of the text.

A figure is a sum over draws d = 1..D (one for each layer, or one that all layers share) of the mean over its R sets:

    figure = sum_d mean_r u_dr,        u_dr = mu_d + T_d + P_dr + I_dr.

T depends on the text alone, P on the points of the set, I on both; given the text, the mean of P + I over points is 0,
and sets and draws are independent. With S_d^2 the variance of u_dr over r (divisor R - 1) and V the variance of the
figure by the jackknife over documents, whose replicates hold the points,

    E V      = Var(sum_d T_d) + sum_d Var(I_d) / R,
    E S_d^2  = Var P_d + Var I_d,

so the sum of both would count I twice. W_d = R / (R - 1) mean_r V(u_dr - mean_r u_dr), the jackknife's variance of the
deviations of sets from their mean, has the expectation Var I_d. Hence

    points' part^2 = sum_d S_d^2 / R                                the figure over draws of points, the text held,
    total^2        = V + max(0, sum_d (S_d^2 - W_d) / R)            over draws of both.

Degrees of freedom by Welch and Satterthwaite. S_d^2 is known from R - 1 degrees only, and their formula with estimates
in place of variances counts a few large ones too much: with v_d = S_d^2 / R and f = R - 1, the expectation of v_d^2 is
1 + 2/f times the square of that of v_d. Corrected for that,

    q = sum_d f v_d^2 / (f + 2),    f_points = f ((sum_d v_d)^2 - 2 q / f) / q,         between f and D f,
    f_total = total^4 / (V^2 / (B - 1) + (sum_d v_d)^2 / f_points).

**One layer alone** has f degrees of freedom: a single one, where it has two sets. The spread over sets is similar in
all layers, so the estimate of each is pulled towards the common one (moderation, as in the package limma): with
e_d = log S_d^2 - psi(f/2) + log(f/2) over the D layers,

    trigamma(d0 / 2) = var(e) - trigamma(f / 2),     log s0^2 = mean(e) + psi(d0 / 2) - log(d0 / 2),
    S_d^2 becomes (d0 s0^2 + f S_d^2) / (d0 + f),    with d0 + f degrees;

all s0^2 = exp(mean(e)) where the right side of the first is not above 0. A layer whose S_d^2 is below 1e-16 of the
largest varies by rounding alone: it keeps its own, and is not one of the D. Means over layers use S_d^2 as they are.

Where draws have different numbers of sets, f is the smallest. Of a difference W is not known, and counted as 0: the
error is then a little too large, by what text and points do together.

Sources: Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), for moderation; Satterthwaite,
Biometrics Bulletin 2 (1946); Welch, Biometrika 34 (1947). The decomposition is the usual one of two crossed random
factors (Searle, Casella and McCulloch, Variance Components, 1992, ch. 4). The rest is worked out here;
`tests/uncertainty/test_drawn_points.py` holds it against simulated draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of

Floats = npt.NDArray[np.float64]
MIN_LAYERS = 3
"""Fewer say too little of each other to borrow from."""
ROUNDING = 1e-16
"""A variance below this part of the largest is rounding."""
_MOST_DEGREES = 1e6


@dataclass(frozen=True)
class PointsPart:
    """What the sets of every draw contribute to a figure.

    Attributes:
        by_draw: (R,) contributions u_dr by the name of the draw; draws of one name are the same points.
        shared_with_text: sum_d W_d / R, what points and text do together.
    """

    by_draw: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    shared_with_text: float = 0.0

    @property
    def known(self) -> bool:
        """Whether every draw has two sets or more."""
        return bool(self.by_draw) and min(map(len, self.by_draw.values())) > 1

    @property
    def variance(self) -> float | None:
        """sum_d S_d^2 / R; None where a draw has one set."""
        return float(sum(self._variances())) if self.known else None

    @property
    def degrees(self) -> float | None:
        """Of `variance`; None where there is none."""
        if not self.known:
            return None
        f = min(map(len, self.by_draw.values())) - 1
        v = self._variances()
        q = float((v * v).sum()) * f / (f + 2)
        if q == 0:
            return float(f * len(v))
        return min(max(f * (float(v.sum()) ** 2 - 2 * q / f) / q, f), f * len(v))

    def _variances(self) -> Floats:
        return np.array([np.var(u, ddof=1) / len(u) for u in self.by_draw.values()])

    def minus(self, other: PointsPart, same_points: bool) -> PointsPart:
        """Of the difference of two figures.

        Args:
            other: of the figure that is taken away.
            same_points: whether draws of one name are the same points in both; those with as many sets are then paired.
        """
        rest = dict(other.by_draw)
        out = {}
        for name, mine in self.by_draw.items():
            theirs = rest.get(name, ())
            if same_points and len(theirs) == len(mine):
                del rest[name]
                out[name] = tuple(a - b for a, b in zip(mine, theirs, strict=True))
            else:
                out[name] = mine
        out.update({f"{name} (of the other)": tuple(-b for b in theirs) for name, theirs in rest.items()})
        return PointsPart(out)


@dataclass(frozen=True)
class Errors:
    """The errors of a figure.

    Attributes:
        text: standard error over documents; None where there are too few.
        points: of the points' part; None where there is a single set.
        total: of both; of the text alone where the points' part is not known; None without `text`.
        degrees: of freedom of `total`.
    """

    text: float | None = None
    points: float | None = None
    total: float | None = None
    degrees: float | None = None

    def interval(self, value: float, *more: float) -> tuple[float, float] | None:
        """95 % interval around a value; further errors are counted too. None without `total`."""
        if self.total is None or self.degrees is None:
            return None
        return interval_of(value, math.hypot(self.total, *more), self.degrees)


def errors_of(replicates: npt.ArrayLike, points: PointsPart | None) -> Errors:
    """The errors of a figure from its (B,) replicates over documents, and what its draws of points contribute."""
    return combined(standard_error_of(replicates) if np.size(replicates) else None, np.size(replicates) - 1, points)


def moderated(variances: npt.ArrayLike, f: float) -> tuple[float, float]:
    """s0^2 and d0 of the equation above: what variances (D,), each of f degrees of freedom, have in common.

    d0 is infinite where they differ no more than chance makes them, and 0 where there are fewer than three.
    """
    x = np.asarray(variances, dtype=np.float64)
    if len(x) < MIN_LAYERS or not (x > 0).all():
        return 0.0, 0.0
    e = np.log(x) - digamma(f / 2) + math.log(f / 2)
    excess = float(e.var(ddof=1)) - float(polygamma(1, f / 2))
    if excess <= 0:
        return float(np.exp(e.mean())), math.inf
    d0 = 2 * brentq(lambda half: float(polygamma(1, half)) - excess, 1e-6, 1e12)
    return float(np.exp(e.mean() + digamma(d0 / 2) - math.log(d0 / 2))), d0


def borrowing(points: Sequence[PointsPart]) -> list[tuple[float, float]]:
    """For each of several layers, which have a draw of their own each, the variance of its figure and its degrees."""
    sets = {len(u) for part in points for u in part.by_draw.values()}
    f = min(sets) - 1
    plain = [(part.variance or 0.0, float(f)) for part in points]
    if len(sets) > 1:
        return plain
    # a layer whose figure is 0 by construction varies by rounding alone, and tells nothing of the others
    least = ROUNDING * max((v for v, _ in plain), default=0.0)
    s0, d0 = moderated([v * (f + 1) for v, _ in plain if v > least], f)
    if d0 == 0:
        return plain
    if math.isinf(d0):
        return [(s0 / (f + 1), _MOST_DEGREES) if v > least else (v, float(f)) for v, _ in plain]
    return [((d0 * s0 / (f + 1) + f * v) / (d0 + f), d0 + f) if v > least else (v, float(f)) for v, _ in plain]


def combined(
    text: float | None,
    text_degrees: float,
    points: PointsPart | None,
    borrowed: tuple[float, float] | None = None,
) -> Errors:
    """The errors of a figure from that of the text, with its degrees of freedom.

    Args:
        text, text_degrees: of the text.
        points: what sets contribute.
        borrowed: the points' variance and its degrees of freedom, where not from `points` alone.
    """
    variance = None if points is None else points.variance
    of_points = None if points is None else points.degrees
    if borrowed is not None:
        variance, of_points = borrowed
    spread = None if variance is None else math.sqrt(variance)
    if text is None:
        return Errors(None, spread)
    if points is None or variance is None:
        return Errors(text, None, text, float(text_degrees))
    net = max(0.0, variance - points.shared_with_text)
    total = text**2 + net
    degrees = float(text_degrees)
    if net > 0 and of_points:
        degrees = total**2 / (text**4 / text_degrees + variance**2 / of_points)
    return Errors(text, spread, math.sqrt(total), degrees)


def merged(parts: Iterable[tuple[float, Mapping[str, Floats]]]) -> dict[str, Floats]:
    """The sum of contributions, each times its factor; those of one draw are added up before they are compared."""
    out: dict[str, Floats] = {}
    for factor, by_draw in parts:
        for name, u in by_draw.items():
            out[name] = out[name] + factor * u if name in out else factor * u
    return out


def points_part(by_draw: Mapping[str, Floats]) -> PointsPart:
    """From contributions (R, 1 + B) by draw: each set's value, then its replicates over documents."""
    shared = 0.0
    for u in by_draw.values():
        r, columns = u.shape
        if r > 1 and columns > 2:
            deviations = u[:, 1:] - u[:, 1:].mean(0)
            shared += sum(standard_error_of(each) ** 2 for each in deviations) / (r - 1) / r
    return PointsPart({name: tuple(u[:, 0].tolist()) for name, u in by_draw.items()}, shared)
