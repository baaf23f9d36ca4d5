r"""What a layer's states are like without any label: H(Z'), the ceiling, and how entropy grows with averaging.

With p the mean of the N assignments a_i, and documents g = 1..G as the units that are independent,

    plugin     H = -sum_j p_j log p_j
    corrected  H + 1/2 sum_j Var_j / p_j,   Var_j = G/(G-1) sum_g n_g^2 (p_gj - p_j)^2 / N^2,
    ceiling    H - mean_i H(a_i),

the correction being the second-order bias of the entropy of a mean (Miller 1955; Paninski, Neural Computation
15 (2003), eq. 4, for multinomials). All of it for the whole sample and for each sample without one block.

The `NullCurve` is `delta(n) = H(Z') - E[H(mean of n random rows)]`: what is missing to the full entropy when n
rows that share nothing are averaged. It is the bias of the plug-in entropy of a label with n occurrences that
carries no information, known from the data to all orders, by merging rows of a random permutation in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import interpolate

from infoplane.information import excess_entropy
from infoplane.information.arrays import AnyColumns, Floats, Ints, add_runs, negative_entropy
from infoplane.information.assignments import Rows, sums_of_rows

_SAMPLE, _LEVELS, _FEWEST = 1 << 14, 8, 16  # rows of a null curve; how often they are halved; means that are left


@dataclass(frozen=True, eq=False)
class Sample:
    """Some rows of every layer and the documents they are in, made once for all layers.

    Attributes:
        rows: (n,) the rows, by document.
        starts: (G + 1,) where each document that has rows starts in these.
        block: (G,) the block of each of those documents; None where there are too few for errors.
        blocks: number B of blocks, those that have no row here included; 0 for None.
    """

    rows: Ints
    starts: Ints
    block: Ints | None
    blocks: int

    @classmethod
    def of(cls, rows: Ints, document: Ints, block_of_document: Ints | None) -> Sample:
        """Rows (n,), the (N,) document of every row of the layer and the (D,) block of every document."""
        n = np.bincount(document[rows])
        there = np.flatnonzero(n)
        starts = np.concatenate(([0], np.cumsum(n[there]))).astype(np.int32)
        block, blocks = None, 0
        if block_of_document is not None:
            block, blocks = block_of_document[there], int(block_of_document.max()) + 1
        return cls(rows[np.argsort(document[rows], kind="stable")], starts, block, blocks)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.starts.nbytes

    def sums(self, x: Floats) -> Floats:
        """(G, columns) sums of the rows of each document."""
        return add_runs(x, self.starts, self.rows)

    def without(self, per_document: Floats) -> Floats:
        """(1 + B, ...): the sum over documents (G, ...), then that sum without each block."""
        return without(per_document, self.block, self.blocks)


@dataclass(frozen=True, eq=False)
class Marginal:
    """Entropies of a sample of one layer: the whole, then without each block.

    Attributes:
        n: (1 + B,) positions.
        entropy, entropy_corrected: (1 + B,) H(Z') in nats.
        row_entropy: (1 + B,) mean of H(a_i).
    """

    n: Floats
    entropy: Floats
    entropy_corrected: Floats
    row_entropy: Floats

    @classmethod
    def of(cls, layer: Rows, rows: Ints, document: Ints, block_of_document: Ints | None) -> Marginal:
        """Of some rows of a layer."""
        adding = Adding(Sample.of(rows, document, block_of_document))
        for _, x in layer.pieces():
            adding.add(x)
        return adding.done(layer.entropy)

    @cached_property
    def ceiling(self) -> Floats:
        """(1 + B,) plugin ceiling, nats."""
        return self.entropy - self.row_entropy

    @cached_property
    def ceiling_corrected(self) -> Floats:
        """(1 + B,) corrected ceiling, nats."""
        return self.entropy_corrected - self.row_entropy


class Adding:
    """Goes through the columns of a layer and adds up over a sample; `done()` gives the `Marginal`."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.count: Floats = np.diff(sample.starts).astype(np.float64)
        self.parts: list[tuple[Floats, Floats, Floats]] = []

    def add(self, x: AnyColumns) -> None:
        """Some columns of the layer."""
        sums = sums_of_rows(x, self.sample.rows, self.sample.starts)
        total = self.sample.without(sums)
        cross = self.sample.without(sums * self.count[:, None])
        sums *= sums
        self.parts.append((total, self.sample.without(sums), cross))

    def done(self, row_entropy: Floats) -> Marginal:
        """Once all columns were added; from the (N,) entropies of the layer's rows too."""
        sample, count = self.sample, self.count
        total, square, cross = (np.hstack(part) for part in zip(*self.parts, strict=True))
        h = np.add.reduceat(row_entropy[sample.rows], sample.starts[:-1])
        n = sample.without(count)
        p = total / n[:, None]
        groups = sample.without(np.ones_like(count))
        # sum_g (S_g - n_g p)^2, opened, so that every delete-one sample is a difference of sums
        count_square = sample.without(count * count)
        spread = square - 2 * p * cross + p * p * count_square[:, None]
        factor = np.where(groups > 1, groups / np.maximum(groups - 1, 1), 0.0)
        variance = factor[:, None] * spread / (n * n)[:, None]
        entropy = -negative_entropy(p)
        return Marginal(n, entropy, entropy + entropy_bias(variance, p), sample.without(h) / n)


def entropy_bias(variance: Floats, p: Floats) -> Floats:
    """(...) what the entropy of an estimated p (..., m) lacks, to second order: 1/2 sum_j Var(p_j) / p_j."""
    lacks: Floats = 0.5 * np.divide(variance, p, out=np.zeros_like(p), where=p > 0).sum(-1)
    return lacks


def without(per_document: Floats, block: Ints | None, blocks: int) -> Floats:
    """(1 + blocks, ...): the sum over documents (G, ...), then that sum without each block of documents."""
    total = per_document.sum(0, keepdims=True)
    if block is None:
        return np.asarray(total)
    order = np.argsort(block, kind="stable").astype(np.int32)
    starts = np.searchsorted(block[order], np.arange(blocks + 1))
    flat = per_document.reshape(len(per_document), -1)
    return np.concatenate((total, total - add_runs(flat, starts, order).reshape(-1, *total.shape[1:])))


@dataclass(frozen=True, eq=False)
class NullCurve:
    """delta(n) as a table in log n, relative to delta(1) = 1; falls like 1/n beyond the table.

    Attributes:
        step: distance of the table's entries in log n, the first of which is 0.
        log_delta: (K,) the table.
    """

    step: float
    log_delta: Floats

    @classmethod
    def of(cls, layer: Rows, rows: Ints, seed: int = 0) -> NullCurve:
        """Merge a random permutation of at most 2^14 rows in pairs, again and again."""
        draw = np.random.Generator(np.random.PCG64([seed, 2]))
        picked = rows[draw.permutation(len(rows))[:_SAMPLE]]
        levels = min(max(0, (len(picked) // _FEWEST).bit_length() - 1), _LEVELS)
        starts = np.append(np.arange(0, len(picked), 1 << _LEVELS), len(picked)).astype(np.int32)
        whole = np.array([0, len(picked)], np.int32)
        mean = np.hstack([sums_of_rows(x, picked, whole) for _, x in layer.pieces()]) / len(picked)
        total, n = -float(negative_entropy(mean[0])), [1 << level for level in range(levels + 1)]
        means = layer.halvings(picked, starts, levels) if levels else []
        mean_entropy = [float(layer.entropy[picked].mean()), *(float(entropy.mean()) for entropy in means)]
        missing = total - np.array(mean_entropy)
        if len(n) < 2 or not (missing > 1e-13).all():
            return cls(float(np.log(2)), np.log([1.0, 0.5]))  # nothing varies: any curve will do
        # delta = kappa / n at the end of the table; the sample's own entropy lacks kappa / len(sample).
        kappa = missing[-1] / (1 / n[-1] - 1 / len(picked))
        log_delta = np.log(missing + kappa / len(picked))
        log_delta -= log_delta[0]
        grid = np.linspace(0, np.log(n[-1]), 16 * len(n))
        return cls(float(grid[1]), interpolate.PchipInterpolator(np.log(n), log_delta)(grid))


def solve_excess(curve: NullCurve, d: Floats, log_n: Floats) -> Floats:
    """delta(b) where delta(b) - delta(b n) = d, everything relative to delta(1); 0 where d is not positive.

    Below n = 1 the first slope of the curve goes on, in logarithms.
    """
    out = np.empty_like(d)
    excess_entropy.solve(curve.step, curve.log_delta, d, log_n, out)
    return out
