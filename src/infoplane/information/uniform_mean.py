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
from scipy import sparse

from infoplane.information.assignments import Floats
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
    """Mean of the labels' means in some columns, its parts by block and by document."""

    def __init__(self, g: Grouping, columns: int, errors: bool) -> None:
        self.g = g
        self.total, self.labels = np.zeros(columns), np.maximum(counted_labels(g, errors), 1)
        self.alone = of_one_document(g)
        self.moved = np.zeros((g.blocks if errors else 0, columns))
        self.residual = np.zeros((g.documents, columns))

    def add(self, s_document: Floats, s_pair: Floats, s: Floats, first: int, last: int) -> None:
        g = self.g
        n = g.label_n[first:last].astype(np.float64)
        weight = np.where(n >= MIN_COUNT, 1 / n, 0.0)
        mean = s * weight[:, None]
        self.total += mean.sum(0)
        kept = np.where(self.alone[first:last, None], 0.0, mean)
        pairs = slice(g.label_starts[first], g.label_starts[last])
        if len(self.moved):
            label = g.pair_label[pairs] - first
            change = g.pair_n[pairs][:, None] * kept[label] - s_pair
            change *= weight[label][:, None]
            entries = (np.ones(len(change)), (g.pair_block[pairs], np.arange(len(change))))
            self.moved += sparse.csr_array(entries, shape=(len(self.moved), len(change))) @ change
        documents = slice(g.block_starts[pairs.start], g.block_starts[pairs.stop])
        n_document = np.diff(g.document_starts[documents.start : documents.stop + 1])
        label = np.repeat(np.arange(last - first), np.diff(g.block_starts[g.label_starts[first : last + 1]]))
        left = s_document - n_document[:, None] * kept[label]
        left *= weight[label][:, None]
        entries = (np.ones(len(left)), (g.pair_document[documents], np.arange(len(left))))
        self.residual += sparse.csr_array(entries, shape=(g.documents, len(left))) @ left

    def mean(self) -> Floats:
        """(1 + B, columns)"""
        return np.vstack((self.total, self.total + self.moved)) / self.labels[:, None]

    def variance(self) -> Floats:
        """(columns,)"""
        used, labels = len(np.unique(self.g.pair_document)), self.labels[0]
        document = self.g.pair_document[self.g.block_starts[self.g.label_starts[:-1][self.alone]]]
        alone = np.bincount(document, minlength=self.g.documents)
        left = self.residual - alone[:, None] * (self.total / labels)
        spread: Floats = (left**2).sum(0) / labels**2
        return spread * used / (used - 1) if used > 1 else 0 * spread
