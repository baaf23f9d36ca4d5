r"""The assignments of one layer: float16 as captured, with what is needed of each row.

Captures hold float16, whose rows add up to 1 within its rounding; numbers are made of them in float64, and each row is
brought to the sum 1. What an estimate needs are sums of rows over labels, blocks and documents, and every one of these
is made column by column, so a layer may be held whole, or some of its columns be read again as they are needed. Sums
over columns are made in the same pieces either way, so no result hangs on the memory, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.information import device_kernels, kernels
from infoplane.information.arrays import AnyColumns, Columns, DeviceColumns, Floats, Halves, Ints

if TYPE_CHECKING:
    import torch

WIDTH = 64
"""Columns of a piece, at most: sums over columns are made piece by piece, and a layer that is not held is read so."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The assignments of one layer, with what is needed of each row.

    Attributes:
        read: gives some columns (N, w), float16 as captured.
        whole: whether the layer is held, so that all of its columns can be had at once.
        m: number of columns.
        scale: (N,) what brings a row to sum 1 after its rounding to float16.
        metric: (m,) 1 / p_j of all rows, in which products of rows are taken; 0 where p_j is 0.
        of_rows: (N, 2) H(a_i) of each row, nats, and its product with itself, sum_j a_ij^2 / p_j; side by side since
            they are wanted together.
        device: of PyTorch, to which columns are read as tensors; None where they are NumPy arrays.
    """

    read: Callable[[slice], Halves | torch.Tensor]
    whole: bool
    m: int
    scale: Floats
    metric: Floats
    of_rows: Floats
    device: torch.device | None = None

    @classmethod
    def of(cls, a: Halves | torch.Tensor) -> Rows:
        """A layer that is held whole, (N, m)."""
        if isinstance(a, np.ndarray):
            a = np.ascontiguousarray(a)
            return cls.reading(lambda columns: a[:, columns], len(a), a.shape[1], whole=True)
        return cls.reading(lambda columns: a[:, columns], len(a), a.shape[1], whole=True, device=a.device)

    @classmethod
    def reading(
        cls,
        read: Callable[[slice], Halves | torch.Tensor],
        n: int,
        m: int,
        whole: bool = False,
        device: torch.device | None = None,
    ) -> Rows:
        """A layer of n rows whose columns are read as they are needed, several times; to a device, if one is named."""
        total, of_rows, metric = np.zeros(n), np.zeros((n, 2)), np.zeros(m)
        every, ones, pieces = np.arange(n, dtype=np.int32), np.ones(n), [slice(0, m)] if whole else _pieces(m)
        for columns in pieces:
            x = columns_of(read(columns), ones)
            loops_of(x).row_sums(x, total, of_rows)
        scale = 1 / total
        of_rows[:, 0] *= scale
        of_rows[:, 0] -= np.log(scale)
        for columns in pieces:
            x = columns_of(read(columns), scale)
            mass = sums_of_rows(x, every, np.array([0, n], np.int32))[0]
            metric[columns] = np.divide(n, mass, out=np.zeros_like(mass), where=mass > 0)
            loops_of(x).row_squares(x, metric[columns], of_rows)
        return cls(read, whole, m, scale, metric, of_rows, device)

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
        each = np.arange(len(rows) + 1, dtype=np.int32)
        parts = [sums_of_rows(x, rows, each) for _, x in self.pieces()]
        return parts[0] if self.whole else np.hstack(parts)

    def halvings(self, rows: Ints, starts: Ints, levels: int) -> list[Floats]:
        """Entropies, in nats, of means of 2, 4, ..., 2^levels rows that follow each other in a run.

        Args:
            rows: the rows, in runs that begin at `starts` (runs + 1,).
            levels: how often they are halved.

        Returns:
            (blocks,) for each level: those of the first run, then those of the next.
        """
        lengths = np.diff(starts).astype(np.int64)
        blocks = np.stack([lengths >> level for level in range(1, levels + 1)])
        ends = np.cumsum(blocks.ravel())
        entropy = np.zeros(int(ends[-1]))
        for _, x in self.pieces():
            places = (ends - blocks.ravel()).reshape(blocks.shape)
            loops_of(x).halvings(x, rows, starts, places, entropy)
        return np.split(entropy, ends.reshape(blocks.shape)[:-1, -1])

    def pieces(self) -> Iterator[tuple[slice, AnyColumns]]:
        """All rows, some columns at a time; all of them where they are held."""
        for columns in [slice(0, self.m)] if self.whole else _pieces(self.m):
            yield columns, columns_of(self.read(columns), self.scale)


def columns_of(a: Halves | torch.Tensor, scale: Floats) -> AnyColumns:
    """Columns as captured, (N, w); on a device, where they are a tensor."""
    if not isinstance(a, np.ndarray):
        return DeviceColumns(a, scale, _cuts(a.shape[1]))
    return Columns(np.ascontiguousarray(a).view(np.uint16), scale, _cuts(a.shape[1]))


def loops_of(x: AnyColumns) -> ModuleType:
    """The loops that go through columns where they are: both modules have the same functions."""
    return device_kernels if isinstance(x, DeviceColumns) else kernels


def sums_of_rows(x: AnyColumns, rows: Ints, starts: Ints) -> Floats:
    """(runs, w): sums of the rows named over the runs that begin at `starts` (runs + 1,)."""
    out = np.zeros((len(starts) - 1, x.bits.shape[1]))
    loops_of(x).sums_of_runs(x, rows, starts, out)
    return out


def widest(m: int) -> int:
    """Columns of the widest piece of m."""
    return int(np.diff(_cuts(m)).max())


def _cuts(m: int) -> npt.NDArray[np.int64]:
    """Where as few pieces of at most `WIDTH` columns as can be, and as even, begin; and the end of the last."""
    return np.linspace(0, m, -(-m // WIDTH) + 1).round().astype(np.int64)


def _pieces(m: int) -> list[slice]:
    return [slice(i, j) for i, j in itertools.pairwise(_cuts(m).tolist())]
