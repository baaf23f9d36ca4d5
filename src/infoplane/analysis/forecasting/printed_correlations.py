r"""Published correlations: the p and the interval that follow from r and n, and whether the p that was printed does.

If two columns are independent and normal, t = r sqrt((n - 2) / (1 - r^2)) has Student's distribution with n - 2
degrees of freedom, which gives p (also the usual approximation for Spearman's r). Fisher's z = atanh r is nearly
normal with variance 1 / (n - 3), which gives an interval. Both suppose n independent models; families make the true
error larger. A printed r stands for all values that round to it, so for a range of p.

Sources: Student, "Probable error of a correlation coefficient", Biometrika 6 (1908); Fisher, "On the 'probable error'
of a coefficient of correlation deduced from a small sample", Metron 1 (1921).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr

from infoplane.errors import SettingError

N_PUBLISHED = 47
PUBLISHED: dict[str, tuple[float, str | None]] = {
    "complexity": (-0.38, "0.006"),
    "expressivity": (0.08, "0.575"),
    "optimality": (0.52, "<0.001"),
    "preference information": (0.76, "<0.001"),
    "optimality, IFEval alone": (0.07, None),
    "preference information, IFEval alone": (0.39, None),
}
"""r of the mean score over six benchmarks and 47 models, and p, in arXiv 2604.07569. The p are those that
notes on the paper (github.com/zhaoyang97/Paper-Notes) quote; for IFEval alone none was found."""


def published_p(r: float, n: int) -> float:
    """Two-sided p of a correlation r over n independent cases.

    Raises:
        SettingError: r outside -1..1, or n below 3.
    """
    _checked(r, n, 3)
    return float(_p(abs(r), np.array(n)))


def fisher_interval(r: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Fisher's interval of a correlation over n independent cases.

    Raises:
        SettingError: r outside -1..1, n below 4, or a level outside 0..1.
    """
    _checked(r, n, 4)
    if not 0 < level < 1:
        raise SettingError(f"level {level}: expected a share between 0 and 1, such as 0.95")
    if abs(r) == 1:
        return r, r
    half = float(ndtri((1 + level) / 2)) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


@dataclass(frozen=True)
class Consistency:
    """What follows from a printed r and n, set against the printed p.

    Attributes:
        r, n, printed: as printed.
        p: of r exactly.
        p_range: of all values that round to r.
        consistent: whether the range and the printed p, as it is rounded, have a value in common.
        n_that_fit: first and last n up to ten times as many for which they do; None where none does.
    """

    r: float
    n: int
    printed: str
    p: float
    p_range: tuple[float, float]
    consistent: bool
    n_that_fit: tuple[int, int] | None


def consistency(r: float, n: int, p: str, digits: int = 2) -> Consistency:
    """Whether a printed (r, n, p) can be true together.

    Args:
        r, n: as printed.
        p: as printed, with its digits: `0.006`, `<0.001`.
        digits: decimals of r.

    Raises:
        SettingError: an r, n or p that cannot be.
    """
    _checked(r, n, 4)
    low, high = _printed(p)

    half = 0.5 * 10.0**-digits
    cases = np.arange(4, 10 * n + 1)
    first, last = _p(min(abs(r) + half, 1.0), cases), _p(max(abs(r) - half, 0.0), cases)
    fits = (first <= high) & (last >= low)
    fitting, own = cases[fits], n - 4
    ends = (int(fitting[0]), int(fitting[-1])) if len(fitting) else None
    return Consistency(r, n, p, published_p(r, n), (float(first[own]), float(last[own])), bool(fits[own]), ends)


def _p(size: float, n: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    if size >= 1:
        return np.zeros(n.shape)
    return np.asarray(2 * stdtr(n - 2, -size * np.sqrt((n - 2) / (1 - size * size))))


def _checked(r: float, n: int, least: int) -> None:
    if not -1 <= r <= 1:
        raise SettingError(f"r = {r}: a correlation lies between -1 and 1")
    if n < least:
        raise SettingError(f"n = {n}: expected {least} cases or more")


def _printed(p: str) -> tuple[float, float]:
    """Values of p that a printed one stands for."""
    text = p.strip().replace(" ", "")
    below = text.startswith("<")
    digits = text.removeprefix("<").removeprefix("=")
    try:
        value = float(digits)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise SettingError(f"p = {p!r}: expected a printed p such as 0.006 or <0.001")
    if below:
        return 0.0, float(np.nextafter(value, 0))
    half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    return max(value - half, 0.0), min(value + half, 1.0)
