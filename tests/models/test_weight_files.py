"""Files that are loaded as a model: what is hashed, what counts as pickle, and nothing that lies beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer, save_tiny, tiny_model
from typer.testing import CliRunner

import infoplane
from infoplane.cli import app
from infoplane.errors import CaptureError, ModelError
from infoplane.models.loading import load_model
from infoplane.models.locating import weights_of
from infoplane.models.weight_files import folder_hash

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}


def sharded(place: Path, where: str = "shards/", seed: int = 0, **names: str) -> Path:
    """The tiny model in two files that an index names, in a subfolder."""
    save_tiny(place)
    weights = {k: v.contiguous() for k, v in tiny_model(seed=seed).state_dict().items() if k != "lm_head.weight"}
    (place / "model.safetensors").unlink()
    (place / where).mkdir(exist_ok=True)
    keys = sorted(weights)
    parts = {f"{where}a.safetensors": keys[::2], f"{where}b.safetensors": keys[1::2]}
    for name, mine in parts.items():
        save_file({k: weights[k] for k in mine}, place / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {k: names.get(n, n) for n, mine in parts.items() for k in mine}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    return place


def test_shards_of_a_subfolder_are_hashed(tmp_path: Path) -> None:
    """They were not, so a capture of other weights was taken up again, with --force too."""
    place = sharded(tmp_path / "model")
    before = infoplane.measure(place, **SMALL, capture=tmp_path / "cap")
    whole = tmp_path / "whole"
    save_tiny(whole)
    assert [r.value for r in infoplane.measure(whole, **SMALL)] == [r.value for r in before]
    sharded(place, seed=1)
    with pytest.raises(CaptureError, match=r"holds the capture of another run \(different: model\)"):
        infoplane.measure(place, **SMALL, capture=tmp_path / "cap")
    after = infoplane.measure(place, **SMALL, capture=tmp_path / "cap", force=True)
    assert before.get("complexity", order=1).value != after.get("complexity", order=1).value
    assert before.provenance["run_id"] != after.provenance["run_id"]


def test_an_index_that_points_elsewhere_is_another_model(tmp_path: Path) -> None:
    place = sharded(tmp_path / "model")
    first = folder_hash(place)
    index = place / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    told["weight_map"]["model.norm.weight"] = "shards/b.safetensors"
    index.write_text(json.dumps(told))
    assert folder_hash(place) != first


def test_code_of_the_folder_is_hashed(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    plain = folder_hash(tmp_path)
    (tmp_path / "modeling_own.py").write_text("SCALE = 1\n")
    assert folder_hash(tmp_path) == plain  # nobody loads it
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.Own"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    one = folder_hash(tmp_path)
    (tmp_path / "modeling_own.py").write_text("SCALE = 2\n")
    two = folder_hash(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "attention.py").write_text("pass\n")
    assert len({plain, one, two, folder_hash(tmp_path)}) == 4


def test_what_lies_beside_decides_nothing(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    before = folder_hash(tmp_path)
    torch.save({}, tmp_path / "optimizer.pt")
    torch.save({}, tmp_path / "pytorch_model.bin")
    for name in ("generation_config.json", "trainer_config.json", "notes.safetensors", "README.md"):
        (tmp_path / name).write_text("{}")
    assert folder_hash(tmp_path) == before
    assert load_model(tmp_path).provenance["file_sha256"] == before == weights_of(tmp_path)["file_sha256"]
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "rope_theta": 7.0}))
    assert folder_hash(tmp_path) != before


def test_a_base_that_changes_is_another_adapter(tmp_path: Path) -> None:
    from peft_adapters import adapted, lora

    from infoplane.analysis.training.tracing import trace

    save_tiny(tmp_path / "base")
    place = adapted(tmp_path / "run" / "step1", tmp_path / "base", lora())
    adapted(tmp_path / "run" / "step2", tmp_path / "base", lora(lora_alpha=4))
    for step in (1, 2):
        byte_tokenizer().save_pretrained(tmp_path / "run" / f"step{step}")
        (tmp_path / "run" / f"step{step}" / "config.json").write_bytes((tmp_path / "base" / "config.json").read_bytes())
    trace(tmp_path / "run", out=tmp_path / "trace", **SMALL)
    before = weights_of(place)
    tiny_model(seed=1).save_pretrained(tmp_path / "base")
    assert weights_of(place) != before and weights_of(place)["adapter_sha256"] == before["adapter_sha256"]
    with pytest.raises(infoplane.InfoplaneError, match="was measured of other weights"):
        trace(tmp_path / "run", out=tmp_path / "trace", **SMALL)


# ---------------------------------------------------------------------- pickles


@pytest.mark.parametrize("decoy", ["decoy.safetensors", "model-00001-of-00002.safetensors"])
def test_a_decoy_does_not_turn_the_refusal_off(decoy: str, tmp_path: Path) -> None:
    """An empty safetensors file beside pickles: the files that are loaded count."""
    save_tiny(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / decoy).write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds its weights as pickle \(pytorch_model.bin\), which can run code"):
        load_model(tmp_path)
    assert load_model(tmp_path, allow_pickle=True).provenance["file_sha256"]


def test_an_index_of_safetensors_that_names_pickles_is_refused(tmp_path: Path) -> None:
    place = sharded(tmp_path / "model", **{"shards/a.safetensors": "shards/a.bin"})
    torch.save(load_file(place / "shards/a.safetensors"), place / "shards/a.bin")
    with pytest.raises(ModelError, match=r"holds its weights as pickle \(a.bin\)"):
        load_model(place)


def test_an_adapter_of_pickles_beside_a_decoy_is_refused(tmp_path: Path) -> None:
    from peft_adapters import adapted, lora

    save_tiny(tmp_path / "base")
    place = adapted(tmp_path / "lora", tmp_path / "base", lora())
    torch.save(load_file(place / "adapter_model.safetensors"), place / "adapter_model.bin")
    (place / "adapter_model.safetensors").rename(place / "other.safetensors")
    with pytest.raises(ModelError, match=r"holds its weights as pickle \(adapter_model.bin\)"):
        load_model(place)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/elsewhere.safetensors", "a/../../b.safetensors"])
def test_an_index_that_names_files_outside_is_refused(name: str, tmp_path: Path) -> None:
    place = sharded(tmp_path / "model", **{"shards/a.safetensors": name})
    with pytest.raises(ModelError, match="lies outside of its folder: it is refused"):
        load_model(place)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"is no index of weights: .*; get the file again"),
        ("[]", r"is no index of weights"),
        ('{"weight_map": {"a": "gone.safetensors"}}', r"names 1 files of weights, and gone.safetensors is not there"),
    ],
)
def test_an_index_that_is_broken_is_said(content: str, said: str, tmp_path: Path) -> None:
    place = sharded(tmp_path / "model")
    (place / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=said):
        load_model(place)


def _other_words(place: Path) -> None:
    """Change the tokenizer that lies there: its first letters mean other tokens."""
    path = place / "tokenizer.json"
    told = json.loads(path.read_text())
    words = told["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    path.write_text(json.dumps(told))


def _survey(path: Path, source: Path) -> list[str]:
    path.write_text(
        f'[defaults]\ntokens = 3000\ncontext = 64\norders = [1]\npoints = 8\n[[model]]\npath = "{source}"\n'
    )
    return ["survey", str(path), "--out", str(path.with_suffix(""))]


def test_a_survey_sees_the_tokenizer_around_a_checkpoint(tmp_path: Path) -> None:
    """A Trainer may save it in the folder of the run alone."""
    run = tmp_path / "run"
    tiny_model().save_pretrained(run / "checkpoint-10")
    byte_tokenizer().save_pretrained(run)
    command = _survey(tmp_path / "s.toml", run / "checkpoint-10")
    assert CliRunner().invoke(app, command).exit_code == 0
    (run / "all_results.json").write_text("{}")  # what a run writes there at each checkpoint
    assert CliRunner().invoke(app, command).exit_code == 0
    _other_words(run)
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1 and "the tokenizer, configuration or base at" in again.output


def test_a_survey_sees_the_tokenizer_of_an_adapters_base(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    save_tiny(tmp_path / "base")
    model = peft.get_peft_model(tiny_model(), peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    command = _survey(tmp_path / "s.toml", tmp_path / "adapter")
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    _other_words(tmp_path / "base")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1 and "the tokenizer, configuration or base at" in again.output


def test_a_finished_trace_sees_the_tokenizer_of_a_later_checkpoint(tmp_path: Path) -> None:
    for step in (1, 2):
        tiny_model(seed=step).save_pretrained(tmp_path / f"run/step{step}")
        byte_tokenizer().save_pretrained(tmp_path / f"run/step{step}")
    command = ["trace", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--tokens", "3000", "--context", "64"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert "Nothing was left to do" in CliRunner().invoke(app, command).output
    _other_words(tmp_path / "run/step2")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1 and "step2 has another tokenizer than the first checkpoint" in again.output
