"""A fitted code that is kept: whose it is, what it says of a variant, and where it is refused."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.capture import code_identity, code_of_capture, stored_code
from infoplane.capture.folder import CODE
from infoplane.capture.kept_code import KeptCode
from infoplane.capture.stored_capture import open_capture
from infoplane.errors import CaptureError, InfoplaneError, ResultError, SettingError
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement

M = 16
SMALL: dict[str, Any] = {"tokens": 12_000, "context": 64, "m": M, "orders": (1,), "code": ("fitted",)}


def measured(model: Any = None, **more: Any) -> Measurement:
    return infoplane.measure(model or tiny_model("llama"), tokenizer=byte_tokenizer(), **{**SMALL, **more})


def damaged(share: float) -> torch.nn.Module:
    torch.manual_seed(0)
    module = copy.deepcopy(tiny_model("llama"))
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn_like(weight) * weight.std(correction=0) * share)
    return module


def another(**more: int) -> torch.nn.Module:
    """A model of another shape."""
    config = tiny_model("llama").config
    config.update(more)
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measurement]:
    folder = tmp_path_factory.mktemp("kept") / "parent"
    return folder, measured(capture=folder)


def test_the_model_itself_reads_the_same(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    again = measured(code_of=str(parent[0]), capture=tmp_path / "again")
    assert [(r.value, r.replicates) for r in again] == [(r.value, r.replicates) for r in parent[1]]
    told = again.provenance["points"]
    assert told["kept"] == {"of": "LlamaForCausalLM"} and told["calibration"] == "kept"
    assert told["inverse_temperatures"] == parent[1].provenance["points"]["inverse_temperatures"]
    assert told["directions_hash"] == parent[1].provenance["points"]["directions_hash"]
    assert open_capture(tmp_path / "again").run_id != open_capture(parent[0]).run_id
    asked = infoplane.measure(None, capture=tmp_path / "again", orders=(1,))
    assert [r.value for r in asked] == [r.value for r in again]


def test_a_variant_is_read_with_it(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    """Assignments of the variant's capture against softmaxes in float64 with the parent's code and temperature."""
    from infoplane.capture.forward_pass import states_of
    from infoplane.models.decoder import Model

    module = damaged(0.3)
    measured(module, code_of=str(parent[0]), capture=tmp_path / "variant")
    capture, kept = open_capture(tmp_path / "variant"), stored_code(parent[0], 0.25)
    model = Model.from_module(module, byte_tokenizer())
    states = states_of(model, capture.windows, model.layers)
    for layer in capture.layers:
        for s, code in enumerate(kept.codes.of[layer]):
            x = (states[layer].astype(np.float64) - code.centre) * code.gain
            cosine = x @ code.directions.T.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
            logits = kept.record["inverse_temperatures"][layer][s] * cosine
            want = np.exp(logits - logits.max(1, keepdims=True))
            want /= want.sum(1, keepdims=True)
            assert np.abs(capture.read(layer, s).astype(np.float64) - want).max() < 2e-3


def test_differences_are_paired_fit_by_fit(parent: tuple[Path, Measurement]) -> None:
    module = damaged(0.3)
    kept, anew = measured(module, code_of=str(parent[0])), measured(module)
    assert kept.origin.has_points_of(parent[1].origin) and not anew.origin.has_points_of(parent[1].origin)
    one, other = kept.minus(parent[1]), anew.minus(parent[1])
    assert abs(one.get("ceiling").value) > 0.01 > abs(other.get("ceiling").value)  # a new fit hides it
    row, mine, theirs = one.get("complexity"), kept.get("complexity"), parent[1].get("complexity")
    assert row.value == pytest.approx(mine.value - theirs.value)
    assert mine.points is not None and theirs.points is not None and row.points is not None
    for layer, part in row.points.by_draw.items():
        assert np.allclose(part, np.subtract(mine.points.by_draw[layer], theirs.points.by_draw[layer]))


def test_a_variant_of_a_variant_is_read_with_the_first_code(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    measured(damaged(0.3), code_of=str(parent[0]), capture=tmp_path / "variant")
    direct = measured(damaged(0.5), code_of=str(parent[0]))
    along = measured(damaged(0.5), code_of=str(tmp_path / "variant"))
    assert [r.value for r in along] == [r.value for r in direct]
    assert along.provenance["points"] == direct.provenance["points"]


def test_some_layers_and_a_random_code_beside_it(parent: tuple[Path, Measurement]) -> None:
    module = damaged(0.3)
    whole = measured(module, code_of=str(parent[0]))
    some = measured(module, code_of=str(parent[0]), layers=("block.1",), code=("random", "fitted"))
    for quantity in ("ceiling", "complexity", "expressivity"):
        want = whole.get(quantity, layer="block.1").value
        assert some.get(quantity, layer="block.1", code="fitted").value == pytest.approx(want, rel=1e-6)


def test_another_capacity(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    half = measured(code_of=str(parent[0]), capacity=0.5, capture=tmp_path / "half")
    assert half.get("ceiling").value == pytest.approx(0.5, rel=0.02)
    with pytest.raises(CaptureError, match=r"where that holds 0\.5, and 0\.25 is asked for: ask for capacity 0\.5"):
        infoplane.measure(None, capture=tmp_path / "half", orders=(1,))
    again = infoplane.measure(None, capture=tmp_path / "half", orders=(1,), capacity=0.5)
    assert [r.value for r in again] == [r.value for r in half]


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"code": ("random",)}, SettingError, "code_of names the capture whose fitted code is used"),
        ({"m": 17}, SettingError, "made with m = 16, and 17 is asked for: use m = 16"),
        ({"reference_sets": 3}, SettingError, "made with reference_sets = 2, and 3 is asked for"),
        ({"code_of": "/nowhere/at/all"}, CaptureError, "no capture at .*all: code_of names the folder of a capture"),
        ({"code_of": ""}, SettingError, "code_of"),
        ({"code_of": __file__}, CaptureError, "is a file: code_of names the folder of a capture"),
        ({"points_seed": 7}, SettingError, "points_seed is of what is drawn or fitted"),
        ({"model": another(hidden_size=64)}, CaptureError, "32 wide, and those of this model are 64 wide"),
        ({"model": another(num_hidden_layers=4)}, CaptureError, r"has no layer block\.3 \(it has embed"),
    ],
)
def test_what_does_not_fit_is_refused(
    more: dict[str, Any], error: type[InfoplaneError], said: str, parent: tuple[Path, Measurement], tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        measured(**{"code_of": str(parent[0]), "capture": tmp_path / "capture", **more})
    assert not (tmp_path / "capture").exists()


def test_the_parent_is_not_written_over(parent: tuple[Path, Measurement]) -> None:
    before = {path.name: path.read_bytes() for path in parent[0].iterdir()}
    with pytest.raises(SettingError, match="the capture whose code is used would be written over"):
        measured(damaged(0.3), code_of=str(parent[0]), capture=parent[0].parent / "." / parent[0].name, force=True)
    assert {path.name: path.read_bytes() for path in parent[0].iterdir()} == before


def test_figures_of_a_kept_code_and_another_one_do_not_compare(parent: tuple[Path, Measurement]) -> None:
    module = damaged(0.3)
    kept, anew = measured(module, code_of=str(parent[0])), measured(module)
    with pytest.raises(ResultError, match="was read with the code of LlamaForCausalLM, and the other with another one"):
        kept.minus(anew)
    with pytest.raises(ResultError, match="measure both with one --code-of"):
        infoplane.compare([Member("a", None, anew), Member("b", None, kept)])
    infoplane.compare([Member("a", None, parent[1]), Member("b", None, kept)])


def test_captures_that_have_no_code_to_keep(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    measured(code=("random",), capture=tmp_path / "random")
    with pytest.raises(CaptureError, match="has no fitted code, only random: capture that model with the code fitted"):
        measured(code_of=str(tmp_path / "random"))
    measured(capture=tmp_path / "lost")
    (tmp_path / "lost" / CODE).unlink()
    with pytest.raises(CaptureError, match=r"has lost its code\.safetensors, or that is damaged"):
        measured(code_of=str(tmp_path / "lost"))
    (tmp_path / "lost" / CODE).write_bytes((parent[0] / CODE).read_bytes()[:-3])
    with pytest.raises(CaptureError, match="has lost its"):
        measured(code_of=str(tmp_path / "lost"))


def test_a_capture_that_is_there_has_its_code_already(parent: tuple[Path, Measurement]) -> None:
    with pytest.raises(SettingError, match="code, code_of can say nothing more"):
        infoplane.measure(None, capture=parent[0], code=("fitted",), code_of=str(parent[0]))


def test_it_is_stored_and_read_back(parent: tuple[Path, Measurement], tmp_path: Path) -> None:
    kept = code_of_capture(open_capture(parent[0]), 0.4).named("step 9")
    kept.save(tmp_path / "code", {"windows": "abc"})
    again = KeptCode.load(tmp_path / "code", {"windows": "abc"})
    assert again is not None and again.hash == kept.hash and again.record == kept.record
    assert KeptCode.load(tmp_path / "code", {"windows": "abd"}) is None
    assert KeptCode.load(tmp_path / "nothing", {}) is None
    (tmp_path / "code").write_bytes((tmp_path / "code").read_bytes()[:-5])
    assert KeptCode.load(tmp_path / "code", {"windows": "abc"}) is None
    assert stored_code(parent[0], 0.25).hash != kept.hash
    assert code_identity(parent[0]) == open_capture(parent[0]).run_id
    assert math.isfinite(sum(sum(k) for k in kept.record["inverse_temperatures"].values()))
