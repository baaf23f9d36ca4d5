r"""The loops over assignments, compiled: each goes through rows once and holds a few sums, which stay in the cache.

Sums over columns are made piece by piece and each piece by itself, so that no bit of a result hangs on how many columns
are held.

The logarithm is that of fdlibm (Sun Microsystems, 1993; error below 1 ulp): argument `2^k (1 + f)` with
`sqrt(1/2) < 1 + f < sqrt(2)`, and `log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2))`, s = f / (2 + f). Written without
branches it runs on as many numbers at a time as the processor takes, and gives the same digits on every one.
"""

from __future__ import annotations

import numpy as np

from infoplane.information.arrays import TINY, Columns, Floats, Ints, Places, Runs
from infoplane.information.compiling import bits_of, compiled, float_of, inlined, prefetch, reordered

# ---- numbers


_BIAS = 1023 - 15 << 52  # what the exponents of float16 lack to those of float64
_SUBNORMAL, _LEAST = 1 << 10, 2.0**-14  # bits, and value, of the smallest float16 that is not subnormal


@inlined
def _half(bits: int) -> float:
    """The value of a float16 that is finite and not negative, from its bits; no subnormal number is worked with."""
    moved = np.int64(bits) << 42
    value: float = float_of(moved + _BIAS)
    if bits < _SUBNORMAL:
        value = float_of(moved + _BIAS + (1 << 52)) - _LEAST
    return value


_TINY = float(TINY)
_ROOT = 0x3FE6A09E << 32  # bits of sqrt(1/2), but for the last ones
_FRACTION = (1 << 52) - 1
_WHOLE, _SHIFT = 0x43380000 << 32, 6755399441055744.0  # 1.5 * 2^52, whose last bits count ones
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_R1, _R2, _R3, _R4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
_R5, _R6, _R7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01


@compiled
def logarithms(x: Floats, out: Floats) -> None:
    """log x (n,) of numbers that are not negative; 0 counts as the smallest normal number."""
    for i in range(len(out)):
        bits = bits_of(max(x[i], _TINY)) - _ROOT
        k = float_of((bits >> 52) + _WHOLE) - _SHIFT
        f = float_of((bits & _FRACTION) + _ROOT) - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        r = w * (_R2 + w * (_R4 + w * _R6)) + z * (_R1 + w * (_R3 + w * (_R5 + w * _R7)))
        square = 0.5 * f * f
        out[i] = k * _LN2_HIGH - ((square - (s * (square + r) + k * _LN2_LOW)) - f)


@reordered
def _sum(x: Floats, i: int, begin: int, stop: int) -> float:
    total = 0.0
    for j in range(np.uint64(begin), np.uint64(stop)):  # an index that cannot be negative needs no look
        total += x[i, j]
    return total


@reordered
def _product(x: Floats, i: int, y: Floats, begin: int, stop: int) -> float:
    """Product of a row of x (n, w) and y (w,), over some columns."""
    total = 0.0
    for j in range(np.uint64(begin), np.uint64(stop)):
        total += x[i, j] * y[j]
    return total


@reordered
def _square(x: Floats, i: int, metric: Floats, begin: int, stop: int) -> float:
    """Product of a row with itself in the metric (w,)."""
    total = 0.0
    for j in range(np.uint64(begin), np.uint64(stop)):
        total += x[i, j] * x[i, j] * metric[j]
    return total


@inlined
def _put(a: Columns, row: int, x: Floats, i: int) -> None:
    """A row of a, as row i of x."""
    scale = a.scale[row]
    for j in range(x.shape[1]):
        x[i, j] = scale * _half(a.bits[row, j])


@inlined
def _add(a: Columns, row: int, factor: float, x: Floats, i: int) -> None:
    """A row of a times a factor, added to row i of x."""
    factor *= a.scale[row]
    for j in range(x.shape[1]):
        x[i, j] += factor * _half(a.bits[row, j])


_AHEAD, _LINE = 16, 64  # rows to prefetch ahead; bytes of a cache line


@inlined
def _prefetch(a: Columns, rows: Ints, i: int) -> None:
    """Prefetch a row that is wanted soon after rows[i], and its scale: waiting for them takes longer than adding up."""
    later = rows[min(i + _AHEAD, len(rows) - 1)]
    prefetch(a.scale, later, 0)
    for byte in range(0, 2 * a.bits.shape[1], _LINE):
        prefetch(a.bits, later, byte)


@inlined
def _put_next(a: Columns, rows: Ints, i: int, x: Floats, k: int) -> None:
    """The row rows[i] of a, as row k of x; a later row is prefetched."""
    _prefetch(a, rows, i)
    _put(a, rows[i], x, k)


@inlined
def _add_next(a: Columns, rows: Ints, i: int, factor: float, x: Floats, k: int) -> None:
    """The row rows[i] of a times a factor, added to row k of x; a later row is prefetched."""
    _prefetch(a, rows, i)
    _add(a, rows[i], factor, x, k)


@inlined
def _add_scaled(x: Floats, i: int, factor: float, y: Floats, k: int) -> None:
    """Row i of x times a factor, added to row k of y."""
    for j in range(x.shape[1]):
        y[k, j] += factor * x[i, j]


# ---- of every row


@compiled
def row_sums(a: Columns, total: Floats, of_rows: Floats) -> None:
    """Add sum_j a_ij to `total` (N,), and -sum_j a_ij log a_ij to the first of `of_rows` (N, 2)."""
    x, log = np.empty((1, a.bits.shape[1])), np.empty(a.bits.shape[1])
    for i in range(len(total)):
        _put(a, i, x, 0)
        logarithms(x[0], log)
        for c in range(len(a.cuts) - 1):
            total[i] += _sum(x, 0, a.cuts[c], a.cuts[c + 1])
            of_rows[i, 0] -= _product(x, 0, log, a.cuts[c], a.cuts[c + 1])


@compiled
def row_squares(a: Columns, metric: Floats, of_rows: Floats) -> None:
    """Add the product of each row with itself to the second of `of_rows` (N, 2)."""
    x = np.empty((1, a.bits.shape[1]))
    for i in range(len(of_rows)):
        _put(a, i, x, 0)
        for c in range(len(a.cuts) - 1):
            of_rows[i, 1] += _square(x, 0, metric, a.cuts[c], a.cuts[c + 1])


@compiled
def sums_of_runs(a: Columns, rows: Ints, starts: Ints, out: Floats) -> None:
    """Add the rows named over the runs that begin at `starts` (runs + 1,) to `out` (runs, w)."""
    for k in range(len(starts) - 1):
        for i in range(starts[k], starts[k + 1]):
            _add_next(a, rows, i, 1.0, out, k)


@compiled
def halvings(a: Columns, rows: Ints, starts: Ints, places: Places, entropy: Floats) -> None:
    """Add the entropies of means of 2, 4, 8, ... rows that follow each other in a run, as many of each as it has.

    Args:
        rows: (R,) the rows, in runs that begin at `starts` (runs + 1,).
        places: (levels, runs) where in `entropy` those of 2, 4, ... rows of each run stand.
        entropy: of all of them.
    """
    x, log = np.empty((int(np.diff(starts).max()), a.bits.shape[1])), np.empty(a.bits.shape[1])
    for run in range(len(starts) - 1):
        n = starts[run + 1] - starts[run]
        for i in range(n):
            _put_next(a, rows, starts[run] + i, x, i)
        for level in range(len(places)):
            n //= 2
            for i in range(n):
                for j in range(x.shape[1]):
                    x[i, j] = 0.5 * (x[2 * i, j] + x[2 * i + 1, j])
                logarithms(x[i], log)
                for c in range(len(a.cuts) - 1):
                    entropy[places[level, run] + i] -= _product(x, i, log, a.cuts[c], a.cuts[c + 1])


# ---- of labels


@inlined
def _of_cell(
    a: Columns, metric: Floats, rows: Ints, begin: int, stop: int, x: Floats, i: int, same: Floats, label: int
) -> None:
    """The sum of some rows, as row i of x; and the product of that sum with itself, added in each piece."""
    _put_next(a, rows, begin, x, i)
    for k in range(begin + 1, stop):
        _add_next(a, rows, k, 1.0, x, i)
    for c in range(len(a.cuts) - 1):
        same[c, label] += _square(x, i, metric, a.cuts[c], a.cuts[c + 1])


@compiled
def label_sums(
    a: Columns, metric: Floats, runs: Runs, log_sum: Floats, cross: Floats, same: Floats, pair_log: Floats
) -> None:
    """Add, of each label x, block b and document g,

    Args:
        log_sum: (L,) sum_j s_xj log s_xj,
        cross: (L,) <s_x, s_x>,
        same: (pieces, L) sum over documents of two rows or more of <s_xg, s_xg>, of each piece of columns,
        pair_log: (P,) sum_j s_xbj log s_xj; nothing if empty.
    """
    width, most = a.bits.shape[1], 1
    for label in range(len(log_sum)):
        most = max(most, runs.labels[label + 1] - runs.labels[label])
    s, pairs, cell, log = np.empty((1, width)), np.empty((most, width)), np.empty((1, width)), np.empty(width)
    for label in range(len(log_sum)):
        first, last = runs.labels[label], runs.labels[label + 1]
        s[0, :] = 0.0
        for p in range(first, last):
            for g in range(runs.blocks[p], runs.blocks[p + 1]):
                begin, stop, new = runs.documents[g], runs.documents[g + 1], g == runs.blocks[p]
                if new and stop - begin == 1:
                    _put_next(a, runs.rows, begin, pairs, p - first)
                elif new:
                    _of_cell(a, metric, runs.rows, begin, stop, pairs, p - first, same, label)
                elif stop - begin == 1:
                    _add_next(a, runs.rows, begin, 1.0, pairs, p - first)
                else:
                    _of_cell(a, metric, runs.rows, begin, stop, cell, 0, same, label)
                    _add_scaled(cell, 0, 1.0, pairs, p - first)
            _add_scaled(pairs, p - first, 1.0, s, 0)
        logarithms(s[0], log)
        for c in range(len(a.cuts) - 1):
            log_sum[label] += _product(s, 0, log, a.cuts[c], a.cuts[c + 1])
            cross[label] += _square(s, 0, metric, a.cuts[c], a.cuts[c + 1])
            for p in range(first, last if len(pair_log) else first):
                pair_log[p] += _product(pairs, p - first, log, a.cuts[c], a.cuts[c + 1])


@compiled
def row_parts(runs: Runs, of_rows: Floats, pair_entropy: Floats, own: Floats, alone: Floats) -> None:
    """Add up what is known of each row (N, 2): its entropy, and its product with itself.

    Args:
        pair_entropy: (P,) entropies of the rows of each (label, block) pair.
        own: (L,) products of the rows of each label.
        alone: (L,) those of rows that are not their label's only one of their document.
    """
    for label in range(len(own)):
        for p in range(runs.labels[label], runs.labels[label + 1]):
            for g in range(runs.blocks[p], runs.blocks[p + 1]):
                begin, stop = runs.documents[g], runs.documents[g + 1]
                for i in range(begin, stop):
                    prefetch(of_rows, runs.rows[min(i + _AHEAD, len(runs.rows) - 1)], 0)
                    pair_entropy[p] += of_rows[runs.rows[i], 0]
                    own[label] += of_rows[runs.rows[i], 1]
                    alone[label] += of_rows[runs.rows[i], 1] if stop - begin > 1 else 0.0


@compiled
def label_means(
    a: Columns,
    runs: Runs,
    kept: Floats,
    mean: Floats,
    of_blocks: Floats,
    of_documents: Floats,
    pair_block: Ints,
    pair_document: Ints,
) -> None:
    """Add up the means p of labels, and how they move with blocks and documents; n is the number of a label's rows.

    Args:
        kept: (L,) the factor c below: 1 for a label of several documents, 0 for one of a single document, less than 0
            for a label that does not count.
        mean: (1, w) p.
        of_blocks: (B, w) (n_b c p - s_b) / n of each block; nothing if empty.
        of_documents: (G, w) (s_g - n_g c p) / n of each document.
        pair_block, pair_document: (P,) and (Q,), of `infoplane.information.label_groups`.
    """
    s = np.empty((1, a.bits.shape[1]))
    for label in range(len(kept)):
        if kept[label] < 0:
            continue
        first, last = runs.labels[label], runs.labels[label + 1]
        n = runs.documents[runs.blocks[last]] - runs.documents[runs.blocks[first]]
        s[0, :] = 0.0
        for i in range(runs.documents[runs.blocks[first]], runs.documents[runs.blocks[last]]):
            _add_next(a, runs.rows, i, 1 / n, s, 0)
        _add_scaled(s, 0, 1.0, mean, 0)
        for p in range(first, last):
            for g in range(runs.blocks[p], runs.blocks[p + 1]):
                begin, stop = runs.documents[g], runs.documents[g + 1]
                part = kept[label] * (stop - begin) / n
                _add_scaled(s, 0, -part, of_documents, pair_document[g])
                if len(of_blocks):
                    _add_scaled(s, 0, part, of_blocks, pair_block[p])
                for i in range(begin, stop):
                    _add(a, runs.rows[i], 1 / n, of_documents, pair_document[g])
                    if len(of_blocks):
                        _add(a, runs.rows[i], -1 / n, of_blocks, pair_block[p])
