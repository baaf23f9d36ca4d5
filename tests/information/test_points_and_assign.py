"""Reference points and the soft assignment: one definition on two backends, fixed by seed, number and width."""

import math

import numpy as np
import pytest
import torch

from infoplane.errors import SettingError
from infoplane.information.reference_points import PointSets, ReferencePoints
from infoplane.information.soft_assignment import soft_assign, soft_entropy


def _by_definition(z: np.ndarray, points: ReferencePoints) -> np.ndarray:
    rows = []
    for state in z:
        cosines = [float(state @ w / np.linalg.norm(state)) for w in points.directions]
        weights = [math.exp(c / points.eps) for c in cosines]
        rows.append([w / math.fsum(weights) for w in weights])
    return np.array(rows)


@pytest.mark.parametrize("d", [2, 7, 576])
def test_both_backends_meet_the_definition_in_float64(d: int) -> None:
    points = ReferencePoints.make(d, m=20, seed=3)
    z = np.random.default_rng(1).normal(size=(11, d)) * 7
    truth = _by_definition(z, points)
    np.testing.assert_allclose(soft_assign(z, points), truth, rtol=1e-11)
    np.testing.assert_allclose(soft_assign(torch.from_numpy(z), points).numpy(), truth, rtol=1e-11)


def test_half_precision_states_are_assigned_in_float32() -> None:
    points = ReferencePoints.make(64)
    z = torch.randn(50, 64, generator=torch.Generator().manual_seed(5)).bfloat16()
    assigned = soft_assign(z, points)
    assert assigned.dtype == torch.float32
    np.testing.assert_allclose(assigned.numpy(), soft_assign(z.double().numpy(), points), rtol=1e-4)


def test_a_state_without_direction_is_assigned_uniformly() -> None:
    points = ReferencePoints.make(5, m=4)
    np.testing.assert_allclose(soft_assign(np.zeros((1, 5)), points), 0.25)
    np.testing.assert_allclose(soft_assign(torch.zeros(1, 5), points).numpy(), 0.25)


def test_entropy_is_differentiable_and_agrees_across_backends() -> None:
    points = ReferencePoints.make(6, m=9)
    z = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: soft_entropy(t, points), z)
    for unit in ("efficiency", "nats", "bits"):
        ours = soft_entropy(z, points, unit=unit).item()
        assert ours == pytest.approx(soft_entropy(z.detach().numpy(), points, unit=unit), rel=1e-12)
    p = soft_assign(z.detach().numpy(), points).mean(0)
    assert soft_entropy(z, points).item() == pytest.approx(-(p * np.log(p)).sum() / math.log(9), rel=1e-12)


def test_seed_number_and_width_fix_the_points() -> None:
    a, b = ReferencePoints.make(32, seed=1), ReferencePoints.make(32, seed=1)
    assert a == b and a.hash == b.hash and hash(a) == hash(b)
    assert a != ReferencePoints.make(32, seed=2)
    np.testing.assert_allclose(np.linalg.norm(a.directions, axis=1), 1, rtol=1e-14)
    with pytest.raises(ValueError, match="read-only"):
        a.directions[0, 0] = 1


def test_sets_of_another_number_or_width_share_nothing() -> None:
    """Else what fewer points say, or points of a narrower model, would not be independent of what others say."""
    sets = {(m, d): ReferencePoints.make(d, m, seed=1).directions for m, d in ((50, 64), (100, 64), (50, 32))}
    few, many, narrow = sets.values()
    assert np.abs(few @ many.T).max() < 0.9
    assert np.abs((few[:, :32] / np.linalg.norm(few[:, :32], axis=1, keepdims=True)) @ narrow.T).max() < 0.9


def test_the_points_are_not_what_a_model_seeded_alike_starts_from() -> None:
    torch.manual_seed(0)
    first_draw = torch.nn.Embedding(100, 64).weight.detach().numpy()
    first_draw /= np.linalg.norm(first_draw, axis=1, keepdims=True)
    points = ReferencePoints.make(64, m=100, seed=0)
    assert np.abs(np.sum(first_draw * points.directions, axis=1)).max() < 0.6


def test_points_are_uniform_on_the_sphere() -> None:
    w = ReferencePoints.make(3, m=20_000).directions
    assert np.abs(w.mean(0)).max() < 0.02
    np.testing.assert_allclose(w.T @ w / len(w), np.eye(3) / 3, atol=0.01)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="width 4, reference points of width 5"):
        soft_assign(np.ones((2, 4)), ReferencePoints.make(5))
    with pytest.raises(SettingError, match="seed = -1"):
        ReferencePoints.make(5, seed=-1)
    with pytest.raises(SettingError, match="no row of zeros"):
        ReferencePoints.given(np.zeros((3, 4)))
    with pytest.raises(SettingError, match="choose efficiency, nats or bits"):
        soft_entropy(np.ones((2, 5)), ReferencePoints.make(5), unit="bit")


def test_points_of_ones_own_are_scaled_to_unit_length() -> None:
    points = ReferencePoints.given(np.diag([2.0, 3.0, 4.0]), eps=0.5)
    np.testing.assert_array_equal(points.directions, np.eye(3))
    assert points.eps == 0.5 and points.calibration == "given"


def test_every_layer_and_set_has_points_of_its_own() -> None:
    points = PointSets.make(24, 10, 3, sets=2)
    seen = [points.at(layer, s) for layer in ("embed", "block.1", "block.10", "block.2") for s in range(2)]
    assert len({p.hash for p in seen}) == 8 and {p.eps for p in seen} == {ReferencePoints.make(24, 10).eps}
    cosines = np.abs([[np.sum(p.directions * q.directions) / 10 for q in seen] for p in seen])
    assert np.allclose(np.diag(cosines), 1) and (cosines - np.eye(8)).max() < 0.3  # nothing is shared
    assert points.at("block.1", 1) == PointSets.make(24, 10, 3, sets=5).at("block.1", 1)  # more sets change no other
    assert points.at("block.1", 1) != PointSets.make(24, 10, 4, sets=2).at("block.1", 1)
    assert points.draw("block.1") == "block.1"


def test_shared_points_are_the_same_for_all_layers() -> None:
    points = PointSets.make(24, 10, 3, sets=2, shared=True)
    assert points.at("embed", 1) == points.at("block.7", 1) != points.at("embed", 0)
    assert points.at("embed", 0) == ReferencePoints.make(24, 10, 3)  # those of the published protocol
    assert points.draw("embed") == points.draw("block.7") == ""
    assert points.hash(["embed"]) == points.hash(["embed", "block.0"])


def test_the_hash_is_of_the_points_of_all_layers() -> None:
    points, layers = PointSets.make(24, 10, sets=2), ["embed", "block.0"]
    assert points.hash(layers) == PointSets.make(24, 10, sets=2).hash(layers)
    others = [
        PointSets.make(24, 10, sets=3).hash(layers), PointSets.make(24, 10, 1, sets=2).hash(layers),
        points.hash(layers[:1]), PointSets.make(24, 10, sets=2, calibration="leading-order").hash(layers),
        PointSets.make(24, 10, sets=2, shared=True).hash(layers),
    ]  # fmt: skip
    assert len({points.hash(layers), *others}) == 6
    given = PointSets.of([ReferencePoints.make(24, 10, 1), ReferencePoints.make(24, 10, 2)])
    assert (
        given.shared and given.sets == 2 and given.seed is None and given.at("x", 1) == ReferencePoints.make(24, 10, 2)
    )
