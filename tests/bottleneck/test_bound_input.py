"""What `infoplane bound` cannot do it says in one line, with exit status 2, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import refused as run
from tiny import byte_tokenizer

from infoplane.bottleneck.text_bound import Bound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bound-input")
    byte_tokenizer().save_pretrained(place / "tokenizer")
    draw = np.random.default_rng(5)
    texts = {
        "good": ["".join(draw.choice(list("abcd efgh"), 60)) for _ in range(60)],
        "one": ["".join(draw.choice(list("abcd efgh"), 600))],
        "same": ["a" * n for n in range(20, 80)],
    }
    for name, lines in texts.items():
        (place / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines))
    (place / "empty").mkdir()
    (place / "broken").mkdir()
    (place / "broken/tokenizer.json").write_text("{")
    (place / "broken/tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (place / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    return place


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (
            "one",
            [],
            "1 document with positions: the bound is fitted on one half of the documents and judged on the other",
        ),
        ("same", [], "the text has one symbol only: there is nothing to foretell"),
        ("good", ["-m", "1"], "--symbols 1: expected a whole number, 2 or more"),
        ("good", ["-m", "0"], "--symbols 0: expected a whole number, 2 or more"),
        (
            "good",
            ["-m", "100"],
            "half of the text has only 9 different tokens: choose an m of at most 9, or give text with more of them",
        ),
        ("good", ["--orders", "0"], "--orders 0: expected some of 1, 2, 3"),
        ("good", ["--orders", "1,4"], "--orders 1,4: expected some of 1, 2, 3"),
        ("good", ["--orders", "-1"], "--orders -1: expected some of 1, 2, 3"),
        ("good", ["--orders", ""], "--orders '': expected some of 1, 2, 3"),
        ("good", ["--orders", "one"], "--orders one: expected some of 1, 2, 3"),
        ("good", ["--restarts", "0"], "--restarts 0: expected a whole number, 1 or more"),
        ("good", ["--tokens", "1"], "--tokens 1: expected a whole number, 8 or more"),
        ("missing", [], "no file or folder"),
        (
            "good",
            ["--tokenizer", "./nowhere"],
            "no tokenizer at './nowhere': expected smollm2-135m, a .gguf file, or the",
        ),
        ("good", ["--tokenizer", "nowhere.gguf"], "no file nowhere.gguf: expected a .gguf file that exists"),
        ("good", ["--tokenizer", "EMPTY"], "hub id of a tokenizer"),
        ("good", ["--tokenizer", "BROKEN"], "hub id of a tokenizer"),
        ("good", ["--tokenizer", "BROKEN.gguf"], "hub id of a tokenizer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_leaves_nothing(
    text: str, more: list[str], message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    more = [word.replace("EMPTY", str(folder / "empty")).replace("BROKEN", str(folder / "broken")) for word in more]
    usual = ["--tokenizer", folder / "tokenizer", "--tokens", "4000", "-m", "5", "--context", "64", "--orders", "1"]
    status, said = run(capsys, "bound", folder / f"{text}.jsonl", *usual, *more, "--out", "out")
    assert status == 2
    assert said.startswith("infoplane: ") and said.count("\n") == 1, said
    assert message in said
    assert list(tmp_path.iterdir()) == []


def test_as_many_symbols_as_tokens_are_not_too_many(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from infoplane.cli import app

    asked = ["bound", str(folder / "good.jsonl"), "--tokenizer", str(folder / "tokenizer"), "--tokens", "4000",
             "--context", "64", "--orders", "1", "-m", "9", "--out", str(tmp_path / "out")]  # fmt: skip
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert Bound.load(tmp_path / "out").get(1).m == 9


def test_an_out_that_is_a_file_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    asked = ["bound", folder / "good.jsonl", "--tokenizer", folder / "tokenizer", "--out", tmp_path / "out"]
    status, said = run(capsys, *asked)
    assert status == 2 and "is a file; expected a folder for --out" in said
    assert (tmp_path / "out").read_text() == "mine"
