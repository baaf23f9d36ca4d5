"""The jackknife against textbook answers."""

import numpy as np
import pytest

from infoplane.jackknife import assign_blocks, interval_of, standard_error_of


def test_the_error_of_a_mean_is_the_textbook_one() -> None:
    x = np.random.default_rng(0).normal(size=32)
    leave_one_out = (x.sum() - x) / 31
    assert standard_error_of(leave_one_out) == pytest.approx(x.std(ddof=1) / np.sqrt(32), rel=1e-12)


def test_the_interval_of_a_mean_covers_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2_000):
        x = rng.normal(size=32)
        low, high = interval_of(x.mean(), standard_error_of((x.sum() - x) / 31), 32)
        covered += low < 0 < high
    assert 0.93 < covered / 2_000 < 0.97


def test_blocks_are_balanced_and_repeatable() -> None:
    sizes = np.random.default_rng(2).integers(10, 1_000, size=300)
    block = assign_blocks(sizes)
    filled = np.bincount(block, weights=sizes, minlength=32)
    assert filled.max() - filled.min() <= sizes.max() / 4
    np.testing.assert_array_equal(block, assign_blocks(sizes))
