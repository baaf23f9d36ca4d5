r"""How the entropy of a label's mean grows with its occurrences, seen on frequent labels that are thinned.

The excess entropy of a label with n independent rows is observed as `D_n`; wanted is `E = D_inf`. The null curve (see
`infoplane.information.estimators`) gives `E0(D_n, n)`, as if the label's rows were averages of random rows of the
layer. It is exact where labels mean nothing (`E0 = C`, the ceiling) and, to first order, where they tell all
(`E0 -> 0`); between the two it is too low for rare labels. With `u = E0 / C`,

    E = E0 + C u (1 - u) beta / (n + kappa),

which keeps both ends, and falls to the null curve as n grows. `beta` and `kappa` are the layer's own, for one set of
labels: a frequent label, seen in G documents, gives `D_k` for k = 2, 4, 8, ... from blocks of k of its rows, each of
another document, and `E` does not depend on k. So, over labels l of like frequency and sizes k,

    <E0_l(n_l) - E0_lk> = beta [s_k / (k + kappa) - s < 1 / (n_l + kappa) >] + delta s_k,

with means < > weighted by sqrt(n_l), and `s = C u (1 - u)` of the mean `u`. `delta` takes up the error of
`E0_l(n_l)`, which all sizes share, and is then left out. Both sides are means over labels, as in the classes that are
corrected by it: single labels are too noisy for a product of two of them.

Labels of like frequency: the bands of `_BANDS`, from the most frequent, where one of fewer than `_BAND_LABELS` labels
is joined to the next. A slow fall (a large kappa, as in many dimensions) shows only between them: labels seen 400
times still gain where those seen 50 times already seem to have the whole. Each band has a delta of its own.

For each kappa of `_KAPPAS`, beta and the deltas minimise

    Q = sum_(bands, k) (left - right)^2 / var + (beta / 10)^2 + sum_bands (delta / 0.02)^2,

where var is that of the mean on the left, from the mean square of the labels' distance to the mean of their band at
this k, taken over all bands. The ridge holds beta and delta near 0 where labels mean nothing (`s` near 0). Few labels
hardly tell one kappa from the next, and the best of them would jump from sample to sample; so `E` is the mean over all
kappas, weighted by exp(-Q / 2). Each replicate is fitted, and weighted, by itself. Where fewer than `MIN_LABELS`
labels are seen in `MIN_DOCUMENTS` documents, beta is 0 and the estimate is that of the null curve.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import Floats, Ints
from infoplane.information.assignments import Rows
from infoplane.information.label_groups import Grouping

MIN_DOCUMENTS = 16
"""Documents that a label needs to be thinned."""
MIN_LABELS = 3
"""Labels that are needed, of each band at each size."""
_MOST = 1 << 13  # rows that are looked at
_EACH = 1 << 10  # of one label
_PICKS = 4  # rows of a document and label, at most
_BETA, _DELTA = 10.0, 0.02  # how large they are expected to be: standard deviations
_KAPPAS = np.array([2, 3, 4, 5, 6.5, 8, 10, 13, 16, 20, 25, 32, 40, 60, 90, 130, 200])
_BANDS = np.array([48, 144, 432])  # independent rows of a label, where a new band begins
_BAND_LABELS = 6
_U = -1.0, 2.0  # a replicate whose ceiling is nearly 0 has any E0 / C, and the square of it


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
        u = np.clip(e, *_U)
        better: Floats = e + u * (1 - u) * (beta[:, None] / (n + _KAPPAS[:, None, None])).sum(0)
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
        rows: (R,) rows of the layer.
        starts: (runs + 1,) where each run of them begins, which is of one label and of different documents.
        levels: blocks of 2, 4, 8, ... of them.
        blocks: number B of blocks of documents.
    """

    labels: Ints
    rows: Ints
    starts: Ints
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
        starts = np.cumsum([0, *map(len, runs)]).astype(np.int32)
        return cls(np.array(labels, np.int32), rows.astype(np.int32), starts, tuple(levels), g.blocks)

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
        h = layer.entropy[self.rows]
        shape = len(self.labels), max(self.blocks, 1)
        total, count = (np.zeros((len(self.levels), shape[0], 1 + self.blocks)) for _ in range(2))
        entropies = layer.halvings(self.rows, self.starts, len(self.levels))
        for i, (level, entropy) in enumerate(zip(self.levels, entropies, strict=True)):
            h = (h[level.first] + h[level.first + 1]) / 2
            cell = level.label * shape[1] + level.block
            for out, values in ((total, entropy - h), (count, None)):
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
    cells = [
        (band, level, used)
        for band, members in enumerate(_bands(n))
        for level, used in enumerate(usable & members)
        if np.count_nonzero(used) >= MIN_LABELS
    ]
    if not cells:
        return Shape()
    band, level = (np.array([cell[i] for cell in cells]) for i in (0, 1))
    weight = np.where([used for *_, used in cells], np.sqrt(n), 0.0)  # (cells, F)
    weight /= weight.sum(1, keepdims=True)
    k = sizes[level]
    thinned, whole = (weight * e_thinned[level]).sum(1), weight @ e_whole
    s, s_whole, y = thinned * (1 - thinned), whole * (1 - whole), whole - thinned
    distance = np.where(weight > 0, e_whole - e_thinned[level] - y[:, None], 0.0) ** 2
    at = level[:, None] == np.unique(level)
    square = (at.T @ distance).sum(1) / (at.T @ (weight > 0)).sum(1)  # of one label, by level
    precision = 1 / np.maximum((at @ square) * (weight**2).sum(1), 1e-12)
    ys = np.column_stack([y, y[:, None] - np.einsum("cf,cfb->cb", weight, moved[level])])  # (cells, 1 + B)
    deltas = np.where(band[:, None] == np.unique(band), s[:, None], 0.0)
    prior = np.diag([_BETA**-2, *[_DELTA**-2] * deltas.shape[1]])
    kappa = np.array(_KAPPAS)[:, None]
    x = s / (k + kappa) - s_whole * (weight @ (1 / (n[:, None] + kappa.T))).T  # (kappas, cells)
    design = np.concatenate((x[..., None], np.broadcast_to(deltas, (len(kappa), *deltas.shape))), axis=2)
    weighted = design.transpose(0, 2, 1) * precision
    fitted = (
        np.linalg.solve(weighted @ design + prior, weighted) @ ys
    )  # beta and the deltas, (kappas, 1 + bands, 1 + B)
    beta = fitted[:, 0]
    misfit = precision @ (ys - design @ fitted) ** 2 + np.diag(prior) @ fitted**2
    odds = np.exp((misfit.min(0) - misfit) / 2)
    return Shape(beta * odds / odds.sum(0))


def _bands(n: Floats) -> list[npt.NDArray[np.bool_]]:
    """Which of the labels, of `n` (F,) independent rows, are in each band, the most frequent first."""
    which = np.digitize(n, _BANDS)
    bands, waiting = list[npt.NDArray[np.bool_]](), np.zeros(len(n), dtype=bool)
    for band in range(len(_BANDS), -1, -1):
        waiting = waiting | (which == band)
        if np.count_nonzero(waiting) >= _BAND_LABELS:
            bands.append(waiting)
            waiting = np.zeros(len(n), dtype=bool)
    if bands:
        bands[-1] = bands[-1] | waiting
    return bands or [waiting]
