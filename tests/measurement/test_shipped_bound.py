"""The bound that comes with the package is found where it is asked for, and what is kept spares the teaching."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny import byte_tokenizer, tiny_model

import infoplane
import infoplane.capture.predictions_cache as told
from infoplane.bottleneck import fit_hash, kept_bounds, key_of
from infoplane.bottleneck.kept_bounds import kept_bound, shipped_folder
from infoplane.capture import teacher_hash
from infoplane.measurement import measuring
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.steps import all_of_the_text, cut, read_input
from infoplane.models.locating import locate
from infoplane.models.tokenizer_loading import load_tokenizer


def test_the_bound_that_ships_is_that_of_the_built_in_model_and_text() -> None:
    """What decides it has not changed since it was fitted: else `python tools/ship_bound.py` fits it again."""
    tokenizer = load_tokenizer("smollm2-135m")
    settings = MeasureSettings()
    read = read_input("c4-sample", None, settings)
    windows, deep = cut(read, tokenizer, settings), all_of_the_text(read, tokenizer, settings)
    located = locate("smollm2-135m", None, False, False)
    facts: Any = SimpleNamespace(provenance={"source": "smollm2-135m", **located.hashes})
    key = key_of(windows, settings.questions.orders, settings.code.m, fit_hash(deep, teacher_hash(facts)))
    assert key is not None and shipped_folder(key).is_dir() and len(list(shipped_folder(key).parent.iterdir())) == 1
    bound = kept_bound(key)
    assert bound is not None and bound.get(1, "seen").teacher == "smollm2-135m"


def test_a_measurement_whose_bound_is_kept_needs_no_teaching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bounds, "cache_folder", lambda: tmp_path)
    asked: dict[str, Any] = {
        "tokenizer": byte_tokenizer(), "tokens": 12_000, "context": 128, "orders": (1,), "m": 8, "bound": True,
        "controls": False, "parts": False,
    }  # fmt: skip
    first = infoplane.measure(tiny_model(), **asked)
    monkeypatch.setattr(measuring, "predictions_of", None)
    again = infoplane.measure(tiny_model(), **asked)
    assert again.provenance["bound"] == first.provenance["bound"] and first.select(quantity="gap")
    assert [row.value for row in again] == [row.value for row in first]
    with pytest.raises(TypeError):  # another model is another teacher
        infoplane.measure(tiny_model(seed=1), **asked)


def test_a_model_that_cannot_be_placed_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bounds, "cache_folder", lambda: tmp_path)
    found = infoplane.measure(
        tiny_model(), tokenizer=byte_tokenizer(), tokens=1_500, context=64, orders=(1,), m=8, bound=True, controls=False
    )
    assert not found.select(quantity="gap")
    assert any("not placed against the bound of order 1" in warning for warning in found.provenance["warnings"])


def test_what_was_taught_outlives_an_interruption_of_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kept_bounds, told):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    asked: dict[str, Any] = {
        "tokenizer": byte_tokenizer(), "tokens": 12_000, "context": 128, "orders": (1,), "m": 8, "bound": True,
        "controls": False, "parts": False,
    }  # fmt: skip

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    fit = kept_bounds.bound_of
    monkeypatch.setattr(kept_bounds, "bound_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        infoplane.measure(tiny_model(), **asked)
    (kept,) = (tmp_path / "predictions").iterdir()
    content = kept.read_bytes()
    monkeypatch.setattr(kept_bounds, "bound_of", fit)
    teach = measuring.predictions_of
    monkeypatch.setattr(measuring, "predictions_of", interrupted)
    again = infoplane.measure(tiny_model(), **asked)
    assert again.select(quantity="gap") and again.provenance["bound"][0]["order"] == 1
    assert not kept.exists() and [path.name for path in tmp_path.iterdir() if path.name != "predictions"] == ["bounds"]
    for damaged in (content[:-100], b"", b"nothing"):
        kept.write_bytes(damaged)
        monkeypatch.setattr(measuring, "predictions_of", teach)
        shutil.rmtree(tmp_path / "bounds")
        once_more = infoplane.measure(tiny_model(), **asked)
        assert [row.value for row in once_more] == [row.value for row in again]
