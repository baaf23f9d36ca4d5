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

from dataclasses import dataclass

import numpy as np

from infoplane.grouping import Grouping
from infoplane.rows import TINY, Columns, Floats, Ints, Loaded, Rows, Steps, add_into, pointers

MIN_COUNT = 5
"""Occurrences that a label needs to count under uniform weights."""
_CELLS = 1 << 19  # numbers worked on at once: what fits the cache of one core


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


@dataclass(frozen=True, eq=False)
class UniformMean:
    """The mean `u` of p_x over labels with `MIN_COUNT` rows: (1 + B, m), whole and with each block's share withdrawn.

    `variance` (m,) is that of the whole: G/(G-1) sum_g (sum_(i in g) (a_i - p_x(i)) / (L n_x(i)))^2.
    """

    mean: Floats
    variance: Floats


class Summing:
    """Goes through the columns of a layer and adds up; `done()` gives the `LabelSums`.

    Args:
        layer: the layer.
        grouping: labels of a sample of its rows.
        errors: whether the parts of blocks are wanted.
        uniform: whether uniform weights are.
    """

    def __init__(self, layer: Rows, grouping: Grouping, errors: bool, uniform: bool) -> None:
        self.layer, self.g = layer, grouping
        labels = len(grouping.label_n)
        self.log_sum, self.cross = np.zeros(labels), np.zeros(labels)
        self.pair_log = np.zeros(len(grouping.pair_n) if errors and grouping.blocks else 0)
        self.within = np.zeros(len(grouping.several))
        self.means: list[Floats] = []
        self.variances: list[Floats] = []
        self.uniform = uniform

    @staticmethod
    def nbytes_of(g: Grouping) -> int:
        """Bytes of the sums of a grouping's labels."""
        return 8 * (2 * len(g.label_n) + len(g.pair_n) + len(g.several))

    def add(self, columns: slice, x: Columns) -> None:
        """Some columns of the layer."""
        g, metric = self.g, self.layer.metric[columns]
        mixture = _Mixture(g, x.width, len(self.pair_log) > 0) if self.uniform else None
        for first, last in g.chunks(max(1, _CELLS // x.width)):
            pairs = slice(g.label_starts[first], g.label_starts[last])
            s_pair, s_document = self._pairs(x, pairs, metric, mixture is not None)
            starts = g.label_starts[first : last + 1] - pairs.start
            s = np.zeros((last - first, x.width))
            add_into(s, s_pair, starts)
            log_s = np.maximum(s, TINY)
            np.log(log_s, out=log_s)
            _add_products(self.log_sum[first:last], s, log_s, x.cuts)
            if len(self.pair_log):
                repeated = log_s.take(g.pair_label[pairs] - np.int32(first), axis=0)
                _add_products(self.pair_log[pairs], s_pair, repeated, x.cuts)
            if mixture is not None:
                mixture.add(s_document, s_pair, s, first, last)
            _add_squares(self.cross[first:last], s, metric, x.cuts)
        if mixture is not None:
            self.means.append(mixture.mean())
            self.variances.append(mixture.variance())

    def _pairs(self, x: Columns, pairs: slice, metric: Floats, keep: bool) -> tuple[Floats, Floats]:
        """(P, w) sums of some (label, block) pairs; and (Q, w) of their documents, if they are to be kept."""
        g = self.g
        cells = slice(g.block_starts[pairs.start], g.block_starts[pairs.stop])
        starts = g.pair_starts[pairs.start : pairs.stop + 1]
        steps = Steps.of(starts, x.edges(starts[0], starts[-1]))
        within = _Cells(g.document_starts[cells.start : cells.stop + 1], steps, every=keep)
        done, last_done = (int(np.searchsorted(g.several, np.int32(end))) for end in (cells.start, cells.stop))
        out, kept, held = np.zeros((len(starts) - 1, x.width)), [], 0
        for (begin, stop, first, last, _), of_cells in zip(steps, within.steps, strict=True):
            rows = x.load(g.rows[begin:stop])
            rows.add_into(out[first:last], pointers(starts, begin, stop, first, last))
            kept.append(within.sums(rows, begin, *of_cells))
            held += len(kept[-1])
            if not keep and (held >= _CELLS // x.width or stop == starts[-1]):
                s = np.concatenate(kept)
                _add_squares(self.within[done : done + held], s, metric, x.cuts)
                done, kept, held = done + held, [], 0
        if not keep:
            return out, out[:0]
        documents = np.concatenate(kept)
        _add_squares(self.within[done:last_done], documents[within.several], metric, x.cuts)
        return out, documents

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


class _Cells:
    """Sums over the (label, document) cells of two rows or more, or over every one, as rows are gone through."""

    def __init__(self, starts: Ints, steps: Steps, every: bool) -> None:
        sizes = np.diff(starts)
        self.several = sizes > 1
        wanted = np.ones_like(self.several) if every else self.several
        self.rows = np.flatnonzero(np.repeat(wanted, sizes)).astype(np.int32) + starts[0]
        self.starts = np.append(np.int32(0), np.cumsum(sizes[wanted], dtype=np.int32))
        edges = np.searchsorted(self.rows, np.append(steps.begin, steps.stop[-1:]))
        self.steps = Steps.of(self.starts, edges)
        self.carried: Floats | None = None  # of a cell that goes on

    def sums(self, rows: Loaded, at: int, begin: int, stop: int, first: int, last: int, end: int) -> Floats:
        """(cells, w) of the cells that end in a step, whose rows begin `at`."""
        if stop == begin:
            return rows.x[:0]
        out = np.zeros((last - first, rows.x.shape[1]))
        if self.carried is not None:
            out[0] = self.carried
        some = rows.some(self.rows[begin:stop] - np.int32(at))
        some.add_into(out, pointers(self.starts, begin, stop, first, last))
        self.carried = out[-1] if end < last else None
        return out[: end - first]


class _Mixture:
    """Mean of the labels' means in some columns, its parts by block and by document."""

    def __init__(self, g: Grouping, columns: int, errors: bool) -> None:
        self.g = g
        self.total, self.labels = np.zeros(columns), int(np.count_nonzero(g.label_n >= MIN_COUNT))
        self.moved = np.zeros((g.blocks if errors else 0, columns))
        self.residual = np.zeros((g.documents, columns))

    def add(self, s_document: Floats, s_pair: Floats, s: Floats, first: int, last: int) -> None:
        from scipy import sparse

        g = self.g
        n = g.label_n[first:last].astype(np.float64)
        weight = np.where(n >= MIN_COUNT, 1 / n, 0.0)
        mean = s * weight[:, None]
        self.total += mean.sum(0)
        pairs = slice(g.label_starts[first], g.label_starts[last])
        if len(self.moved):
            label = g.pair_label[pairs] - first
            change = g.pair_n[pairs][:, None] * mean[label] - s_pair
            change *= weight[label][:, None]
            entries = (np.ones(len(change)), (g.pair_block[pairs], np.arange(len(change))))
            self.moved += sparse.csr_array(entries, shape=(len(self.moved), len(change))) @ change
        documents = slice(g.block_starts[pairs.start], g.block_starts[pairs.stop])
        n_document = np.diff(g.document_starts[documents.start : documents.stop + 1])
        label = np.repeat(np.arange(last - first), np.diff(g.block_starts[g.label_starts[first : last + 1]]))
        left = s_document - n_document[:, None] * mean[label]
        left *= weight[label][:, None]
        entries = (np.ones(len(left)), (g.pair_document[documents], np.arange(len(left))))
        self.residual += sparse.csr_array(entries, shape=(g.documents, len(left))) @ left

    def mean(self) -> Floats:
        """(1 + B, columns)"""
        return np.vstack((self.total, self.total + self.moved)) / max(self.labels, 1)

    def variance(self) -> Floats:
        """(columns,)"""
        used = len(np.unique(self.g.pair_document))
        spread: Floats = (self.residual**2).sum(0) / max(self.labels, 1) ** 2
        return spread * used / (used - 1) if used > 1 else 0 * spread


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
