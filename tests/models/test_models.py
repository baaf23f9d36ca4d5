"""Where models come from: .gguf files, device maps, state-space models; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, save_tiny, tiny_model

import infoplane
from infoplane.errors import ModelError
from infoplane.models.loading import load_model
from infoplane.models.locating import built_in

SMOLLM2 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_a_gguf_file_is_the_model_that_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in model by its path: its hash, its size, and the loss of a model that was loaded rightly."""
    link, made, whole = tmp_path / "renamed.gguf", list[str](), gguf.GGUFReader

    def reader(path: str) -> gguf.GGUFReader:
        made.append(path)
        return whole(path)

    monkeypatch.setattr(gguf, "GGUFReader", reader)
    link.symlink_to(built_in())
    model = load_model(link, dtype="float32")
    assert made == [str(link)] and gguf.GGUFReader is reader
    assert model.provenance["file_sha256"] == SMOLLM2
    assert (model.provenance["parameters"], model.provenance["blocks"], model.width) == (134_515_008, 30, 576)
    found = infoplane.measure(model, tokens=2_560, context=512, orders=(1,), layers=["block.14"], loss=True)
    # 40 documents of 64 tokens each, a short context; a model with scrambled weights reads 10.8, log of the vocabulary
    assert 3.5 < found.get("loss").value < 4.5
    assert found.get("complexity", "block.14").value > found.get("expressivity", "block.14").value > 0


def test_a_device_map_gives_the_same_numbers(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    more = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}
    plain = infoplane.measure(tmp_path / "tiny", **more)
    mapped = infoplane.measure(tmp_path / "tiny", **more, device_map="auto")
    for a, b in zip(plain, mapped, strict=True):
        assert a.key == b.key and a.value == pytest.approx(b.value, abs=1e-9)


def test_a_model_that_does_not_fit_its_device_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 GiB.")

    save_tiny(tmp_path)
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ModelError, match=r"not enough memory to load .*; try dtype bfloat16 or device_map auto"):
        load_model(tmp_path, dtype="float32")


def test_what_is_stored_in_half_precision_is_said(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    single, half = (load_model(tmp_path / "tiny", dtype=name) for name in ("float32", "bfloat16"))
    assert (single.provenance["dtype"], half.provenance["dtype"]) == ("float32", "bfloat16")
    more = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16}
    difference = infoplane.measure(single, **more).minus(infoplane.measure(half, **more))
    assert "different dtypes: float32 and bfloat16" in " ".join(difference.provenance["warnings"])
    assert max(abs(row.value) for row in difference.select(quantity="entropy")) < 0.02


def test_a_model_is_what_its_files_hold_not_where_they_lie(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    shutil.copytree(tmp_path / "tiny", tmp_path / "moved")
    tiny_model(seed=1).save_pretrained(tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")
    more = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}
    here, moved, other = (
        infoplane.measure(tmp_path / p, **more).provenance["run_id"] for p in ("tiny", "moved", "other")
    )
    assert here == moved != other


def test_the_untrained_twin_is_drawn_from_its_seed_and_leaves_the_generator_alone(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    state = torch.get_rng_state()
    a, b, c = (load_model(tmp_path / "tiny", dtype="float32", random_init=True, seed=s) for s in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    weights = [m.backbone.layers[0].mlp.down_proj.weight.detach().numpy() for m in (a, b, c)]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])


def test_a_broken_file_of_weights_is_refused(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    weights = tmp_path / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"cannot load .*expected the folder or hub id of a decoder-only model"):
        load_model(tmp_path / "tiny")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="cannot load"):
        load_model(broken)
