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


def by_the_page(z: np.ndarray, m: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, gain and directions, written from docs/reference/estimator-definition.md, row by row and in float64."""
    c, s = z.mean(0), z.std(0)
    gain = np.array([1 / np.sqrt(b) if b > 1e-6 * abs(a) else 0.0 for a, b in zip(c, s, strict=True)])
    u = np.array([x / np.linalg.norm(x) for x in (z - c) * gain])
    draw = np.random.Generator(np.random.PCG64([seed, m, z.shape[1]]))
    chosen = [int(draw.integers(len(u)))]
    while len(chosen) < m:
        far = np.array([0.0 if i in chosen else min(1 - u[i] @ u[j] for j in chosen) for i in range(len(u))])
        cumulated = np.cumsum(far)
        rows = [int(np.argmax(cumulated > p * cumulated[-1])) for p in draw.random(2 + int(np.log(m)))]
        left = [np.minimum(far, 1 - u @ u[row]).sum() for row in rows]
        chosen.append(rows[int(np.argmin(left))])
    w, before = u[chosen], -1.0
    for _ in range(25):
        nearest = [int(np.argmax(w @ x)) for x in u]
        mean = float(np.mean([w[j] @ x for j, x in zip(nearest, u, strict=True)]))
        if mean - before < 1e-3 * mean:
            break
        before = mean
        assert len(set(nearest)) == m  # what becomes of a direction without rows is tested apart
        sums = [sum(u[i] for i in range(len(u)) if nearest[i] == j) for j in range(m)]
        w = np.array([total / np.linalg.norm(total) for total in sums])
    return c, gain, w


@pytest.mark.parametrize("seed", [0, 5])
def test_the_fit_is_the_one_that_is_written_down(seed: int) -> None:
    z = clustered(300, 8, 12, 0.8, seed)[0] * np.exp2(np.arange(12) / 2).astype(np.float32) + 3
    code = FittedCode.fit(z, 8, seed)
    c, gain, w = by_the_page(z.astype(np.float64), 8, seed)
    assert np.abs(code.centre - c).max() < 1e-4 and np.abs(code.gain / gain - 1).max() < 1e-4
    assert np.abs(code.directions - w).max() < 1e-4


def test_a_direction_without_rows_moves_to_the_row_that_lies_farthest() -> None:
    """Two seeds on one row: one of the directions has no rows at first, and both clusters are found all the same."""
    u = unit(np.array([[1, 0.01 * i, 0] for i in range(20)] + [[0, 0.01 * i, 1] for i in range(3)], np.float32))
    w = spherical_centres(u, 2, seed=0)
    assert (u @ w.T).max(1).min() > 0.99
