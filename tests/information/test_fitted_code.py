"""Fitted codes: what they find, what they do not depend on, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from infoplane.errors import SettingError
from infoplane.information.fitted_code import FittedCode, FittedCodes, spherical_centres, unit


def clustered(n: int, m: int, d: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, d) rows around m unit vectors, those vectors, and which row belongs to which."""
    r = np.random.default_rng(seed)
    means = unit(r.standard_normal((m, d)).astype(np.float32))
    of = r.integers(m, size=n)
    return (means[of] + spread * r.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32), means, of


def test_clusters_that_are_there_are_found() -> None:
    z, means, _ = clustered(2_000, 20, 64, 0.3)
    w = spherical_centres(unit(z), 20, seed=0, rounds=50)
    nearest = (means @ w.T).max(1)
    assert (nearest > 0.99).sum() >= 17  # k-means may join two and divide one
    assert np.allclose(np.linalg.norm(w, axis=1), 1, atol=1e-5)


def test_centres_are_as_good_as_those_of_another_implementation() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    u = unit(np.random.default_rng(1).standard_normal((1_500, 32)).astype(np.float32))
    theirs = unit(cluster.KMeans(50, n_init=1, random_state=0).fit(u).cluster_centers_.astype(np.float32))
    mine = spherical_centres(u, 50, seed=0)
    assert (u @ mine.T).max(1).mean() > 0.99 * (u @ theirs.T).max(1).mean()


@pytest.mark.parametrize("scale", [2.0**-12, 1.0, 2.0**9])
def test_neither_the_scale_of_all_nor_the_mean_of_a_dimension_counts(scale: float) -> None:
    z = clustered(600, 12, 24, 0.5)[0]
    shift = (5 * np.random.default_rng(2).standard_normal(24)).astype(np.float32)
    moved = (scale * (z + shift)).astype(np.float32)
    assert np.abs(FittedCode.fit(z, 12).cosines(z) - FittedCode.fit(moved, 12).cosines(moved)).max() < 1e-3


def test_a_dimension_of_large_numbers_weighs_as_the_root_of_its_spread() -> None:
    z = clustered(3_000, 12, 24, 0.5)[0]
    z[:, 5] *= 100
    code = FittedCode.fit(z, 12)
    spread = ((z - code.centre) * code.gain).std(0)
    assert spread == pytest.approx(np.sqrt(z.std(0)), rel=1e-3)
    assert spread[5] == pytest.approx(10 * np.median(spread), rel=0.3)


def test_the_same_rows_and_seed_give_the_same_code() -> None:
    z = clustered(500, 10, 16, 0.5)[0]
    one, two, other = FittedCode.fit(z, 10), FittedCode.fit(z.copy(), 10), FittedCode.fit(z, 10, seed=1)
    assert one.hash == two.hash != other.hash
    assert (one.m, one.d, one.rows) == (10, 16, 500) and "10 directions" in repr(one)


def test_a_dimension_that_does_not_vary_is_left_out() -> None:
    z = clustered(500, 10, 16, 0.5)[0]
    z[:, 3] = 1e4
    code = FittedCode.fit(z, 10)
    assert code.gain[3] == 0 and (code.gain[np.arange(16) != 3] > 0).all()
    other = z.copy()
    other[:, 3] = 0
    assert np.array_equal(code.cosines(z), code.cosines(other))


def test_a_state_at_the_centre_has_no_direction() -> None:
    code = FittedCode.fit(clustered(500, 10, 16, 0.5)[0], 10)
    assert not code.cosines(code.centre[None]).any()


def test_rows_that_are_the_same_leave_centres_that_can_be_used() -> None:
    z = np.repeat(np.eye(4, dtype=np.float32), 25, axis=0)
    code = FittedCode.fit(z, 10)
    assert np.isfinite(code.directions).all()
    assert np.allclose(np.linalg.norm(code.directions, axis=1), 1, atol=1e-5)
    assert np.allclose(code.cosines(z).max(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (np.ones((9, 4)), r"\(9, 4\) for 10 directions"),
        (np.ones(20), r"expected \(n, d\)"),
        (np.full((20, 4), np.nan), "NaN or infinity"),
    ],
)
def test_what_cannot_be_fitted_is_refused(z: np.ndarray, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        FittedCode.fit(z, 10)


def test_a_layer_that_does_not_vary_has_no_cosines() -> None:
    code = FittedCode.fit(np.full((30, 4), 2.5), 10)
    assert not code.gain.any() and not code.cosines(np.random.default_rng(0).standard_normal((9, 4))).any()
    assert np.isfinite(code.directions).all()


def test_codes_can_be_stored() -> None:
    z = clustered(300, 8, 12, 0.5)[0]
    codes = FittedCodes({"embed": (FittedCode.fit(z, 8),), "block.0": (FittedCode.fit(z + 1, 8, seed=1),)})
    again = FittedCodes.from_arrays(codes.arrays(), ["embed", "block.0"], 1)
    assert (again.m, again.sets) == (8, 1)
    for layer in codes.of:
        assert again.of[layer][0].hash == codes.of[layer][0].hash and again.of[layer][0].rows == 300
    with pytest.raises(KeyError):
        FittedCodes.from_arrays(codes.arrays(), ["embed"], 2)
