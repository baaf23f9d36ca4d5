r"""Delete-a-group jackknife over blocks of documents, with pairs of rows counted once.

With B blocks and `theta_(-b)` the estimate without block b,

    J = (B - 1) / B * sum_b (theta_(-b) - mean_b theta_(-b))^2.

Documents, not tokens, are drawn from the population, so documents are what is deleted. But an estimate from rare
labels is made of pairs of rows, and J counts the variance of a pair twice, once with each block (Efron and Stein
1981). The infinitesimal jackknife IJ, the same sum over values from which each block's share (the derivative by
the weight of its rows) is withdrawn, divides the pair of a label seen twice between its two rows and counts its
variance one half. With L the variance of parts that hang on one block and Q of such pairs, J = L + 2 Q and
IJ = L + Q / 2, so

    SE^2 = (2 IJ + J) / 3 = L + Q.

For pairs within a label of n rows J counts 2.25, 2.2, .. 2 times and IJ 1, 1.25, .. 2 times (n = 3, 4, .. many), so
their part of SE^2 is 1.4 to 2 times too large: conservative, and never more than J. The 95 % interval is
`theta +- t_{0.975, B-1} SE`.
Sources: Kott, "The delete-a-group jackknife", Journal of Official Statistics 17 (2001); Efron and Stein, "The
jackknife estimate of variance", Annals of Statistics 9 (1981); Efron and Tibshirani, An Introduction to the
Bootstrap (1993), ch. 11 and 21. The combination is worked out here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

BLOCKS = 32
MIN_DOCUMENTS = 40
"""With fewer documents than this no interval is given: the blocks would be too few or too uneven."""


def assign_blocks(sizes: npt.ArrayLike, blocks: int = BLOCKS) -> npt.NDArray[np.int32]:
    """Divide documents into blocks of balanced size; the same sizes always give the same blocks.

    Args:
        sizes: (D,) measured positions of each document.
        blocks: number of blocks.

    Returns:
        (D,) int32, the block of each document. The largest documents are placed first, each into
        the block that is smallest so far.
    """
    size = np.asarray(sizes, dtype=np.int64)
    filled = np.zeros(blocks, dtype=np.int64)
    block = np.zeros(len(size), dtype=np.int32)
    for document in np.argsort(-size, kind="stable"):
        target = int(np.argmin(filled))
        block[document] = target
        filled[target] += size[document]
    return block


def standard_error_of(replicates: npt.ArrayLike) -> float:
    """Standard error from (2B,) values: without each block, then with each block's share withdrawn.

    The replicates are centred on their own mean, which leaves the bias of the estimate out of its error.
    """
    deleted, withdrawn = np.asarray(replicates, dtype=np.float64).reshape(2, -1)
    return float(np.sqrt((len(deleted) - 1) * (deleted.var() + 2 * withdrawn.var()) / 3))


def interval_of(value: float, standard_error: float, blocks: int, level: float = 0.95) -> tuple[float, float]:
    """Student-t interval with `blocks - 1` degrees of freedom around `value`."""
    half = float(stats.t.ppf(0.5 + level / 2, blocks - 1)) * standard_error
    return value - half, value + half


def error_and_interval(
    value: float, replicates: npt.NDArray[np.float64]
) -> tuple[float, tuple[float, float]] | tuple[None, None]:
    """Standard error and 95 % interval of a value from its (2B,) replicates; neither where there are none."""
    if not len(replicates):
        return None, None
    error = standard_error_of(replicates)
    return error, interval_of(value, error, len(replicates) // 2)
