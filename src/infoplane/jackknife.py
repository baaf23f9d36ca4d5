r"""Delete-a-group jackknife over blocks of documents.

With B blocks, `theta` the estimate on all documents and `theta_(-b)` the one without block b,

    SE^2 = (B - 1) / B * sum_b (theta_(-b) - mean_b theta_(-b))^2

and the 95 % interval is `theta +- t_{0.975, B-1} SE`. Documents, not tokens, are drawn from the
population, so documents are what is deleted. Source: Kott, "The delete-a-group jackknife", Journal of
Official Statistics 17 (2001); Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 11.
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
    """Standard error from the (B,) delete-one-block values.

    The replicates are centred on their own mean, which leaves the bias of the estimate out of its error.
    """
    r = np.asarray(replicates, dtype=np.float64)
    b = r.shape[-1]
    return float(np.sqrt((b - 1) / b * np.sum((r - r.mean()) ** 2)))


def interval_of(value: float, standard_error: float, blocks: int, level: float = 0.95) -> tuple[float, float]:
    """Student-t interval with `blocks - 1` degrees of freedom around `value`."""
    half = float(stats.t.ppf(0.5 + level / 2, blocks - 1)) * standard_error
    return value - half, value + half
