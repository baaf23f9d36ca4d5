r"""The assignments of one layer as numbers to work with: float64, adding up to 1, a few columns at a time.

Captures hold float16. What an estimate needs of them are sums of rows over labels, blocks and documents, and every
one of these is made column by column, so a layer of any length is worked on in pieces of bounded size. Rows are
gathered as float16 and made float64 while they lie in the cache: 32 columns of a row are one line of it, and random
access to a layer of gigabytes costs one line a row. The pieces are the same whatever the memory, so the sums are too,
bit for bit: a layer may be held whole, or its columns read again as they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import sparse

try:  # what a sparse product ends in: called by itself it adds to what is there, and saves a third of the time
    from scipy.sparse._sparsetools import csr_matvecs as _csr
except ImportError:
    _csr = None

Floats = npt.NDArray[np.float64]
Halves = npt.NDArray[np.float16]
Ints = npt.NDArray[np.int32]
TINY = np.finfo(np.float64).tiny
WIDTH = 32
"""Columns of a layer that are worked on at a time."""
_CHUNK = 1024  # rows worked on at a time: what fits the cache of one core
_GATHER, _GATHER_NEAR = 1 << 11, 1 << 14  # rows of `WIDTH` columns that are added up at a time
_NEAR = 16 << 20  # bytes of float64 that a cache holds: so small columns are decoded once, and gathered as they are
_EXPONENT = 2.0**1008  # see `decode`


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


def add_into(out: Floats, x: Floats, starts: Ints, rows: Ints | None = None) -> None:
    """Add rows of x (N, columns), or those named (n,), over the runs that begin at `starts` (runs + 1,), to `out`."""
    n = len(x) if rows is None else len(rows)
    ones, places = (of[:n] for of in _units(1 << n.bit_length()))
    places = places if rows is None else rows
    if _csr is not None:
        _csr(len(out), len(x), x.shape[1], starts, places, ones, x.ravel(), out.reshape(-1))
    else:
        out += sparse.csr_array((ones, places, starts), shape=(len(out), len(x))) @ x


@cache
def _units(n: int) -> tuple[Floats, Ints]:
    return np.ones(n), np.arange(n, dtype=np.int32)


def decode(a: Halves, out: Floats | None = None) -> Floats:
    """float16 as float64, several times faster than NumPy's own conversion of the small numbers here."""
    out = np.empty(a.shape) if out is None else out
    for i in range(0, len(a), _CHUNK):
        # the bits of a half at their places in a double, whose exponent is then put right: exact, for numbers >= 0
        bits = a[i : i + _CHUNK].view(np.uint16).astype(np.uint64)
        bits <<= 42
        np.multiply(bits.view(np.float64), _EXPONENT, out=out[i : i + _CHUNK])
    return out


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of a layer.

    Attributes:
        a: (N, w) float16, as captured.
        scale: (N,) what brings the whole row to sum 1.
        x: (N, w) float64, rows summing to 1 over all columns; None for a layer too long for the cache.
    """

    a: Halves
    scale: Floats
    x: Floats | None

    @classmethod
    def of(cls, a: Halves, scale: Floats) -> Columns:
        if 8 * a.size > _NEAR:
            return cls(np.ascontiguousarray(a), scale, None)
        x = decode(a)
        x *= scale[:, None]
        return cls(a, scale, x)

    @property
    def width(self) -> int:
        return int(self.a.shape[1])

    def gather(self, rows: Ints) -> Floats:
        """(n, w) float64 of the rows named."""
        if self.x is not None:
            return self.x.take(rows, axis=0)
        bits = self.a.take(rows, axis=0).view(np.uint16).astype(np.uint64)
        bits <<= 42
        x = bits.view(np.float64)
        x *= (self.scale.take(rows) * _EXPONENT)[:, None]
        return x

    def runs(self, rows: Ints, starts: Ints) -> Iterator[tuple[int, Floats]]:
        """Sums of rows over runs, some runs at a time: which is the first, and (runs, w).

        Args:
            rows: the rows, in the order of the runs.
            starts: (runs + 1,) places in `rows` where each begins; none is empty.
        """
        begin, end = int(starts[0]), int(starts[-1])
        carried: Floats | None = None  # of a run that goes on
        step = _GATHER if self.x is None else _GATHER_NEAR
        for i in range(begin, end, step):
            j = min(i + step, end)
            # int32 as the starts are: NumPy would cast them all for another type
            first = int(np.searchsorted(starts, np.int32(i), side="right")) - 1
            last = int(np.searchsorted(starts, np.int32(j), side="left"))
            out = np.zeros((last - first, self.width))
            if carried is not None:
                out[0] = carried
            pointers = np.clip(starts[first : last + 1], i, j) - np.int32(i)
            if self.x is None:
                add_into(out, self.gather(rows[i:j]), pointers)
            else:
                add_into(out, self.x, pointers, rows[i:j])
            carried = None
            if starts[last] > j:
                carried, out = out[-1].copy(), out[:-1]
            if len(out):
                yield first, out

    def sums(self, rows: Ints, starts: Ints) -> Floats:
        """(runs, w): sums of rows over all runs."""
        out = np.zeros((len(starts) - 1, self.width))
        for first, sums in self.runs(rows, starts):
            out[first : first + len(sums)] = sums
        return out


@dataclass(frozen=True, eq=False)
class Rows:
    """The assignments of one layer, with what is needed of each row.

    Attributes:
        read: gives some columns (N, w), float16 as captured.
        m: number of columns.
        scale: (N,) what brings a row to sum 1 after its rounding to float16.
        entropy: (N,) H(a_i), nats.
        metric: (m,) 1 / p_j of all rows, in which products of rows are taken; 0 where p_j is 0.
        square: (N,) product of each row with itself, sum_j a_ij^2 / p_j.
    """

    read: Callable[[slice], Halves]
    m: int
    scale: Floats
    entropy: Floats
    metric: Floats
    square: Floats

    @classmethod
    def of(cls, a: Halves) -> Rows:
        """A layer that is held whole, (N, m)."""
        return cls.reading(lambda columns: a[:, columns], *a.shape)

    @classmethod
    def reading(cls, read: Callable[[slice], Halves], n: int, m: int) -> Rows:
        """A layer of n rows whose columns are read as they are needed, several times."""
        total, entropy, square, metric = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(m)
        parts = [slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK)]
        for columns in _pieces(m):
            a = read(columns)
            for part in parts:
                x = decode(a[part])
                total[part] += x.sum(1)
                entropy[part] -= negative_entropy(x)
        scale = 1 / total
        entropy *= scale
        entropy -= np.log(scale)
        for columns in _pieces(m):
            a, mass = read(columns), np.zeros(columns.stop - columns.start)
            for part in parts:
                mass += scale[part] @ decode(a[part])
            metric[columns] = np.divide(n, mass, out=np.zeros_like(mass), where=mass > 0)
            for part in parts:
                x = decode(a[part])
                x *= x
                square[part] += x @ metric[columns]
        square *= scale
        square *= scale
        return cls(read, m, scale, entropy, metric, square)

    def get(self, rows: Ints) -> Floats:
        """(len(rows), m) float64, rows summing to 1."""
        out = np.empty((len(rows), self.m))
        for columns, x in self.pieces():
            out[:, columns] = x.gather(rows)
        return out

    def pieces(self) -> Iterator[tuple[slice, Columns]]:
        """All rows, some columns at a time."""
        for columns in _pieces(self.m):
            yield columns, Columns.of(self.read(columns), self.scale)


def _pieces(m: int) -> list[slice]:
    return [slice(i, min(i + WIDTH, m)) for i in range(0, m, WIDTH)]
