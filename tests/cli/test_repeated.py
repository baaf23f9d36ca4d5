"""Commands that are repeated or interrupted, and what results say of themselves."""

from __future__ import annotations

import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from children import WITHOUT_FIGURES, Child
from commands import call
from tiny import byte_tokenizer, save_tiny, tiny_folder, tiny_model

import infoplane
from infoplane.errors import InfoplaneError, ResultError

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = ["--tokens", "3000", "--context", "64", "--orders", "1", "--points", "16", "--dtype", "float32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory)


def refusal(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, InfoplaneError), result.output
    return str(result.exception)


def test_a_measurement_that_is_repeated_is_done(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["measure", model, *SMALL, "--out", tmp_path / "out"]
    assert call(*command).exit_code == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    again = call(*command)
    assert again.exit_code == 0 and f"Nothing was left to do: {tmp_path / 'out'} holds the result" in again.output
    assert "expressivity" in again.output and "(--force makes it again)" in again.output
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert call(*command, "--memory", "4GB", "--batch", "64").exit_code == 0  # decide no number


def test_a_result_that_is_not_whole_is_not_done(model: Path, tmp_path: Path) -> None:
    command = ["measure", model, *SMALL, "--baseline", "random-init", "--out", tmp_path / "out"]
    assert call(*command).exit_code == 0
    for name in ("report.html", "measurement.parquet", "baseline/measurement.json"):
        (tmp_path / "out" / name).unlink()
        assert "Nothing was left" not in call(*command).output
        assert (tmp_path / "out" / name).is_file()
    assert "Nothing was left" in call(*command).output
    (tmp_path / "own/baseline").mkdir(parents=True)
    (tmp_path / "own/baseline/measurement.json").write_text("mine")
    assert "choose another --out, or --force" in refusal(*command[:-1], tmp_path / "own")


def test_another_measurement_is_refused_and_told_apart(model: Path, tmp_path: Path) -> None:
    mine = tmp_path / "model"
    save_tiny(mine)
    text = tmp_path / "text.jsonl"
    text.write_text("".join(f'{{"text": "document {i} with some more words in it"}}\n' for i in range(60)), "utf-8")
    label = tmp_path / "label.txt"
    label.write_text("\n".join(str(i % 2) for i in range(60)), "utf-8")
    command = ["measure", mine, *SMALL, "--text", text, "--label", f"half={label}", "--out", tmp_path / "out"]
    assert call(*command).exit_code == 0
    assert "made otherwise (different: orders): choose another --out" in refusal(*command, "--orders", "1,2")
    assert "(different: loss)" in refusal(*command, "--loss")
    assert "(different: weights)" in refusal(*command, "--weights", "uniform")
    label.write_text("\n".join(str(i % 3) for i in range(60)), "utf-8")
    assert "(different: label)" in refusal(*command)
    label.write_text("\n".join(str(i % 2) for i in range(60)), "utf-8")
    assert call(*command).exit_code == 0
    text.write_text(text.read_text("utf-8").replace("document 3 ", "document x "), "utf-8")
    assert "(different: read)" in refusal(*command)
    text.write_text(text.read_text("utf-8").replace("document x ", "document 3 "), "utf-8")
    tiny_model(seed=1).save_pretrained(mine)  # the same path, other weights
    assert "(different: model)" in refusal(*command)
    assert call(*command, "--force").exit_code == 0
    assert "(different: add_bos)" in refusal(*command, "--no-add-bos")
    other = byte_tokenizer()
    other.chat_template = "{{ messages }}"
    other.save_pretrained(mine)
    assert "(different: tokenizer)" in refusal(*command)


def test_a_trace_of_fewer_checkpoints_is_drawn_again(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        tiny_model(seed=step).save_pretrained(tmp_path / f"run/step{step}")
        byte_tokenizer().save_pretrained(tmp_path / f"run/step{step}")
    command = ["trace", tmp_path / "run", *SMALL, "--out", tmp_path / "out"]
    assert call(*command).exit_code == 0
    page = (tmp_path / "out/report.html").read_bytes()
    fewer = call(*command, "--revisions", "..2")
    assert fewer.exit_code == 0 and "Nothing was left" not in fewer.output
    assert (tmp_path / "out/report.html").read_bytes() != page
    more = call(*command)
    assert f"Resuming {tmp_path / 'out'}: 2 of 3 checkpoints are measured already" in more.stderr
    assert "Resuming" not in call(*command).stderr


def test_a_capture_that_is_asked_again_is_done(model: Path, tmp_path: Path) -> None:
    assert call("measure", model, *SMALL, "--capture", tmp_path / "cap", "--out", tmp_path / "a").exit_code == 0
    command = ["measure", "--capture", tmp_path / "cap", "--orders", "2", "--out", tmp_path / "b"]
    assert call(*command).exit_code == 0
    assert "Nothing was left to do" in call(*command).output
    assert "(different: unit)" in refusal(*command, "--unit", "bits")


def test_a_trace_a_bound_a_comparison_and_a_forecast_that_are_repeated_are_done(model: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        tiny_model(seed=step).save_pretrained(tmp_path / f"run/step{step}")
        byte_tokenizer().save_pretrained(tmp_path / f"run/step{step}")
    call("measure", model, *SMALL, "--out", tmp_path / "m")
    commands = {
        "trace": ["trace", tmp_path / "run", *SMALL],
        "bound": ["bound", "c4-sample", "--tokenizer", model, "--tokens", "3000", "--orders", "1", "-m", "8"],
        "compare": ["compare", f"a={tmp_path / 'm'}", f"b={tmp_path / 'm'}"],
        "forecast": ["forecast", "small-models", "--score", "swap", "--features", "optimality", "--draws", "50"],
    }
    others = {"bound": ["--orders", "2"], "forecast": ["--seed", "3"], "compare": ["--family", "a=other"]}
    for name, command in commands.items():
        out = ["--out", tmp_path / name]
        assert call(*command, *out).exit_code == 0
        again = call(*command, *out)
        assert again.exit_code == 0 and "Nothing was left to do" in again.output, name
        if name in others:
            assert "choose another --out, or --force" in refusal(*command, *others[name], *out)
    tiny_model(seed=5).save_pretrained(tmp_path / "run/step2")
    assert "step2/measurement.json was measured of other weights" in refusal(
        *commands["trace"], "--out", tmp_path / "trace"
    )


def test_an_interrupted_command_says_how_to_go_on(model: Path, tmp_path: Path) -> None:
    command = ("measure", model, "--tokens", "600000", "--context", "64")
    for more, said in (
        (["--out", "out"], "repeat the same command to go on where it stopped"),
        (["--json"], "--json alone keeps nothing on the way; name --capture or --out to go on from there"),
    ):
        child = Child(WITHOUT_FIGURES, *command, *more, cwd=tmp_path)
        time.sleep(2)
        while child.running:  # Python drops an interrupt that comes while a destructor runs
            child.send(signal.SIGINT)
            time.sleep(0.5)
        error = child.stderr
        assert child.wait() == 130, error
        assert f"infoplane: interrupted: {said}" in error and "Traceback" not in error


# ---------------------------------------------------------------------- what results say of themselves


def test_a_result_is_one_line_and_a_name_that_is_near_is_named(tmp_path: Path) -> None:
    more = {"tokens": 3000, "context": 64, "orders": (1, 2), "m": 16}
    found = infoplane.measure(tiny_model(), tokenizer=byte_tokenizer(), capture=tmp_path / "cap", **more)
    assert repr(found).startswith("<Measurement of module: ") and len(repr(found)) < 120
    for one in (
        infoplane.open_capture(tmp_path / "cap"), infoplane.read_text("c4-sample"),
        infoplane.open_capture(tmp_path / "cap").windows, infoplane.ReferencePoints.make(32, 16),
        infoplane.Trajectory((), {"model": "x"}), infoplane.Scores.of([]),
    ):  # fmt: skip
        assert len(repr(one)) < 300 and "\n" not in repr(one)
    for wrong, said in (
        ({"quantity": "expresivity"}, "did you mean 'expressivity'"),
        ({"quantity": "complexity", "layer": "blok.1"}, r"did you mean 'block.1'\? there is layer 'embed', 'block.0'"),
        ({"quantity": "complexity", "order": 3}, "there is order 1, 2"),
        ({"quantity": "complexity"}, "name more fields"),
    ):
        with pytest.raises(ResultError, match=said):
            found.get(**wrong)


def test_names_of_the_package_are_listed() -> None:
    assert {"measure", "trace", "Measurement", "watch"} <= set(dir(infoplane))


def test_a_forecast_of_columns_that_are_constant_in_a_draw_warns_of_nothing(tmp_path: Path) -> None:
    rows = [
        {"model": f"m{i}", "family": f"f{i % 4}", "x": 0.1 if i % 4 == 0 else i / 7, "y": float(i % 5)}
        for i in range(12)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "cases.csv")
    command = ["forecast", tmp_path / "cases.csv", "--score", "y", "--features", "x", "--out", tmp_path / "out"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call(*command).exit_code == 0


def test_a_draw_of_one_family_has_no_correlation() -> None:
    """Of a column that is constant in a draw rounding leaves a sum of squares of either sign."""
    from infoplane.uncertainty.family_resampling import correlation_of, covariances

    z = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0], [0.7, 1.5], [0.9, 3.0]])
    weights = np.array([[1.0, 1, 1, 1, 1], [3.0, 1, 1, 0, 0], [0.3, 2.1, 7.7, 0, 0], [2.0, 2, 3, 0, 0]])
    r = correlation_of(covariances(z, weights))
    assert np.isfinite(r[0]) and np.isnan(r[1:]).all()


def test_the_table_of_a_survey_has_intervals_and_families(model: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[defaults]\ntokens = 3000\ncontext = 64\norders = [1]\npoints = 16\ndtype = "float32"\n'
        f'[[model]]\npath = "{model}"\nid = "EleutherAI/pythia-70m"\n'
    )
    shown = call("survey", tmp_path / "s.toml", "--out", tmp_path / "out").output
    assert re.search(r"\d ± \d+\.\d %", shown.replace("\u00a0", " ")) and "(± 95 %)" in shown
    assert "pythia" in shown.lower().split("pythia-70m")[-1]
