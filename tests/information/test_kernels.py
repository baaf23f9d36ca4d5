"""The compiled loops against plain NumPy, arbitrary precision and a root finder of SciPy."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq

from infoplane.information import kernels
from infoplane.information.assignments import Rows, columns_of, sums_of_rows
from infoplane.information.label_groups import Grouping
from infoplane.information.label_sums import Summing
from infoplane.information.marginal_entropy import NullCurve, solve_excess
from infoplane.text import Labels


def test_float16_is_decoded_exactly() -> None:
    bits = np.arange(0x7C00, dtype=np.uint16)  # all that are not negative, and finite
    out = np.zeros((len(bits) // 4, 4))
    each = np.arange(len(out) + 1, dtype=np.int32)
    kernels.sums_of_runs(columns_of(bits.reshape(out.shape).view(np.float16), np.ones(len(out))), each[:-1], each, out)
    assert (out.ravel() == bits.view(np.float16).astype(np.float64)).all()


def test_logarithms_are_right_within_one_unit_in_the_last_place() -> None:
    random = np.random.default_rng(0)
    least = np.finfo(np.float64).tiny
    x = np.concatenate(
        [
            random.random(4000) * 30,
            np.exp(random.uniform(-708, 12, 4000)),
            1 + random.standard_normal(1000) * np.exp(random.uniform(-35, -3, 1000)),
            [1, 2, 0.5, np.sqrt(0.5), np.sqrt(2), least, 1 - 2**-53, 1 + 2**-52],
        ]
    )
    out = np.empty_like(x)
    kernels.logarithms(x, out)
    with mpmath.workprec(200):
        off = [abs(float(mpmath.mpf(got) - mpmath.log(mpmath.mpf(of)))) for got, of in zip(out, x, strict=True)]
    assert (np.array(off) <= np.spacing(np.abs(out))).all()
    none = np.zeros(1)
    kernels.logarithms(none, none)
    assert none[0] == np.log(least)  # so that 0 log 0 is 0


@pytest.fixture
def layer() -> tuple[Rows, Grouping, np.ndarray, np.ndarray, np.ndarray]:
    """Assignments, labels in groups, and labels, documents and blocks of each row."""
    random = np.random.default_rng(1)
    a = random.dirichlet(np.full(70, 0.2), 3000).astype(np.float16)
    codes = random.geometric(0.02, 3000).astype(np.int32)
    document = np.sort(random.integers(0, 40, 3000)).astype(np.int32)
    block = random.permutation(np.arange(40, dtype=np.int32) % 8).astype(np.int32)
    g = Grouping.of(Labels(np.arange(3000, dtype=np.int32), codes), document, block)
    return Rows.of(a), g, codes, document, block[document]


def test_sums_of_labels_are_those_of_their_definition(
    layer: tuple[Rows, Grouping, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    rows, g, codes, document, block = layer
    x = rows.get(np.arange(len(codes), dtype=np.int32))
    np.testing.assert_allclose(x.sum(1), 1, rtol=1e-14)
    summing = Summing(rows, g, errors=True, uniform=False)
    for columns, part in rows.pieces():
        summing.add(columns, part)
    sums = summing.done()
    labels = [int(codes[g.rows[i]]) for i in g.label_starts_in_rows[:-1]]
    for at, label in enumerate(labels):
        mine = codes == label
        n, mean = mine.sum(), x[mine].mean(0)
        there = mean > 0
        assert sums.entropy[at] == pytest.approx(-(mean[there] * np.log(mean[there])).sum(), rel=1e-12)
        assert sums.row_entropy[at] == pytest.approx(rows.entropy[mine].sum(), rel=1e-12)
        total = x[mine].sum(0)
        assert summing.cross[at] == pytest.approx((total**2 * rows.metric).sum(), rel=1e-12)
        several = [x[mine & (document == d)].sum(0) for d in set(document[mine]) if (mine & (document == d)).sum() > 1]
        same = np.concatenate(summing.same).sum(0)[at]
        assert same == pytest.approx(sum((s**2 * rows.metric).sum() for s in several), rel=1e-12)
        for p in range(g.label_starts[at], g.label_starts[at + 1]):
            inside = mine & (block == g.pair_block[p])
            want = -(x[inside].sum(0)[there] * np.log(mean[there])).sum() - rows.entropy[inside].sum()
            assert sums.share[p] == pytest.approx(want, abs=1e-9 * n)
    assert len(labels) > 50


def test_rows_have_the_entropy_and_the_square_of_their_definition(
    layer: tuple[Rows, Grouping, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    rows = layer[0]
    x = rows.get(np.arange(3000, dtype=np.int32))
    np.testing.assert_allclose(rows.entropy, -(x * np.log(np.maximum(x, 1e-300))).sum(1), rtol=1e-12)
    np.testing.assert_allclose(rows.metric, 1 / x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(rows.square, (x**2 / x.mean(0)).sum(1), rtol=1e-12)
    ((_, whole),) = rows.pieces()
    starts = np.array([0, 7, 7, 2000, 3000], np.int32)
    order = np.random.default_rng(2).permutation(3000).astype(np.int32)
    want = [x[order[i:j]].sum(0) for i, j in itertools.pairwise(starts)]
    np.testing.assert_allclose(sums_of_rows(whole, order, starts), want, rtol=1e-12, atol=1e-14)


def test_a_layer_in_any_order_of_memory_is_the_same_layer() -> None:
    a = np.random.default_rng(3).dirichlet(np.ones(9), 50).astype(np.float16)
    turned = columns_of(np.asfortranarray(a), np.ones(50))
    assert (turned.bits == columns_of(a, np.ones(50)).bits).all()
    assert (Rows.of(a[:, ::2]).entropy == Rows.of(a[:, ::2].copy()).entropy).all()


def test_entropies_of_halved_rows() -> None:
    a = np.random.default_rng(4).dirichlet(np.ones(70), 40).astype(np.float16)
    layer, rows = Rows.of(a), np.random.default_rng(5).permutation(40).astype(np.int32)
    x, starts = layer.get(rows), np.array([0, 13, 14, 39], np.int32)
    found = layer.halvings(rows, starts, 3)
    for level, entropy in enumerate(found, 1):
        k = 1 << level
        means = [
            x[i : i + k].mean(0)
            for begin, stop in itertools.pairwise(starts.tolist())
            for i in range(begin, stop - k + 1, k)
        ]
        np.testing.assert_allclose(entropy, [-(p * np.log(p)).sum() for p in means], rtol=1e-13)
    assert [len(entropy) for entropy in found] == [6 + 12, 3 + 6, 1 + 3]


@pytest.mark.parametrize("curved", [False, True])
def test_the_excess_solves_its_equation(curved: bool) -> None:
    grid = np.linspace(0, np.log(256), 145)
    curve = NullCurve(float(grid[1]), np.log(2 / (1 + np.exp(grid))) if curved else -grid)

    def delta(log_n: float) -> float:
        last = grid[-1]
        inside = np.interp(log_n, grid, curve.log_delta)
        if log_n > last:
            inside -= log_n - last
        elif log_n < 0:
            inside += (curve.log_delta[1] - curve.log_delta[0]) / grid[1] * log_n
        return float(np.exp(inside))

    random = np.random.default_rng(5)
    d, log_n = np.exp(random.uniform(-9, 1, 300)), random.uniform(0.05, 9, 300)
    d[:2] = 0, -0.1
    found = solve_excess(curve, d, log_n)
    assert (found[:2] == 0).all()
    for e, want, n in zip(found[2:], d[2:], log_n[2:], strict=True):
        b = brentq(lambda b, want=want, n=n: np.log((delta(b) - delta(b + n)) / want), -25, 40, xtol=1e-14)
        assert e == pytest.approx(delta(b), rel=1e-10)
