"""The jackknife against textbook answers."""

import numpy as np
import pytest

from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.document_jackknife import interval_of, partner_weight, standard_error_of


def test_the_error_of_a_mean_is_the_textbook_one() -> None:
    x = np.random.default_rng(0).normal(size=32)
    leave_one_out = (x.sum() - x) / 31
    assert standard_error_of(leave_one_out) == pytest.approx(x.std(ddof=1) / np.sqrt(32), rel=1e-12)


def test_the_interval_of_a_mean_covers_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2_000):
        x = rng.normal(size=32)
        low, high = interval_of(x.mean(), standard_error_of((x.sum() - x) / 31), 31)
        covered += low < 0 < high
    assert 0.93 < covered / 2_000 < 0.97


@pytest.mark.parametrize("single", [0.0, 3.0])
def test_pairs_of_rows_are_counted_once(single: float) -> None:
    """A sum over labels seen twice, in two blocks each, with and without a part of single blocks."""
    rng = np.random.default_rng(3)
    labels, lent = 400, float(partner_weight(1, 1))
    truth = labels + 32 * single**2
    said, deleted, inside = [], [], 0
    for _ in range(2_000):
        first = rng.integers(32, size=labels)
        second = (first + rng.integers(1, 32, size=labels)) % 32
        pair, alone = rng.normal(size=labels), single * rng.normal(size=32)
        value = pair.sum() + alone.sum()
        of_block = np.bincount(first, pair, 32) + np.bincount(second, pair, 32)
        # deleting a block takes all of its pairs, its share is half of each; 32 / 31 is the step of a mean
        part = 0.5 * (1 + lent)
        error = standard_error_of(value - 32 / 31 * (part * of_block + alone))
        said.append(error**2)
        deleted.append(standard_error_of(value - 32 / 31 * (of_block + alone)) ** 2)
        low, high = interval_of(value, error, 31)
        inside += low < 0 < high
    assert np.mean(said) == pytest.approx(truth, rel=0.08)
    assert 0.93 < inside / 2_000 < 0.97
    assert np.mean(deleted) == pytest.approx(2 * truth - 32 * single**2, rel=0.08)  # deleting: L + 2 Q


def test_partner_weight_solves_its_equation() -> None:
    b, c = np.array([1, 1, 5, 40]), np.array([1, 3, 2, 1])
    w, taken = b / (b + c), partner_weight(b, c)
    np.testing.assert_allclose((1 - w + taken * w) ** 2 + (w + taken * (1 - w)) ** 2, 1, rtol=1e-12)
    assert taken[0] == pytest.approx(np.sqrt(2) - 1) and (taken >= 0).all()


def test_blocks_are_balanced_and_repeatable() -> None:
    sizes = np.random.default_rng(2).integers(10, 1_000, size=300)
    block = assign_blocks(sizes)
    filled = np.bincount(block, weights=sizes, minlength=32)
    assert filled.max() - filled.min() <= sizes.max() / 4
    np.testing.assert_array_equal(block, assign_blocks(sizes))
