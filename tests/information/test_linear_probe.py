"""The linear probe against scikit-learn, and against labels whose information is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from infoplane.information import linear_probe
from infoplane.information.linear_probe import FREQUENT, cross_fitted, frequent_labels


def classes(n: int, k: int, d: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal states around the mean of their label, labels, and documents of 20 rows."""
    r = np.random.default_rng(seed)
    x = r.choice(k, n, p=(w := 1 / np.arange(1, k + 1)) / w.sum())
    z = apart * r.standard_normal((k, d))[x] + r.standard_normal((n, d))
    return z.astype(np.float32), x.astype(np.int32)[:, None], np.arange(n) // 20


def entropy(x: np.ndarray) -> float:
    p = np.bincount(x) / len(x)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def test_weights_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    z, x, _ = classes(900, 6, 8, 0.7)
    strength = 0.01
    linear_probe._STEPS, before = 400, linear_probe._STEPS
    try:
        weight = linear_probe._fitted(
            torch.from_numpy(z), torch.from_numpy(x[:, 0].astype(np.int64)), torch.zeros(9, 6), strength
        )
    finally:
        linear_probe._STEPS = before
    want = LogisticRegression(C=1 / (strength * len(z)), tol=1e-8, max_iter=2000).fit(z, x[:, 0])
    assert np.allclose(weight[:-1].numpy(), want.coef_.T, atol=2e-3)


def test_it_is_a_lower_bound_and_near_the_truth_where_q_is_right() -> None:
    """Classes of one covariance: the true log-odds are linear, and what they tell is known from the true densities."""
    k, d, apart = 6, 5, 1.0
    z, x, document = classes(12_000, k, d, apart)
    r = np.random.default_rng(0)
    p = 1 / np.arange(1, k + 1)
    p /= p.sum()
    r.choice(k, 12_000, p=p)
    centre = apart * r.standard_normal((k, d))
    log = -0.5 * np.square(z[:, None] - centre).sum(-1) + np.log(p)
    log -= np.logaddexp.reduce(log, axis=1)[:, None]
    truth = entropy(x[:, 0]) + float(log[np.arange(len(z)), x[:, 0]].mean())
    found = entropy(x[:, 0]) + float(cross_fitted(z, x, document)[:, 0].mean())
    assert truth - 0.03 < found < truth and truth > 0.5


def test_labels_that_states_do_not_tell_have_none() -> None:
    z, x, document = classes(3_000, 20, 30, 0.0)
    found = entropy(x[:, 0]) + float(cross_fitted(z, x, document)[:, 0].mean())
    assert -0.1 < found < 0.01


def test_no_row_is_judged_by_a_probe_that_has_seen_its_document() -> None:
    """Every document has a label of its own, which its states show: to others they say nothing."""
    r = np.random.default_rng(2)
    document = np.arange(2_000) // 20
    z = (5 * r.standard_normal((100, 16))[document] + 0.1 * r.standard_normal((2_000, 16))).astype(np.float32)
    x = (r.permutation(100)[document] % 10).astype(np.int32)[:, None]
    assert entropy(x[:, 0]) + float(cross_fitted(z, x, document)[:, 0].mean()) < 0.2


def test_several_labels_are_read_each_by_itself_and_again_the_same() -> None:
    z, x, document = classes(2_000, 6, 8, 0.7)
    _, other, _ = classes(2_000, 4, 8, 0.0, seed=3)
    both = cross_fitted(z, np.hstack((x, other)), document)
    assert np.array_equal(both[:, :1], cross_fitted(z, x, document))
    assert np.array_equal(both[:, 1:], cross_fitted(z, other, document))


@pytest.mark.parametrize("constant", [0, slice(0, 8)])
def test_dimensions_that_do_not_vary(constant: Any) -> None:
    z, x, document = classes(1_000, 4, 8, 0.7)
    z[:, constant] = 3.25
    assert np.isfinite(cross_fitted(z, x, document)).all()


def test_frequent_labels_keep_their_order_and_put_others_together() -> None:
    codes = np.repeat(np.arange(70, dtype=np.int32), np.arange(70, 0, -1))
    found = frequent_labels(np.random.default_rng(0).permutation(codes))
    assert found.max() == FREQUENT and (found == FREQUENT).sum() == sum(range(1, 21))
    assert [int((found == i).sum()) for i in (0, 1, 49)] == [70, 69, 21]
    assert frequent_labels(np.array([3, 3, 1], np.int32)).tolist() == [0, 0, 1]
