"""Every setting is declared once: its keyword, option, key in files, provenance and place in the docs follow."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import GOLDEN, ROOT
from typer.testing import CliRunner

import infoplane
from infoplane.analysis.surveys import read_survey, text_key
from infoplane.analysis.surveys.survey_file import parse_survey
from infoplane.cli import app
from infoplane.errors import ModelError, SettingError, TextError
from infoplane.measurement import refuse_with_pairs
from infoplane.settings import Settings

VERBS: dict[str, type[Settings]] = {
    "measure": infoplane.MeasureSettings,
    "trace": infoplane.TraceSettings,
    "survey": infoplane.SurveySettings,
    "monitor": infoplane.MonitorSettings,
    "bound": infoplane.BoundSettings,
}
WORK = infoplane.WorkSettings


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "400"})


def written(check: bool = True, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, root / "tools/write_settings.py", *(["--check"] if check else [])]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_keywords_and_the_table_in_the_docs_are_as_the_settings_declare_them() -> None:
    done = written()
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_setting_has_one_name_in_each_place() -> None:
    for verb, kind in VERBS.items():
        settings = [*kind.settings().values(), *(WORK.settings().values() if verb in ("measure", "trace") else ())]
        for names in ([one.name for one in settings], [one.key for one in settings], [one.option for one in settings]):
            assert len(set(names)) == len(names), verb
        for one in settings:
            one.checked(one.default)  # a default is of its own kind
            assert one.declared.meaning.endswith(".") and len(one.declared.meaning) < 250, one.name


@pytest.mark.parametrize("verb", ["measure", "trace", "bound"])
def test_each_setting_of_a_verb_is_an_option_of_its_command(verb: str) -> None:
    said = call(verb, "--help").stdout
    for one in VERBS[verb].settings().values():
        assert re.search(rf"{re.escape(one.option)}\b", said), one.option


def test_each_setting_of_a_survey_can_stand_in_its_file(tmp_path: Path) -> None:
    for one in infoplane.SurveySettings.settings().values():
        examples: dict[type, Any] = {int: 1000, float: 1.0, str: "auto", bool: True}
        value = one.default if one.default is not None else examples[one.declared.kind.one]
        value = {"memory": "4GB", "layers": ("embed",), "preferences": "owner/name", "code_of": "/parent"}.get(
            one.name, value
        )
        shown = json.dumps(list(value) if isinstance(value, tuple) else value)
        more = 'code = ["fitted"]\n' if one.name == "code_of" else ""  # which it is nothing without
        (tmp_path / "s.toml").write_text(f'[defaults]\n{more}{one.key} = {shown}\n[[model]]\nid = "smollm2-135m"\n')
        (entry,) = read_survey(tmp_path / "s.toml")
        assert entry.settings.flat()[one.name] == value, one.name


# ---------------------------------------------------------------------- a setting more


def test_a_setting_is_added_in_one_edit(tmp_path: Path) -> None:
    """The example of CONTRIBUTING.md: a field is added to a copy of the source, and it is there everywhere."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    example = re.search(r"```python\n  # (src/\S+), in (\w+)\n  (.*?)  ```", text, re.DOTALL)
    assert example is not None
    path, kind, field = example[1], example[2], example[3]
    name = re.match(r"\s*(\w+):", field)
    assert name is not None
    for part in ("src", "tools", "docs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / path).read_text("utf-8")
    at = source.index('"""', source.index('"""', source.index(f"class {kind}(Settings):")) + 3) + 4
    (tmp_path / path).write_text(f"{source[:at]}\n{field}{source[at:]}", "utf-8")
    assert written(root=tmp_path).returncode == 1  # the generated files are not yet as declared
    assert written(check=False, root=tmp_path).returncode == 0
    said = "\n".join(one.read_text("utf-8") for one in (tmp_path / "src").rglob("*_keywords.py"))
    assert said.count(f"    {name[1]}: bool\n") == 3  # measure, trace, monitor
    assert f"`--{name[1].replace('_', '-')}`" in (tmp_path / "docs/reference/settings.md").read_text("utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "infoplane", "measure", "--capture", str(GOLDEN / "capture-1"), "--orders", "1"]
    option = f"--{name[1].replace('_', '-')}"
    for more in ([option], ["--settings", str(tmp_path / "run.toml")]):
        (tmp_path / "run.toml").write_text(f"{name[1]} = true\n")
        done = subprocess.run([*command, *more, "--json"], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["provenance"]["asked"] == {"orders": [1], name[1]: True}
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=env)
    assert json.loads(done.stdout)["provenance"]["asked"] == {"orders": [1]}  # keys stay as they were without it


# ---------------------------------------------------------------------- files of settings


def test_a_file_of_settings_stands_behind_the_command_line(tmp_path: Path) -> None:
    run, capture = tmp_path / "run.toml", GOLDEN / "capture-1"
    run.write_text('orders = [1, 2]\nestimators = ["plugin"]\ntext_labels = ["word"]\n')
    found = json.loads(call("measure", "--capture", capture, "--settings", run, "--orders", "2", "--json").stdout)
    assert found["provenance"]["asked"] == {"orders": [2], "estimators": ["plugin"], "text_labels": ["word"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ordrs = [1]", "run.toml: unknown setting 'ordrs'; near names: orders, workers"),
        ("zzz = 1", "run.toml: unknown setting 'zzz'; see --help for what can be set"),
        ("orders = [5]", "run.toml: orders = [5]: expected some of 1, 2, 3, 4"),
        ("[defaults]\norders = [1]", "run.toml: unknown setting 'defaults'"),
        ("tokens = true", "run.toml: tokens = True: expected a whole number, 8 or more"),
        ("keep_captures = true", "keep_captures cannot be set here: a measurement keeps one where capture names"),
        ("orders = [", "run.toml cannot be read: "),
        (
            "tokens = 1000",
            "was captured with its own text, model and reference points, so --tokens can say nothing more",
        ),
    ],
)
def test_what_is_wrong_in_a_file_of_settings_is_said(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(content)
    result = call("measure", "--capture", GOLDEN / "capture-1", "--settings", tmp_path / "run.toml", "--json")
    assert isinstance(result.exception, SettingError) and message in str(result.exception)


def test_a_budget_on_the_command_line_stands_for_that_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "run.toml").write_text("bytes = 2000\norders = [1]\ncontext = 32\npoints = 8\n")
    asked = ["measure", GOLDEN / "model", "--settings", tmp_path / "run.toml", "--json"]
    of_file, of_line = (
        json.loads(call(*asked, *more).stdout)["provenance"]["asked"] for more in ([], ["--tokens", "1600"])
    )
    assert of_file["bytes"] == 2000 and "tokens" not in of_file
    assert of_line["tokens"] == 1600 and "bytes" not in of_line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ordres": (1,)}, "unknown setting 'ordres'; near names: orders"),
        ({"points": 8}, "unknown setting 'points'; near names: m"),
        ({"zzz": 8}, "unknown setting 'zzz'; see docs/reference/settings.md for what can be set"),
        ({"text": "x"}, "text cannot be set here: it is the argument documents"),
        ({"keep_captures": True}, "keep_captures cannot be set here: a measurement keeps one"),
        ({"tokens": 100, "bytes": 1000}, "tokens and bytes are two budgets: set one of them"),
        ({"until_order": 1}, "until_order says which order until_se judges: set until_se too"),
    ],
)
def test_unknown_and_contradictory_keywords_are_refused_before_any_work(given: Any, message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        infoplane.measure("./nowhere", **given)


# ---------------------------------------------------------------------- what exists for one exists for all

ALL: dict[str, Any] = {
    "bytes": 2400, "context": 48, "m": 8, "orders": (1,), "weights": ("frequency", "uniform"),
    "text_labels": ("char:2",),
    "reference_sets": 2, "calibration": "leading-order", "loss": True, "include_special": True, "unit": "bits",
    "dtype": "float32", "device": "cpu", "controls": False, "estimators": ("plugin", "corrected"),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, of the committed tiny model."""
    pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("run")
    for step in (1, 2):
        shutil.copytree(GOLDEN / "model", place / f"step{step}")
    return place


def test_a_trace_and_a_survey_and_a_monitor_measure_what_measure_does(
    run: Path, tmp_path: Path, no_figures: None
) -> None:
    from infoplane.models import load_model

    want = infoplane.measure(run / "step1", **ALL)
    assert {row.unit for row in want if row.quantity == "complexity"} == {"bits"} and not any(
        row.control_permuted for row in want
    )
    assert {"char:2", "P_1"} <= {row.position_set for row in want} and {"frequency", "uniform"} <= {
        r.weight for r in want
    }
    traced = infoplane.trace(run, out=tmp_path / "trace", **ALL)
    assert [point.measurement.estimates == want.estimates for point in traced.measured] == [True, True]
    settings = infoplane.MeasureSettings.of(ALL).record()
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (tmp_path / "s.toml").write_text("[defaults]\n" + "\n".join(lines) + f'\n[[model]]\npath = "{run / "step1"}"\n')
    surveyed = infoplane.survey(tmp_path / "s.toml", out=tmp_path / "survey")
    assert surveyed.models[0].measurement is not None, surveyed.failures
    assert surveyed.models[0].measurement.estimates == want.estimates
    model = load_model(run / "step1", dtype="float32", device="cpu")
    of_monitor = {name: value for name, value in ALL.items() if name not in ("dtype", "device")} | {"parts": True}
    monitor = infoplane.Monitor(model.module, model.tokenizer, **of_monitor)
    monitor.probe(1)
    assert monitor.trajectory.points[0].measurement.estimates == want.estimates


def test_preferences_are_measured_at_each_checkpoint(run: Path, tmp_path: Path, no_figures: None) -> None:
    rows = [
        {"prompt": f"Is {i} even?", "chosen": f"Yes, {i} is even.", "rejected": f"No, not {i}, ever."}
        for i in range(40)
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    asked: dict[str, Any] = {"tokens": 1200, "context": 64, "m": 8, "orders": (1,), "dtype": "float32", "device": "cpu"}
    want = infoplane.measure(run / "step1", preferences=tmp_path / "pairs.json", loss=True, **asked)
    traced = infoplane.trace(run, out=tmp_path / "trace", preferences=tmp_path / "pairs.json", **asked)
    assert [p.measurement.estimates == want.estimates for p in traced.measured] == [True, True]
    assert any(row.quantity == "preference" for row in want)


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("trace", {"until_se": 0.1}, "until_se cannot be set here: each checkpoint would read another text"),
        ("trace", {"revision": "main"}, "revision cannot be set here: revisions says which checkpoints are measured"),
        ("monitor", {"bound": True}, "bound cannot be set here: it would take minutes"),
        ("monitor", {"dtype": "float32"}, "dtype cannot be set here: the model is the one that trains"),
        ("bound", {"text": "x"}, "text cannot be set here: it is the argument documents"),
        ("bound", {"restarts": 2}, "unknown setting 'restarts'; near names: starts"),
    ],
)
def test_what_means_nothing_somewhere_is_refused_with_why(verb: str, given: Any, message: str, tmp_path: Path) -> None:
    work = {
        "trace": lambda: infoplane.trace("./nowhere", out=tmp_path / "t", **given),
        "monitor": lambda: infoplane.Monitor(None, None, **given),
        "bound": lambda: infoplane.bound("c4-sample", None, **given),
    }
    with pytest.raises(SettingError, match=re.escape(message)):
        work[verb]()


def reasons() -> list[tuple[str, str, str]]:
    """(key, verb, reason) of each setting that cannot be asked of a verb, as the docs have them."""
    text = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    whys = dict(re.findall(r"- \*\*(\w)\*\* (.*)\.", text))
    rows = [row.split(" | ") for row in re.findall(r"\| (`.*)", text)]
    cells = [(row[0].strip("`"), verb, row[at]) for row in rows for at, verb in enumerate(VERBS, start=3)]
    return [(key, verb, whys[cell]) for key, verb, cell in cells if cell in whys]


@pytest.mark.parametrize(("key", "verb", "why"), reasons())
def test_what_cannot_be_asked_somewhere_is_refused_with_the_reason_of_the_docs(
    key: str, verb: str, why: str, tmp_path: Path
) -> None:
    said = f"{key} cannot be set here: {why}"
    (tmp_path / "s.toml").write_text(f'[defaults]\n{key} = 1\n[[model]]\nid = "smollm2-135m"\n')
    (tmp_path / "run.toml").write_text(f"{key} = 1\n")
    file = ["--settings", tmp_path / "run.toml"]
    commands = {
        "measure": ["measure", "x", *file],
        "trace": ["trace", "x", *file],
        "survey": ["survey", tmp_path / "s.toml"],
        "bound": ["bound", "c4-sample", "--tokenizer", "x", *file],
    }
    if verb in commands:
        result = call(*commands[verb], "--out", tmp_path / "out")
        assert isinstance(result.exception, SettingError) and said in str(result.exception), result.output
    with pytest.raises(SettingError, match=re.escape(said)):
        VERBS[verb].of({key: 1})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "x", "--until-se", "0.1"], "--until-se cannot be set here: each checkpoint would read another text"),
        (["trace", "x", "--random-init"], "--random-init cannot be set here: a trace is of trained checkpoints"),
        (["bound", "x", "--text", "y"], "--text cannot be set here: it is the argument documents"),
        (["measure", "x", "--keep-captures"], "--keep-captures cannot be set here: a measurement keeps one where"),
        (["measure", "x", "--symbols", "2"], "--symbols cannot be set here: it says how the bound of a text is fitted"),
        (["bound", "x", "--no-controls"], "--no-controls cannot be set here: the bound is of a text: no model is run"),
        (["survey", "x", "--points", "8"], "--points cannot be set here: write it in the survey file, under"),
        (["survey", "x", "--revision", "8"], "--revision cannot be set here: it is of one model"),
        (["measure", "x", "--tokns", "8"], "unknown setting '--tokns'; near names: --tokens, --tokenizer"),
        (["measure", "x", "--zzz"], "unknown setting '--zzz'; see infoplane measure --help"),
        (["compare", "x", "--tokens", "8"], "unknown setting '--tokens'; see infoplane compare --help"),
        (["measure", "x", "--estimators", "plugin"], "unknown setting '--estimators'; near names: --estimator"),
        (["measure", "x", "--workers", "2"], "--workers = 2: all is done in this process; set --engine to ray"),
        (["measure", "x", "--orders", ""], "--orders '': expected some of 1, 2, 3, 4"),
        (["measure", "x", "--baseline", "random-init", "--random-init"], "leave --random-init out"),
    ],
)
def test_the_command_line_says_why_too(arguments: list[str], message: str, tmp_path: Path) -> None:
    if arguments[0] != "bound":
        arguments = [*arguments, "--out", str(tmp_path / "out")]
    result = call(*arguments)
    assert isinstance(result.exception, SettingError) and message in str(result.exception), result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure", "x", "--tokens", "abc"], "--tokens abc: expected a whole number, 8 or more"),
        (["measure", "x", "--tokens", "3.5"], "--tokens 3.5: expected a whole number, 8 or more"),
        (["measure", "x", "--threads="], "--threads '': expected a whole number, 1 or more"),
        (["measure", "x", "-m", "x"], "--points x: expected a whole number, 2 or more"),
        (["trace", "x", "--gpus-per-worker", "x"], "--gpus-per-worker x: expected a number above 0"),
        (["measure", "x", "--until-se", "nan"], "--until-se nan: expected a number above 0"),
        (["measure", "x", "--unit", "bit"], "--unit bit: expected one of efficiency, bits, nats"),
        (["survey", "x", "--up-to", "abc"], "--up-to abc: expected a number above 0"),
        (["measure", "x", "--tokens"], "--tokens has no value: write one after it; see infoplane measure --help"),
        (["measure", "x", "--loss=1"], "--loss takes no value: write it alone; see infoplane measure --help"),
        (
            ["measure", "x", "--loss", "yes"],
            "unexpected 'yes': flags take no value, and a name with spaces stands in quotes; see infoplane "
            "measure --help",
        ),
        (["mesure", "x"], "unknown command 'mesure'; near names: measure, survey"),
        (["-q", "references"], "-q belongs after the name of the command, as in infoplane measure -q"),
        (["--zzz"], "unknown setting '--zzz'; see infoplane --help"),
        (["survey"], "missing argument 'SURVEY'; see infoplane survey --help"),
    ],
)
def test_what_the_command_line_cannot_read_is_said_as_all_else_is(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert isinstance(result.exception, SettingError) and str(result.exception) == message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        ["bound", "c4-sample", "--tokenizer", "nowhere", "--tokens", "32768", "--bytes", "9000"],
        ["trace", "nowhere", "--tokens", "16384", "--bytes", "9000"],
    ],
)
def test_a_budget_contradicts_another_one_though_it_is_the_default(command: list[str]) -> None:
    result = call(*command)
    assert isinstance(result.exception, SettingError)
    assert "--tokens and --bytes are two budgets: set one of them" in str(result.exception)


@pytest.mark.parametrize("number", ["9" * 400 + "GB", 10**400, "9" * 30 + "GB"])
def test_a_size_that_no_machine_has_is_refused(number: str | int) -> None:
    with pytest.raises(SettingError, match="expected a size with its unit, such as 4GB"):
        infoplane.measure("nowhere", memory=number, capture="x")


def test_an_error_that_is_no_number_of_ours_is_refused() -> None:
    for wanted in (10**400, float("inf"), float("nan"), 0):
        with pytest.raises(SettingError, match="expected a number above 0"):
            infoplane.measure("nowhere", until_se=wanted)


def test_settings_of_another_kind_are_refused() -> None:
    with pytest.raises(
        SettingError, match=r"settings is of the type dict: expected MeasureSettings\(\.\.\.\), or each"
    ):
        infoplane.measure("nowhere", settings={"tokens": 3000})  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="work is of the type dict: expected WorkSettings"):
        infoplane.trace("nowhere", out="x", work={"threads": 1})  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="capture is empty: expected a folder or an address"):
        infoplane.measure("nowhere", capture="")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('preferences = "p.json"\nbytes = 9000', "preferences are measured without bytes: leave one of the two out"),
        ('preferences = "p.json"\ntext = "t.txt"', "preferences are measured without text: leave one"),
        ('chat_template = "yes"', "chat_template says how preferences are read: give some, or leave it out"),
        ('text_labels = ["wurd"]', "text label 'wurd' is not known"),
        ('layers = ["blok.0"]', "layers = ['blok.0']: expected a list of layers, such as embed, block.0, block.1"),
        ('device = "warp"', "device 'warp' cannot be used: there is none of that name; expected auto, cpu, or"),
        ('preferences = "missing.jsonl"', "no preference pairs at "),
    ],
)
def test_what_no_model_of_a_survey_can_be_asked_ends_it_before_any_work(
    lines: str, message: str, tmp_path: Path
) -> None:
    if "device" in lines:
        pytest.importorskip("torch")
    (tmp_path / "s.toml").write_text(f'[[model]]\npath = "{tmp_path}"\n{lines}\n')
    result = call("survey", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert isinstance(result.exception, SettingError) and message in str(result.exception), result.exception
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("measure", {"text_revision": "v1"}, "{} 'v1' is of a dataset"),
        ("measure", {"column": "x"}, "{} 'x': "),
        ("measure", {"revision": "main"}, "{} 'main': "),
        ("bound", {"config": "x"}, "{} 'x' is of a dataset"),
    ],
)
def test_readers_name_a_setting_as_the_caller_does(verb: str, given: Any, message: str, tmp_path: Path) -> None:
    if "text_revision" not in given and "column" not in given:
        pytest.importorskip("transformers")
    (tmp_path / "column").mkdir()  # a folder of that name stays what it is
    (text := tmp_path / "column/config.txt").write_text("a text of some words " * 50)
    ((name, value),) = given.items()
    work = {
        "measure": lambda: infoplane.measure(GOLDEN / "model", text, **given),
        "bound": lambda: infoplane.bound(text, str(GOLDEN / "model"), **given),
    }
    with pytest.raises(SettingError, match=re.escape(said := message.format(name))):
        work[verb]()
    option = "--" + name.replace("_", "-")
    arguments = {
        "measure": ["measure", GOLDEN / "model", "--text", text],
        "bound": ["bound", text, "--tokenizer", GOLDEN / "model"],
    }
    result = call(*arguments[verb], option, value, "--out", tmp_path / "out")
    assert isinstance(result.exception, SettingError) and message.format(option) in str(result.exception)
    assert said not in str(result.exception).replace(option, "") and "column/--" not in str(result.exception)


def test_pairs_that_cannot_be_read_end_a_survey_before_any_work(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "s.toml").write_text(f'[[model]]\npath = "{GOLDEN / "model"}"\npreferences = "p.jsonl"\n')
    result = call("survey", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert isinstance(result.exception, TextError), result.exception
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_survey_without_torch_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f'[[model]]\npath = "{GOLDEN / "model"}"\n')
    result = call("survey", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert isinstance(result.exception, ModelError) and "pip install 'infoplane[hf]'" in str(result.exception)


OTHERS: dict[str, Any] = {
    "text": "a/b", "column": "x", "split": "x", "config": "x", "text_revision": "x", "streaming": False, "limit": 3,
    "bytes": 3000, "seed": 1, "context": 64, "include_first": True, "min_window": 9, "text_labels": ("char:2",),
    "bound": True, "loss": True, "m": 8, "orders": (1,),
}  # fmt: skip
"""Values other than by default."""


def test_entries_read_one_text_where_what_chooses_it_is_the_same() -> None:
    (entry,) = parse_survey('[[model]]\nid = "a/b"', "x", Path())

    def chooses(name: str) -> bool:
        other = dataclasses.replace(entry, settings=entry.settings.but({name: OTHERS[name]}))
        return text_key(other) != text_key(entry)

    chosen = {"text", "column", "split", "config", "text_revision", "streaming", "limit", "bytes", "seed"}
    assert {name for name in OTHERS if chooses(name)} == chosen


def test_what_means_nothing_for_pairs_is_refused_with_them() -> None:
    def is_refused(name: str) -> bool:
        try:
            refuse_with_pairs(infoplane.MeasureSettings.of({name: OTHERS[name]}))
        except SettingError as error:
            return error.settings == (name, "preferences")
        return False

    alone = {"column", "bytes", "include_first", "min_window", "text_labels", "bound"}
    assert {name for name in OTHERS if name != "text" and is_refused(name)} == alone
    with pytest.raises(SettingError, match="without until_se"):
        refuse_with_pairs(infoplane.MeasureSettings.of({"until_se": 0.1}))


def test_contradictions_are_refused_before_an_engine_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr("infoplane.cli.measure_command.using", lambda *given: started.append(given))
    result = call("measure", "nowhere", "--engine", "ray", "--chat-template", "yes", "--json")
    assert isinstance(result.exception, SettingError) and "--chat-template says how" in str(result.exception)
    assert started == []
