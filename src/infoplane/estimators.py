r"""The information between a label X and the code Z', with its delete-one-block values.

With n_x occurrences of label x, p_x their mean assignment and h_x their mean entropy, and the ceiling
`C = H(Z') - mean_i H(a_i)`, every estimate here has one form:

    I(X; Z') = C - sum_x (n_x / N) E_x,     E_x = H(Z' | X = x) - h_x,  the excess entropy of label x.

`plugin`: E_x = H(p_x) - h_x. It is too small for rare labels, 0 for a label seen once, so I is too large.

`null-curve`: how much too small, the layer itself says. `delta(n)` (see `infoplane.marginal`) is the entropy that
an average of n rows lacks when the label means nothing. A label that means something lacks less, as if its rows
were averages of b rows each: `E = delta(b)`, observed as `D = delta(b) - delta(b n)`. Labels that occur in two or
more documents are pooled in classes of like count; each class gives D, the mean of H(p_x) - h_x, and with it b:

    delta(b) - delta(b n*) = D,    E_class = delta(b),
    1/n* = sum_x [(1 - rho) + rho n_e(x)] / sum_x n_x,     n_e(x) = sum_g n_xg^2 / n_x,

where n* is the number of independent rows: rows of one document resemble each other by rho, the correlation
within documents among rows of one label, from sums of products in the metric 1/p. Labels of one document say
nothing of others: their excess is read off the line in log n through the first classes, at n = 1. Labels permuted
at random have b = 1 and E = C in every class, hence I = 0 in expectation: no expansion in 1/n reaches that for
n = 1..4, where most wide n-grams are.

`uniform` weights give each label of at least `MIN_COUNT` occurrences the weight 1/L in place of n_x / N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infoplane.grouping import Grouping
from infoplane.marginal import (
    TINY,
    Marginal,
    NullCurve,
    Rows,
    entropy_of_sums,
    negative_entropy,
    sum_runs,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64] | npt.NDArray[np.int32]
PLUGIN, NULL_CURVE = "plugin", "null-curve"
CORRECTED = NULL_CURVE
"""What the name `corrected` stands for."""
ESTIMATORS = {"plugin": PLUGIN, "corrected": CORRECTED, "null-curve": NULL_CURVE}
MIN_COUNT = 5
_EDGES = np.array([2, 3, 4, 5, 7, 10, 15, 22, 32, 48, 64, 128, 256, 1024])
_CLASSES = len(_EDGES)  # class _CLASSES collects labels of one document
_LINE = 4
_ROWS = 1024  # a piece of rows that stays in the cache of one core


@dataclass(frozen=True)
class Information:
    """Information about one set of labels in one layer, nats: (1 + 2B,) the whole sample, then the replicates.

    `corrected` is None where no label occurs in two documents, so that nothing can be estimated.
    """

    plugin: Floats
    corrected: Floats | None
    rho: float


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the estimators need of each label (L,) and of each label without one of its blocks (P,).

    `pair_entropy` is the sum (P,) of the rows' entropies of a block in a label; `share` the part (P,) of that block
    in n_x (H(p_x) - h_x), p_x held.
    """

    entropy: Floats
    row_entropy: Floats
    entropy_without: Floats
    row_entropy_without: Floats
    pair_entropy: Floats
    share: Floats
    rho: float
    uniform_p: Floats | None


def information(
    layer: Rows, grouping: Grouping, marginal: Marginal, curve: NullCurve, weight: str = "frequency"
) -> Information:
    """Estimate the information about the labels of `grouping`.

    Args:
        layer: the assignments of the layer.
        grouping: labels of a sample of its rows.
        marginal: the same sample without labels.
        curve: the layer's null curve, any sample.
        weight: `frequency` or `uniform`.
    """
    uniform = weight == "uniform"
    sums = _label_sums(layer, grouping, uniform)
    tally = _Tally(grouping, sums, layer, uniform)
    if uniform:
        assert sums.uniform_p is not None
        h = -negative_entropy(sums.uniform_p / tally.labels[:, None])
        ceiling = h - tally.row_entropy / tally.labels
        # The bias of H shrinks with the number of rows; here that is the effective one of the mixture.
        rows = tally.labels**2 / tally.inverse_n
        ceiling_corrected = ceiling + (marginal.entropy_corrected - marginal.entropy) * marginal.n / rows
        total = tally.labels
    else:
        ceiling, ceiling_corrected, total = marginal.ceiling, marginal.ceiling_corrected, marginal.n
    plugin = ceiling - tally.gap.sum(0) / total
    corrected = tally.excess(curve, ceiling_corrected)
    return Information(plugin, None if corrected is None else ceiling_corrected - corrected / total, sums.rho)


def _label_sums(layer: Rows, g: Grouping, uniform: bool) -> _Sums:
    labels, pairs = len(g.label_n), len(g.pair_n)
    entropy, without, share = np.zeros(labels), np.zeros(pairs), np.zeros(pairs)
    pair_h = _reduce(_reduce(layer.entropy[g.rows], g.document_starts), g.block_starts)
    label_h = _reduce(pair_h, g.label_starts)
    metric = layer.metric
    inside = between = 0.0
    mixture = np.zeros((1 + 2 * g.blocks, layer.m)) if uniform else None
    for first, last in g.chunks():
        pair = slice(g.label_starts[first], g.label_starts[last])
        doc = slice(g.block_starts[pair.start], g.block_starts[pair.stop])
        s_doc, self_doc = _document_sums(layer, g, doc)
        s_pair = sum_runs(s_doc, g.block_starts[pair.start : pair.stop + 1])
        s_label = sum_runs(s_pair, g.label_starts[first : last + 1])
        n = g.label_n[first:last].astype(np.float64)
        entropy[first:last] = entropy_of_sums(s_label, n)

        # products of rows: with themselves, within a document, between documents
        norm_doc = (s_doc * s_doc) @ metric
        runs = g.block_starts[g.label_starts[first : last + 1]] - doc.start
        own, same = _reduce(self_doc, runs), _reduce(norm_doc, runs)
        square = g.label_square[first:last].astype(np.float64)
        fits = (square > n) & (square < n * n)
        if fits.any():
            n_, sq = n[fits], square[fits]
            cross = ((s_label[fits] * s_label[fits]) @ metric - same[fits]) / (n_ * n_ - sq)
            inside += float((n_ * ((same[fits] - own[fits]) / (sq - n_) - cross)).sum())
            between += float((n_ * (own[fits] / n_ - cross)).sum())

        # each label without each of its blocks; a label of one block is gone altogether
        many = np.diff(g.label_starts[first : last + 1]) > 1
        if g.blocks:
            left = np.flatnonzero(np.repeat(many, np.diff(g.label_starts[first : last + 1])))
            label = g.pair_label[pair][left] - first
            n_left = n[label] - g.pair_n[pair][left]
            s_left = s_label[label] - s_pair[left]
            without[pair.start + left] = entropy_of_sums(s_left, n_left)
            log_p = np.log(np.maximum(s_label / n[:, None], TINY))
            share[pair] = -np.einsum("pj,pj->p", s_pair, log_p[g.pair_label[pair] - first]) - pair_h[pair]
        if mixture is not None:
            _add_to_mixture(mixture, g, first, last, s_label, s_pair)
    rho = float(np.clip(inside / between, 0, 1)) if between > 0 else 0.0
    h_without = label_h[g.pair_label] - pair_h
    return _Sums(entropy, label_h, without, h_without, pair_h, share, rho, mixture)


def _document_sums(layer: Rows, g: Grouping, doc: slice) -> tuple[Floats, Floats]:
    """Sums over (label, document) pairs, and of the rows' products with themselves, a few rows at a time."""
    starts = g.document_starts[doc.start : doc.stop + 1]
    sums, own = np.empty((len(starts) - 1, layer.m)), np.empty(len(starts) - 1)
    first = 0
    while first < len(sums):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _ROWS, side="right")) - 1)
        rows = g.rows[starts[first] : starts[last]]
        x = layer.get(rows)
        runs = starts[first : last + 1] - starts[first]
        sums[first:last] = sum_runs(x, runs)
        own[first:last] = _reduce(layer.square[rows], runs)
        first = last
    return sums, own


def _add_to_mixture(mixture: Floats, g: Grouping, first: int, last: int, s_label: Floats, s_pair: Floats) -> None:
    """Add the means of labels with enough occurrences, and what deleting each block changes in them."""
    from scipy import sparse

    n = g.label_n[first:last].astype(np.float64)
    enough = n >= MIN_COUNT
    mean = np.where(enough[:, None], s_label / n[:, None], 0.0)
    mixture += mean.sum(0)
    pair = slice(g.label_starts[first], g.label_starts[last])
    label = g.pair_label[pair] - first
    n_left = n[label] - g.pair_n[pair]
    left = np.divide(s_label[label] - s_pair, n_left[:, None], out=np.zeros_like(s_pair), where=n_left[:, None] > 0)
    change = np.where(enough[label][:, None], left - mean[label], 0.0)
    if g.blocks:
        shape = (g.blocks, len(change))
        pick = sparse.csr_array((np.ones(len(change)), (g.pair_block[pair], np.arange(len(change)))), shape=shape)
        mixture[1 : 1 + g.blocks] += pick @ change
        moved = (g.pair_n[pair][:, None] * mean[label] - s_pair) / n[label, None]
        mixture[1 + g.blocks :] += pick @ np.where(enough[label][:, None], moved, 0.0)


def _reduce(values: npt.NDArray[Any], starts: npt.NDArray[np.integer]) -> Floats:
    if len(starts) < 2:
        return np.zeros(0)
    return np.asarray(np.add.reduceat(values, starts[:-1]), dtype=np.float64)


class _Tally:
    """Sums over classes of labels, (classes + 1, 1 + 2B), the last class being labels of one document.

    Each label counts as n_x positions (frequency) or as one (uniform). `gap` adds up H(p_x) - h_x, `mass` the
    weights, `inverse` the (1 - rho) + rho n_e of the equation for n* (over n_x, if uniform), `labels` the labels.
    """

    def __init__(self, g: Grouping, sums: _Sums, layer: Rows, uniform: bool) -> None:
        self.blocks = g.blocks
        n, square = g.label_n.astype(np.float64), g.label_square.astype(np.float64)
        pairs_n, pairs_square = g.pair_n.astype(np.float64), g.pair_square.astype(np.float64)
        label, docs_pair = g.pair_label, np.diff(g.block_starts).astype(np.float64)
        docs: Floats = np.bincount(label, docs_pair, minlength=len(n)).astype(np.float64)
        n_left, docs_left = n[label] - pairs_n, docs[label] - docs_pair
        square_left = square[label] - pairs_square
        there = n_left > 0
        safe = np.maximum(n_left, 1.0)

        def parts(
            h: Floats, hsum: Floats, n: Floats, square: Floats, keep: npt.NDArray[np.bool_]
        ) -> tuple[Floats, ...]:
            ratio = (1 - sums.rho) + sums.rho * square / n
            gap = h - hsum / n
            w, r = (np.ones_like(n), ratio / n) if uniform else (n, ratio)
            return tuple(np.where(keep, v, 0.0) for v in (w * gap, w, r, np.ones_like(n), hsum / n, 1 / n))

        enough = n >= (MIN_COUNT if uniform else 1)
        whole = parts(sums.entropy, sums.row_entropy, n, square, enough)
        left = parts(sums.entropy_without, sums.row_entropy_without, safe, square_left, there & enough[label])
        kind, kind_left = _class_of(n, docs), _class_of(n_left, docs_left)
        # a share is withdrawn from its label's class; with p_x held, a label's number of independent rows is too
        nothing, part = np.zeros_like(sums.share), pairs_n / n[label]
        if uniform:  # the label keeps its weight and loses only what its mean is made of
            gap = (sums.entropy - sums.row_entropy / n)[label]
            mean_h = (sums.row_entropy / n)[label]
            shares = (sums.share / n[label] - part * gap, nothing, nothing, nothing,
                      sums.pair_entropy / n[label] - part * mean_h, nothing)  # fmt: skip
        else:
            shares = (sums.share, pairs_n, nothing, nothing, nothing, nothing)
        added = [
            self._add(a, b, np.where(enough[label], c, 0.0), kind, kind_left, label, g.pair_block)
            for a, b, c in zip(whole, left, shares, strict=True)
        ]
        self.gap, self.mass, self.inverse = added[:3]
        # only the uniform estimate asks for these: labels, their mean row entropies, and sum_x 1/n_x
        self.labels, self.row_entropy, self.inverse_n = (each.sum(0) for each in added[3:])
        if not uniform:
            single = np.full(1 + 2 * self.blocks, float(len(g.single_rows)))
            if self.blocks:
                single[1:] -= np.tile(np.bincount(g.single_block, minlength=self.blocks), 2)
            self.mass[_CLASSES] += single
        if self.blocks:
            held = np.divide(self.inverse[:, :1], self.mass[:, :1], where=self.mass[:, :1] > 0,
                             out=np.zeros((_CLASSES + 1, 1)))  # fmt: skip
            self.inverse[:, 1 + self.blocks :] = held * self.mass[:, 1 + self.blocks :]

    def _add(
        self, whole: Floats, left: Floats, share: Floats, kind: Ints, kind_left: Ints, label: Ints, block: Ints
    ) -> Floats:
        total: Floats = np.bincount(kind, whole, minlength=_CLASSES + 1).astype(np.float64)
        out: Floats = np.repeat(total[:, None], 1 + 2 * self.blocks, axis=1)
        if self.blocks:
            size = (_CLASSES + 1) * self.blocks
            gone = np.bincount(kind[label] * self.blocks + block, whole[label], minlength=size)
            come = np.bincount(kind_left * self.blocks + block, left, minlength=size)
            shares = np.bincount(kind[label] * self.blocks + block, share, minlength=size)
            out[:, 1 : 1 + self.blocks] += (come - gone).reshape(_CLASSES + 1, self.blocks)
            out[:, 1 + self.blocks :] -= shares.reshape(_CLASSES + 1, self.blocks)
        return out

    def excess(self, curve: NullCurve, ceiling: Floats) -> Floats | None:
        """(1 + 2B,) the sum of weights times excess entropy, or None where it cannot be known."""
        classes, solo = slice(0, _CLASSES), self.mass[_CLASSES]
        used = np.flatnonzero(self.mass[classes, 0] > 0)
        if not len(used):
            return None
        if not (ceiling > 1e-12).all():
            return np.zeros_like(ceiling)  # the code keeps nothing, of labels or anything else
        mass = np.maximum(self.mass[used], 0.0)
        has = mass > 1e-9
        d = np.divide(self.gap[used], mass, out=np.zeros_like(mass), where=has)
        inverse = np.divide(self.inverse[used], mass, out=np.full_like(mass, 0.5), where=has)
        log_n = -np.log(np.clip(inverse, 1e-12, 1 - 1e-9))
        e = solve_excess(curve, d / ceiling, log_n) * ceiling
        total: Floats = (mass * e).sum(0)
        if (solo > 0).any():
            total = total + solo * self._line(used, mass, e)
        return total

    def _line(self, used: Ints, mass: Floats, e: Floats) -> Floats:
        """Excess of labels of one document: the weighted line through the first classes, at log n = 0."""
        first = slice(0, min(_LINE, len(used)))
        w, y = np.sqrt(mass[first]), e[first]
        # a class sits at its mean count; its edges stand in for it where it is empty
        x = np.repeat(np.log(_EDGES[used[first]])[:, None], y.shape[1], axis=1)
        w_sum = np.maximum(w.sum(0), 1e-300)
        x_mean, y_mean = (w * x).sum(0) / w_sum, (w * y).sum(0) / w_sum
        spread = (w * (x - x_mean) ** 2).sum(0)
        slope = np.divide((w * (x - x_mean) * (y - y_mean)).sum(0), spread, out=np.zeros_like(spread), where=spread > 0)
        line: Floats = y_mean - slope * x_mean
        return line


def _class_of(n: Floats, documents: Floats) -> Ints:
    kind = np.clip(np.searchsorted(_EDGES, n, side="right") - 1, 0, _CLASSES - 1)
    return np.asarray(np.where(documents >= 2, kind, _CLASSES), dtype=np.int64)


def solve_excess(curve: NullCurve, d: Floats, log_n: Floats) -> Floats:
    """delta(b) where delta(b) - delta(b n) = d, everything relative to delta(1); 0 where d is 0."""

    def missing(b: Floats) -> Floats:
        return curve(b) - curve(b + log_n) - d

    low, high = np.full(d.shape, -25.0), np.full(d.shape, 40.0)
    for _ in range(30):  # the difference falls with b, so halving the bracket finds it
        b = (low + high) / 2
        above = missing(b) > 0
        low, high = np.where(above, b, low), np.where(above, high, b)
    # a chord over what is left of the bracket, some 1e-7 wide, gives the other digits
    first, last = missing(low), missing(high)
    part = np.divide(first, first - last, out=np.full_like(d, 0.5), where=first != last)
    return np.where(d > 0, curve(low + part * (high - low)), 0.0)
