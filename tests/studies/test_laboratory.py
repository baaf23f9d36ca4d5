"""The laboratory's own tools against truth known by other means."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from paths import ROOT
from scipy import special

sys.path.insert(0, str(ROOT / "studies" / "estimators"))
import common
import others
import truth
from channels import Channel, as_labels

from infoplane.information.reference_points import ReferencePoints
from infoplane.information.vmf_temperature import temperature


def blobs(n: int = 1_500, apart: float = 12.0, d: int = 8, seed: int = 0) -> others.Sample:
    """Four labels, each a cloud far from the others: the information is log 4."""
    r = np.random.default_rng(seed)
    x = r.integers(4, size=n)
    z = (r.standard_normal((n, d)) + apart * np.eye(d)[x]).astype(np.float32)
    end = 2 * n // 3
    return others.Sample(z[:end], x[:end], z[end:], x[end:], 4)


def shuffled(s: others.Sample) -> others.Sample:
    r = np.random.default_rng(9)
    return others.Sample(s.z, r.permutation(s.x), s.z_test, r.permutation(s.x_test), s.classes)


def test_the_mean_cosine_of_a_von_mises_fisher_density_is_a_ratio_of_bessel_functions() -> None:
    for d in (3, 16, 200):
        kappa = 1 / temperature(25, d)
        found = truth.cosines(100_000, d, kappa, np.random.default_rng(0)).mean()
        assert found == pytest.approx(special.ive(d / 2, kappa) / special.ive(d / 2 - 1, kappa), abs=3e-3)


def test_a_mixture_in_a_subspace_has_the_information_of_the_subspace() -> None:
    _, whole = truth.Mixture(16).truth(None, 200)
    _, inside = truth.Mixture(64, inside=16).truth(None, 200)
    assert inside == pytest.approx(whole, abs=0.02)  # the draws are others
    coded, told = truth.Mixture(64).truth(ReferencePoints.make(64), 300)
    assert 0 < coded < told < np.log(100)


def test_first_order_has_less_bias_than_plugin_on_a_channel() -> None:
    channel = Channel(k=40, m=12, document_effect=0.0)
    a, labels, document = channel.draw(0, 100, 60)
    x = a.astype(float)
    x /= x.sum(1, keepdims=True)
    found = common.first_order(x, as_labels(labels))
    plugin = truth.estimate(a, labels, document).plugin[0]
    assert abs(found - channel.truth) < abs(plugin - channel.truth) / 4


@pytest.mark.parametrize("name", ["probe", "infonce", "mine", "ksg"])
def test_clouds_far_apart_are_told_apart_and_shuffled_labels_are_not(name: str) -> None:
    def value(s: others.Sample) -> float:
        if name == "probe":
            return others.Probe(s).bound
        if name == "ksg":
            return others.ksg(s.z_test, s.x_test)
        pytest.importorskip("torch")
        return others.critic(s, name, steps={"infonce": 100, "mine": 300}[name])

    told = value(blobs())
    if name == "probe":  # regularised, so it stays below
        assert np.log(4) - 0.2 < told < np.log(4)
    else:
        assert told == pytest.approx(np.log(4), abs=0.06)
    assert value(shuffled(blobs())) < 0.1


def test_club_lies_above_the_probe_and_is_0_for_shuffled_labels() -> None:
    probe = others.Probe(blobs(apart=1.5))
    assert probe.club > probe.bound > 0.1
    assert others.Probe(shuffled(blobs())).club == pytest.approx(0, abs=0.1)


def test_nearest_neighbours_agree_with_scikit_learn_in_one_dimension() -> None:
    from sklearn.feature_selection import mutual_info_classif

    r = np.random.default_rng(0)
    x = r.integers(3, size=900)
    z = (r.standard_normal(900) + x).astype(np.float64)
    theirs = mutual_info_classif(z[:, None], x, n_neighbors=3, random_state=0)[0]
    assert others.ksg(z[:, None], x) == pytest.approx(theirs, abs=0.01)


def test_renyi_where_its_eigenvalues_are_known() -> None:
    """Four points at equal distances, 25 states on each: similarity e^(-1/2) between any two."""
    x = np.repeat(np.arange(4), 25)
    near, alpha = np.exp(-0.5), 1.01
    values = np.array([(1 + 3 * near) / 4, *[(1 - near) / 4] * 3])
    truth_known = np.log((values**alpha).sum()) / (1 - alpha)  # S(B) and S(A o B) are both log 4
    assert others.renyi(np.eye(4)[x], x, alpha) == pytest.approx(truth_known, abs=1e-9)


def test_clusters_of_clouds_are_the_clouds() -> None:
    s = blobs(apart=60.0)
    found = others.clusters(s.z, s.z_test, count=4)
    assert len(set(zip(found, s.x_test, strict=True))) == 4
