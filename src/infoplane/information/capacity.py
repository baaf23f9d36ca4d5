r"""The inverse temperature at which a code holds a stated capacity, in nats.

A code of cosines t_ij of rows i with directions j, a_ij = exp(k t_ij) / sum_l exp(k t_il), holds of the states

    I(Z; Z') = H(mean_i a_i) - mean_i H(a_i),

which is 0 at k = 0 and, as k grows, tends to the entropy of the shares of rows that lie nearest to each direction.
`inverse_temperature` finds the k at which it is what is asked, first on a part of the rows, then on all of them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize

from infoplane.errors import SettingError
from infoplane.information import cosine_kernels as kernels
from infoplane.information.arrays import STEPS, Halves, Steps, negative_entropy
from infoplane.information.code_settings import SHARPEST

_SOME = 2048  # rows of the first search
_EXACT = 1e-4  # of log k, and of the capacity
_BESIDE = 0.05  # in log k, for a slope
_LEAST = -30.0  # of log k: what a code holds there is lost in rounding
_STEPS = 8  # Newton's, before the search begins anew
_ROWS = 4096


def steps_of(cosines: npt.ArrayLike) -> Steps:
    """(n, m) cosines in steps of 1 / 32767, the nearest."""
    return np.rint(np.asarray(cosines, np.float64) * STEPS).clip(-STEPS, STEPS).astype(np.int16)


def held(cosines: Steps, k: float) -> float:
    """I(Z; Z') in nats of a code of (n, m) cosines at inverse temperature k: the plug-in of the rows."""
    sums = np.zeros(cosines.shape[1])
    inside = kernels.add_assignments(cosines, k / STEPS, sums)
    return -float(negative_entropy(sums / len(cosines))) - inside / len(cosines)


def assigned(cosines: Steps, k: float, columns: slice = slice(None)) -> Halves:
    """(n, m) assignments at inverse temperature k, or some columns of them."""
    n, m = cosines.shape
    out = np.empty((n, len(range(m)[columns])), np.float16)
    rows = np.empty((_ROWS, m), np.float32)
    for i in range(0, n, _ROWS):
        count = min(_ROWS, n - i)
        kernels.assign(cosines[i : i + count], k / STEPS, rows)
        out[i : i + count] = rows[:count, columns]
    return out


def inverse_temperature(cosines: Steps, capacity: float) -> float:
    """The k at which the code holds `capacity` nats; `SHARPEST` if it never does.

    Args:
        cosines: (n, m), in steps, of the rows that are measured.
        capacity: in nats, above 0 and below log m.

    Raises:
        SettingError: a capacity that m symbols cannot hold.
    """
    n, m = cosines.shape
    if not 0 < capacity < math.log(m):
        raise SettingError(
            f"a capacity of {capacity:.3g} nats: {m} directions hold more than 0 and less than log {m} = "
            f"{math.log(m):.3g}"
        )
    if n <= 2 * _SOME:
        return math.exp(_root(cosines, capacity, 0.0, math.log(2), _EXACT)[0])
    # what a part of the rows says, and how much more a larger k holds, are near what all rows say
    at, slope = _root(np.ascontiguousarray(cosines[:: n // _SOME]), capacity, 0.0, math.log(2), 1e-2)
    for _ in range(_STEPS):
        missing = capacity - held(cosines, math.exp(at))
        if abs(missing) < _EXACT * capacity:
            return math.exp(at)
        if slope <= 0:
            break
        at = min(max(at + missing / slope, at - 1), at + 1, math.log(SHARPEST))
    return math.exp(_root(cosines, capacity, 0.0, math.log(2), _EXACT)[0])


def _root(cosines: Steps, capacity: float, start: float, step: float, exact: float) -> tuple[float, float]:
    """log k at which the code holds the capacity, and how much more it holds for each step of log k there.

    It is searched upwards and downwards from `start`, in growing steps.
    """

    def lacks(log_k: float) -> float:
        return held(cosines, math.exp(log_k)) - capacity

    low = high = start
    below, most = lacks(start), math.log(SHARPEST)
    if below < 0:
        while below < 0:
            if high == most:
                return most, 0.0
            low, high, step = high, min(high + step, most), 2 * step
            below = lacks(high)
    else:
        while below >= 0:
            if low < _LEAST:
                return low, 0.0
            low, high, step = low - step, low, 2 * step
            below = lacks(low)
    root = float(optimize.brentq(lacks, low, high, xtol=exact))
    return root, (lacks(root + _BESIDE) - lacks(root - _BESIDE)) / (2 * _BESIDE)
