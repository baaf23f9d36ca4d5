"""The correction that learns from thinned labels, against truths that are known by integration."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from channels import GaussianChannel, as_labels, estimate
from scipy.special import stdtrit

import infoplane
from infoplane.information.assignments import Rows
from infoplane.information.estimator_names import NULL_CURVE, THINNED
from infoplane.information.estimators import shape_of
from infoplane.information.label_groups import Grouping
from infoplane.information.thinning import MIN_DOCUMENTS, Shape, Thinning, fit_shape
from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.document_jackknife import standard_error_of


def grouped(labels: np.ndarray, document: np.ndarray) -> Grouping:
    return Grouping.of(as_labels(labels), document.astype(np.int32), assign_blocks(np.bincount(document)))


@pytest.mark.parametrize("shape", [{}, {"document": 0.7}, {"k": 800, "scale": 1.0, "shape": "mixed"}])
def test_it_is_right_where_labels_tell_much_and_the_null_curve_is_not(shape: dict[str, object]) -> None:
    channel = GaussianChannel(**shape)
    found = [estimate(*channel.draw(seed, 8_000), thinned=True) for seed in range(8)]
    off, before = (np.mean([one.by(name)[0] for one in found]) / channel.truth - 1 for name in (THINNED, "null-curve"))
    spread = np.std([one.thinned[0] for one in found], ddof=1) / channel.truth
    assert before > 0.03
    assert abs(off) < max(0.02, 3 * spread / np.sqrt(8))
    error = np.mean([standard_error_of(one.thinned[1:]) for one in found])
    assert 0.5 < error / (spread * channel.truth) < 2


def test_labels_that_mean_nothing_tell_nothing() -> None:
    channel = GaussianChannel(k=2000, scale=0.0, draws=500)
    found = [estimate(*channel.draw(seed, 8_000), thinned=True) for seed in range(6)]
    values = np.array([one.thinned[0] for one in found])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(6) + 1e-3
    assert found[0].plugin[0] > 0.4


def test_a_known_shape_is_found() -> None:
    r = np.random.default_rng(0)
    sizes, truth = 2.0 ** np.arange(1, 8), r.uniform(0.5, 0.8, 40)
    n = np.full(40, 400.0)

    def seen(k: float) -> np.ndarray:  # what the curve gives for labels of k rows, if the shape is that below
        e = truth.copy()
        for _ in range(60):
            e = truth - e * (1 - e) * 3.0 / (k + 8.0)
        return e

    thinned = np.array([seen(k) for k in sizes])
    shape = fit_shape(thinned, sizes, np.full(thinned.shape, 100.0), seen(400), n, np.zeros((7, 40, 3)))
    assert (shape.beta == shape.beta[:, :1]).all()  # no block of documents moves anything
    for n_few in (1, 4, 16, 64):
        moved = shape.excess(np.full((1, 4), 0.5), np.full((1, 4), n_few))[0, 0] - 0.5
        assert moved == pytest.approx(0.25 * 3.0 / (n_few + 8.0), rel=0.15)
    better = shape.excess(thinned, sizes[:, None])
    assert np.abs(better - truth).max() < 0.1 * np.abs(thinned - truth).max()


def test_blocks_are_of_one_label_and_of_different_documents() -> None:
    r = np.random.default_rng(1)
    document = np.sort(r.integers(60, size=4000))
    labels = np.minimum(r.geometric(0.2, 4000), 12)
    g = grouped(labels, document)
    thinning = Thinning.of(g)
    assert thinning.enough and [level.k for level in thinning.levels][:3] == [2, 4, 8]
    assert (g.label_documents[thinning.labels] >= MIN_DOCUMENTS).all()
    members = [[int(row)] for row in thinning.rows]
    for level in thinning.levels:
        members = [members[i] + members[i + 1] for i in level.first]
        for rows, label in zip(members, level.label, strict=True):
            assert len(rows) == level.k == len({int(document[i]) for i in rows})
            assert {int(labels[i]) for i in rows} == {
                int(labels[g.rows[g.label_starts_in_rows[thinning.labels[label]]]])
            }


def test_without_frequent_labels_it_is_the_null_curve() -> None:
    r = np.random.default_rng(2)
    document = np.repeat(np.arange(200), 20)
    labels = r.integers(1500, size=4000)
    rows = r.dirichlet(np.ones(8), 4000).astype(np.float16)
    found = estimate(rows, labels, document.astype(np.int32), thinned=True)
    assert not Thinning.of(grouped(labels, document)).enough
    np.testing.assert_array_equal(found.thinned, found.null_curve)
    assert estimate(rows, labels, document.astype(np.int32)).thinned is None


def test_a_layer_where_nothing_varies_has_no_shape() -> None:
    document = np.repeat(np.arange(100), 20).astype(np.int32)
    labels = np.tile(np.arange(10), 200)
    found = estimate(np.full((2000, 4), 0.25, np.float16), labels, document, thinned=True)
    np.testing.assert_allclose(found.thinned, 0.0, atol=1e-12)
    assert Shape().excess(np.full((2, 3), 0.4), np.ones((2, 3))).tolist() == [[0.4] * 3] * 2


def test_measuring_it_too_changes_no_other_number() -> None:
    capture = infoplane.open_capture(Path(__file__).parents[1] / "promises/golden/capture-64")
    plain = infoplane.measure_capture(capture, orders=(1, 2), estimators=("null-curve", "plugin"))
    more = infoplane.measure_capture(capture, orders=(1, 2), estimators=("null-curve", "plugin", "corrected"))
    kept = {row.key: row for row in more}
    assert all(kept[row.key] == row for row in plain)
    rows = [row for row in more if row.estimator == THINNED]
    assert {"complexity", "expressivity", "optimality", "share"} <= {row.quantity for row in rows}
    assert all(len(row.replicates) in (0, 32) for row in rows)
    alone = infoplane.measure_capture(capture, orders=(1, 2), estimators=("corrected",), memory="900MB", threads=1)
    assert [(r.key, r.value) for r in alone if r.estimator == THINNED] == [(r.key, r.value) for r in rows]


def test_intervals_count_what_the_correction_takes_for_granted() -> None:
    """A fifth of what thinning adds; of a mean, ratio, share or difference as of the values that these are of."""
    capture = infoplane.open_capture(Path(__file__).parents[1] / "promises/golden/capture-64")
    both = infoplane.measure_capture(capture, orders=(1, 2), estimators=("corrected", "null-curve"))
    for layer, quantity, side in (("block.2", "complexity", "input"), ("model", "expressivity", "output")):
        row, before = (
            both.get(quantity, layer, side=side, order=1, position_set="P_1", estimator=name)
            for name in (THINNED, NULL_CURVE)
        )
        assert row.correction_error == pytest.approx(0.2 * (before.value - row.value), rel=1e-9)
        assert before.correction_error is None
        half = stdtrit(row.degrees_of_freedom, 0.975) * math.hypot(row.total_error, row.correction_error)
        assert row.interval == pytest.approx((row.value - half, row.value + half), abs=1e-12)
    x, y, ratio = (
        both.get(quantity, "block.2", order=1, position_set="P_1", estimator=THINNED)
        for quantity in ("complexity", "expressivity", "optimality")
    )
    moved = (y.value + y.correction_error) / (x.value + x.correction_error)
    assert ratio.correction_error == pytest.approx(moved - ratio.value, rel=1e-9)
    wide, narrow = (
        both.get("complexity", "block.2", order=2, position_set="P_2", estimator=THINNED),
        both.get("share", "block.2", side="input", order=1, estimator=THINNED),
    )
    share = both.get("share", "block.2", side="input", order=2, estimator=THINNED)
    assert share.correction_error == pytest.approx(wide.correction_error - narrow.correction_error, abs=1e-12)
    nothing = both.minus(both)
    assert all(row.correction_error in (None, 0.0) and row.value == 0 for row in nothing)


def test_the_shape_is_of_the_labels_that_are_seen_often() -> None:
    channel = GaussianChannel(k=300)
    a, x, document = channel.draw(0, 8_000)
    g = grouped(x, document)
    from infoplane.information.label_sums import Summing
    from infoplane.information.marginal_entropy import Marginal, NullCurve

    rows, layer, block = np.arange(8_000, dtype=np.int32), Rows.of(a), assign_blocks(np.bincount(document))
    summing = Summing(layer, g, errors=True, uniform=False)
    for columns, part in layer.pieces():
        summing.add(columns, part)
    marginal, curve = Marginal.of(layer, rows, document, block), NullCurve.of(layer, rows)
    shape = shape_of(layer, Thinning.of(g), g, summing.done(), marginal, curve)
    beta = shape.beta.sum(0)  # the weights of kappas add up to 1
    assert 0.5 < beta[0] < 6 and beta.shape == (1 + g.blocks,)
    assert 0 < np.std(beta[1:]) < 0.3 * beta[0]
