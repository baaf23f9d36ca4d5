"""A tokenizer that is not the model's: refused where the model cannot read it, said where it can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import refused as run
from tiny import VOCABULARY, byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.training.monitoring import Monitor
from infoplane.capture.forward_pass import assign_windows
from infoplane.errors import ModelError, SettingError
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from infoplane.report.measurement.writing import render_report

FEW: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 8, "layers": ["block.1"]}


def shifted(by: int, more: int = 0) -> Any:
    """The tokenizer of bytes with every id moved up, and some tokens more that no text has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|bos|>": 0, **{c: i + 1 + by for i, c in enumerate(alphabet)}}
    vocabulary |= {f"<|more{i}|>": len(vocabulary) + by + i for i in range(more)}
    vocabulary |= {f"<|less{i}|>": i + 1 for i in range(by)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|bos|>")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import normalizers

    folder = tmp_path_factory.mktemp("tokenizers")
    tiny_model().save_pretrained(folder / "tiny")
    byte_tokenizer().save_pretrained(folder / "tiny")
    byte_tokenizer().save_pretrained(folder / "same")
    shifted(200).save_pretrained(folder / "beyond")
    other = byte_tokenizer()
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    other.save_pretrained(folder / "lower")
    return folder


def nothing_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr("infoplane.capture.forward_pass.assign_windows", ran)


def test_ids_past_the_embedding_are_refused_before_anything_runs(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_may_run(monkeypatch)
    rows = f"the model's embedding has {VOCABULARY} rows: ids up to 256 were expected"
    said = rf"the text holds the token id \d+, and {rows}"
    with pytest.raises(ModelError, match=said + r".* leave --tokenizer out, or name the one"):
        infoplane.measure(places / "tiny", tokenizer=places / "beyond", capture=tmp_path / "cap", **FEW)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelError, match=said):
        infoplane.measure(tiny_model(), tokenizer=shifted(200), **FEW)
    with pytest.raises(ModelError, match=said):
        Monitor(tiny_model(), shifted(200), tokens=1000, context=64)  # at once, not at the first probe
    asked = [places / "tiny", "--tokenizer", places / "beyond", "--tokens", 2000, "--out", tmp_path / "out"]
    status, message = run(capsys, "measure", *asked)
    assert status == 2 and message.splitlines()[-1].startswith("infoplane: the text holds the token id")
    assert not (tmp_path / "out").exists()


def test_the_check_stands_before_what_torch_would_say(places: Path) -> None:
    """Without it the model is run and fails within: that is what the check saves from."""
    model = Model.from_module(tiny_model(), shifted(200))
    from infoplane.information.reference_points import ReferencePoints
    from infoplane.text.cut_windows import make_windows
    from infoplane.text.documents import read_text

    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=1000, context=64)
    with pytest.raises(IndexError, match="out of range"):
        assign_windows(model, windows, [ReferencePoints.make(32, 8)], layers=model.layers, first=0, last=1)


def test_far_more_tokens_than_rows_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"has 5257 tokens and the model's embedding 257 rows: .* leave --tokenizer out"
    ):
        Model.from_module(tiny_model(), shifted(0, more=5000))


def sized(rows: int) -> Any:
    """The tiny model with an embedding of so many rows."""
    module = tiny_model()
    with torch.no_grad():
        module.resize_token_embeddings(rows)
    return module.eval()


@pytest.mark.parametrize(
    ("rows", "more", "warning"),
    [
        (VOCABULARY, 0, None),
        (VOCABULARY + 63, 0, None),  # padded
        (
            VOCABULARY,
            10,
            "the tokenizer has 267 tokens and the model's embedding 257 rows: tokens were added to it, or",
        ),
        (
            4 * VOCABULARY,
            0,
            "the tokenizer has 257 tokens and the model's embedding 1,028 rows: no embedding is padded",
        ),
    ],
)
def test_sizes_that_differ_are_said_and_padding_is_not(rows: int, more: int, warning: str | None) -> None:
    found = infoplane.measure(sized(rows), tokenizer=shifted(0, more=more), **FEW)
    warnings = found.provenance["warnings"]
    assert warnings == [] if warning is None else len(warnings) == 1 and warnings[0].startswith(warning)


def test_another_tokenizer_than_the_one_beside_the_weights_is_said(places: Path, tmp_path: Path) -> None:
    same, lower = (
        infoplane.measure(places / "tiny", tokenizer=places / name, capture=tmp_path / name, **FEW)
        for name in ("same", "lower")
    )
    assert same.provenance["warnings"] == [] == infoplane.measure(places / "tiny", **FEW).provenance["warnings"]
    (warning,) = lower.provenance["warnings"]
    assert warning.startswith(
        f"the text was cut by the tokenizer {places / 'lower'}, which differs from the one beside"
    )
    again = infoplane.measure(None, capture=tmp_path / "lower", orders=(1,))  # the capture asked later says it too
    assert again.provenance["warnings"] == [warning]
    page = render_report(lower)
    assert "which differs from the one beside the weights" in page.split('id="detail"')[0]
    again.save(tmp_path)
    assert Measurement.load(tmp_path).provenance["warnings"] == [warning]


def test_a_loaded_module_knows_the_folder_that_it_came_from(places: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(places / "tiny")
    found = [
        infoplane.measure(module, tokenizer=AutoTokenizer.from_pretrained(places / name), **FEW).provenance["warnings"]
        for name in ("same", "lower")
    ]
    assert found[0] == [] and len(found[1]) == 1 and "differs from the one beside the weights" in found[1][0]


def test_a_model_that_has_its_tokenizer_takes_no_other() -> None:
    model = Model.from_module(tiny_model(), byte_tokenizer())
    with pytest.raises(SettingError, match=r"a Model comes with its tokenizer: .* load_model"):
        infoplane.measure(model, tokenizer=byte_tokenizer(), **FEW)


def test_a_capture_of_before_has_no_warnings(places: Path, tmp_path: Path) -> None:
    infoplane.measure(places / "tiny", capture=tmp_path, **FEW)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest.pop("warnings") == [] and manifest.pop("sha256")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert infoplane.measure(None, capture=tmp_path, orders=(1,)).provenance["warnings"] == []
