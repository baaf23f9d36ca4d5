"""The temperature at which a code holds what is asked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infoplane.errors import SettingError
from infoplane.information.capacity import assigned, held, inverse_temperature, steps_of
from infoplane.information.code_settings import SHARPEST


def cosines(n: int, m: int, d: int = 16, seed: int = 0) -> np.ndarray:
    r = np.random.default_rng(seed)
    z, w = r.standard_normal((n, d)), r.standard_normal((m, d))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)) @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T


def softmax(t: np.ndarray, k: float) -> np.ndarray:
    a = np.exp(k * (t - t.max(1, keepdims=True)))
    return a / a.sum(1, keepdims=True)


def information(a: np.ndarray) -> float:
    p = a.mean(0)
    return float((a * np.log(np.maximum(a, 1e-300))).sum(1).mean() - (p * np.log(p)).sum())


@pytest.mark.parametrize("k", [0.01, 1, 7, 60, 900, 1e5])
def test_what_a_code_holds_is_the_sum_written_out(k: float) -> None:
    t = steps_of(cosines(3_000, 17))
    exact = softmax(t / 32767, k)
    assert held(t, k) == pytest.approx(information(exact), rel=1e-9, abs=1e-12)
    assert np.abs(assigned(t, k) - exact).max() < 2.0**-11
    assert np.array_equal(assigned(t, k, slice(3, 9)), assigned(t, k)[:, 3:9])


def test_steps_are_fine_enough() -> None:
    t = cosines(20_000, 100)
    for k in (5, 50):
        assert held(steps_of(t), k) == pytest.approx(information(softmax(t, k)), rel=1e-5)
        assert np.abs(softmax(steps_of(t) / 32767, k) / softmax(t, k) - 1).max() < 2e-3


def test_steps_stay_in_range() -> None:
    assert steps_of([[1.0000001, -1.2, 0.0, 0.5]]).tolist() == [[32767, -32767, 0, 16384]]


def test_two_directions_hold_the_information_of_a_binary_channel() -> None:
    # half of the rows at (1, -1), half at (-1, 1): log 2 less the entropy of the chance 1 / (1 + exp(-2 k))
    t = steps_of(np.repeat([[1.0, -1.0], [-1.0, 1.0]], 50, axis=0))
    for chance in (0.6, 0.9, 0.999):
        k = math.log(chance / (1 - chance)) / 2
        capacity = math.log(2) + chance * math.log(chance) + (1 - chance) * math.log(1 - chance)
        assert held(t, k) == pytest.approx(capacity, rel=1e-9)
        assert inverse_temperature(t, capacity) == pytest.approx(k, rel=1e-4)


@pytest.mark.parametrize("n", [300, 9_000])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.9])
def test_the_capacity_asked_is_held(n: int, share: float) -> None:
    t = steps_of(cosines(n, 40))
    capacity = share * math.log(40)
    k = inverse_temperature(t, capacity)
    assert held(t, k) == pytest.approx(capacity, rel=1e-3)


def test_rows_that_cannot_hold_it() -> None:
    t = steps_of(np.repeat(cosines(3, 40), 100, axis=0))  # three different rows hold log 3 at most
    assert inverse_temperature(t, 1.2) == pytest.approx(SHARPEST)
    assert held(t, SHARPEST) == pytest.approx(math.log(3), rel=1e-6)
    assert inverse_temperature(t, 1.0) < SHARPEST / 1000
    same = np.zeros((50, 4), np.int16)
    assert inverse_temperature(same, 0.1) == pytest.approx(SHARPEST)
    assert held(same, SHARPEST) == pytest.approx(0, abs=1e-12) and (assigned(same, SHARPEST) == 0.25).all()


@pytest.mark.parametrize("capacity", [0.0, -1.0, math.log(40), math.nan])
def test_a_capacity_out_of_range_is_refused(capacity: float) -> None:
    with pytest.raises(SettingError, match="40 directions hold more than 0 and less than log 40"):
        inverse_temperature(steps_of(cosines(50, 40)), capacity)
