"""The estimators against truth known by construction, brute force and the published package."""

from __future__ import annotations

import math

import numpy as np
import pytest
from channels import Channel, as_labels, estimate

from infoplane.information.assignments import Rows
from infoplane.information.estimators import Tally
from infoplane.information.label_groups import Grouping
from infoplane.information.label_sums import Summing
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.information.reference_points import ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.text.ngram_labels import permuted, shifted
from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def plugin_by_hand(a: np.ndarray, labels: np.ndarray, weight: str = "frequency") -> float:
    x = a.astype(np.float64)
    x /= x.sum(1, keepdims=True)
    kept = [v for v in np.unique(labels) if weight == "frequency" or (labels == v).sum() >= 5]
    share = {v: (labels == v).mean() if weight == "frequency" else 1 / len(kept) for v in kept}
    mean = {v: x[labels == v].mean(0) for v in kept}
    total = sum(share[v] * mean[v] for v in kept)
    return entropy(total) - sum(share[v] * entropy(mean[v]) for v in kept)


@pytest.mark.parametrize("weight", ["frequency", "uniform"])
def test_plugin_equals_brute_force(weight: str) -> None:
    a, labels, document = Channel(k=80).draw(0, 50, 9)
    found = estimate(a, labels, document, weight)
    assert found.plugin[0] == pytest.approx(plugin_by_hand(a, labels, weight), abs=1e-12)


@pytest.mark.parametrize("weight", ["frequency", "uniform"])
def test_replicates_are_the_delete_one_block_estimates_where_labels_are_frequent(weight: str) -> None:
    """With a few frequent labels there are no pairs to speak of: the jackknife proper is the referee."""
    a, labels, document = Channel(k=6, m=12, rows=30).draw(0, 64, 400)
    found = estimate(a, labels, document, weight)
    block = assign_blocks(np.bincount(document))[document]
    for name in ("plugin", "null_curve"):
        replicates = getattr(found, name)[1:]
        deleted = []
        for b in range(32):
            left = block != b
            renumbered = np.unique(document[left], return_inverse=True)[1].astype(np.int32)
            deleted.append(getattr(estimate(a[left], labels[left], renumbered, weight), name)[0])
        # estimating anew draws another null curve and another rho, which replicates hold
        assert np.corrcoef(deleted, replicates)[0, 1] > (0.999 if name == "plugin" else 0.98), name
        assert replicates.std() == pytest.approx(np.std(deleted), rel=0.1), name


@pytest.mark.parametrize("common", [0, 40])
def test_labels_of_one_document_have_errors_under_uniform_weights(common: int) -> None:
    """Their mean does not hang on what the document weighs: the error was 0 with no other labels, and too small."""
    fixed = np.random.default_rng(5)
    table = np.exp(2 * fixed.standard_normal((30, 12)))
    table /= table.sum(1, keepdims=True)
    of_common = fixed.dirichlet(np.full(30, 0.5), common)
    plugin, errors = [], []
    for seed in range(60):
        r = np.random.default_rng(seed)
        mixture = np.vstack((of_common, r.dirichlet(np.full(30, 0.5), 64)))  # a label of each document's own
        documents = np.repeat(np.arange(64), 20 + 30 * (common > 0)).astype(np.int32)
        labels = common + documents
        others = np.arange(len(labels)) % 50 >= 20
        labels[others] = r.integers(common, size=others.sum()) if common else labels[others]
        row = (r.random(len(labels))[:, None] > np.cumsum(mixture[labels], 1)).sum(1).clip(0, 29)
        found = estimate(table[row].astype(np.float16), labels, documents, "uniform")
        plugin.append(found.plugin[0])
        errors.append(standard_error_of(found.plugin[1:]))
    assert np.mean(errors) == pytest.approx(np.std(plugin, ddof=1), rel=0.25)  # the spread is known to 9 %


def test_shares_add_up_to_the_whole() -> None:
    """Without what labels in two blocks lend each other, withdrawn shares are all there is."""
    a, labels, document = Channel(k=80).draw(0, 50, 9)
    layer, block = Rows.of(a), assign_blocks(np.bincount(document))
    grouping = Grouping.of(as_labels(labels), document, block)
    summing = Summing(layer, grouping, errors=True, uniform=False)
    for columns, x in layer.pieces():
        summing.add(columns, x)
    sums = summing.done()
    gap = (grouping.label_n * sums.entropy - sums.row_entropy).sum()
    assert sums.share.sum() == pytest.approx(gap, rel=1e-12)
    tally = Tally(grouping, "frequency")
    assert tally.shares(sums.share).sum() == pytest.approx(gap, rel=1e-12)  # what is lent is less its mean


def test_columns_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Channel(k=300).draw(0, 50, 30)
    whole = [estimate(*drawn, weight) for weight in ("frequency", "uniform")]
    monkeypatch.setattr("infoplane.information.assignments.WIDTH", 5)
    for weight, want in zip(("frequency", "uniform"), whole, strict=True):
        found = estimate(*drawn, weight)
        np.testing.assert_allclose(found.plugin, want.plugin, rtol=1e-11)
        np.testing.assert_allclose(found.null_curve, want.null_curve, rtol=1e-9)


def test_marginal_of_each_delete_one_block_sample_is_that_of_the_smaller_sample() -> None:
    a, _, document = Channel(k=80).draw(0, 50, 9)
    rows, block = np.arange(len(a), dtype=np.int32), assign_blocks(np.bincount(document))
    layer = Rows.of(a)
    whole = Marginal.of(layer, rows, document, block)
    left = rows[block[document] != 3]
    part = Marginal.of(layer, left, document, None)
    for name in ("n", "entropy", "entropy_corrected", "row_entropy", "ceiling", "ceiling_corrected"):
        assert getattr(whole, name)[4] == pytest.approx(getattr(part, name)[0], rel=1e-9), name


@pytest.mark.parametrize(
    "channel, documents, length",
    [
        (Channel(), 300, 100),
        (Channel(document_effect=0.0), 300, 100),
        (Channel(reinforce=0.5), 300, 100),
        (Channel(k=5000), 200, 50),
        (Channel(k=300, reinforce=0.5, document_effect=0.4), 100, 60),
    ],
    ids=["zipf", "no-documents", "bursty", "few-samples", "strong-documents"],
)
def test_corrected_meets_the_truth_where_plugin_is_far_off(channel: Channel, documents: int, length: int) -> None:
    found = [estimate(*channel.draw(seed, documents, length)) for seed in range(8)]
    plugin = np.mean([f.plugin[0] for f in found])
    corrected = np.array([f.null_curve[0] for f in found])
    noise = corrected.std(ddof=1) / math.sqrt(len(corrected))
    assert abs(corrected.mean() - channel.truth) < 0.05 * channel.truth + 2 * noise
    assert plugin > 1.2 * channel.truth


@pytest.mark.parametrize("reinforce", [0.0, 0.5])
def test_labels_that_mean_nothing_give_nothing(reinforce: float) -> None:
    """Labels alike for all rows, under a document effect and bursts: zero, and zero under both controls."""
    channel = Channel(k=2000, noise=1.0, reinforce=reinforce, document_effect=0.3)
    assert channel.truth == pytest.approx(0, abs=1e-12)
    for kind in ("value", "permuted", "shifted"):
        found = []
        for seed in range(6):
            a, labels, document = channel.draw(seed, 200, 60)
            these = as_labels(labels)
            if kind != "value":
                these = permuted(these, seed) if kind == "permuted" else shifted(these, document)
            found.append(estimate(a, these, document))
        values = np.array([f.null_curve[0] for f in found])
        errors = np.array([standard_error_of(f.null_curve[1:]) for f in found])
        assert abs(values.mean()) < 3 * errors.mean() / math.sqrt(len(values)), kind
        assert np.mean([f.plugin[0] for f in found]) > 0.1


def test_a_thousand_labels_independent_of_the_states_read_zero() -> None:
    """Where the published package reports 0.42 of a maximum of 1."""
    r = np.random.default_rng(0)
    z = r.standard_normal((8000, 64))
    a = soft_assign(z, ReferencePoints.make(64, 100)).astype(np.float16)
    labels, document = r.integers(1000, size=8000), np.repeat(np.arange(80), 100).astype(np.int32)
    found = estimate(a, labels, document)
    error = standard_error_of(found.null_curve[1:])
    assert abs(found.null_curve[0]) < 2.5 * error < 0.05 * math.log(100)
    assert found.plugin[0] > 5 * error


def test_labels_seen_once_give_the_ceiling_by_plugin_and_nothing_by_corrected() -> None:
    a, _, document = Channel().draw(0, 60, 20)
    found = estimate(a, np.arange(len(a)), document)
    rows = np.arange(len(a), dtype=np.int32)
    ceiling = Marginal.of(Rows.of(a), rows, document, None).ceiling[0]
    assert found.plugin[0] == pytest.approx(ceiling, abs=1e-9)
    assert found.null_curve is None


def test_a_label_that_decides_everything_keeps_the_ceiling() -> None:
    """Rows that are functions of the label: nothing is left over, whatever the estimator."""
    r = np.random.default_rng(0)
    table = r.dirichlet(np.full(16, 0.3), 40)
    labels, document = r.integers(40, size=3000), np.repeat(np.arange(60), 50).astype(np.int32)
    a = table[labels].astype(np.float16)
    found = estimate(a, labels, document)
    truth = entropy(table.mean(0)) - np.mean([entropy(p) for p in table])
    assert found.null_curve[0] == pytest.approx(truth, rel=0.02)
    assert found.plugin[0] == pytest.approx(truth, rel=0.02)


def test_null_curve_is_that_of_means_of_random_rows() -> None:
    a, _, document = Channel().draw(0, 200, 50)
    layer, rows = Rows.of(a), np.arange(len(a), dtype=np.int32)
    curve = NullCurve.of(layer, rows)
    marginal = Marginal.of(layer, rows, document, None)
    r = np.random.default_rng(3)
    x = layer.get(rows)
    for n in (1, 3, 20, 100):
        means = [entropy(x[r.choice(len(x), n, replace=False)].mean(0)) for _ in range(3000)]
        want = marginal.entropy_corrected[0] - np.mean(means)
        table = np.interp(math.log(n), curve.step * np.arange(len(curve.log_delta)), curve.log_delta)
        got = math.exp(table) * marginal.ceiling_corrected[0]
        assert got == pytest.approx(want, rel=0.06)


def test_shift_gives_every_position_a_label_of_another_document() -> None:
    document = np.repeat(np.arange(7), [5, 9, 3, 8, 4, 6, 7]).astype(np.int32)
    moved = shifted(as_labels(document), document)
    assert moved is not None and not (moved.codes == document).any()
    assert (np.bincount(moved.codes) == np.bincount(document)).all()
    assert shifted(as_labels(document), np.zeros_like(document)) is None


def test_grouping_counts() -> None:
    labels = np.array([0, 1, 0, 2, 0, 1, 3, 0])
    document = np.array([0, 0, 0, 1, 1, 2, 2, 2], np.int32)
    g = Grouping.of(as_labels(labels), document, np.array([0, 0, 1], np.int32))
    assert g.label_n.tolist() == [4, 2] and g.label_documents.tolist()[0] >= 2
    assert g.pair_n.tolist() == [3, 1, 1, 1] and g.label_square.tolist() == [4 + 1 + 1, 2]
    assert g.pair_block.tolist() == [0, 1, 0, 1] and sorted(g.single_block.tolist()) == [0, 1]
    assert g.repeated_mass == 6 / 8


def test_intervals_cover_the_truth() -> None:
    """Two hundred draws here; the thousand of the study are in docs/findings/estimator.md."""
    channel = Channel(k=200, m=12, rows=30, reinforce=0.3)
    inside = 0
    for seed in range(200):
        found = estimate(*channel.draw(seed, 64, 40))
        low, high = interval_of(found.null_curve[0], standard_error_of(found.null_curve[1:]), 31)
        inside += low <= channel.truth <= high
    assert 0.91 <= inside / 200 <= 0.99


def test_plugin_equals_the_published_package() -> None:
    published = pytest.importorskip("soft_entropy.accumulator").SoftEntropyAccumulator
    r = np.random.default_rng(0)
    points = ReferencePoints.make(48, 100, calibration="amos-lower")
    z = r.standard_normal((3000, 48)) + 2 * r.standard_normal((30, 48))[r.integers(30, size=3000)]
    labels, document = r.zipf(1.5, 3000) % 500, np.repeat(np.arange(60), 50).astype(np.int32)
    peer = published(48, 100, seed=0, backend="numpy")
    assert points.eps == pytest.approx(float(peer.temp), rel=1e-6)  # the calibration of that package
    peer.w = points.directions
    peer.update(z, labels=labels)
    a = soft_assign(z, points).astype(np.float16)
    rows = np.arange(3000, dtype=np.int32)
    mine = Marginal.of(Rows.of(a), rows, document, None)
    assert mine.entropy[0] / math.log(100) == pytest.approx(float(peer.entropy()), abs=1e-4)
    theirs = peer.mutual_information()
    theirs = theirs["labels"] if isinstance(theirs, dict) else theirs
    assert estimate(a, labels, document).plugin[0] / math.log(100) == pytest.approx(float(theirs), abs=1e-4)
