r"""Sums of a layer's rows over labels: everything that the estimators need of the assignments.

With `s_x` the sum of the n_x rows of label x, `s_xb` and `s_xg` the parts of it in block b and in document g, and
products of rows `<u, v> = sum_j u_j v_j / p_j` in the metric of the layer's mean p,

    entropy   H(p_x) = log n_x - sum_j s_xj log s_xj / n_x,
    share     -sum_j s_xbj log(s_xj / n_x) - sum_(i in x, b) H(a_i), the block's part of n_x (H(p_x) - h_x),
    inside    mean product of two rows of one label and one document, over that of two of different ones,
    between   mean product of a row with itself over the same:   rho = inside / between.

All are sums over columns, so a layer is gone through a few columns at a time and never held as float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.information.assignments import (
    TINY,
    Columns,
    Floats,
    Ints,
    Loaded,
    Places,
    Rows,
    Steps,
    add_into,
    pointers,
)
from infoplane.information.label_groups import Grouping
from infoplane.information.uniform_mean import Mixture, UniformMean

_PAIRS = 1 << 12  # (label, block) pairs worked on at once, at most, but for labels that have more


@dataclass(frozen=True, eq=False)
class LabelSums:
    """What the estimators need of each label (L,) and each (label, block) pair (P,) of a layer.

    Attributes:
        entropy, row_entropy: (L,) H(p_x), and the sum of H(a_i) over its rows; nats.
        share, pair_entropy: (P,) the pair's part of n_x (H(p_x) - h_x) and of `row_entropy`; empty without errors.
        rho: correlation of rows of one label within a document, 0 to 1.
        uniform: of the mean over labels of p_x, if asked for.
    """

    entropy: Floats
    row_entropy: Floats
    share: Floats
    pair_entropy: Floats
    rho: float
    uniform: UniformMean | None


class Summing:
    """Goes through the columns of a layer and adds up; `done()` gives the `LabelSums`.

    Args:
        layer: the layer.
        grouping: labels of a sample of its rows.
        errors: whether the parts of blocks are wanted.
        uniform: whether uniform weights are.
        along: (R,) where the rows of the grouping stand among those of a wider one, for `add` of that one.
    """

    def __init__(self, layer: Rows, grouping: Grouping, errors: bool, uniform: bool, along: Ints | None = None) -> None:
        self.layer, self.g, self.along = layer, grouping, along
        labels = len(grouping.label_n)
        self.log_sum, self.cross = np.zeros(labels), np.zeros(labels)
        self.pair_log = np.zeros(len(grouping.pair_n) if errors and grouping.blocks else 0)
        self.within = np.zeros(len(grouping.several))
        self.uniform = uniform
        self.mixture: Mixture | None = None
        self.means: list[Floats] = []
        self.variances: list[Floats] = []

    @staticmethod
    def nbytes_of(g: Grouping) -> int:
        """Bytes of the sums of a grouping's labels."""
        return 8 * (2 * len(g.label_n) + len(g.pair_n) + len(g.several))

    def add(self, columns: slice, x: Columns, others: Sequence[Summing] = ()) -> None:
        """Some columns of the layer, for these labels and for others that go along: each row is gathered once."""
        together = [self, *others]
        for group in together:
            group.mixture = Mixture(group.g, x.width, len(group.pair_log) > 0) if group.uniform else None
        metric = self.layer.metric[columns]
        for first, last in self.g.chunks(_PAIRS):
            edges = x.edges(*self.g.label_starts_in_rows[[first, last]])
            parts = [_Part(group, x, metric, edges, None if group is self else group.along) for group in together]
            for step, (begin, stop) in enumerate(itertools.pairwise(edges.tolist())):
                rows = x.load(self.g.rows[begin:stop])
                for part in parts:
                    part.add(rows, step)
            for part in parts:
                part.done()
        for group in together:
            if group.mixture is not None:
                group.means.append(group.mixture.mean())
                group.variances.append(group.mixture.variance())

    def done(self) -> LabelSums:
        """The sums, once all columns were added."""
        g = self.g
        n = g.label_n.astype(np.float64)
        picked = self.layer.of_rows.take(g.rows, axis=0)
        pair_entropy = _reduce(picked[:, 0], g.pair_starts)
        share = np.zeros(0)
        if len(self.pair_log):
            share = g.pair_n * np.log(n)[g.pair_label] - self.pair_log - pair_entropy
        return LabelSums(
            entropy=np.log(n) - self.log_sum / n,
            row_entropy=_reduce(pair_entropy, g.label_starts),
            share=share,
            pair_entropy=pair_entropy,
            rho=self._rho(n, picked[:, 1]),
            uniform=UniformMean(np.hstack(self.means), np.concatenate(self.variances)) if self.uniform else None,
        )

    def _rho(self, n: Floats, square: Floats) -> float:
        """Correlation within documents; 0 where no label tells."""
        g = self.g
        own = _reduce(_reduce(square, g.pair_starts), g.label_starts)
        alone = _reduce(square, g.document_starts)[g.several]
        same = own + np.bincount(g.several_label, self.within - alone, minlength=len(n))
        sq = g.label_square.astype(np.float64)
        fits = (sq > n) & (sq < n * n)  # two rows in one document, and two documents
        n, sq, own, same = n[fits], sq[fits], own[fits], same[fits]
        cross = (self.cross[fits] - same) / (n * n - sq)
        inside = float((n * ((same - own) / (sq - n) - cross)).sum())
        between = float((n * (own / n - cross)).sum())
        return min(max(inside / between, 0.0), 1.0) if between > 0 else 0.0


class _Part:
    """Some labels of a `Summing`, all of whose rows are gone through in a few steps."""

    def __init__(self, summing: Summing, x: Columns, metric: Floats, edges: Ints, along: Ints | None) -> None:
        g = summing.g
        self.summing, self.metric, self.cuts, self.width = summing, metric, x.cuts, x.width
        self.edges, self.along = edges, along
        own: Places = edges if along is None else np.searchsorted(along, edges).astype(np.int32)
        self.labels = slice(*np.searchsorted(g.label_starts_in_rows, own[[0, -1]]).tolist())
        self.pairs = slice(*g.label_starts[[self.labels.start, self.labels.stop]].tolist())
        cells = slice(*g.block_starts[[self.pairs.start, self.pairs.stop]].tolist())
        self.starts = g.pair_starts[self.pairs.start : self.pairs.stop + 1]
        self.steps = list(Steps.of(self.starts, own))
        self.s_pair = np.zeros((len(self.starts) - 1, x.width))
        self.every = summing.mixture is not None
        self.cells = _Cells(g.document_starts[cells.start : cells.stop + 1], own, self.every)
        self.s_cell: list[Floats] = []
        self.held, self.squared = 0, int(np.searchsorted(g.several, np.int32(cells.start)))

    def add(self, rows: Loaded, step: int) -> None:
        """The rows of a step."""
        begin, stop, first, last, _ = self.steps[step]
        if begin == stop:
            return
        if self.along is not None:
            rows = rows.some(self.along[begin:stop] - self.edges[step])
        rows.add_into(self.s_pair[first:last], pointers(self.starts, begin, stop, first, last))
        s = self.cells.sums(rows, begin, step)
        self.s_cell.append(s)
        self.held += len(s)
        if not self.every and self.held >= _PAIRS:
            self._square(np.concatenate(self.s_cell))
            self.s_cell, self.held = [], 0

    def done(self) -> None:
        """All rows were added: what is wanted of their sums."""
        summing, first, last = self.summing, self.labels.start, self.labels.stop
        s_cell = np.concatenate(self.s_cell) if self.s_cell else self.s_pair[:0]
        self._square(s_cell[self.cells.several] if self.every else s_cell)
        s = np.zeros((last - first, self.width))
        add_into(s, self.s_pair, summing.g.label_starts[first : last + 1] - np.int32(self.pairs.start))
        log_s = np.maximum(s, TINY)
        np.log(log_s, out=log_s)
        _add_products(summing.log_sum[self.labels], s, log_s, self.cuts)
        if len(summing.pair_log):
            repeated = log_s.take(summing.g.pair_label[self.pairs] - np.int32(first), axis=0)
            _add_products(summing.pair_log[self.pairs], self.s_pair, repeated, self.cuts)
        if summing.mixture is not None:
            summing.mixture.add(s_cell, self.s_pair, s, first, last)
        _add_squares(summing.cross[self.labels], s, self.metric, self.cuts)

    def _square(self, s: Floats) -> None:
        """Of the next cells of two rows or more."""
        if len(s):
            _add_squares(self.summing.within[self.squared : self.squared + len(s)], s, self.metric, self.cuts)
            self.squared += len(s)


class _Cells:
    """Sums over the (label, document) cells of two rows or more, or over every one, as rows are gone through."""

    def __init__(self, starts: Ints, edges: Places, every: bool) -> None:
        sizes = np.diff(starts)
        self.several = sizes > 1
        wanted = np.ones_like(self.several) if every else self.several
        self.rows = np.flatnonzero(np.repeat(wanted, sizes)).astype(np.int32) + starts[0]
        self.starts = np.append(np.int32(0), np.cumsum(sizes[wanted], dtype=np.int32))
        self.steps = list(Steps.of(self.starts, np.searchsorted(self.rows, edges)))
        self.carried: Floats | None = None  # of a cell that goes on

    def sums(self, rows: Loaded, at: int, step: int) -> Floats:
        """(cells, w) of the cells that end in a step, whose rows begin `at`."""
        begin, stop, first, last, end = self.steps[step]
        if stop == begin:
            return rows.x[:0]
        out = np.zeros((last - first, rows.x.shape[1]))
        if self.carried is not None:
            out[0] = self.carried
        some = rows.some(self.rows[begin:stop] - np.int32(at))
        some.add_into(out, pointers(self.starts, begin, stop, first, last))
        self.carried = out[-1] if end < last else None
        return out[: end - first]


def _add_products(out: Floats, x: Floats, y: Floats, cuts: tuple[slice, ...]) -> None:
    """Add the products of rows (n, w), piece by piece of the columns, to `out` (n,)."""
    for cut in cuts:
        out += np.einsum("ij,ij->i", x[:, cut], y[:, cut])


def _add_squares(out: Floats, x: Floats, metric: Floats, cuts: tuple[slice, ...]) -> None:
    """Add the products of rows (n, w), which are squared, with themselves in the metric (w,) to `out` (n,)."""
    x *= x
    for cut in cuts:
        out += np.einsum("ij,j->i", x[:, cut], metric[cut])


def _reduce(values: Floats, starts: np.ndarray) -> Floats:
    """Sums of values (n,) over runs."""
    if len(starts) < 2:
        return np.zeros(0)
    return np.asarray(np.add.reduceat(values, starts[:-1]), dtype=np.float64)
