r"""The loops over cosines, compiled: how much a code holds at a temperature, and its assignments.

A cosine is kept as a whole number of 16 bits, in steps of 1 / 32767: an error of at most 1.5e-5, an eighth to a
thirtieth of what float16 has between 1/4 and 1, in the same two bytes.

The exponential is 2^n times the Taylor polynomial of degree 13 of exp(r), |r| <= log(2) / 2, whose remainder is below
1e-17; without branches it runs on as many numbers at a time as the processor takes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import Floats, Steps
from infoplane.information.compiling import bits_of, compiled, float_of, inlined, reordered

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SHIFT, _BIAS = 6755399441055744.0, 1023  # 1.5 * 2^52, whose last bits count ones; what exponents of float64 begin at
_LEAST = -708.0  # the exponential of less is not a normal number
_C = tuple(1 / math.factorial(i) for i in range(14))
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = _C[2:]


@inlined
def _exponential(x: float) -> float:
    """exp(x) of x <= 0."""
    x = max(x, _LEAST)
    shifted = x * _LOG2_E + _SHIFT
    n = shifted - _SHIFT
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = _C10 + r * (_C11 + r * (_C12 + r * _C13))
    p = _C6 + r * (_C7 + r * (_C8 + r * (_C9 + r * p)))
    p = 1.0 + r * (1.0 + r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * p)))))
    value: float = p * float_of((bits_of(shifted) + _BIAS) << 52)
    return value


@inlined
def _row(t: Steps, i: int, k: float, x: Floats) -> None:
    """exp(k (t_ij - max_l t_il)) of a row."""
    most = t[i, 0]
    for j in range(np.uint64(len(x))):
        most = max(most, t[i, j])
    for j in range(np.uint64(len(x))):
        x[j] = _exponential(k * (np.float64(t[i, j]) - np.float64(most)))


@reordered
def _sum(x: Floats) -> float:
    total = 0.0
    for j in range(np.uint64(len(x))):
        total += x[j]
    return total


@reordered
def _product(x: Floats, t: Steps, i: int) -> float:
    total = 0.0
    for j in range(np.uint64(len(x))):
        total += x[j] * np.float64(t[i, j])
    return total


@compiled
def add_assignments(t: Steps, k: float, sums: Floats) -> float:
    """Add the assignments of all rows to `sums` (m,); the sum of their entropies, in nats, is returned.

    Args:
        t: (N, m) cosines, in steps.
        k: inverse temperature of a step.
    """
    x, entropy = np.empty(t.shape[1]), 0.0
    for i in range(len(t)):
        _row(t, i, k, x)
        total = _sum(x)
        most = t[i, 0]
        for j in range(np.uint64(len(x))):
            most = max(most, t[i, j])
        entropy += math.log(total) - k * (_product(x, t, i) / total - most)
        for j in range(np.uint64(len(x))):
            sums[j] += x[j] / total
    return entropy


@compiled
def assign(t: Steps, k: float, out: npt.NDArray[np.float32]) -> None:
    """The assignments of all rows, into `out` (N, m)."""
    x = np.empty(t.shape[1])
    for i in range(len(t)):
        _row(t, i, k, x)
        total = _sum(x)
        for j in range(np.uint64(len(x))):
            out[i, j] = x[j] / total
