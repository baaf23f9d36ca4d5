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
from infoplane.rows import TINY, Columns, Floats, Rows, add_into

MIN_COUNT = 5
"""Occurrences that a label needs to count under uniform weights."""
_CELLS = 1 << 18  # numbers worked on at once: what fits the cache of one core


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
            self.log_sum[first:last] += np.einsum("lj,lj->l", s, log_s)
            if len(self.pair_log):
                repeated = np.repeat(log_s, np.diff(starts), axis=0)
                self.pair_log[pairs] += np.einsum("pj,pj->p", s_pair, repeated)
            if mixture is not None:
                mixture.add(s_document, s_pair, s, first, last)
            s *= s
            self.cross[first:last] += s @ metric
        if mixture is not None:
            self.means.append(mixture.mean())
            self.variances.append(mixture.variance())

    def _pairs(self, x: Columns, pairs: slice, metric: Floats, keep: bool) -> tuple[Floats, Floats]:
        """(P, w) sums of some (label, block) pairs; and (Q, w) of their documents, if they are to be kept.

        Rows are added up over documents, documents over pairs: each row is gathered once.
        """
        g = self.g
        begin = int(g.block_starts[pairs.start])
        starts = g.block_starts[pairs.start : pairs.stop + 1] - np.int32(begin)
        out, kept = np.zeros((len(starts) - 1, x.width)), []
        for first, s in x.runs(g.rows, g.document_starts[begin : begin + int(starts[-1]) + 1]):
            a, b = np.int32(first), np.int32(first + len(s))
            p = int(np.searchsorted(starts, a, side="right")) - 1
            q = int(np.searchsorted(starts, b, side="left"))
            add_into(out[p:q], s, np.clip(starts[p : q + 1], a, b) - a)
            if keep:
                kept.append(s)
            some = slice(*np.searchsorted(g.several, (np.int32(begin) + np.array([a, b])).astype(np.int32)))
            if some.stop > some.start:
                s = s.take(g.several[some] - (begin + first), axis=0)
                s *= s
                self.within[some] += s @ metric
        return out, np.concatenate(kept) if kept else out[:0]

    def done(self) -> LabelSums:
        """The sums, once all columns were added."""
        g = self.g
        n = g.label_n.astype(np.float64)
        row_entropy = self.layer.entropy[g.rows]
        pair_entropy, share = _reduce(row_entropy, g.pair_starts), np.zeros(0)
        if len(self.pair_log):
            share = g.pair_n * np.log(n)[g.pair_label] - self.pair_log - pair_entropy
        return LabelSums(
            entropy=np.log(n) - self.log_sum / n,
            row_entropy=_reduce(pair_entropy, g.label_starts),
            share=share,
            pair_entropy=pair_entropy,
            rho=self._rho(n),
            uniform=UniformMean(np.hstack(self.means), np.concatenate(self.variances)) if self.uniform else None,
        )

    def _rho(self, n: Floats) -> float:
        """Correlation within documents; 0 where no label tells."""
        g = self.g
        square = self.layer.square
        own = _reduce(_reduce(square[g.rows], g.pair_starts), g.label_starts)
        alone = _reduce(square[g.rows], g.document_starts)[g.several]
        same = own + np.bincount(g.several_label, self.within - alone, minlength=len(n))
        sq = g.label_square.astype(np.float64)
        fits = (sq > n) & (sq < n * n)  # two rows in one document, and two documents
        n, sq, own, same = n[fits], sq[fits], own[fits], same[fits]
        cross = (self.cross[fits] - same) / (n * n - sq)
        inside = float((n * ((same - own) / (sq - n) - cross)).sum())
        between = float((n * (own / n - cross)).sum())
        return min(max(inside / between, 0.0), 1.0) if between > 0 else 0.0


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


def _reduce(values: Floats, starts: np.ndarray) -> Floats:
    """Sums of values (n,) over runs."""
    if len(starts) < 2:
        return np.zeros(0)
    return np.asarray(np.add.reduceat(values, starts[:-1]), dtype=np.float64)
