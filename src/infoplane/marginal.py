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
import numpy.typing as npt
from scipy import interpolate, sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
TINY = np.finfo(np.float64).tiny
_CHUNK = 4096
_SAMPLE = 1 << 14
# Every float16 as a float64: looking up is several times faster than NumPy's conversion of small numbers.
_FLOAT16 = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)


def negative_entropy(x: Floats) -> Floats:
    """sum_j x_j log x_j over the last axis; 0 log 0 is 0."""
    total: Floats = np.einsum("...j,...j->...", x, np.log(np.maximum(x, TINY)))
    return total


def entropy_of_sums(sums: Floats, n: npt.NDArray[np.generic] | Floats) -> Floats:
    """Entropy of `sums / n` whose rows add up to n."""
    count = np.asarray(n, dtype=np.float64)
    entropy: Floats = np.log(count) - negative_entropy(sums) / count
    return entropy


def sum_runs(x: Floats, starts: npt.NDArray[np.integer], weights: Floats | None = None) -> Floats:
    """(runs, m): rows of x, times weights, added over runs of rows; a sparse product, faster than reduceat."""
    if weights is None and len(starts) - 1 == len(x):
        return x
    data = np.ones(len(x)) if weights is None else weights
    pointers = starts - starts[0]
    summed: Floats = sparse.csr_array((data, np.arange(len(x)), pointers), shape=(len(starts) - 1, len(x))) @ x
    return summed


def _float64(a: npt.NDArray[np.float16]) -> Floats:
    found: Floats = _FLOAT16.take(a.view(np.uint16))
    return found


@dataclass(frozen=True, eq=False)
class Rows:
    """The assignments of one layer, with what is needed of each row.

    Attributes:
        a: (N, m) float16, as captured.
        scale: (N,) what brings a row to sum 1 after its rounding to float16.
        entropy: (N,) H(a_i), nats.
        metric: (m,) 1 / p_j of all rows, in which products of rows are taken; 0 where p_j is 0.
        square: (N,) product of each row with itself, sum_j a_ij^2 / p_j.
    """

    a: npt.NDArray[np.float16]
    scale: Floats
    entropy: Floats
    metric: Floats
    square: Floats

    @classmethod
    def of(cls, a: npt.NDArray[np.float16]) -> Rows:
        scale, entropy, square = np.empty(len(a)), np.empty(len(a)), np.empty(len(a))
        mass = np.zeros(a.shape[1])
        for i in range(0, len(a), _CHUNK):
            x = _float64(a[i : i + _CHUNK])
            scale[i : i + _CHUNK] = total = 1 / x.sum(1)
            entropy[i : i + _CHUNK] = -negative_entropy(x) * total - np.log(total)
            mass += total @ x
        metric = np.divide(len(a), mass, out=np.zeros_like(mass), where=mass > 0)
        for i in range(0, len(a), _CHUNK):
            x = _float64(a[i : i + _CHUNK])
            square[i : i + _CHUNK] = (x * x) @ metric * scale[i : i + _CHUNK] ** 2
        return cls(a, scale, entropy, metric, square)

    @property
    def m(self) -> int:
        return int(self.a.shape[1])

    def get(self, rows: Ints) -> Floats:
        """(len(rows), m) float64, rows summing to 1."""
        x = self._unscaled(rows)
        x *= self.scale[rows, None]
        return x

    def document_sums(self, rows: Ints, document: Ints, documents: int) -> Floats:
        """(documents, m) sums of the rows of each document; `document` is that of every row of the layer."""
        total = np.zeros((documents, self.m))
        for i in range(0, len(rows), _CHUNK):
            part = rows[i : i + _CHUNK]
            shape = (documents, len(part))
            pick = sparse.csr_array((self.scale[part], (document[part], np.arange(len(part)))), shape=shape)
            total += pick @ self._unscaled(part)
        return total

    def _unscaled(self, rows: Ints) -> Floats:
        # take, told not to check, is several times faster than indexing; rows come from `Labels`, all in range
        return _float64(self.a.take(rows, axis=0, mode="clip"))


@dataclass(frozen=True, eq=False)
class Marginal:
    """Entropies of a sample of one layer; columns as in `without`.

    Attributes:
        n: (1 + 2B,) positions.
        p: (m,) mean assignment of the whole sample.
        entropy, entropy_corrected: (1 + 2B,) H(Z') in nats.
        row_entropy: (1 + 2B,) mean of H(a_i).
    """

    n: Floats
    p: Floats
    entropy: Floats
    entropy_corrected: Floats
    row_entropy: Floats

    @classmethod
    def of(cls, layer: Rows, rows: Ints, document: Ints, block_of_document: Ints | None, documents: int) -> Marginal:
        sums = layer.document_sums(rows, document, documents)
        count: Floats = np.bincount(document[rows], minlength=documents).astype(np.float64)
        h: Floats = np.bincount(document[rows], layer.entropy[rows], minlength=documents).astype(np.float64)
        n = without(count, block_of_document)
        total = without(sums, block_of_document)
        p = total / n[:, None]
        groups = without((count > 0).astype(np.float64), block_of_document)
        # sum_g (S_g - n_g p)^2, opened, so that every delete-one sample is a difference of sums
        square = without(sums * sums, block_of_document)
        cross = without(sums * count[:, None], block_of_document)
        count_square = without(count * count, block_of_document)
        spread = square - 2 * p * cross + p * p * count_square[:, None]
        factor = np.where(groups > 1, groups / np.maximum(groups - 1, 1), 0.0)
        variance = factor[:, None] * spread / (n * n)[:, None]
        entropy = -negative_entropy(p)
        correction = 0.5 * np.divide(variance, p, out=np.zeros_like(p), where=p > 0).sum(1)
        return cls(n, p[0], entropy, entropy + correction, without(h, block_of_document) / n)

    @cached_property
    def ceiling(self) -> Floats:
        """(1 + 2B,) plugin ceiling, nats."""
        return self.entropy - self.row_entropy

    @cached_property
    def ceiling_corrected(self) -> Floats:
        """(1 + 2B,) corrected ceiling, nats."""
        return self.entropy_corrected - self.row_entropy


def without(per_document: Floats, block_of_document: Ints | None) -> Floats:
    """(1 + 2B, ...): the sum over documents, then twice that sum without each block in turn.

    Twice, because a sum is made of single blocks: deleting one and withdrawing its share are the same
    (see `infoplane.jackknife`).
    """
    total = per_document.sum(0, keepdims=True)
    if block_of_document is None:
        return np.asarray(total)
    blocks = int(block_of_document.max()) + 1
    shape = (blocks, len(per_document))
    ones = np.ones(len(per_document))
    pick = sparse.csr_array((ones, (block_of_document, np.arange(len(per_document)))), shape=shape)
    left = total - pick @ per_document
    return np.concatenate((total, left, left))


@dataclass(frozen=True, eq=False)
class NullCurve:
    """delta(n) as a table in log n, relative to delta(1) = 1; falls like 1/n beyond the table."""

    log_n: Floats
    log_delta: Floats

    @classmethod
    def of(cls, layer: Rows, rows: Ints, seed: int = 0) -> NullCurve:
        """Merge a random permutation of at most 2^14 rows in pairs, again and again."""
        draw = np.random.Generator(np.random.PCG64([seed, 2]))
        picked = draw.permutation(len(rows))[:_SAMPLE]
        x = layer.get(rows[picked])
        mean_entropy, n = [float(layer.entropy[rows[picked]].mean())], [1]
        total = -float(negative_entropy(x.mean(0)))
        while n[-1] < 256 and len(x) >= 32:
            x = x[: len(x) // 2 * 2].reshape(-1, 2, layer.m).mean(1)
            n.append(2 * n[-1])
            mean_entropy.append(-float(negative_entropy(x).mean()))
        missing = total - np.array(mean_entropy)
        if len(n) < 2 or not (missing > 1e-13).all():
            return cls(np.log([1.0, 2.0]), np.log([1.0, 0.5]))  # nothing varies: any curve will do
        # delta = kappa / n at the end of the table; the sample's own entropy lacks kappa / len(sample).
        kappa = missing[-1] / (1 / n[-1] - 1 / len(picked))
        log_delta = np.log(missing + kappa / len(picked))
        log_delta -= log_delta[0]
        grid = np.linspace(0, np.log(n[-1]), 16 * len(n))
        return cls(grid, interpolate.PchipInterpolator(np.log(n), log_delta)(grid))

    def __call__(self, log_n: Floats) -> Floats:
        """delta(n) / delta(1) at log n; below n = 1 the first slope goes on, in logarithms."""
        x, y = self.log_n, self.log_delta
        inside = np.interp(log_n, x, y)
        first = (y[1] - y[0]) / (x[1] - x[0])
        inside = np.where(log_n < x[0], y[0] + first * (log_n - x[0]), inside)
        return np.exp(np.where(log_n > x[-1], y[-1] - (log_n - x[-1]), inside))
