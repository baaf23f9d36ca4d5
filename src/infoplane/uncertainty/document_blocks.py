"""How documents are dealt to the blocks that errors are taken over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def blocks_for_errors(sizes: npt.ArrayLike, *, in_turn: bool = False) -> npt.NDArray[np.int32] | None:
    """The blocks of documents of these sizes, None where fewer than `MIN_DOCUMENTS` have any positions.

    Args:
        sizes: (D,) measured positions of each document.
        in_turn: deal documents of like size in their order, whatever their sizes are exactly.
    """
    if np.count_nonzero(sizes) < MIN_DOCUMENTS:
        return None
    return np.arange(np.size(sizes), dtype=np.int32) % BLOCKS if in_turn else assign_blocks(sizes)
