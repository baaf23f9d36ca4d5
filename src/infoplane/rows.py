r"""The assignments of one layer as numbers to work with: float64, adding up to 1, a few columns at a time.

Captures hold float16. What an estimate needs of them are sums of rows over labels, blocks and documents, and every
one of these is made column by column, so a layer of any length is worked on in pieces of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
TINY = np.finfo(np.float64).tiny
_PIECE = 12 << 20  # bytes of a layer that are decoded at a time: gathering rows is fast while they stay in cache
_CHUNK = 1024  # rows worked on at a time: what fits the cache of one core


def negative_entropy(x: Floats) -> Floats:
    """sum_j x_j log x_j over the last axis; 0 log 0 is 0."""
    total: Floats = np.einsum("...j,...j->...", x, np.log(np.maximum(x, TINY)))
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


def decode(a: npt.NDArray[np.float16], out: Floats | None = None) -> Floats:
    """float16 as float64, several times faster than NumPy's own conversion of the small numbers here."""
    out = np.empty(a.shape) if out is None else out
    for i in range(0, len(a), _CHUNK):
        # the bits of a half at their places in a double, whose exponent is then put right: exact, for numbers >= 0
        bits = a[i : i + _CHUNK].view(np.uint16).astype(np.uint64)
        bits <<= 42
        np.multiply(bits.view(np.float64), 2.0**1008, out=out[i : i + _CHUNK])
    return out


@dataclass(frozen=True, eq=False)
class Rows:
    """The assignments of one layer, with what is needed of each row.

    Attributes:
        a: (N, m) float16, as captured.
        scale: (N,) what brings a row to sum 1 after its rounding to float16.
        entropy: (N,) H(a_i), nats.
        metric: (m,) 1 / p_j of all rows, in which products of rows are taken; 0 where p_j is 0.
        square: (N,) product of each row with itself, sum_j a_ij^2 / p_j.
    """

    a: npt.NDArray[np.float16]
    scale: Floats
    entropy: Floats
    metric: Floats
    square: Floats

    @classmethod
    def of(cls, a: npt.NDArray[np.float16]) -> Rows:
        n = len(a)
        scale, entropy, square, mass = np.empty(n), np.empty(n), np.empty(n), np.zeros(a.shape[1])
        parts = [slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK)]
        for part in parts:
            x = decode(a[part])
            scale[part] = total = 1 / x.sum(1)
            entropy[part] = -negative_entropy(x) * total - np.log(total)
            mass += total @ x
        metric = np.divide(n, mass, out=np.zeros_like(mass), where=mass > 0)
        for part in parts:
            x = decode(a[part])
            x *= x
            square[part] = x @ metric * scale[part] ** 2
        return cls(a, scale, entropy, metric, square)

    @property
    def m(self) -> int:
        return int(self.a.shape[1])

    def get(self, rows: Ints) -> Floats:
        """(len(rows), m) float64, rows summing to 1."""
        x = decode(self.a[rows])
        x *= self.scale[rows, None]
        return x

    def pieces(self) -> Iterator[tuple[slice, Floats]]:
        """All rows, some columns at a time: which, and (N, columns) float64. The array is used again for the next."""
        n, m = self.a.shape
        width = min(m, max(4, _PIECE // (8 * max(n, 1))))
        held = np.empty((n, width))
        for first in range(0, m, width):
            columns = slice(first, min(first + width, m))
            x = held if columns.stop - first == width else np.empty((n, columns.stop - first))
            decode(self.a[:, columns], out=x)
            x *= self.scale[:, None]
            yield columns, x
