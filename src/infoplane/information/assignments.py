r"""The assignments of one layer as numbers to work with: float64, adding up to 1, a few columns at a time.

Captures hold float16. What an estimate needs of them are sums of rows over labels, blocks and documents, and every
one of these is made column by column, so a layer may be held whole, or some of its columns be read again as they are
needed. In a layer of gigabytes what costs is to find a row, so all of a row that is held is gathered at once, as
float16, and made float64 while it lies in the cache. Sums over columns are made in the same pieces either way, and
each by itself, so that no result hangs on the memory, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
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
Places = npt.NDArray[np.integer]
TINY = np.finfo(np.float64).tiny
WIDTH = 64
"""Columns of a layer that are worked on at a time, at most."""
_CHUNK = 1024  # rows worked on at a time: what fits the cache of one core
_GATHER, _GATHER_NEAR = 1 << 18, 1 << 19  # numbers of rows that are added up at a time
_KEPT = 32 << 20  # bytes of float64 of a layer that is decoded once and kept
_NEAR = 16 << 20  # bytes of float64 that a cache holds: so small columns are decoded once, and gathered as they are


def negative_entropy(x: Floats) -> Floats:
    """sum_j x_j log x_j over the last axis; 0 log 0 is 0."""
    if x.ndim == 2 and len(x) > _CHUNK:  # in pieces that stay in a cache; new memory for all costs more than logarithms
        return np.concatenate([negative_entropy(x[i : i + _CHUNK]) for i in range(0, len(x), _CHUNK)])
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


def add_into(out: Floats, x: Floats, starts: Ints, rows: Ints | None = None, factors: Floats | None = None) -> None:
    """Add rows of x (N, columns), or those named (n,), over the runs that begin at `starts` (runs + 1,), to `out`.

    Each row is multiplied by its factor (n,) first, if there are any.
    """
    n = len(x) if rows is None else len(rows)
    ones, places = (of[:n] for of in _units(1 << n.bit_length()))
    places = places if rows is None else rows
    factors = np.asarray(ones if factors is None else factors)
    if _csr is not None:
        _csr(len(out), len(x), x.shape[1], starts, places, factors, x.ravel(), out.reshape(-1))
    else:
        out += sparse.csr_array((factors, places, starts), shape=(len(out), len(x))) @ x


@cache
def _units(n: int) -> tuple[Floats, Ints]:
    return np.ones(n), np.arange(n, dtype=np.int32)


def decode(a: Halves, out: Floats | None = None) -> Floats:
    """float16 as float64, looked up: exact, and several times faster than NumPy's own conversion of small numbers.

    No arithmetic on their bits: halves below 6e-5 would be subnormal then, 20 ns each on some processors.
    """
    out, bits = np.empty(a.shape) if out is None else out, a.view(np.uint16)
    for i in range(0, len(a), _CHUNK):  # the places in the table are whole numbers of 8 bytes: some at a time
        _halves().take(bits[i : i + _CHUNK], mode="clip", out=out[i : i + _CHUNK])
    return out


@cache
def _halves() -> Floats:
    """(65536,) the numbers that float16 has, by their bits; those from 0 to 1 are 120 kB, which stay in a cache."""
    return np.arange(1 << 16).astype(np.uint16).view(np.float16).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Steps:
    """Going through runs some places at a time: for each step,

    Attributes:
        begin, stop: (S,) the places, begin to stop - 1.
        first, last: (S,) the runs they are in, first to last - 1.
        end: (S,) the runs that end in it, first to end - 1: all, or all but the last.
    """

    begin: Places
    stop: Places
    first: Places
    last: Places
    end: Places

    @classmethod
    def of(cls, starts: Ints, edges: Places) -> Steps:
        """Through the runs that begin at `starts` (runs + 1,) in steps that begin at `edges` (S + 1,)."""
        begin, stop = edges[:-1], edges[1:]
        first = np.searchsorted(starts, begin, side="right") - 1
        last = np.searchsorted(starts, stop, side="left")
        return cls(begin, stop, first, last, last - (starts[last] > stop))

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return zip(*(getattr(self, f.name).tolist() for f in fields(self)), strict=True)


def pointers(starts: Ints, begin: int, stop: int, first: int, last: int) -> Ints:
    """(last - first + 1,) where the runs of a step begin among its places."""
    ends: Ints = starts[first : last + 1] - np.int32(begin)
    ends[0], ends[-1] = 0, stop - begin
    return ends


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of a layer.

    Attributes:
        a: (N, w) float16, as captured.
        scale: (N,) what brings the whole row to sum 1.
        x: (N, w) float64, rows summing to 1 over all columns; None for a layer too long for the cache.
        cuts: the pieces of at most `WIDTH` columns of which sums over columns are made, however many are held.
    """

    a: Halves
    scale: Floats
    x: Floats | None
    cuts: tuple[slice, ...]

    @classmethod
    def of(cls, a: Halves, scale: Floats, x: Floats | None = None) -> Columns:
        """From what was captured; `x` where it is decoded already."""
        cuts = tuple(_pieces(a.shape[1]))
        if x is not None:
            return cls(a, scale, x, cuts)
        a = np.ascontiguousarray(a)
        return cls(a, scale, decode(a) * scale[:, None] if _is_near(len(a)) else None, cuts)

    @property
    def width(self) -> int:
        return int(self.a.shape[1])

    def edges(self, begin: int, end: int) -> Ints:
        """Where the steps begin in which rows are added up, and the end of the last."""
        step = max(1, (_GATHER if self.x is None else _GATHER_NEAR) // self.width)
        return np.append(np.arange(begin, end, step, dtype=np.int32), np.int32(end))

    def load(self, rows: Ints) -> Loaded:
        """The rows named."""
        if self.x is not None:
            return Loaded(self.x, rows, None)
        return Loaded(decode(self.a.take(rows, axis=0)), None, self.scale.take(rows))

    def sums(self, rows: Ints, starts: Ints) -> Floats:
        """(runs, w): sums of the rows named over the runs that begin at `starts` (runs + 1,)."""
        out = np.zeros((len(starts) - 1, self.width))
        for begin, stop, first, last, _ in Steps.of(starts, self.edges(starts[0], starts[-1])):
            self.load(rows[begin:stop]).add_into(out[first:last], pointers(starts, begin, stop, first, last))
        return out


@dataclass(frozen=True, eq=False)
class Loaded:
    """Some rows to be added up, that lie in the cache.

    Attributes:
        x: (n, w) float64.
        places: (k,) where each row is in x; one after the other by default.
        factors: (k,) what each has to be multiplied by; 1 by default.
    """

    x: Floats
    places: Ints | None
    factors: Floats | None

    def add_into(self, out: Floats, starts: Ints) -> None:
        """Add the rows, over the runs that begin at `starts` (runs + 1,), to `out` (runs, w)."""
        add_into(out, self.x, starts, self.places, self.factors)

    def some(self, which: Ints) -> Loaded:
        """Some of the rows, by number."""
        places = which if self.places is None else self.places.take(which)
        return Loaded(self.x, places, None if self.factors is None else self.factors.take(which))


@dataclass(frozen=True, eq=False)
class Rows:
    """The assignments of one layer, with what is needed of each row.

    Attributes:
        read: gives some columns (N, w), float16 as captured.
        whole: whether the layer is held, so that all of its columns can be had at once.
        m: number of columns.
        scale: (N,) what brings a row to sum 1 after its rounding to float16.
        metric: (m,) 1 / p_j of all rows, in which products of rows are taken; 0 where p_j is 0.
        of_rows: (N, 2) `entropy` and `square` of each row, side by side since they are wanted together.
        decoded: the pieces of columns as float64, rows summing to 1, of a layer so small that they are kept.
    """

    read: Callable[[slice], Halves]
    whole: bool
    m: int
    scale: Floats
    metric: Floats
    of_rows: Floats
    decoded: tuple[Floats, ...] = ()

    @classmethod
    def of(cls, a: Halves) -> Rows:
        """A layer that is held whole, (N, m)."""
        return cls.reading(lambda columns: a[:, columns], len(a), a.shape[1], whole=True)

    @classmethod
    def reading(cls, read: Callable[[slice], Halves], n: int, m: int, whole: bool = False) -> Rows:
        """A layer of n rows whose columns are read as they are needed, several times."""
        total, of_rows, metric = np.zeros(n), np.zeros((n, 2)), np.zeros(m)
        entropy, square = of_rows.T
        parts = [slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK)]
        kept: list[Floats] = []
        keep = whole and _is_near(n) and 8 * m * n <= _KEPT
        for columns in _pieces(m):
            a = read(columns)
            if keep:
                kept.append(np.empty((n, columns.stop - columns.start)))
            for part in parts:
                x = decode(a[part], kept[-1][part] if keep else None)
                total[part] += x.sum(1)
                entropy[part] -= negative_entropy(x)
        scale = 1 / total
        entropy *= scale
        entropy -= np.log(scale)
        for i, columns in enumerate(_pieces(m)):
            held = kept[i] if keep else None
            a = read(columns) if held is None else np.empty(0, np.float16)
            mass = np.zeros(columns.stop - columns.start)
            for part in parts:
                mass += scale[part] @ (decode(a[part]) if held is None else held[part])
            metric[columns] = np.divide(n, mass, out=np.zeros_like(mass), where=mass > 0)
            for part in parts:
                x = decode(a[part]) if held is None else held[part]
                square[part] += np.square(x) @ metric[columns]
            if held is not None:
                held *= scale[:, None]
        square *= scale
        square *= scale
        return cls(read, whole, m, scale, metric, of_rows, tuple(kept))

    @property
    def entropy(self) -> Floats:
        """(N,) H(a_i), nats."""
        return self.of_rows[:, 0]

    @property
    def square(self) -> Floats:
        """(N,) product of each row with itself, sum_j a_ij^2 / p_j."""
        return self.of_rows[:, 1]

    def get(self, rows: Ints) -> Floats:
        """(len(rows), m) float64, rows summing to 1."""
        out = np.empty((len(rows), self.m))
        if self.decoded:
            for columns, x in zip(_pieces(self.m), self.decoded, strict=True):
                out[:, columns] = x.take(rows, axis=0)
            return out
        scale = self.scale.take(rows)[:, None]
        for columns in [slice(0, self.m)] if self.whole else _pieces(self.m):
            np.multiply(decode(self.read(columns).take(rows, axis=0)), scale, out=out[:, columns])
        return out

    def pieces(self) -> Iterator[tuple[slice, Columns]]:
        """All rows, some columns at a time; all of them where a row that is far away is gathered once for all."""
        at_once = self.whole and not _is_near(len(self.scale))
        for i, columns in enumerate([slice(0, self.m)] if at_once else _pieces(self.m)):
            yield columns, Columns.of(self.read(columns), self.scale, self.decoded[i] if self.decoded else None)


def _is_near(n: int) -> bool:
    """Whether a piece of n rows stays in a cache as float64."""
    return 8 * WIDTH * n <= _NEAR


def widest(m: int) -> int:
    """Columns of the widest piece of m."""
    return max(int(piece.stop - piece.start) for piece in _pieces(m))


def _pieces(m: int) -> list[slice]:
    """As few pieces of at most `WIDTH` columns as can be, and as even."""
    ends = np.linspace(0, m, -(-m // WIDTH) + 1).round().astype(int).tolist()
    return [slice(i, j) for i, j in itertools.pairwise(ends)]
