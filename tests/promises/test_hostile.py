"""Names and files that mean harm: no script runs in a report, nothing is written elsewhere, no code is loaded."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bounds import made_bound as made
from browser import BROWSER, browse
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import small_measurement
from runs import made_run as run
from synthetic import models
from tiny import save_tiny, tiny_model
from typer.testing import CliRunner

from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.comparison.comparison import Comparison
from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.surveys.record import Survey
from infoplane.analysis.surveys.survey_file import parse_survey
from infoplane.analysis.training.seeds import grouped
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.analysis.training.worker import Run
from infoplane.cli import app
from infoplane.cli.terminal import safe
from infoplane.errors import InfoplaneError, LabelError, ModelError, ResultError, SettingError
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement
from infoplane.models.loading import load_model
from infoplane.models.tokenizer_loading import load_tokenizer
from infoplane.report.comparison.page import write_comparison_report
from infoplane.report.forecasting.page import write_forecast_report
from infoplane.report.measurement.writing import write_report
from infoplane.report.text_bound.page import write_bound_report
from infoplane.report.training.run_page import write_run_report
from infoplane.report.training.several_page import write_several_report
from infoplane.text.ngram_labels import read_column

RUN = "document.documentElement.dataset.ran=1"
SCRIPTS = (
    f"javascript:{RUN}", f"<script>{RUN}</script>", f'"><img src=x onerror="{RUN}">',
    f"</script><script>{RUN}</script>", f"</title></style></textarea><svg onload={RUN}>", f"'+({RUN})+'",
    f'"+({RUN})+"', f"datum.x);{RUN};(", f"]];{RUN}//",
    f"<!--<script>{RUN}", f"' onmouseover='{RUN}' autofocus onfocus='{RUN}", f"${{{RUN}}}", "\u202egnp.exe", "\u2028",
)  # fmt: skip
EVIL = " ".join(SCRIPTS)
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\rfirst\x08\u202ertl"


def poisoned(value: Any) -> Any:
    """Every string of a record with the payloads behind it, names included."""
    if isinstance(value, dict):
        return {k: poisoned(v) for k, v in value.items()} | {EVIL: EVIL}
    if isinstance(value, list | tuple):
        return [poisoned(v) for v in value]
    return f"{value} {EVIL}" if isinstance(value, str) else value


def _measurement() -> Measurement:
    found = small_measurement()
    rows = [
        dataclasses.replace(
            row, side=f"label:{EVIL}" if row.quantity == "information" else row.side, warning=EVIL,
            estimator=EVIL if row.estimator == "plugin" else row.estimator,
            position_set=EVIL if row.quantity == "information" else row.position_set,
        )
        for row in found
    ]  # fmt: skip
    kept = {"settings": found.provenance.get("settings"), EVIL: [EVIL]}
    return Measurement(tuple(rows), {**poisoned(dict(found.provenance)), **kept})


def _trajectory(name: str = EVIL) -> Trajectory:
    found = run(checkpoints=5, name="a")
    points = tuple(dataclasses.replace(p, name=f"{p.name} {EVIL}", problem=EVIL) for p in found.points)
    return Trajectory(points, {**poisoned(dict(found.provenance)), "model": name, "settings": {"orders": [1]}})


def _comparison() -> Comparison:
    one = _measurement()
    plain = dataclasses.replace(
        one, provenance={**one.provenance, "settings": small_measurement().provenance["settings"]}
    )
    return compare([Member(EVIL, EVIL, plain), Member(f"b {EVIL}", EVIL, plain)])


def _forecast(folder: Path) -> list[Path]:
    cases = models("size alone", 10, seed=3)
    renamed = {"size": f"size {EVIL}", "s0": f"s0 {EVIL}"}
    hostile = Cases(
        tuple(f"{m} {EVIL}" for m in cases.models), tuple(f"{f} {EVIL}" for f in cases.families),
        cases.features.rename(renamed), cases.scores.rename({"score": f"score {EVIL}"}), warnings=(EVIL,),
    )  # fmt: skip
    return write_forecast_report(forecast(hostile, baselines=[renamed["size"]], new=hostile, draws=20), folder)


def _another_seed(run: Trajectory) -> Trajectory:
    """The same with other numbers."""
    points = []
    for point in run.points:
        assert point.measurement is not None
        rows = tuple(dataclasses.replace(row, value=row.value * 1.01) for row in point.measurement)
        points.append(dataclasses.replace(point, measurement=dataclasses.replace(point.measurement, estimates=rows)))
    return dataclasses.replace(run, points=tuple(points))


PAGES: dict[str, Callable[[Path], list[Path]]] = {
    "measure": lambda folder: write_report(_measurement(), folder),
    "trace": lambda folder: write_run_report(_trajectory(), folder),
    "several": lambda folder: write_several_report(
        grouped([(EVIL, _trajectory()), (EVIL, _another_seed(_trajectory(f"b {EVIL}"))), (f"c {EVIL}", _trajectory())]),
        folder,
    ),
    "bound": lambda folder: write_bound_report(made(**{k: poisoned(v) for k, v in made().provenance.items()}), folder),
    "compare": lambda folder: write_comparison_report(_comparison(), folder),
    "forecast": _forecast,
}


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: scripts are looked for in a browser")
@pytest.mark.parametrize("kind", PAGES)
def test_no_script_of_a_name_runs_in_a_browser(kind: str, tmp_path: Path) -> None:
    written = PAGES[kind](tmp_path)
    document, console = browse(written[0], "--dump-dom")
    assert not re.search(r"<html[^>]*data-ran", document) and console == []
    without = re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)  # Vega's own code names addresses
    assert not re.search(r'(?:href|src|action)="(?!data:|#)', without)
    assert "gnp.exe" in document  # the names are there
    assert {p.parent for p in written} <= {tmp_path, tmp_path / "figures"}
    assert all(re.fullmatch(r"[\w.-]+", p.name, re.ASCII) for p in written)


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: scripts are looked for in a browser")
@pytest.mark.parametrize("payload", [SCRIPTS[1], SCRIPTS[2], SCRIPTS[4]])
def test_the_browser_would_show_it_if_a_name_were_not_escaped(payload: str, tmp_path: Path) -> None:
    page = PAGES["trace"](tmp_path)[0]
    page.write_text(page.read_text("utf-8").replace("<footer>", f"<p>{payload}<footer>"), "utf-8")
    assert re.search(r"<html[^>]*data-ran", browse(page, "--dump-dom")[0])


# ---------------------------------------------------------------------- places


@given(
    name=st.text(min_size=1, max_size=300) | st.sampled_from(["../../x", "/etc", "..\\x", ".", "..", "a\0b", "é" * 200])
)
@settings(max_examples=150, deadline=None)
def test_a_checkpoint_of_any_name_has_a_folder_of_its_own_in_the_trace(name: str) -> None:
    run = Run(Path("/out"), {}, {}, False, None)
    place = run.place(name)
    assert place.parent == Path("/out/checkpoints") and place.name not in (".", "..")
    assert len(os.fsencode(place.name)) <= 255 and not re.search(r"[/\\\0\x00-\x1f]", place.name)
    assert run.place(name + "/") != place


@pytest.mark.parametrize("place", ["../elsewhere", "/etc", "a/../../elsewhere", "\0", "link/x", "x" * 5000, 3, ["a"]])
def test_a_record_that_points_elsewhere_is_refused(place: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    small_measurement().save(tmp_path / "elsewhere")
    (out / "link").symlink_to(tmp_path)
    point = {"name": "a", "step": 1, "tokens": None, "problem": None, "measurement": place}
    (out / "trajectory.json").write_text(
        json.dumps({"schema": "infoplane/trajectory/2", "provenance": {}, "points": [point]})
    )
    model = {"name": "a", "id": "a", "revision": None, "facts": {}, "measurement": place}
    (out / "survey.json").write_text(
        json.dumps({"schema": "infoplane/survey/2", "provenance": {}, "models": [model], "failures": []})
    )
    for load in (Trajectory.load, Survey.load):
        with pytest.raises(ResultError):
            load(out)


@pytest.mark.parametrize("path", ["a\\u0000b", "x" * 5000, "~nobody-of-this-name/x", "\\n"])
def test_a_survey_with_paths_that_cannot_be_is_refused(path: str, tmp_path: Path) -> None:
    for entry in (f'path = "{path}"', f'id = "a/b"\ntext = "{path}"', f'id = "a/b"\ntokenizer = "{path}"'):
        try:
            parse_survey(f"[[model]]\n{entry}\n", "s.toml", tmp_path)
        except SettingError as error:
            assert str(error)
    with pytest.raises(SettingError, match="cannot be a folder's"):
        parse_survey('[[model]]\nid = "a/b"\nname = "../../x"\n', "s.toml", tmp_path)


def test_only_what_a_command_made_is_removed(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of the user called like ours, and a manifest.json that is not of a capture."""
    monkeypatch.chdir(tmp_path)
    for name in ("out/capture", "out/baseline-capture", "project"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "thesis.tex").write_text("mine")
    (tmp_path / "project" / "manifest.json").write_text('{"name": "a browser extension"}')
    small = ["--tokens", "2000", "--context", "64", "--orders", "1", "--points", "8", "--dtype", "float32"]
    result = CliRunner().invoke(app, ["measure", str(model), *small, "--out", "out", "--capture", "kept"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["measure", "--capture", "kept", "--orders", "1", "--out", "out", "--force"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["measure", str(model), *small, "--json", "--capture", "project", "--force"])
    assert isinstance(result.exception, InfoplaneError) and "nothing was removed" in str(result.exception)
    for name in ("out/capture", "out/baseline-capture", "project"):
        assert (tmp_path / name / "thesis.tex").read_text() == "mine"


# ---------------------------------------------------------------------- the terminal


def test_names_send_nothing_to_the_terminal(tmp_path: Path) -> None:
    """On a terminal of our own: errors that show a name."""
    folders = []
    for name in ("a", "b"):
        folders.append(tmp_path / f"{name}{ESCAPES}[/bold]")
        found = small_measurement(warnings=[f"{ESCAPES} [/closed] [link=http://x]"])
        found.save(folders[-1])
    named = [f"a{ESCAPES}={folder}" for folder in folders]  # of one name, which the refusal shows
    for arguments in (["report", f"./nowhere{ESCAPES}"], ["compare", *named, "--out", str(tmp_path / "c")]):
        status, said = on_a_terminal(arguments)
        assert status in (0, 2) and b"Traceback" not in said
        assert b"owned" in said or b"now" in said
        assert not re.search(rb"\x1b\]|\x07|\xc2\x9b|\x1b\[31mred|\x08|\xe2\x80\xae", said), said
    assert safe("a\tb\nc\x1b") == "a\tb\nc\\u001b"
    assert json.loads(safe(json.dumps({"x": ESCAPES + "é\n"}, ensure_ascii=False))) == {"x": ESCAPES + "é\n"}


def on_a_terminal(arguments: list[str]) -> tuple[int, bytes]:
    """Exit status and output of the command on a pseudo-terminal."""
    code = "import sys; from infoplane.cli import main; main()"
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end was closed
            break
        said += part
        if not part:
            break
    os.close(master)
    return process.wait(), said


# ---------------------------------------------------------------------- code


class Exploit:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.system, (f"touch '{self.mark}'",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny(folder)
    return folder


@pytest.mark.parametrize("case", ["alone", "beside other weights", "adapter", "labels"])
def test_no_pickle_is_loaded(case: str, model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    exploit = pickle.dumps(Exploit(mark))
    if case == "labels":
        np.save(tmp_path / "x.npy", np.array([Exploit(mark)], dtype=object), allow_pickle=True)
        with pytest.raises(LabelError):
            read_column(tmp_path / "x.npy")
    elif case == "adapter":
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "target_modules": ["q_proj"], "r": 2}
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        (adapter / "adapter_model.bin").write_bytes(exploit)
        with pytest.raises(ModelError, match=r"pickle \(adapter_model.bin\)"):
            load_model(adapter, dtype="float32")
    else:
        (folder / "model.safetensors").rename(folder / "other.safetensors")
        if case == "alone":
            (folder / "other.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(exploit)
        with pytest.raises(ModelError):
            load_model(folder, dtype="float32")
    assert not mark.exists()
    os.system(f"touch '{mark}'")  # what the exploit would have done can be seen
    assert mark.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_no_remote_code_runs_and_nobody_is_asked(
    file: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, mark = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(model, folder)
    code = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n"
    (folder / "own.py").write_text(code + "class Own:\n    pass\n")
    config = json.loads((folder / file).read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "own.Own")
    if file == "tokenizer_config.json":
        config |= {"auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}, "tokenizer_class": "Own"}
    (folder / file).write_text(json.dumps({**config, "model_type": "own"} if file == "config.json" else config))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the standard input"))
    for load in (lambda: load_model(folder, dtype="float32"), lambda: load_tokenizer(folder)):
        try:
            load()
        except ModelError as error:
            assert str(error)
    assert not mark.exists()


def test_a_pickle_that_is_allowed_by_name_holds_tensors_alone(model: Path, tmp_path: Path) -> None:
    folder, mark = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(model, folder)
    (folder / "model.safetensors").unlink()
    state = tiny_model().state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    assert load_model(folder, dtype="float32", allow_pickle=True).width == 32
    assert not mark.exists()
