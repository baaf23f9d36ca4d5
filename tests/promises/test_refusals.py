"""What is refused before any work: what a capture cannot be asked, another result's folder, questions misspelt."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

from infoplane import Measurement, measure
from infoplane.analysis.training.tracing import trace
from infoplane.capture import sizes as sizing
from infoplane.cli import app
from infoplane.errors import InfoplaneError, LabelError, ResultError, SettingError, TextError
from infoplane.information.reference_points import ReferencePoints
from infoplane.models import loading
from infoplane.storage.address import to_path
from infoplane.storage.locations import put
from infoplane.storage.records import KINDS, check_free, check_kind, kind_at, read_record
from infoplane.text.byte_budget import limit_bytes
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import Text, read_text
from infoplane.text.pairs.preference_pairs import read_pairs

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = ["--tokens", "3000", "--context", "64", "--orders", "1", "--points", "16", "--dtype", "float32"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny`, a model; `run`, three checkpoints; `cap`, a capture of the model."""
    place = tmp_path_factory.mktemp("models")
    for name, seed in (("tiny", 0), ("run/step1", 1), ("run/step2", 2), ("run/step3", 3)):
        tiny_model(seed=seed).save_pretrained(place / name)
        byte_tokenizer().save_pretrained(place / name)
    measure(place / "tiny", tokens=3000, context=64, orders=(1,), m=16, capture=place / "cap", dtype="float32")
    return place


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def refusal(*arguments: str) -> str:
    """What the command says, which must be an error of ours."""
    result = call(*arguments)
    assert isinstance(result.exception, InfoplaneError), result.output
    return str(result.exception)


# ---------------------------------------------------------------------- a capture alone


@pytest.mark.parametrize(
    "option",
    [
        "--points 100", "-m 16", "--points-seed 0", "--reference-sets 5", "--calibration exact", "--text c4-sample",
        "--layers block.0", "--dtype float32", "--device cpu", "--batch 1", "--tokenizer x", "--baseline random-init",
        "--loss", "--seed 0", "--context 64", "--tokens 3000", "--bytes 1000", "--revision main", "--limit 3",
        "--preferences p.json", "--chat-template no", "--until-se 0.1", "--device_map auto", "--no-streaming",
    ],
)  # fmt: skip
def test_what_says_how_a_capture_is_made_is_refused_of_one_that_is(option: str, models: Path, tmp_path: Path) -> None:
    said = refusal("measure", "--capture", str(models / "cap"), "--out", str(tmp_path / "out"), *option.split())
    name = {"-m": "--points", "--device_map": "--device-map", "--no-streaming": "--streaming"}.get(
        option.split()[0], option.split()[0]
    )
    assert f"so {name} can say nothing more: leave that out, or name the model too" in said
    assert not (tmp_path / "out").exists()


def test_a_capture_is_asked_all_that_can_be_asked_of_one(models: Path, tmp_path: Path) -> None:
    asked = ["--orders", "2", "--unit", "bits", "--estimator", "plugin", "--text-labels", "word", "--memory", "4GB"]
    result = call("measure", "--capture", str(models / "cap"), "--out", str(tmp_path / "out"), *asked)
    assert result.exit_code == 0, result.exception
    found = Measurement.load(tmp_path / "out")
    assert found.provenance["settings"]["unit"] == "bits" and found.provenance["settings"]["orders"] == [2]
    with pytest.raises(SettingError, match="so layers, m can say nothing more"):
        measure(None, capture=models / "cap", m=16, layers=["block.0"])
    with pytest.raises(SettingError, match="so dtype can say nothing more"):
        measure(None, capture=models / "cap", dtype="float32")


def test_no_model_and_no_capture_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no model is named: name one, such as smollm2-135m" in refusal("measure")
    assert "misspelt holds no capture to ask" in refusal("measure", "--capture", "misspelt")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- folders of results


def commands(models: Path) -> dict[str, list[str]]:
    tiny, run = str(models / "tiny"), str(models / "run")
    survey = models / "survey.toml"
    survey.write_text(f'[[model]]\npath = "{tiny}"\n')
    table = ["small-models", "--score", "hellaswag", "--features", "optimality"]
    return {
        "measurement.json": ["measure", tiny, *SMALL], "trajectory.json": ["trace", run, *SMALL],
        "comparison.json": ["compare", "a=nowhere", "b=nowhere"], "forecast.json": ["forecast", *table],
        "survey.json": ["survey", str(survey)], "bound.json": ["bound", "c4-sample", "--tokenizer", tiny],
    }  # fmt: skip


@pytest.mark.parametrize("own", [name for name in KINDS if name != "manifest.json"])
def test_a_result_of_another_kind_is_never_overwritten(own: str, models: Path, tmp_path: Path) -> None:
    for other, what in KINDS.items():
        if other in (own, "manifest.json") or {own, other} == {"survey.json", "comparison.json"}:
            continue
        folder = tmp_path / other
        folder.mkdir()
        for name in (other, "report.html"):
            (folder / name).write_text("kept")
        for force in ([], ["--force"]):
            said = refusal(*commands(models)[own], "--out", str(folder), *force)
            assert f"holds {what} ({other}), and its report would be lost: choose another --out" in said
        assert {path.name: path.read_text() for path in folder.iterdir()} == {other: "kept", "report.html": "kept"}
    (tmp_path / "file").write_text("kept")
    assert "is a file; expected a folder for --out" in refusal(*commands(models)[own], "--out", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "kept"


def test_a_page_alone_is_overwritten_by_force_only(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("of several traces")
    with pytest.raises(ResultError, match=r"report.html exists: choose another --out, or --force"):
        check_free(tmp_path, "measurement.json", force=False)
    check_free(tmp_path, "measurement.json", force=True)
    (tmp_path / "manifest.json").write_text("{}")  # a capture may lie beside a result
    check_free(tmp_path, "measurement.json", force=True)


def test_a_command_stopped_before_its_record_goes_on(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    command = ["measure", str(models / "tiny"), *SMALL, "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(Measurement, "save", stopped)
        call(*command)
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "measurement.json").exists()
    assert call(*command).exit_code == 0
    assert (tmp_path / "measurement.json").is_file()


def test_pages_at_an_address_are_looked_at_too() -> None:
    folder = to_path("memory://refusals/here")
    put(folder / "report.html", b'<p class="eyebrow">infoplane traces</p>')
    with pytest.raises(ResultError, match=r"report.html exists"):
        check_free(folder, "measurement.json", force=False)
    put(folder / "report.html", b'<p class="eyebrow">infoplane measurement</p>')
    check_free(folder, "measurement.json", force=False)
    put(folder / "trajectory.json", b"{}")
    with pytest.raises(ResultError, match="memory://refusals/here holds a trace"):
        check_free(folder, "measurement.json", force=False)
    assert kind_at(folder) == "trajectory.json"


def test_a_survey_may_lie_beside_its_comparison(models: Path, tmp_path: Path) -> None:
    for own in ("survey.json", "comparison.json"):
        (tmp_path / own).write_text("{}")
    for own in ("survey.json", "comparison.json"):
        check_kind(tmp_path, own)
    with pytest.raises(ResultError, match="holds a comparison"):
        check_kind(tmp_path, "measurement.json")


def test_a_folder_of_another_kind_is_called_what_it_is(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trajectory.json").write_text("{}")
    assert kind_at(tmp_path) == "trajectory.json" and kind_at(tmp_path / "bound.json") == "bound.json"
    for command in (["budget", str(tmp_path)], ["cases", str(tmp_path), "--scores", "open-llm-leaderboard"]):
        assert "no measurement at" in (said := refusal(*command)) and "holds a trace (trajectory.json)" in said
    assert "holds a capture (manifest.json)" in refusal("report", str(models / "cap"))
    with pytest.raises(ResultError, match=r"no trajectory at .*nowhere/trajectory.json: run `infoplane trace`"):
        read_record(tmp_path / "nowhere" / "trajectory.json", "x", "trajectory", "trace")
    assert kind_at(tmp_path / "nowhere") is None
    monkeypatch.chdir(tmp_path)  # a name that is not there says nothing of the folder it would be in
    assert refusal("report", "nothere") == "no measurement at nothere: run `infoplane measure` with --out"


def test_a_folder_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any, **more: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/tmp/.x.csv.abc.part")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    result = call("scores", "open-llm-leaderboard", "--out", str(tmp_path / "x.csv"))
    assert isinstance(result.exception, PermissionError) and result.exception.filename == str(tmp_path / "x.csv")


# ---------------------------------------------------------------------- before the model is loaded


@pytest.mark.parametrize(
    "option, message",
    [
        ("--unit furlongs", "--unit furlongs: expected one of efficiency, bits, nats"),
        ("--weights frequencies", "--weights frequencies: expected some of frequency, uniform"),
        ("--estimator best", "--estimator best: expected some of corrected, plugin"),
        ("--orders 1,5", "--orders 1,5: expected some of 1, 2, 3, 4"),
        ("--text-labels syllable", "text label 'syllable' is not known"),
        ("--calibration rough", "--calibration rough: expected one of exact, leading-order, amos-lower"),
        ("--reference-sets 0", "--reference-sets 0: expected a whole number, 1 or more"),
        ("--points 1", "--points 1: expected a whole number, 2 or more"),
        ("--points-seed -1", "--points-seed -1: expected a whole number, 0 or more"),
        ("--context 3", "--context 3: expected a whole number, 8 or more"),
        ("--tokens 2", "--tokens 2: expected a whole number, 8 or more"),
        ("--seed -1", "--seed -1: expected a whole number, 0 or more"),
        ("--batch 0", "--batch 0: expected a whole number, 1 or more"),
    ],
)
def test_a_misspelt_question_is_refused_before_the_model_is_loaded(option: str, message: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out"), *option.split()]
    assert message in refusal("measure", "./nowhere", *out)
    assert message in refusal("trace", "./nowhere", *out)
    assert not (tmp_path / "out").exists()


def test_labels_that_do_not_fit_are_refused_before_anything_is_captured(models: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="label 'x' has 3 values; expected"):
        measure(models / "tiny", tokens=3000, labels={"x": np.arange(3)}, capture=tmp_path / "cap")
    assert not (tmp_path / "cap").exists()


@pytest.mark.parametrize("settings", [{"m": 10**8}, {"reference_sets": 10**6}, {"m": 10**6, "memory": "1GB"}])
def test_more_points_than_memory_holds_are_refused(settings: dict[str, Any], models: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"reference points of width .* use a smaller m, or fewer reference_sets"):
        measure(models / "tiny", tokens=3000, capture=tmp_path / "cap", **{"m": 10**5, **settings})
    assert not (tmp_path / "cap").exists()


def test_points_that_just_fit_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, needed = ("embed", "block.0"), 100 * 64 * (32 + 3 * 2 * 12)
    assert sizing.plan_points(64, 100, 0, "exact", layers, 3, memory=needed).sets == 3
    monkeypatch.setattr(sizing, "free_memory", lambda: needed - 1)
    with pytest.raises(SettingError, match=r"3 sets of 100 .* for each of 2 layers take 650 KiB, and 650 KiB are free"):
        sizing.plan_points(64, 100, 0, "exact", layers, 3)
    assert sizing.plan_points(64, 100, 0, "exact", layers, 3, shared=True).draw("embed") == ""


@pytest.mark.parametrize(("blocks", "sets"), [(0, 16), (1, 16), (2, 8), (7, 3), (8, 2), (30, 2), (80, 2)])
def test_few_blocks_have_more_sets(blocks: int, sets: int) -> None:
    layers = ["embed", *(f"block.{i}" for i in range(blocks)), "final_norm"]
    assert sizing.plan_points(64, 100, 0, "exact", layers).sets == sets
    assert sizing.plan_points(64, 100, 0, "exact", layers, shared=True).sets == 5


@pytest.mark.parametrize("settings", [{"layers": ["block.77"]}, {"m": 10**8}, {"memory": "1MB"}])
def test_a_setting_that_no_checkpoint_has_is_found_at_the_first(
    settings: dict[str, Any], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded = loading.load_model, list[str]()

    def counted(source: Any, **more: Any) -> Any:
        loaded.append(source)
        return load(source, **more)

    monkeypatch.setattr("infoplane.models.load_model", counted)
    with pytest.raises(InfoplaneError):
        trace(models / "run", out=tmp_path, tokens=3000, context=64, orders=(1,), **settings)
    assert len(loaded) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{"layers": ["block.77"]}, {"m": 10**8}, {"memory": "1MB"}])
def test_what_a_model_cannot_be_asked_leaves_nothing(settings: dict[str, Any], models: Path, tmp_path: Path) -> None:
    given = [word for name, value in settings.items() for word in (f"--{'points' if name == 'm' else name}", value)]
    words = [one if isinstance(one, str) else ",".join(one) if isinstance(one, list) else str(one) for one in given]
    small = [word for word in SMALL if word not in ("--points", "16")]
    for place in ("--out", "--capture"):
        refusal("measure", str(models / "tiny"), *small, *words, "--json", place, str(tmp_path / "x"))
    with pytest.raises(SettingError):
        measure(models / "tiny", capture=tmp_path / "x", tokens=3000, context=64, orders=(1,), **settings)
    assert not list(tmp_path.iterdir())


def test_numbers_of_other_kinds_are_numbers(models: Path) -> None:
    asked: dict[str, Any] = {"tokens": 3000, "context": 64, "m": 16, "dtype": "float32"}
    found = measure(models / "tiny", orders=np.array([1, 2]), **asked)
    assert list(found) == list(measure(models / "tiny", orders=(k for k in (1, 2)), **asked))
    assert ReferencePoints.make(8, 4, np.int64(3)) == ReferencePoints.make(8, 4, 3)
    with pytest.raises(SettingError, match="so documents can say nothing more"):
        measure(None, np.array(["a text", "another"]), capture=models / "cap")


def test_a_revision_of_a_folder_is_refused(models: Path) -> None:
    assert "lies on this machine and has no revisions" in refusal(
        "measure", str(models / "tiny"), "--revision", "main", *SMALL
    )


# ---------------------------------------------------------------------- texts and pairs


def test_parts_of_a_dataset_are_refused_of_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text of some words")
    for settings, message in (
        ({"split": "test"}, "split 'test' is of a dataset, and"),
        ({"config": "en"}, "config 'en' is of a dataset"),
        ({"revision": "v1"}, "text_revision 'v1' is of a dataset"),
        ({"column": "body"}, "column 'body': .*a.txt is plain text and has no columns"),
        ({"column": "body", "limit": 1}, "is plain text and has no columns"),
    ):
        with pytest.raises(SettingError, match=message):
            read_text(tmp_path / "a.txt", **settings)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.txt").write_text("a text of some words")
    (tmp_path / "folder/b.jsonl").write_text('{"body": "another"}')
    assert len(read_text(tmp_path / "folder", column="body")) == 2
    assert len(read_text(tmp_path / "folder", column="body", limit=1)) == 1
    with pytest.raises(SettingError, match="split 'test' is of a dataset, and c4-sample is none"):
        read_text("c4-sample", split="test")
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    (tmp_path / "pairs.json").write_text(json.dumps([pair]))
    assert len(read_pairs(tmp_path / "pairs.json")) == 1
    for source in (tmp_path / "pairs.json", [pair]):
        with pytest.raises(SettingError, match="split 'test' is of a dataset"):
            read_pairs(source, split="test")


def test_pairs_that_are_not_there_are_said_as_that(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"no file or folder .*none.json'; expected a path that exists or a datasets"):
        read_pairs(str(tmp_path / "none.json"))
    (tmp_path / "empty.json").write_text("")
    with pytest.raises(TextError, match=r"no preference pair in .*: it is empty; give pairs"):
        read_pairs(tmp_path / "empty.json")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(TextError, match="its one document is empty, or white space only"):
        read_text(tmp_path / "empty.txt")


def test_options_of_pairs_need_pairs(models: Path, tmp_path: Path) -> None:
    tiny = str(models / "tiny")
    assert "--chat-template says how --preferences are read" in refusal("measure", tiny, "--chat-template", "no")
    assert "--prompt-truncate says how --preferences are read" in refusal("measure", tiny, "--prompt-truncate")
    (tmp_path / "p.json").write_text(json.dumps([{"prompt": "a", "chosen": "b", "rejected": "c"}]))
    said = refusal("measure", tiny, "--preferences", str(tmp_path / "p.json"), "--text-labels", "word")
    assert "--preferences are measured without --text-labels" in said
    said = refusal("measure", tiny, "--preferences", str(tmp_path / "p.json"), "--bytes", "1000")
    assert "--preferences are measured without --bytes" in said


def test_near_names_are_told(tmp_path: Path) -> None:
    assert "near names: open-llm-leaderboard" in refusal("scores", "open-llm-leaderbord")
    asked = ["cases", str(tmp_path), "--out", str(tmp_path / "x.csv"), "--scores"]
    (tmp_path / "survey.json").write_text("{}")
    assert "did you mean small-models" in refusal("forecast", "small-model", "--score", "x", "--features", "y")
    assert "is none: open-llm-leaderboard" in refusal("scores", str(tmp_path / "x.csv"), "--facts")
    shutil.rmtree(tmp_path)
    assert "no measurement at" in refusal(*asked, "open-llm-leaderbord")


def test_a_survey_takes_only_several_times(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[[model]]\nid = "a/a"\n[[model]]\nid = "b/b"\n')
    said = refusal("survey", str(tmp_path / "s.toml"), "--only", "a/a", "--only", "zzz", "--dry-run")
    assert said == "--only 'zzz' fits no model of the survey; it has a/a, b/b"
    assert "is a file of your own: --show prints a survey that ships" in refusal(
        "survey", str(tmp_path / "s.toml"), "--show"
    )


# ---------------------------------------------------------------------- what is said of a text


def documents(sizes: list[int]) -> Text:
    return read_text([f"{i:x<{size}}" for i, size in enumerate(sizes)])


def test_short_documents_are_read_until_the_budget_is_reached() -> None:
    tokenizer = byte_tokenizer()
    windows = make_windows(documents([20] * 100), tokenizer, tokens=640)
    assert len(windows.documents) == 32 and int(windows.is_text.sum()) == 640
    assert windows.provenance["ended"] is False
    windows = make_windows(documents([20] * 100 + [5] * 100), tokenizer, tokens=4000)  # five are no window
    assert len(windows.documents) == 100 and windows.provenance["ended"] is True
    windows = make_windows(documents([200] * 100), tokenizer, tokens=640)
    assert len(windows.documents) == 10 and set(windows.lengths) == {64}


def test_a_text_that_ends_before_the_budget_is_said(models: Path) -> None:
    asked: dict[str, Any] = {"orders": (1,), "m": 16, "dtype": "float32", "context": 64}
    found = measure(models / "tiny", documents([100] * 41), tokens=5000, **asked)
    assert "the text ends after 4,100 tokens, of 5,000 to be read" in found.provenance["warnings"]
    found = measure(models / "tiny", documents([100] * 41), tokens=4100, **asked)
    assert not [said for said in found.provenance["warnings"] if "the text ends" in said]
    for size, ends in ((4100, True), (4099, False)):
        text = limit_bytes(documents([100] * 41), size)
        assert text.provenance["bytes"]["ended"] is ends
    found = measure(models / "tiny", limit_bytes(documents([100] * 41), 5000), tokens=10_000, **asked)
    assert "the text ends after 4,100 bytes, of 5,000 to be read" in found.provenance["warnings"]


def test_the_table_tells_rows_apart(models: Path, tmp_path: Path) -> None:
    asked = [
        "--text-labels",
        "word",
        "--weights",
        "frequency,uniform",
        "--reference-sets",
        "2",
        "--estimator",
        "plugin",
        "--verbose",
    ]
    result = call("measure", str(models / "tiny"), *SMALL, *asked, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.exception
    found = Measurement.load(tmp_path / "out")
    for row in (r for r in found.select(layer="model", quantity="complexity") if r.position_set in ("P_1", "word:1")):
        assert row.points_error is not None
        cells = [row.weight or "", f"{row.value:.4f}", f"{row.points_error:.4f}"]
        lines = [line for line in result.output.splitlines() if all(cell in line for cell in cells)]
        assert any(("word:1" in line) is (row.position_set == "word:1") for line in lines), cells


def test_one_plain_text_is_told_to_be_one_document(models: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text of some words, and then some more " * 50)
    out = str(tmp_path / "out")
    said = call("measure", str(models / "tiny"), *SMALL, "--text", str(tmp_path / "a.txt"), "--out", out)
    note = "1 document: no interval is given with fewer than 40; a plain text is one document: give a folder of files"
    assert note in " ".join(said.output.split())
    assert "no standard errors to plan by: 1 documents were read, and 40 are needed" in refusal("budget", out)
    asked = ["cases", out, "--scores", "open-llm-leaderboard", "--latest", "--out", str(tmp_path / "x.csv")]
    assert "--percent and --latest are for files" in refusal(*asked)


def test_orders_without_a_bound_and_what_is_marked_are_said(models: Path, tmp_path: Path) -> None:
    asked = [str(models / "tiny"), *SMALL, "--orders", "1,4", "--bound", "--out", str(tmp_path / "out")]
    asked += ["--estimator", "corrected,plugin", "--verbose"]
    result = call("measure", *asked)
    assert result.exit_code == 0, result.exception
    said = " ".join(result.output.split())
    assert "the model is placed against it at order 1, not at 4" in said
    assert "! plugin (order 1, order 4): plugin is biased upward for rare labels: see its controls" in said


# ---------------------------------------------------------------------- traces


def test_a_trace_with_failures_exits_with_1_and_is_gone_on_with(models: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "run", str(tmp_path / "out")
    shutil.copytree(models / "run", place)
    whole = (place / "step2/model.safetensors").read_bytes()
    (place / "step2/model.safetensors").write_bytes(b"nothing")
    result = call("trace", str(place), *SMALL, "--out", out)
    assert result.exit_code == 1
    assert "infoplane: 1 of 3 checkpoints could not be measured: step2" in result.output
    first = (tmp_path / "out/checkpoints/step1/measurement.json").read_bytes()
    (place / "step2/model.safetensors").write_bytes(whole)
    assert call("trace", str(place), *SMALL, "--out", out).exit_code == 0
    assert (tmp_path / "out/checkpoints/step1/measurement.json").read_bytes() == first
    assert "Nothing was left to do" in call("trace", str(place), *SMALL, "--out", out).output


def test_a_finished_trace_takes_new_checkpoints_and_tells_of_halves(models: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "run", str(tmp_path / "out")
    shutil.copytree(models / "run", place)
    moved = place.rename(tmp_path / "all")
    for step in (1, 2):
        shutil.copytree(moved / f"step{step}", place / f"step{step}")
    assert call("trace", str(place), *SMALL, "--out", out).exit_code == 0
    assert "Nothing was left to do" in call("trace", str(place), *SMALL, "--out", out).output
    first = (tmp_path / "out/checkpoints/step1/measurement.json").read_bytes()
    shutil.copytree(moved / "step3", place / "step3")
    (place / "step3/config.json").unlink()  # half of it
    result = call("trace", str(place), *SMALL, "--out", out)
    assert result.exit_code == 1 and "1 of 3 checkpoints could not be measured: step3" in result.output
    shutil.copy(moved / "step3/config.json", place / "step3/config.json")
    assert call("trace", str(place), *SMALL, "--out", out).exit_code == 0
    assert (tmp_path / "out/checkpoints/step1/measurement.json").read_bytes() == first
    assert not list((tmp_path / "out/checkpoints").glob("*/capture"))
    said = refusal("report", f"s={out}", f"s={out}", "--out", str(tmp_path / "page"))
    assert "runs 1 and 2 have the same numbers: they are one trace, not two seeds" in said


def test_a_trajectory_of_a_monitor_is_not_overwritten(models: Path, tmp_path: Path) -> None:
    found = trace(models / "run", out=tmp_path / "a", tokens=3000, context=64, orders=(1,), m=16, dtype="float32")
    told = {name: value for name, value in found.provenance.items() if name != "decides"}
    found = dataclasses.replace(found, provenance=told)
    shutil.copytree(tmp_path / "a/checkpoints", tmp_path / "b/checkpoints")
    found.save(tmp_path / "b", {p.name: f"checkpoints/{p.name}" for p in found.points})
    with pytest.raises(ResultError, match="does not say what it is of"):
        trace(models / "run", out=tmp_path / "b", tokens=3000, context=64, orders=(1,), m=16, dtype="float32")


def test_a_trace_of_something_else_is_not_measured_over(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}
    trace(models / "run", out=tmp_path, revisions="step1,step2", **asked)
    before = (tmp_path / "checkpoints/step1/measurement.json").read_bytes()
    for changed, what in (({"m": 8}, "m"), ({"seed": 1, "loss": False}, "loss, seed")):
        with pytest.raises(ResultError, match=rf"a trace of something else \(different: {what}\): choose another"):
            trace(models / "run", out=tmp_path, **{**asked, **changed})
    with pytest.raises(ResultError, match="with another code or with other settings than asked for now"):
        trace(models / "run", out=tmp_path, **{**asked, "dtype": "float64"})
    with pytest.raises(ResultError, match="was measured of other weights"):  # the step is of another table
        trace(models / "run", out=tmp_path, table={"step1": (7, None), "step2": (8, None), "step3": (9, None)}, **asked)
    with pytest.raises(ResultError, match=r"something else \(different: text\)"):
        trace(models / "run", documents([100] * 41), out=tmp_path, **asked)
    assert (tmp_path / "checkpoints/step1/measurement.json").read_bytes() == before
    monkeypatch.chdir(models)
    for name in ("infoplane.models.fast_dtype", "infoplane.models.loading.fast_dtype"):
        monkeypatch.setattr(name, lambda device: "float32")  # what "auto" is depends on the processor
    same = trace("./run/", out=tmp_path, device="cpu", **{**asked, "dtype": "auto"})  # more of the same run
    assert len(same.points) == 3
    assert (tmp_path / "checkpoints/step1/measurement.json").read_bytes() == before
    trace(models / "run", out=tmp_path, force=True, **{**asked, "m": 8})
    assert (tmp_path / "checkpoints/step1/measurement.json").read_bytes() != before


def test_two_checkpoints_with_the_same_weights_are_flagged(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "run", tmp_path / "run")
    shutil.copy(tmp_path / "run/step1/model.safetensors", tmp_path / "run/step3/model.safetensors")
    (tmp_path / "run/step3/generation_config.json").write_text("{}")  # what decides no number
    found = trace(
        tmp_path / "run", out=tmp_path / "out", tokens=3000, context=64, orders=(1,), m=16, dtype="float32"
    )  # fmt: skip
    assert [point.problem for point in found.points] == [
        None, None, "its numbers are all those of step1, so its weights are too: was the right one uploaded?",
    ]  # fmt: skip
