"""Types of arrays, and what is done with small ones; without anything compiled, so that reading results needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float64]
Halves = npt.NDArray[np.float16]
Ints = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Steps = npt.NDArray[np.int16]
STEPS = 32767
"""Steps from 0 to a cosine of 1; see `infoplane.information.cosine_kernels`."""
TINY = np.finfo(np.float64).tiny


class Columns(NamedTuple):
    """Some columns of a layer.

    Attributes:
        bits: (N, w) of float16, as captured.
        scale: (N,) what brings a whole row to sum 1.
        cuts: (pieces + 1,) where the pieces of columns begin of which sums over columns are made.
    """

    bits: npt.NDArray[np.uint16]
    scale: Floats
    cuts: Places


class DeviceColumns(NamedTuple):
    """The same on a device of PyTorch: `bits` (N, w) is a tensor of float16."""

    bits: torch.Tensor
    scale: Floats
    cuts: Places


AnyColumns: TypeAlias = "Columns | DeviceColumns"


class Runs(NamedTuple):
    """Rows of a layer in runs: of labels, of blocks of documents in these, of documents in those.

    Attributes:
        rows: (R,) the rows.
        documents: (Q + 1,) where each (label, document) pair starts in `rows`.
        blocks: (P + 1,) where each (label, block) pair starts among the document pairs.
        labels: (L + 1,) where each label starts among the block pairs.
    """

    rows: Ints
    documents: Ints
    blocks: Ints
    labels: Ints


def negative_entropy(x: Floats) -> Floats:
    """sum_j x_j log x_j over the last axis; 0 log 0 is 0."""
    log = np.maximum(x, TINY)
    total: Floats = np.einsum("...j,...j->...", x, np.log(log, out=log))
    return total


def add_runs(x: Floats, starts: npt.NDArray[np.integer], rows: npt.NDArray[np.integer] | None = None) -> Floats:
    """(runs, columns): rows of x, or those named, added up over runs; a sparse product, faster than reduceat."""
    pointers = starts - starts[0]
    n = int(pointers[-1])
    if rows is None and n == len(starts) - 1:
        return x
    indices = np.arange(n, dtype=np.int32) if rows is None else rows
    total: Floats = sparse.csr_array((np.ones(n), indices, pointers), shape=(len(starts) - 1, len(x))) @ x
    return total
