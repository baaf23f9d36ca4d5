"""Quantised weights as they run: those of torchao, and the packages that others need."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from tiny import byte_tokenizer, save_tiny, tiny_model

import infoplane
from infoplane.errors import ModelError
from infoplane.models.loading import load_model
from infoplane.models.module_hashes import weights_hash

pytest.importorskip("torchao", reason="its weights are measured")
SMALL: dict[str, Any] = {"tokens": 4000, "context": 64, "m": 16, "orders": (1,)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    save_tiny(place)
    return place


def quantised(base: Path, kind: str) -> Any:
    from torchao import quantization

    config = t.TorchAoConfig(getattr(quantization, kind)())
    return t.AutoModelForCausalLM.from_pretrained(base, quantization_config=config, dtype=torch.float32)


@pytest.mark.parametrize("kind", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
def test_a_model_of_torchao_is_measured_as_it_runs(base: Path, tmp_path: Path, kind: str) -> None:
    """From its folder, and as a module; the states are those of the quantised model, near those of the base."""
    module = quantised(base, kind)
    module.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(tmp_path, dtype="float32")
    assert loaded.provenance["quantization"] == "torchao"
    assert type(loaded.module.model.layers[0].mlp.down_proj.weight).__name__ == "Int8Tensor"
    ids = torch.arange(2, 26).view(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(loaded.run(ids), module.model(input_ids=ids).last_hidden_state)
    found = infoplane.measure(loaded, "c4-sample", **SMALL)
    same = infoplane.measure(module, "c4-sample", tokenizer=byte_tokenizer(), **SMALL)
    assert [row.value for row in found] == pytest.approx([row.value for row in same], abs=1e-6)
    change = found.minus(infoplane.measure(base, "c4-sample", dtype="float32", **SMALL))
    moved = change.get("complexity", order=1)
    assert 0 < abs(moved.value) < 0.01


def test_the_hash_is_of_the_numbers_that_quantised_weights_are_made_of(base: Path) -> None:
    first, again = (quantised(base, "Int8WeightOnlyConfig") for _ in range(2))
    assert weights_hash(first) == weights_hash(again) != weights_hash(tiny_model())
    with torch.no_grad():
        again.model.layers[1].mlp.down_proj.weight.qdata[0, 0] += 1
    assert weights_hash(first) != weights_hash(again)


@pytest.mark.parametrize(
    ("method", "more", "package"),
    [
        ("gptq", {"bits": 4, "group_size": 32}, "optimum"),
        ("awq", {"bits": 4, "group_size": 32}, "gptqmodel"),
        ("bitsandbytes", {"load_in_4bit": True}, "bitsandbytes"),
        ("compressed-tensors", {"config_groups": {}, "format": "int-quantized"}, "compressed-tensors"),
        ("quanto", {"weights": "int8"}, "optimum-quanto"),
    ],
)
def test_a_package_that_is_missing_is_named(
    base: Path, tmp_path: Path, method: str, more: dict[str, Any], package: str
) -> None:
    if importlib.util.find_spec(package.replace("-", "_")):
        pytest.skip(f"{package} is installed")
    for path in base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((base / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": method, **more}})
    )
    with pytest.raises(ModelError, match=f"a package is missing: .*{package}"):
        load_model(tmp_path)
