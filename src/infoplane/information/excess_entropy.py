r"""The excess entropy that labels have by a null curve: the equation of `infoplane.information.estimators`, solved.

Wanted is `delta(b)` where `delta(b) - delta(b n) = D`. The difference falls with b, and its logarithm is nearly
straight in log b: Newton's steps in these are few. Where one would leave the bracket, the bracket is halved instead.
"""

from __future__ import annotations

import math

from infoplane.information.arrays import Floats
from infoplane.information.compiling import compiled, inlined

_LOW, _HIGH = -25.0, 40.0  # where log b is looked for
_STEPS = 60
_CLOSE = 1e-6  # a step after which one more gives all digits


@inlined
def _curve(step: float, table: Floats, log_n: float) -> tuple[float, float]:
    """delta at log n, and its slope; below n = 1 the first slope of log delta goes on."""
    # the table is even, so a place in it is a division; its ends go on in straight lines
    place, end = log_n / step, len(table) - 1
    if place > end:
        value = math.exp(table[end] - (place - end) * step)
        return value, -value
    low = min(max(int(place), 0), end - 1)
    slope = table[low + 1] - table[low]
    value = math.exp(table[low] + (place - low) * slope)
    return value, value * slope / step


@compiled
def solve(step: float, table: Floats, d: Floats, log_n: Floats, out: Floats) -> None:
    """delta(b) (n,) where delta(b) - delta(b n) = d (n,); 0 where d is not positive.

    Args:
        step, table: of the curve, as in `infoplane.information.marginal_entropy.NullCurve`.
        d, log_n: (n,) of each equation.
    """
    for i in range(len(d)):
        out[i] = 0.0
        if not d[i] > 0:
            continue
        low, high, b, close = _LOW, _HIGH, 0.0, False
        for _ in range(_STEPS):
            value, slope = _curve(step, table, b)
            later, later_slope = _curve(step, table, b + log_n[i])
            out[i], lacks, falls = value, value - later, slope - later_slope
            if lacks > d[i]:
                low = b
            else:
                high = b
            move = math.log(lacks / d[i]) * lacks / falls if lacks > 0 and falls < 0 else math.inf
            if close:
                out[i] -= slope * move if abs(move) < _CLOSE else 0.0
                break
            after = b - move
            if not low < after < high:
                after = (low + high) / 2
            close = abs(after - b) < _CLOSE
            b = after
