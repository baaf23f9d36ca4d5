"""A measurement with a fitted code: what is fitted, what is kept, what is read of it, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.capture import code_file
from infoplane.capture.code_file import code_of_shard, read_code, write_code
from infoplane.capture.fitting import FIT_TOKENS, Fitting
from infoplane.capture.folder import CODE
from infoplane.capture.forward_pass import states_of
from infoplane.capture.stored_capture import Capture, open_capture
from infoplane.errors import CaptureError, InfoplaneError, ModelError, ResultError, SettingError, TextError
from infoplane.information.fitted_code import FittedCodes
from infoplane.measurement import codes_to_read_with
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.members import Member
from infoplane.models.decoder import Model
from infoplane.text.documents import read_text

M = 16
SMALL: dict[str, Any] = {"tokens": 12_000, "context": 64, "m": M, "orders": (1,), "code": ("fitted",)}


def measured(model: Any = None, **more: Any) -> Any:
    return infoplane.measure(model or tiny_model("llama"), tokenizer=byte_tokenizer(), **{**SMALL, **more})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("fitted") / "capture"
    return folder, measured(capture=folder)


def test_every_layer_holds_the_capacity(kept: tuple[Path, Any]) -> None:
    folder, measurement = kept
    for layer in measurement.layers:
        ceiling = measurement.get("ceiling", layer=layer)
        assert ceiling.value == pytest.approx(0.25, rel=0.02)
        assert ceiling.points_error is not None
    half = infoplane.measure(None, capture=folder, capacity=0.5, orders=(1,))
    for layer in half.layers:
        assert half.get("ceiling", layer=layer).value == pytest.approx(0.5, rel=0.02)
    told = half.provenance["points"]
    assert (told["code"], told["capacity"], told["sets"], told["eps"]) == ("fitted", 0.5, 2, None)
    assert set(told["inverse_temperatures"]) == set(half.layers)
    assert measurement.provenance["protocol"]["changed"] == ["code", "context"]
    assert half.provenance["protocol"]["changed"] == ["capacity", "code", "context"]


def test_what_is_read_is_what_the_states_say(kept: tuple[Path, Any]) -> None:
    """Assignments of the capture against softmaxes in float64 of cosines with the stored code."""
    capture = open_capture(kept[0])
    codes = read_code(kept[0], capture.manifest)
    assert codes is not None
    model = Model.from_module(tiny_model("llama"), byte_tokenizer())
    states = states_of(model, capture.windows, model.layers)
    for layer in capture.layers:
        for s, code in enumerate(codes.of[layer]):
            x = (states[layer].astype(np.float64) - code.centre) * code.gain
            cosine = x @ code.directions.T.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
            logits = capture.inverse_temperature(layer, s) * cosine
            want = np.exp(logits - logits.max(1, keepdims=True))
            want /= want.sum(1, keepdims=True)
            got = capture.read(layer, s).astype(np.float64)
            assert np.abs(got - want).max() < 2e-3
            p = want.mean(0)
            told = -(p * np.log(p)).sum() + (want * np.log(want)).sum(1).mean()
            assert told == pytest.approx(0.25 * math.log(M), rel=2e-3)
    assert np.array_equal(capture.read("block.1", 1, slice(3, 9)), capture.read("block.1", 1)[:, 3:9])


def test_no_measured_document_was_fitted_on(kept: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Fitting] = []
    true = codes_to_read_with.Fitting
    monkeypatch.setattr(codes_to_read_with, "Fitting", lambda *given: seen.append(true(*given)) or seen[-1])
    measured()
    (fitting,) = seen
    capture, text = open_capture(kept[0]), read_text("c4-sample")
    reserved = [set(windows.documents) for windows in fitting.windows]
    assert reserved[0] and reserved[1] and not reserved[0] & reserved[1]
    assert not (reserved[0] | reserved[1]) & set(capture.windows.documents)
    assert sum(map(len, reserved)) == -(-len(text) // 8)
    assert all(M <= windows.n_positions <= FIT_TOKENS for windows in fitting.windows)


def test_a_run_goes_on_with_its_code(kept: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, fits = tmp_path / "capture", []
    fit = code_file.FittingWork
    monkeypatch.setattr(code_file, "FittingWork", lambda *given: fits.append(1) or fit(*given))
    measured(capture=folder)
    arrays = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    assert arrays[CODE] == (kept[0] / CODE).read_bytes()  # the same documents and weights give the same code
    (folder / "shard-00000.safetensors").unlink()
    again = measured(capture=folder)
    assert len(fits) == 1
    (folder / CODE).write_bytes(arrays[CODE][:-9])  # damaged: fitted anew, to the same numbers
    (folder / "shard-00000.safetensors").unlink()
    measured(capture=folder)
    assert len(fits) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"} == arrays
    assert [row.value for row in again] == [row.value for row in kept[1]]


@pytest.mark.parametrize("other", [{"m": 17}, {"points_seed": 1}, {"reference_sets": 3}, {"code": ("random",)}])
def test_another_code_is_another_run(kept: tuple[Path, Any], other: dict[str, Any]) -> None:
    before = {path.name: path.read_bytes() for path in kept[0].iterdir()}
    with pytest.raises(CaptureError, match="holds the capture of another run"):
        measured(capture=kept[0], **other)
    assert {path.name: path.read_bytes() for path in kept[0].iterdir()} == before


def test_memory_decides_no_number(kept: tuple[Path, Any]) -> None:
    capture = open_capture(kept[0])
    whole = measure_capture(capture, orders=(1,), threads=1)
    from infoplane.measurement import reduction

    made = reduction.settings(capture, 4, 1, None)
    few = type(made)(1, 1, False, made.held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "settings", lambda *_: few)
        pieces = measure_capture(capture, orders=(1,), threads=1)
    assert [(r.value, r.replicates) for r in pieces] == [(r.value, r.replicates) for r in whole]


def test_a_capture_in_memory_says_the_same(kept: tuple[Path, Any]) -> None:
    stored = open_capture(kept[0])
    held = {
        f"{layer}/fitted/{s}": np.concatenate([part for _, part in stored._parts(layer, s)])
        for layer in stored.layers for s in range(stored.sets)
    }  # fmt: skip
    capture = Capture(None, stored.manifest, stored.windows, held)
    for layer in stored.layers:
        assert np.array_equal(capture.read(layer, 1), stored.read(layer, 1))


class Collapsed(torch.nn.Module):
    """A block that puts every token at one point, or with `few`, at one of three."""

    def __init__(self, few: int) -> None:
        super().__init__()
        self.few = few

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        number = torch.arange(hidden_states.shape[1]) % self.few
        return torch.ones_like(hidden_states) + torch.nn.functional.one_hot(number, hidden_states.shape[-1]).float()


@pytest.mark.parametrize("few", [1, 3])
def test_a_layer_that_has_collapsed_says_so(few: int) -> None:
    module = tiny_model("llama")
    module.model.layers[1] = Collapsed(few)
    measurement = measured(module, capacity=0.5)
    (warning,) = [w for w in measurement.provenance["warnings"] if "differ too little" in w]
    assert "block.1" in warning and "block.0" not in warning
    assert measurement.get("ceiling", layer="block.1").value == pytest.approx(math.log(few) / math.log(M), abs=2e-3)
    assert measurement.get("ceiling", layer="block.0").value == pytest.approx(0.5, rel=0.02)
    assert all(math.isfinite(row.value) for row in measurement)


def test_states_that_are_no_numbers_are_refused() -> None:
    module = tiny_model("llama")
    with torch.no_grad():
        module.model.layers[1].mlp.down_proj.weight[3, 5] = math.nan
    with pytest.raises(ModelError, match=r"NaN or infinity in layer block\.1 on document"):
        measured(module)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"documents": ["long enough for a window " * 20]}, TextError, "1 document: a fitted code needs 8"),
        ({"documents": [f"document {i} of few words" for i in range(9)], "m": 500}, TextError, "500 directions"),
        ({"capacity": 1.0}, SettingError, "above 0 and below 1"),
        ({"capacity": 0}, SettingError, "above 0 and below 1"),
        ({"code": ("learned",)}, SettingError, "some of random, fitted"),
        ({"shared_points": True}, SettingError, "shared_points is of random reference points"),
        ({"calibration": "leading-order"}, SettingError, "calibration is of random reference points"),
        ({"code": ("random",), "capacity": 0.5}, SettingError, "capacity is what a fitted code holds"),
        ({"protocol": "paper"}, SettingError, "the protocol paper has code = random, not code = fitted"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    more: dict[str, Any], error: type[InfoplaneError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        measured(capture=tmp_path / "capture", **more)
    assert not (tmp_path / "capture").exists()


def test_preferences_have_none() -> None:
    pairs = [{"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(40)]
    with pytest.raises(SettingError, match="preferences are measured without code"):
        measured(preferences=pairs)


def test_codes_do_not_compare(kept: tuple[Path, Any], tmp_path: Path) -> None:
    one = kept[1]
    other = measured(code=("random",))
    half = infoplane.measure(None, capture=kept[0], capacity=0.5, orders=(1,))
    for second, said in ((other, "random"), (half, r"fitted at capacity 0\.5")):
        with pytest.raises(ResultError, match=f"different codes.*fitted at capacity 0.25.*{said}"):
            one.minus(second)
        with pytest.raises(ResultError, match="different codes"):
            infoplane.compare([Member("a", None, one), Member("b", None, second)])


def test_results_are_read_back(kept: tuple[Path, Any], tmp_path: Path) -> None:
    kept[1].save(tmp_path)
    again = infoplane.Measurement.load(tmp_path)
    assert again.origin.points.code == "fitted" and again.origin.points.capacity == 0.25
    assert [row.value for row in again] == [row.value for row in kept[1]]
    record = json.loads((tmp_path / "measurement.json").read_text())
    assert record["provenance"]["asked"]["code"] == ["fitted"]


def test_a_fitted_code_is_asked_of_a_kept_capture_at_any_capacity() -> None:
    assert "capacity" not in MeasureSettings.of({"capacity": 0.4}).of_captures()
    assert "code" in MeasureSettings.of({"code": ("fitted",)}).of_captures()


def test_a_capture_without_a_fitted_code_has_no_capacity(tmp_path: Path) -> None:
    measured(code=("random",), capture=tmp_path / "capture")
    with pytest.raises(SettingError, match="the capture has none"):
        infoplane.measure(None, capture=tmp_path / "capture", capacity=0.5)


def test_shards_of_another_code_are_made_anew(kept: tuple[Path, Any], tmp_path: Path) -> None:
    """On another processor the last bits of a fit are others, and so may be its directions."""
    folder = tmp_path / "capture"
    shutil.copytree(kept[0], folder)
    capture = open_capture(folder)
    codes = read_code(folder, capture.manifest)
    assert codes is not None
    turned = FittedCodes({layer: tuple(reversed(each)) for layer, each in codes.of.items()})
    write_code(folder, capture.manifest, turned)
    measured(capture=folder)
    again, before = open_capture(folder), open_capture(kept[0])
    for layer in again.layers:
        for s in (0, 1):
            one, other = (c.read(layer, at).astype(float) for c, at in ((again, s), (before, 1 - s)))
            assert np.abs(one - other).max() < 2e-3 < np.abs(one - before.read(layer, s)).max()
    assert code_of_shard(folder, 0) not in ("", code_of_shard(kept[0], 0), None)
    shutil.copy(kept[0] / "shard-00000.safetensors", folder)
    with pytest.raises(CaptureError, match=r"shard-00001.safetensors is damaged"):
        open_capture(folder)
    measured(capture=folder)  # the shard that is of another code is made again
    assert code_of_shard(folder, 0) == code_of_shard(folder, 1)


def test_a_finished_capture_needs_no_code_and_takes_no_other(kept: tuple[Path, Any], tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    shutil.copytree(kept[0], folder)
    (folder / CODE).unlink()
    assert [row.value for row in measured(capture=folder)] == [row.value for row in kept[1]]
    assert not (folder / CODE).exists()
    save_file({"weights": np.zeros(3, np.float32)}, folder / CODE)
    before = (folder / CODE).read_bytes()
    with pytest.raises(CaptureError, match="is of no capture: move it"):
        measured(capture=folder)
    assert (folder / CODE).read_bytes() == before
    (folder / CODE).unlink()
    os.mkfifo(folder / CODE)
    with pytest.raises(OSError, match="named pipe"):
        measured(capture=folder)


def test_a_capacity_below_what_rounding_leaves_ends(kept: tuple[Path, Any]) -> None:
    measurement = infoplane.measure(None, capture=kept[0], capacity=1e-14, orders=(1,))
    assert abs(measurement.get("ceiling").value) < 1e-3


def test_a_code_named_twice_is_one() -> None:
    assert measured(code=("fitted", "fitted")).codes == ("fitted",)
