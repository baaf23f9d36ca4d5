"""Labels of the text: the same for every tokenizer, never inside a word or a character, never cut."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import byte_tokenizer, merging_tokenizer, tiny_model

import infoplane
from infoplane.capture.stored_capture import open_capture
from infoplane.capture.writer import write_capture
from infoplane.errors import CaptureError, LabelError, SettingError
from infoplane.information.reference_points import ReferencePoints
from infoplane.models.decoder import Model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.windows import Windows
from infoplane.text.word_labels import TextLabels, Unit

TEXT = [
    "It's the naïve café in 東京, isn't it? Прощай, мир! 3.14 is pi; don't 'quote' me, e-mail o'clock…",
    "One two three, four five. Six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
]


def cut(texts: Any, tokenizer: Any = None, context: int = 4096, **more: Any) -> Windows:
    return make_windows(read_text(texts), tokenizer or byte_tokenizer(), tokens=10**6, context=context, **more)


def window_texts(w: Windows) -> list[str]:
    assert w.text is not None and w.ends is not None
    ends = np.concatenate(([0], w.ends))[w.starts]
    return [w.text[a:b].tobytes().decode() for a, b in itertools.pairwise(ends.tolist())]


def expected(text: str, unit: Unit) -> list[tuple[str, str]]:
    """What is before and after each whole word of a window, by a regular expression and slices."""
    whole = list(re.finditer(r"(?:[^\W_]|(?<=[^\W\d_])['’](?=[^\W\d_]))+", text))
    whole = [m for m in whole if m.start() > 0 and m.end() < len(text)]
    found = []
    for i, m in enumerate(whole):
        if unit.name == "word":
            near = [w.group() for w in whole]
            k = unit.width
            if i - k + 1 >= 0 and i + k < len(near):
                found.append((" ".join(near[i - k + 1 : i + 1]), " ".join(near[i + 1 : i + k + 1])))
            continue
        a, b = (text[: m.end()], text[m.end() :]) if unit.name == "char" else (
            text[: m.end()].encode(), text[m.end() :].encode(),
        )  # fmt: skip
        if len(a) >= unit.width and len(b) >= unit.width:
            found.append((str(a[-unit.width :]), str(b[: unit.width])))
    return found


def same_partition(codes: Any, truth: list[str]) -> bool:
    pairs = set(zip(codes.tolist(), truth, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize("unit", ["word", "word:2", "char:1", "char:4", "byte:1", "byte:4", "byte:8"])
@pytest.mark.parametrize("tokenizer", ["bytes", "merged", "bos"])
@pytest.mark.parametrize("context", [4096, 40])
def test_labels_are_what_stands_before_and_after_each_word(unit: str, tokenizer: str, context: int) -> None:
    made = merging_tokenizer() if tokenizer == "merged" else byte_tokenizer(bos=tokenizer == "bos")
    w = cut(TEXT, made, context)
    which = Unit.parse(unit)
    before, after = TextLabels(w).of(which)
    truth = [pair for text in window_texts(w) for pair in expected(text, which)]
    assert len(truth) > 10
    assert len(before.rows) == len(truth)
    assert np.array_equal(before.rows, after.rows) and (np.diff(before.rows) > 0).all()
    assert same_partition(before.codes, [a for a, _ in truth])
    assert same_partition(after.codes, [b for _, b in truth])


@pytest.mark.parametrize("unit", ["word", "char:4", "byte:4"])
def test_tokenizers_have_the_same_labels_at_the_same_places(unit: str) -> None:
    few, many = (TextLabels(cut(TEXT, t)).of(Unit.parse(unit)) for t in (merging_tokenizer(), byte_tokenizer()))
    for side in (0, 1):
        assert np.array_equal(few[side].codes, many[side].codes)
    assert not np.array_equal(few[0].rows, many[0].rows)  # other tokens carry them


def test_what_is_asked_for_must_exist() -> None:
    for wrong in ("words", "char:5", "byte:0", "word:", "word:1.5"):
        with pytest.raises(SettingError, match=r"is not known; there are word:1 to word:2, char:1"):
            Unit.parse(wrong)
    whole = cut(TEXT)
    with pytest.raises(LabelError, match="need the text of the windows"):
        TextLabels(dataclasses.replace(whole, text=None, ends=None))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.from_module(tiny_model(), byte_tokenizer())


def captured(folder: Path, model: Model) -> Any:
    sample = read_text("c4-sample", limit=60)
    w = make_windows(sample, model.tokenizer, tokens=9000, context=150)
    points = [ReferencePoints.make(model.width, 12, 0)]
    return write_capture(folder, model, w, points, model.layers[1:3])


def test_a_capture_keeps_its_text_and_answers_later(tmp_path: Path, model: Model) -> None:
    kept = captured(tmp_path / "c", model)
    again = open_capture(tmp_path / "c")
    for name in ("text", "ends"):
        assert np.array_equal(getattr(kept.windows, name), getattr(again.windows, name))
    plain = infoplane.measure_capture(again, orders=(1,))
    more = infoplane.measure_capture(again, orders=(1,), text_labels=("word", "byte:4"))
    values = {row.key: (row.value, row.standard_error) for row in more}
    assert {row.key: values[row.key] for row in plain} == {row.key: (row.value, row.standard_error) for row in plain}
    assert more.get("complexity", order=1) == plain.get("complexity", order=1)  # the tokens' own, where none is named
    word = more.get("optimality", position_set="word:1")
    x, y = (more.get(q, position_set="word:1") for q in ("complexity", "expressivity"))
    assert word.value != more.get("optimality", order=1).value
    assert x.n == y.n == len(TextLabels(kept.windows).of(Unit("word", 1))[0].rows) > 300
    assert x.interval is not None and x.control_permuted is not None and y.control_shifted is not None
    assert word.value == pytest.approx(y.value / x.value, rel=1e-12)
    assert more.provenance["settings"]["text_labels"] == ["word:1", "byte:4"]


def test_a_changed_text_is_found(tmp_path: Path, model: Model) -> None:
    from safetensors.numpy import load_file, save_file

    captured(tmp_path / "c", model)
    place = tmp_path / "c" / "windows.safetensors"
    arrays = load_file(place)
    arrays["text"][5] ^= 1
    save_file(arrays, place)
    with pytest.raises(CaptureError, match="its windows do not fit its manifest"):
        open_capture(tmp_path / "c")


def test_the_command_reads_the_same_bytes_for_every_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from commands import command

    for name, tokenizer in {"bytes": byte_tokenizer(), "merged": merging_tokenizer()}.items():
        module = tiny_model()
        module.resize_token_embeddings(len(tokenizer))
        module.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    asked = ["--bytes", "9000", "--text-labels", "word,byte:2", "--orders", "1", "--points", "8", "--dtype", "float32"]
    for name in ("bytes", "merged"):
        assert command("measure", str(tmp_path / name), *asked, "--out", str(tmp_path / f"{name}-out")) == 0
    a, b = (infoplane.Measurement.load(tmp_path / f"{name}-out") for name in ("bytes", "merged"))
    capsys.readouterr()
    assert a.provenance["text"]["sha256"] == b.provenance["text"]["sha256"]
    assert a.provenance["blocks_hash"] == b.provenance["blocks_hash"]
    assert a.provenance["text"]["bytes"]["read"] <= 9000 < a.provenance["tokens"] + 200
    assert b.provenance["tokens"] < 0.8 * a.provenance["tokens"]
    places = [m.get("complexity", position_set="word:1").n for m in (a, b)]
    assert 0.9 < places[1] / places[0] < 1.2  # windows of 128 tokens end at other places
    for wrong, message in (
        (["--bytes", "9000", "--tokens", "10"], "--tokens and --bytes are two budgets"),
        (["--bytes", "3"], "expected a whole number"),
        (["--text-labels", "words"], "text label 'words' is not known"),
    ):
        assert command("measure", str(tmp_path / "bytes"), *wrong, "--out", str(tmp_path / "none")) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "none" / "measurement.json").exists()
