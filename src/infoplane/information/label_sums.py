r"""Sums of a layer's rows over labels: everything that the estimators need of the assignments.

With `s_x` the sum of the n_x rows of label x, `s_xb` and `s_xg` the parts of it in block b and in document g, and
products of rows `<u, v> = sum_j u_j v_j / p_j` in the metric of the layer's mean p,

    entropy   H(p_x) = log n_x - sum_j s_xj log s_xj / n_x,
    share     -sum_j s_xbj log(s_xj / n_x) - sum_(i in x, b) H(a_i), the block's part of n_x (H(p_x) - h_x),
    inside    mean product of two rows of one label and one document, over that of two of different ones,
    between   mean product of a row with itself over the same:   rho = inside / between.

All are sums over columns, so a layer may be gone through a few columns at a time. A label is gone through in one go,
block by block and document by document, so nothing is held but its own sums (`infoplane.information.kernels`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.information import device_kernels, kernels
from infoplane.information.arrays import AnyColumns, Floats
from infoplane.information.assignments import Rows, loops_of
from infoplane.information.label_groups import Grouping
from infoplane.information.uniform_mean import Mixture, UniformMean


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
    """

    def __init__(self, layer: Rows, grouping: Grouping, errors: bool, uniform: bool) -> None:
        self.layer, self.g = layer, grouping
        labels = len(grouping.label_n)
        self.log_sum, self.cross = np.zeros(labels), np.zeros(labels)
        self.same: list[Floats] = []  # of each piece of columns by itself: it is added up over documents first
        self.pair_log = np.zeros(len(grouping.pair_n) if errors and grouping.blocks else 0)
        self.mixture = Mixture(grouping, errors and grouping.blocks > 0) if uniform else None

    @staticmethod
    def nbytes_of(g: Grouping) -> int:
        """Bytes of the sums of a grouping's labels."""
        return 8 * (4 * len(g.label_n) + len(g.pair_n))

    def add(self, columns: slice, x: AnyColumns) -> None:
        """Some columns of the layer."""
        self.same.append(np.zeros((len(x.cuts) - 1, len(self.cross))))
        metric = self.layer.metric[columns]
        loops_of(x).label_sums(x, metric, self.g.runs, self.log_sum, self.cross, self.same[-1], self.pair_log)
        if self.mixture is not None:
            self.mixture.add(x)

    def done(self) -> LabelSums:
        """The sums, once all columns were added."""
        g = self.g
        n = g.label_n.astype(np.float64)
        pair_entropy, own, alone = np.zeros(len(g.pair_n)), np.zeros(len(n)), np.zeros(len(n))
        if self.layer.device is None:
            kernels.row_parts(g.runs, self.layer.of_rows, pair_entropy, own, alone)
        else:
            device_kernels.row_parts(self.layer.device, g.runs, self.layer.of_rows, pair_entropy, own, alone)
        share = np.zeros(0)
        if len(self.pair_log):
            share = g.pair_n * np.log(n)[g.pair_label] - self.pair_log - pair_entropy
        return LabelSums(
            entropy=np.log(n) - self.log_sum / n,
            row_entropy=np.bincount(g.pair_label, pair_entropy, minlength=len(n)).astype(np.float64),
            share=share,
            pair_entropy=pair_entropy,
            rho=self._rho(n, own, own - alone + np.concatenate(self.same).sum(0)),
            uniform=None if self.mixture is None else self.mixture.done(),
        )

    def _rho(self, n: Floats, own: Floats, same: Floats) -> float:
        """Correlation within documents; 0 where no label tells.

        Args:
            n: (L,) rows of each label.
            own: (L,) products of its rows with themselves, added up.
            same: (L,) those of the sums of its rows in each document.
        """
        sq = self.g.label_square.astype(np.float64)
        fits = (sq > n) & (sq < n * n)  # two rows in one document, and two documents
        n, sq, own, same = n[fits], sq[fits], own[fits], same[fits]
        cross = (self.cross[fits] - same) / (n * n - sq)
        inside = float((n * ((same - own) / (sq - n) - cross)).sum())
        between = float((n * (own / n - cross)).sum())
        return min(max(inside / between, 0.0), 1.0) if between > 0 else 0.0
