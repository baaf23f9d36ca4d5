r"""The information between a label X and the code Z', with its replicates over blocks of documents.

With n_x occurrences of label x, p_x their mean assignment and h_x their mean entropy, and the ceiling
`C = H(Z') - mean_i H(a_i)`, every estimate here has one form:

    I(X; Z') = C - sum_x (n_x / N) E_x,     E_x = H(Z' | X = x) - h_x,  the excess entropy of label x.

`plugin`: E_x = H(p_x) - h_x. It is too small for rare labels, 0 for a label seen once, so I is too large.

`null-curve`: how much too small, the layer itself says. `delta(n)` (see `infoplane.information.marginal_entropy`) is
the entropy that an average of n rows lacks when the label means nothing. A label that means something lacks less, as if
its rows
were averages of b rows each: `E = delta(b)`, observed as `D = delta(b) - delta(b n)`. Labels that occur in two or
more documents are pooled in classes of like count; each class gives D, the mean of H(p_x) - h_x, and with it b:

    delta(b) - delta(b n*) = D,    E_class = delta(b),
    1/n* = sum_x [(1 - rho) + rho n_e(x)] / sum_x n_x,     n_e(x) = sum_g n_xg^2 / n_x,

where n* is the number of independent rows: rows of one document resemble each other by rho, the correlation
within documents among rows of one label, from sums of products in the metric 1/p. Labels of one document say
nothing of others: their excess is read off the line in log n through the first classes, at n = 1. Labels permuted
at random have b = 1 and E = C in every class, hence I = 0 in expectation: no expansion in 1/n reaches that for
n = 1..4, where most wide n-grams are.

`thinned-curve`: the same, with the shape of the curve corrected by what frequent labels show when they are thinned
(see `infoplane.information.thinning`): `E` in place of `delta(b)`, in every class.

`uniform` weights give each label of at least `MIN_COUNT` occurrences the weight 1/L in place of n_x / N, in H(Z') and
the ceiling too; the bias of that H(Z') follows from the variance of the weighted mean over documents. Replicates hold
the weights, but for labels of one document, which go with it (see `infoplane.information.uniform_mean`).

Replicates withdraw each block's share of n_x (H(p_x) - h_x) from its label's class, and its rows from the class's
mass; classes, n* and the curve are held (see `infoplane.uncertainty.document_jackknife`, where the shares of labels in
two blocks are made to count once). docs/reference/estimator-definition.md has every step and constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from infoplane.information.arrays import Floats, negative_entropy
from infoplane.information.assignments import Rows
from infoplane.information.estimator_names import LESS_THINNED, NULL_CURVE, PLUGIN, THINNED
from infoplane.information.label_groups import Grouping
from infoplane.information.label_sums import LabelSums, Summing
from infoplane.information.marginal_entropy import Marginal, NullCurve, entropy_bias, solve_excess
from infoplane.information.thinning import Shape, Thinning, fit_shape
from infoplane.information.uniform_mean import MIN_COUNT, counted_labels, of_one_document
from infoplane.uncertainty import partner_weight

_TRANSFER = 0.2
"""The part of what thinning adds to the null curve that is in doubt, because it was seen on frequent labels and is used
for rare ones; from channels of known truth (`python bench/gaussian.py`)."""
_EDGES = np.array([2, 3, 4, 5, 7, 10, 15, 22, 32, 48, 64, 128, 256, 1024])
_CLASSES = len(_EDGES)
_SOLO, _LEFT_OUT = _CLASSES, _CLASSES + 1  # labels of one document; labels too rare for uniform weights
_LINE = 4


@dataclass(frozen=True)
class Information:
    """Information about one set of labels in one layer, nats: (1 + B,) the whole sample, then its replicates.

    None where it cannot be estimated: corrections where no label occurs in two documents, all under uniform weights
    where none occurs often enough; and `thinned` where it was not asked for.
    """

    plugin: Floats | None
    null_curve: Floats | None
    rho: float = 0.0
    thinned: Floats | None = None

    def by(self, estimator: str) -> Floats | None:
        """The estimate of an id; None where it cannot be made, or was not asked for."""
        if estimator == LESS_THINNED:
            return self._less_thinned
        return {PLUGIN: self.plugin, NULL_CURVE: self.null_curve, THINNED: self.thinned}[estimator]

    @property
    def _less_thinned(self) -> Floats | None:
        """(1,) without replicates."""
        if self.thinned is None or self.null_curve is None:
            return None
        value: Floats = self.thinned[:1] + _TRANSFER * (self.null_curve[:1] - self.thinned[:1])
        return value


def information(
    layer: Rows,
    grouping: Grouping,
    marginal: Marginal,
    curve: NullCurve,
    weight: str = "frequency",
    thinned: bool = False,
) -> Information:
    """Estimate the information about the labels of `grouping`.

    Args:
        layer: the assignments of the layer.
        grouping: labels of a sample of its rows.
        marginal: the same sample without labels; its replicates decide whether there are any.
        curve: the layer's null curve, any sample.
        weight: `frequency` or `uniform`.
        thinned: whether that estimate is wanted too.
    """
    summing = Summing(layer, grouping, errors=len(marginal.n) > 1, uniform=weight == "uniform")
    for columns, x in layer.pieces():
        summing.add(columns, x)
    sums = summing.done()
    shape = shape_of(layer, Thinning.of(grouping), grouping, sums, marginal, curve) if thinned else None
    return informations(curve, [(Tally(grouping, weight), sums, marginal, shape)])[0]


Term: TypeAlias = "tuple[Tally, LabelSums, Marginal, Shape | None]"
"""What is asked of a layer: about labels, and by what shape, where the thinned estimate is wanted."""


def informations(curve: NullCurve, asked: Iterable[Term]) -> list[Information]:
    """All that is asked of one layer; together, because its equations are solved at once. Sums are not kept."""
    terms = [_Terms(*each) for each in asked]
    if not terms:
        return []
    d, log_n = (np.concatenate([getattr(t, name).ravel() for t in terms]) for name in ("d", "log_n"))
    solved = solve_excess(curve, d, log_n)
    ends = np.cumsum([t.d.size for t in terms])[:-1]
    return [t.information(e.reshape(t.d.shape)) for t, e in zip(terms, np.split(solved, ends), strict=True)]


class Tally:
    """Classes of labels and what they weigh: the part of an estimate that no layer changes.

    Each label counts as n_x positions (frequency) or as one (uniform). `mass` (classes, 1 + B) adds up the weights;
    `even` and `clustered` (classes,) give 1/n* = ((1 - rho) even + rho clustered) / mass.
    """

    def __init__(self, g: Grouping, weight: str) -> None:
        self.g, self.uniform = g, weight == "uniform"
        n = g.label_n.astype(np.float64)
        kind = np.clip(np.searchsorted(_EDGES, n, side="right") - 1, 0, _CLASSES - 1)
        kind = np.where(g.label_documents >= 2, kind, _SOLO)
        self.kind = np.where(n >= MIN_COUNT, kind, _LEFT_OUT) if self.uniform else kind
        self.labels = counted_labels(g)
        # of a label's weight, where a block of it is withdrawn
        self.kept = np.where(of_one_document(g), 0.0, 1.0)[g.pair_label] if self.uniform else np.ones(1)
        weights = np.ones_like(n) if self.uniform else n
        each = 1 / n if self.uniform else np.ones_like(n)
        self.even = self._of_labels(each)
        self.clustered = self._of_labels(each * g.label_square / n)
        self.mass = np.repeat(self._of_labels(weights)[:, None], 1 + g.blocks, axis=1)
        if self.uniform:
            self.mass[_SOLO] += self.labels - self.labels[0]
        else:
            self.mass[_SOLO, 0] += len(g.single_block)
            self.mass[:, 1:] = self.mass[:, :1]
            if g.blocks:
                self.mass[:, 1:] -= self._of_pairs(g.pair_n.astype(np.float64))
                self.mass[_SOLO, 1:] -= np.bincount(g.single_block, minlength=g.blocks)
        self._pair_up()

    @property
    def nbytes(self) -> int:
        """Bytes that are held beside the grouping."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def _of_labels(self, values: Floats) -> Floats:
        """(classes,) sums of values (L,)."""
        total: Floats = np.bincount(self.kind, values, minlength=_LEFT_OUT + 1)[:_LEFT_OUT].astype(np.float64)
        return total

    def _of_pairs(self, values: Floats) -> Floats:
        """(classes, B) sums of values (P,) by their label's class and their block."""
        g = self.g
        cell = self.kind[g.pair_label] * g.blocks + g.pair_block
        total = np.bincount(cell, values, minlength=(_LEFT_OUT + 1) * g.blocks)
        return np.asarray(total.reshape(-1, g.blocks)[:_LEFT_OUT], dtype=np.float64)

    def _pair_up(self) -> None:
        """The two pairs of each label that has two blocks, and what each takes of the other."""
        g = self.g
        first = g.label_starts[:-1][np.diff(g.label_starts) == 2]
        self.here = np.concatenate((first, first + 1))
        self.there = np.concatenate((first + 1, first))
        self.takes = partner_weight(g.pair_n[self.here], g.pair_n[self.there])
        self.kind_here = self.kind[g.pair_label[self.here]]

    def shares(self, share: Floats) -> Floats:
        """(P,) shares of blocks, those of labels in two blocks with a part of each other's, less its class's mean."""
        taken = self.takes * share[self.there]
        rows = self.takes * self.g.pair_n[self.there]
        all_taken, all_rows = (np.bincount(self.kind_here, v, minlength=_LEFT_OUT + 1) for v in (taken, rows))
        mean = np.divide(all_taken, all_rows, out=np.zeros(_LEFT_OUT + 1), where=all_rows > 0)
        out = share.copy()
        out[self.here] += taken - rows * mean[self.kind_here]
        return out

    def gaps(self, sums: LabelSums) -> Floats:
        """(classes, 1 + B) sums of weights times H(p_x) - h_x; (classes, 1) without errors."""
        g = self.g
        n = g.label_n
        gap = sums.entropy - sums.row_entropy / n
        total = self._of_labels(gap if self.uniform else n * gap)[:, None]
        if not len(sums.share):
            return total
        share = self.shares(sums.share)
        if self.uniform:  # a label that keeps its weight loses only what its mean is made of
            share = (share - self.kept * g.pair_n * gap[g.pair_label]) / n[g.pair_label]
        return np.hstack((total, total - self._of_pairs(share)))

    def row_entropy(self, sums: LabelSums) -> Floats:
        """(1 + B,) mean over labels of their rows' mean entropy, for uniform weights."""
        g = self.g
        mean = sums.row_entropy / g.label_n
        total = self._of_labels(mean).sum(keepdims=True)
        if len(sums.share):
            moved = (self.kept * g.pair_n * mean[g.pair_label] - sums.pair_entropy) / g.label_n[g.pair_label]
            total = np.concatenate((total, total + self._of_pairs(moved).sum(0)))
        mean_entropy: Floats = total / np.maximum(self.labels[: len(total)], 1)
        return mean_entropy


def shape_of(
    layer: Rows, thinning: Thinning, grouping: Grouping, sums: LabelSums, marginal: Marginal, curve: NullCurve
) -> Shape:
    """What the frequent labels of a grouping say of a layer's null curve; see `infoplane.information.thinning`."""
    ceiling = float(marginal.ceiling_corrected[0])
    if not thinning.enough or ceiling <= 1e-12:
        return Shape()
    gap, count = thinning.gaps(layer)
    n = grouping.label_n[thinning.labels].astype(np.float64)
    rows = n / (1 - sums.rho + sums.rho * grouping.label_square[thinning.labels] / n)
    whole = sums.entropy[thinning.labels] - sums.row_entropy[thinning.labels] / n
    thinned = gap[..., 0]
    step = 1e-4 * ceiling  # of a slope: replicates are moved along it
    sizes = np.broadcast_to(thinning.sizes[:, None], thinned.shape).ravel()
    d = np.concatenate((thinned.ravel(), thinned.ravel() + step, whole)) / ceiling
    log_n = np.log(np.concatenate((sizes, sizes, np.maximum(rows, 1 + 1e-9))))
    e, above, e_whole = np.split(solve_excess(curve, d, log_n), [thinned.size, 2 * thinned.size])
    slope = ((above - e) / step).reshape(thinned.shape)
    moved = np.where(count[..., 1:] > 0, gap[..., 1:] - gap[..., :1], 0.0) * slope[..., None]
    return fit_shape(e.reshape(thinned.shape), thinning.sizes, count[..., 0], e_whole, rows, moved)


class _Terms:
    """One estimate in one layer: its equations `d` and `log_n` (classes used, 1 + B), and what follows from them."""

    def __init__(self, tally: Tally, sums: LabelSums, marginal: Marginal, shape: Shape | None) -> None:
        self.tally, self.rho, self.shape = tally, sums.rho, shape
        self.d = self.log_n = np.zeros((0, 1))
        self.possible = tally.labels[0] > 0 or not tally.uniform
        if not self.possible:
            return
        self.ceiling, self.total = marginal.ceiling, marginal.n
        self.ceiling_corrected = marginal.ceiling_corrected
        if tally.uniform:
            assert sums.uniform is not None
            u = sums.uniform
            self.total = np.maximum(tally.labels[: len(u.mean)], 1)
            self.ceiling = -negative_entropy(u.mean) - tally.row_entropy(sums)
            self.ceiling_corrected = self.ceiling + entropy_bias(u.variance, u.mean[0])
        self.gap = tally.gaps(sums)
        self.mass = np.maximum(tally.mass[:, : self.gap.shape[1]], 0.0)
        self.used = np.flatnonzero(self.mass[:_CLASSES, 0] > 0)
        if not (self.ceiling_corrected > 1e-12).all():
            return  # the code keeps nothing, of labels or anything else
        mass = self.mass[self.used]
        d = np.divide(self.gap[self.used], mass, out=np.zeros_like(mass), where=mass > 1e-9)
        inverse = ((1 - self.rho) * tally.even + self.rho * tally.clustered)[self.used] / mass[:, 0]
        self.d = d / self.ceiling_corrected
        self.log_n = np.broadcast_to(-np.log(np.clip(inverse, 1e-12, 1 - 1e-9))[:, None], d.shape)

    def information(self, solved: Floats) -> Information:
        """From the solutions (classes used, 1 + B), relative to the ceiling."""
        if not self.possible:
            return Information(None, None)
        plugin = self.ceiling - self.gap.sum(0) / self.total
        if not len(self.used):
            return Information(plugin, None, self.rho)
        thinned = None
        if self.shape is not None:
            rows = np.exp(self.log_n) if len(solved) else solved
            thinned = self._less(self.shape.excess(solved, rows))
        return Information(plugin, self._less(solved), self.rho, thinned)

    def _less(self, excess: Floats) -> Floats:
        """(1 + B,) the ceiling less the excess of classes (classes used, 1 + B), which is relative to it."""
        total = np.zeros_like(self.ceiling_corrected)
        if len(excess):
            e, mass = excess * self.ceiling_corrected, self.mass[self.used]
            total = (mass * e).sum(0) + self.mass[_SOLO] * self._line(mass, e)
        information: Floats = self.ceiling_corrected - total / self.total
        return information

    def _line(self, mass: Floats, e: Floats) -> Floats:
        """(1 + B,) excess of labels of one document: the line through the first classes, at log n = 0."""
        first = slice(0, min(_LINE, len(e)))
        w, y = np.sqrt(mass[first]), e[first]
        x = np.log(_EDGES[self.used[first]])[:, None]
        w_sum = np.maximum(w.sum(0), 1e-300)
        x_mean, y_mean = (w * x).sum(0) / w_sum, (w * y).sum(0) / w_sum
        spread = (w * (x - x_mean) ** 2).sum(0)
        slope = np.divide((w * (x - x_mean) * (y - y_mean)).sum(0), spread, out=np.zeros_like(spread), where=spread > 0)
        line: Floats = y_mean - slope * x_mean
        return line
