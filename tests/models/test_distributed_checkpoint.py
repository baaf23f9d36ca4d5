"""Folders of `torch.distributed.checkpoint`: read where pickles are allowed, else refused with what converts them."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.errors import ModelError
from infoplane.models.loading import load_model

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")  # where they are saved
SMALL = {"tokens": 3000, "context": 64, "m": 16, "orders": (1,)}


def saved(place: Path, before: str = "model", inside: str = "", family: str = "llama") -> Path:
    """A checkpoint of the tiny model, as a Trainer or a loop of one's own writes it."""
    model = tiny_model(family)
    state = model.state_dict()
    optimizer = torch.optim.AdamW(model.parameters())
    for name in reversed(before.split(".")) if before else ():
        state = {name: state}
    more = {"optimizer": optimizer.state_dict(), "step": 7} if before else {"optimizer": {"step": torch.tensor(7)}}
    dcp.save({**state, **more} if not inside else state, checkpoint_id=place / inside, no_dist=True)
    model.config.save_pretrained(place)
    byte_tokenizer().save_pretrained(place)
    return place


@pytest.mark.parametrize(
    ("before", "inside"), [("model", ""), ("", ""), ("app.model", ""), ("model", "pytorch_model_fsdp_0")]
)
def test_its_weights_are_those_that_were_saved(tmp_path: Path, before: str, inside: str) -> None:
    place = saved(tmp_path / "c", before, inside)
    for more in (inside, "optimizer_0") if inside else ():  # beside the weights a Trainer saves its optimizer
        (place / more).mkdir(exist_ok=True)
        (place / more / ".metadata").touch()
    if inside:
        saved(tmp_path / "d", before, inside)
        (place / inside / ".metadata").write_bytes((tmp_path / "d" / inside / ".metadata").read_bytes())
    read = load_model(place, dtype="float32", allow_pickle=True)
    for name, tensor in tiny_model().state_dict().items():
        assert torch.equal(read.module.state_dict()[name], tensor), name
    assert len(read.provenance["file_sha256"]) == 64 and not read.warnings
    a = infoplane.measure(read, "c4-sample", **SMALL)
    b = infoplane.measure(tiny_model(), "c4-sample", tokenizer=byte_tokenizer(), **SMALL)
    assert [row.value for row in a] == [row.value for row in b]


def test_it_is_refused_with_what_merges_its_parts(tmp_path: Path) -> None:
    place = saved(tmp_path / "c", inside="pytorch_model_fsdp_0")
    with pytest.raises(ModelError, match=r"is a distributed checkpoint.*accelerate merge-weights .*fsdp_0 OUT"):
        load_model(place)
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "merge-weights"]
    subprocess.run(
        [*command, str(place / "pytorch_model_fsdp_0"), str(tmp_path / "out")], check=True, capture_output=True
    )
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "out" / name).write_bytes((place / name).read_bytes())
    merged = load_model(tmp_path / "out", dtype="float32")
    for name, tensor in tiny_model().state_dict().items():
        assert torch.equal(merged.module.state_dict()[name], tensor), name


def test_what_it_lacks_or_is_of_another_shape_is_refused(tmp_path: Path) -> None:
    place = saved(tmp_path / "c")
    (place / "config.json").unlink()
    with pytest.raises(ModelError, match=r"put the config\.json and the tokenizer of its model there"):
        load_model(place, allow_pickle=True)
    other = tiny_model()
    other.config.num_hidden_layers = 5
    other.config.save_pretrained(place)
    with pytest.raises(ModelError, match=r"lacks \d+ weights of the model .*block"):
        load_model(place, allow_pickle=True)
    other.config.num_hidden_layers, other.config.intermediate_size = 3, 64
    other.config.save_pretrained(place)
    with pytest.raises(ModelError, match=r"has the shape \[32, 48\] in the file and \[32, 64\] in the model"):
        load_model(place, allow_pickle=True)


def test_one_with_more_blocks_than_the_config_says_so(tmp_path: Path) -> None:
    place = saved(tmp_path / "c")
    other = tiny_model()
    other.config.num_hidden_layers = 2
    other.config.save_pretrained(place)
    assert any("block" in warning or "layers.2" in warning for warning in load_model(place, allow_pickle=True).warnings)


@pytest.mark.parametrize("harm", ["index", "part", "no part"])
def test_a_damaged_one_is_refused(tmp_path: Path, harm: str) -> None:
    place = saved(tmp_path / "c")
    part = next(place.glob("*.distcp"))
    if harm == "index":
        (place / ".metadata").write_bytes((place / ".metadata").read_bytes()[:50])
    elif harm == "part":
        part.write_bytes(part.read_bytes()[:1000])
    else:
        part.unlink()
    with pytest.raises(ModelError, match="its distributed checkpoint cannot be read"):
        load_model(place, allow_pickle=True)


def test_in_half_precision_its_numbers_are_those_of_safetensors(tmp_path: Path) -> None:
    """Buffers that no file holds, such as rotary frequencies, are float32 there; so too of an untrained twin."""
    place = saved(tmp_path / "c")
    tiny_model().save_pretrained(tmp_path / "plain")
    byte_tokenizer().save_pretrained(tmp_path / "plain")
    read = load_model(place, dtype="bfloat16", allow_pickle=True)
    plain = load_model(tmp_path / "plain", dtype="bfloat16")
    twin = load_model(tmp_path / "plain", dtype="bfloat16", random_init=True)
    for module in (read.module, twin.module):
        for (name, mine), (_, theirs) in zip(module.named_buffers(), plain.module.named_buffers(), strict=True):
            assert mine.dtype == theirs.dtype == torch.float32 and torch.equal(mine, theirs), name
    ids = torch.arange(2, 66).view(1, 64)
    with torch.no_grad():
        assert torch.equal(read.run(ids), plain.run(ids))


def test_two_sets_of_weights_are_refused_by_name(tmp_path: Path) -> None:
    model = tiny_model()
    halved = {name: tensor / 2 for name, tensor in model.state_dict().items()}
    dcp.save({"ema": halved, "model": model.state_dict()}, checkpoint_id=tmp_path, no_dist=True)
    model.config.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"holds 2 sets of these weights, whose names begin with 'ema\.', 'model\.'"):
        load_model(tmp_path, allow_pickle=True)


def test_parts_outside_of_its_folder_are_refused(tmp_path: Path) -> None:
    place = saved(tmp_path / "c")
    metadata = pickle.loads((place / ".metadata").read_bytes())
    for key, stored in metadata.storage_data.items():
        metadata.storage_data[key] = dataclasses.replace(stored, relative_path="../other/x.distcp")
    (place / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(ModelError, match="lies outside of its folder"):
        load_model(place, allow_pickle=True)
