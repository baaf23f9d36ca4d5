"""Bounds that are fitted once: found again by what decides them, and by nothing else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markov_texts import classes, taught

from infoplane.bottleneck import kept_bounds
from infoplane.bottleneck.fit_text import FitText
from infoplane.bottleneck.kept_bounds import kept_bound, kept_or_fitted, stored_or_fitted
from infoplane.bottleneck.side_by_side import Steps
from infoplane.bottleneck.text_bound import bound_of, key_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept_bounds, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "bounds"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each fit."""
    made: list[int] = []

    def counting(*args: Any, **keywords: Any) -> Any:
        made.append(1)
        return bound_of(*args, **keywords)

    monkeypatch.setattr(kept_bounds, "bound_of", counting)
    return made


def test_the_same_bound_is_fitted_once(fits: list[int], cache: Path) -> None:
    windows, _ = classes(60, 24)
    first, again = (kept_or_fitted(windows, (1,), m=4) for _ in range(2))
    assert len(fits) == 1 and first.key is not None and [p.name for p in cache.iterdir()] == [first.key]
    np.testing.assert_array_equal(first.get(1).relevance, again.get(1).relevance)
    assert first.provenance == again.provenance


def test_what_decides_a_bound_tells_it_apart(fits: list[int]) -> None:
    windows, joint = classes(60, 24)
    teacher = taught(windows, joint, 24)
    asked = [
        (windows, 4, None),
        (windows, 5, None),
        (classes(60, 24, seed=1)[0], 4, None),
        (windows, 4, FitText(windows)),
        (windows, 4, FitText(windows, teacher)),
        (windows, 4, FitText(windows, replace(teacher, vouched="other weights"))),
    ]
    keys = {kept_or_fitted(read, (1,), m=m, fit=fit).key for read, m, fit in asked}
    assert len(keys) == len(fits) == len(asked)
    assert key_of(windows, (1,), 4) != key_of(windows, (1, 2), 4) != key_of(windows, (1, 2), 4, seed=1)


def test_a_teacher_whose_weights_nobody_vouches_for_is_not_kept(fits: list[int], cache: Path, tmp_path: Path) -> None:
    windows, joint = classes(60, 24)
    fit = FitText(windows, replace(taught(windows, joint, 24), vouched=None))
    for _ in range(2):
        assert kept_or_fitted(windows, (1,), m=4, fit=fit).key is None
        assert stored_or_fitted(tmp_path / "run", windows, (1,), m=4, fit=fit).key is None
    assert len(fits) == 4 and not cache.exists()


def test_one_that_is_damaged_or_in_the_wrong_place_is_fitted_again(fits: list[int], cache: Path) -> None:
    windows, _ = classes(60, 24)
    key = kept_or_fitted(windows, (1,), m=4).key
    assert key is not None
    (cache / key / "bound.parquet").write_bytes(b"nothing")
    assert kept_bound(key) is None
    assert kept_or_fitted(windows, (1,), m=4).key == key and len(fits) == 2 and kept_bound(key) is not None
    other = key_of(windows, (1,), 5)
    assert other is not None
    (cache / key).rename(cache / other)
    assert kept_bound(other) is None


def test_a_cache_that_cannot_be_written_is_no_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(kept_bounds, "cache_folder", lambda: tmp_path / "file")
    windows, _ = classes(60, 24)
    assert kept_or_fitted(windows, (1,), m=4).key is not None
    monkeypatch.setattr(kept_bounds, "cache_folder", lambda: None)
    assert kept_or_fitted(windows, (1,), m=4).key is not None


def test_what_fails_in_one_thread_stops_the_others() -> None:
    steps, ended = Steps(1_000), threading.Event()

    def long() -> None:
        try:
            for _ in range(1_000):
                time.sleep(0.01)
                steps.tick()
        finally:
            ended.set()

    def fails() -> None:
        time.sleep(0.05)
        raise ValueError("no code")

    since = time.monotonic()
    with pytest.raises(ValueError, match="no code"):
        steps.side_by_side({"long": long, "fails": fails}, threads=2)
    assert ended.is_set() and time.monotonic() - since < 5


def test_work_is_reported_by_the_thread_that_asked_for_it() -> None:
    said: list[tuple[int, int, int]] = []
    steps = Steps(4, lambda done, total: said.append((done, total, threading.get_ident())))
    assert steps.side_by_side(dict.fromkeys(range(4), steps.tick), threads=2) == dict.fromkeys(range(4))
    assert said[-1] == (4, 4, threading.get_ident())
