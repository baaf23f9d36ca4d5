r"""The mean over labels of their means, each label counting once: what uniform weights need of a layer.

With `s_x` the sum of the n_x rows of label x, `u = sum_x s_x / (L n_x)` over the L labels with `MIN_COUNT` rows or
more.

A label of several documents is there whichever of them were drawn, so it keeps its weight and only its mean changes. A
label of one document comes and goes with it: its weight is withdrawn with its document's block. Its mean alone would
never change, and a text with no other labels would have no error at all. Where the same labels would come back in
other documents that is too much of an error, by what the labels differ; a single document cannot tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import AnyColumns, Floats
from infoplane.information.assignments import loops_of
from infoplane.information.label_groups import Grouping

MIN_COUNT = 5
"""Occurrences that a label needs to count under uniform weights."""


@dataclass(frozen=True, eq=False)
class UniformMean:
    """The mean `u` of p_x over labels with `MIN_COUNT` rows: (1 + B, m), whole and with each block's share withdrawn.

    `variance` (m,) is that of the whole: G/(G-1) sum_g (sum_(i in g) (a_i - p_x(i)) / (L n_x(i)))^2, over the G
    documents that have a label seen twice or more; for labels of one document u stands for p_x.
    """

    mean: Floats
    variance: Floats


def of_one_document(g: Grouping) -> npt.NDArray[np.bool_]:
    """(L,) labels that count under uniform weights and are all in one document."""
    alone: npt.NDArray[np.bool_] = (g.label_documents == 1) & (g.label_n >= MIN_COUNT)
    return alone


def counted_labels(g: Grouping, errors: bool = True) -> Floats:
    """(1 + B,) labels that count under uniform weights, whole and without those of one document in each block."""
    block = g.pair_block[g.label_starts[:-1][of_one_document(g)]]
    gone = np.bincount(block, minlength=g.blocks)[: g.blocks if errors else 0]
    return np.count_nonzero(g.label_n >= MIN_COUNT) - np.concatenate(([0.0], gone))


class Mixture:
    """Goes through the columns of a layer and adds up the means of labels; `done()` gives the `UniformMean`."""

    def __init__(self, g: Grouping, errors: bool) -> None:
        self.g = g
        self.labels = np.maximum(counted_labels(g, errors), 1)
        self.alone = of_one_document(g)
        self.kept = np.where(g.label_n >= MIN_COUNT, np.where(self.alone, 0.0, 1.0), -1.0)
        self.blocks = g.blocks if errors else 0
        self.means: list[Floats] = []
        self.variances: list[Floats] = []

    def add(self, x: AnyColumns) -> None:
        """Some columns of the layer."""
        g, width = self.g, x.bits.shape[1]
        total, moved, residual = np.zeros((1, width)), np.zeros((self.blocks, width)), np.zeros((g.documents, width))
        loops_of(x).label_means(x, g.runs, self.kept, total, moved, residual, g.pair_block, g.pair_document)
        self.means.append(np.vstack((total, total + moved)) / self.labels[:, None])
        self.variances.append(self._variance(total, residual))

    def _variance(self, total: Floats, residual: Floats) -> Floats:
        """(columns,)"""
        used, labels = len(np.unique(self.g.pair_document)), self.labels[0]
        document = self.g.pair_document[self.g.block_starts[self.g.label_starts[:-1][self.alone]]]
        alone = np.bincount(document, minlength=self.g.documents)
        left = residual - alone[:, None] * (total / labels)
        spread: Floats = (left**2).sum(0) / labels**2
        return spread * used / (used - 1) if used > 1 else 0 * spread

    def done(self) -> UniformMean:
        """Once all columns were added."""
        return UniformMean(np.hstack(self.means), np.concatenate(self.variances))
