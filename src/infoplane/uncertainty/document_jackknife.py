r"""Standard errors from blocks of documents: the infinitesimal jackknife, with pairs of rows counted once.

Documents, not tokens, are drawn from the population. They are dealt to B = 32 blocks of like size, and a figure
`theta` has one replicate a block, `theta_b`, the value with the share of block b withdrawn. Then

    SE^2 = (B - 1) / B * sum_b (theta_b - mean_b theta_b)^2,     interval  theta +- t_{0.975, B-1} SE.

For sums over rows, and smooth functions of them, withdrawing a share is deleting the block (the delete-a-group
jackknife). Not so for what is made of labels that occur a few times: a pair of rows hangs on two blocks, the
deletion of either takes all of it, and its variance is counted twice and more (Efron and Stein 1981). The share
is instead the derivative by the weight of the block's rows (the infinitesimal jackknife): of a label's
`n H(p) - sum_i H(a_i)` the block's rows have `-sum_(i in b) a_i log p - H(a_i)`, which add up to the whole. With w_b
the part of the label's rows that is in block b, the pair of blocks (b, c) has the coefficient 1 - w_b in the
share of b, and so in SE^2 the weight

    q = (1 - w_b)^2 + (1 - w_c)^2 + sum_(a not b, c) w_a^2,

which is 1 for three blocks of one row each and at most 2 for many, where such pairs matter little; but for the
two blocks of a label seen twice it is 1/2. There each share takes the part `lambda` of the other (less its mean) so
that `(1 - w_b + lambda w_b)^2 + (1 - w_c + lambda w_c)^2 = 1`: see `partner_weight`.

Sources: Kott, "The delete-a-group jackknife", Journal of Official Statistics 17 (2001); Efron and Stein, "The
jackknife estimate of variance", Annals of Statistics 9 (1981); Efron and Tibshirani, An Introduction to the
Bootstrap (1993), ch. 11 and 21. The weights of pairs are worked out here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit


def partner_weight(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The part of the other block's share that each of the two blocks of a label takes (see above).

    Args:
        first, second: rows of the label in its two blocks.

    Returns:
        The positive root lambda of `q (1 + lambda^2) + 2 (1 - q) lambda = 1`, q = w_b^2 + w_c^2; sqrt(2) - 1 for one
        row each.
    """
    b, c = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    q = (b * b + c * c) / (b + c) ** 2
    root: npt.NDArray[np.float64] = (np.sqrt(1 - q) - (1 - q)) / q
    return root


def standard_error_of(replicates: npt.ArrayLike) -> float:
    """Standard error from (B,) replicates; centred on their own mean, which leaves bias out of the error."""
    values = np.asarray(replicates, dtype=np.float64)
    return float(np.sqrt((len(values) - 1) * values.var()))


def interval_of(value: float, standard_error: float, degrees: float, level: float = 0.95) -> tuple[float, float]:
    """Student-t interval around `value`, with so many degrees of freedom: B - 1 for B blocks."""
    half = float(stdtrit(degrees, 0.5 + level / 2)) * standard_error
    return value - half, value + half


def error_and_interval(
    value: float, replicates: npt.NDArray[np.float64], correction: float = 0.0
) -> tuple[float, tuple[float, float]] | tuple[None, None]:
    """Standard error and 95 % interval of a value from its (B,) replicates; neither where there are none.

    `correction` is an error that more text of the same documents would not show: the interval counts it, the standard
    error does not.
    """
    if not len(replicates):
        return None, None
    error = standard_error_of(replicates)
    return error, interval_of(value, math.hypot(error, correction), len(replicates) - 1)
