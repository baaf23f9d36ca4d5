r"""How the entropy of a label's mean grows with its occurrences, seen on frequent labels that are thinned.

The excess entropy of a label with n independent rows is observed as `D_n`; wanted is `E = D_inf`. The null curve (see
`infoplane.information.estimators`) gives `E0(D_n, n)`, as if the label's rows were averages of random rows of the
layer. It is exact where labels mean nothing (`E0 = C`, the ceiling) and, to first order, where they tell all
(`E0 -> 0`); between the two it is too low for rare labels. With `u = E0 / C`,

    E = E0 + C u (1 - u) beta / (n + kappa),

which keeps both ends, and falls to the null curve as n grows. `beta` and `kappa` are the layer's own, for one set of
labels: a frequent label, seen in G documents, gives `D_k` for k = 2, 4, 8, ... from blocks of k of its rows, each of
another document, and `E` does not depend on k. So, over labels l and sizes k,

    <E0_l(n_l) - E0_lk> = beta [s_k / (k + kappa) - s < 1 / (n_l + kappa) >] + delta s_k,

with means < > weighted by sqrt(n_l), and `s = C u (1 - u)` of the mean `u`. `delta` takes up the error of
`E0_l(n_l)`, which all sizes share, and is then left out. Both sides are means over labels, as in the classes that are
corrected by it: single labels are too noisy for a product of two of them.

For each kappa of `_KAPPAS`, beta and delta minimise

    Q = sum_k (left - right)^2 / var_k + (beta / 10)^2 + (delta / 0.02)^2,

whose ridge holds both near 0 where labels mean nothing (`s` near 0). Few labels hardly tell one kappa from the next,
and the best of them would jump from sample to sample; so `E` is the mean over all kappas, weighted by exp(-Q / 2).
Each replicate is fitted, and weighted, by itself. Where fewer than `MIN_LABELS` labels are seen in `MIN_DOCUMENTS`
documents, beta is 0 and the estimate is that of the null curve.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infoplane.information.assignments import Floats, Ints, Rows, negative_entropy
from infoplane.information.label_groups import Grouping

MIN_DOCUMENTS = 16
"""Documents that a label needs to be thinned."""
MIN_LABELS = 3
"""Labels that are needed."""
_MOST = 1 << 13  # rows that are looked at
_EACH = 1 << 10  # of one label
_PICKS = 4  # rows of a document and label, at most
_BETA, _DELTA = 10.0, 0.02  # how large they are expected to be: standard deviations
_KAPPAS = np.array([2, 3, 4, 5, 6.5, 8, 10, 13, 16, 20, 25, 32, 40, 60])


@dataclass(frozen=True)
class Shape:
    """What thinned labels say of the null curve.

    Attributes:
        beta: (kappas, 1 + B) beta at each kappa times the weight of that kappa: of the whole sample, then without each
            block of documents. (kappas, 1) of zeros where thinned labels say nothing.
    """

    beta: Floats = field(default_factory=lambda: np.zeros((len(_KAPPAS), 1)))

    def excess(self, e: Floats, n: Floats) -> Floats:
        """E relative to the ceiling, from E0 relative to it.

        Args:
            e: (classes, 1 + B), or (classes, 1) without replicates.
            n: independent rows, of the same shape as `e`, or (classes, 1).
        """
        beta = self.beta if self.beta.shape[1] == e.shape[1] else self.beta[:, :1]
        better: Floats = e + e * (1 - e) * (beta[:, None] / (n + _KAPPAS[:, None, None])).sum(0)
        return better


@dataclass(frozen=True, eq=False)
class _Level:
    """Blocks of k rows: the first of the two blocks of half the size that each is made of, and whose they are.

    Of a block of documents each is the one that its first row is in: it is withdrawn with that.
    """

    k: int
    first: Ints
    label: Ints
    block: Ints


@dataclass(frozen=True, eq=False)
class Thinning:
    """Which rows of which frequent labels are averaged: the part that no layer changes.

    Attributes:
        labels: (F,) numbers of the labels in the grouping.
        rows: (R,) rows of the layer; each run of them is of one label and of different documents.
        levels: blocks of 2, 4, 8, ... of them.
        blocks: number B of blocks of documents.
    """

    labels: Ints
    rows: Ints
    levels: tuple[_Level, ...]
    blocks: int = 0

    @classmethod
    def of(cls, g: Grouping, seed: int = 0) -> Thinning:
        """Of the labels of a grouping, in a random order until there are rows enough."""
        draw = np.random.Generator(np.random.PCG64([seed, 3]))
        frequent = np.flatnonzero(g.label_documents >= MIN_DOCUMENTS).astype(np.int32)
        labels, runs, owners, charged = list[int](), list[Ints](), list[int](), list[Ints]()
        block_of_cell = np.repeat(g.pair_block, np.diff(g.block_starts))
        held = 0
        for label in draw.permutation(frequent).tolist():
            first, last = g.block_starts[g.label_starts[label : label + 2]]
            cells = g.document_starts[first : last + 1]
            sizes = np.diff(cells)
            picks = min(_PICKS, -(-int(sizes.sum()) // len(sizes)))
            size = min(len(sizes), _EACH // picks)
            if labels and held + picks * size > _MOST:
                continue
            for _ in range(picks):
                some = draw.permutation(len(sizes))[:size]
                runs.append(g.rows[cells[some] + draw.integers(sizes[some])])
                charged.append(block_of_cell[first + some])
                owners.append(len(labels))
            labels.append(label)
            held += picks * size
        levels, owner, lengths = list[_Level](), np.array(owners, np.int32), np.array([len(r) for r in runs], np.int64)
        block = np.concatenate(charged) if charged else np.zeros(0, np.int32)
        k = 1
        while len(lengths) and lengths.max() >= 4:  # two blocks at least, so that a label is seen as often as it can be
            starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
            pairs = lengths // 2
            within = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
            k *= 2
            first_of = np.repeat(starts, pairs) + 2 * within
            block = block[first_of]
            levels.append(_Level(k, first_of.astype(np.int32), np.repeat(owner, pairs), block))
            lengths = pairs
        rows = np.concatenate(runs) if runs else np.zeros(0, np.int32)
        return cls(np.array(labels, np.int32), rows.astype(np.int32), tuple(levels), g.blocks)

    @property
    def enough(self) -> bool:
        """Whether there are labels enough to learn from."""
        return len(self.labels) >= MIN_LABELS

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self.rows.nbytes + sum(level.first.nbytes + level.label.nbytes for level in self.levels)

    def gaps(self, layer: Rows) -> tuple[Floats, Floats]:
        """(levels, F, 1 + B) mean excess entropy of blocks, nats, and how many blocks there are; 0 and 0 for none."""
        x, h = layer.get(self.rows), layer.entropy[self.rows]
        shape = len(self.labels), max(self.blocks, 1)
        total, count = (np.zeros((len(self.levels), shape[0], 1 + self.blocks)) for _ in range(2))
        for i, level in enumerate(self.levels):
            x, h = ((v[level.first] + v[level.first + 1]) / 2 for v in (x, h))
            cell = level.label * shape[1] + level.block
            for out, values in ((total, -negative_entropy(x) - h), (count, None)):
                parts = np.bincount(cell, values, minlength=shape[0] * shape[1]).reshape(shape)
                out[i, :, 0] = parts.sum(1)
                out[i, :, 1:] = out[i, :, :1] - parts[:, : self.blocks]
        return np.divide(total, count, out=np.zeros_like(total), where=count > 0), count

    @property
    def sizes(self) -> npt.NDArray[np.float64]:
        """(levels,) rows of a block."""
        return np.array([level.k for level in self.levels], dtype=np.float64)


def fit_shape(e_thinned: Floats, sizes: Floats, count: Floats, e_whole: Floats, n: Floats, moved: Floats) -> Shape:
    """The shape that makes the excess of thinned labels that of whole ones; everything relative to the ceiling.

    Args:
        e_thinned: (levels, F) E0 of labels thinned to k rows.
        sizes: (levels,) k.
        count: (levels, F) blocks that each is the mean of; 0 for none.
        e_whole: (F,) E0 of the labels with all their rows.
        n: (F,) independent rows of each.
        moved: (levels, F, B) what `e_thinned` becomes less without each block of documents.
    """
    usable = (count >= 2) & (sizes[:, None] < n)
    some = np.flatnonzero(usable.sum(1) >= MIN_LABELS)
    if not len(some):
        return Shape()
    weight = np.where(usable, np.sqrt(n), 0.0)[some]
    weight /= weight.sum(1, keepdims=True)
    k = sizes[some]
    thinned, whole = (weight * e_thinned[some]).sum(1), (weight * e_whole).sum(1)
    s, s_whole, y = thinned * (1 - thinned), whole * (1 - whole), whole - thinned
    noise = ((weight * (e_whole - e_thinned[some] - y[:, None])) ** 2).sum(1)  # variance of y
    precision = 1 / np.maximum(noise, 1e-12)
    ys = np.column_stack([y, y[:, None] - (weight[:, :, None] * moved[some]).sum(1)])  # (levels, 1 + B)
    prior = np.diag([_BETA**-2, _DELTA**-2])
    beta, misfit = np.empty((2, len(_KAPPAS), ys.shape[1]))
    for i, kappa in enumerate(_KAPPAS):
        x = s / (k + kappa) - s_whole * (weight / (n + kappa)).sum(1)
        design = np.column_stack([x, s])
        normal = design.T @ (precision[:, None] * design) + prior
        fitted = np.linalg.solve(normal, design.T * precision) @ ys  # beta and delta, (2, 1 + B)
        beta[i] = fitted[0]
        misfit[i] = precision @ (ys - design @ fitted) ** 2 + np.diag(prior) @ fitted**2
    odds = np.exp((misfit.min(0) - misfit) / 2)
    return Shape(beta * odds / odds.sum(0))
