"""What commands say on the way and at the end: little, in whole sentences, and nothing of other packages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import transformers
from commands import call
from report_factory import full_measurement
from tiny import save_tiny
from typer.main import get_command

from infoplane.cli import app, terminal
from infoplane.cli.help_pages import EVERYDAY, EXAMPLES
from infoplane.cli.measure_summary import show
from infoplane.cli.terminal import seconds, wrote
from infoplane.measurement.results import Measurement
from infoplane.models.loading import load_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    save_tiny(place := tmp_path_factory.mktemp("model") / "tiny")
    return place


def asked(tiny: Path, out: Path, *more: str) -> list[str]:
    return ["measure", str(tiny), "--tokens", "2000", "--context", "64", "--orders", "1", "--out", str(out), *more]


@pytest.mark.usefixtures("no_figures")
def test_the_default_command_fits_25_lines_and_says_what_to_open(tiny: Path, tmp_path: Path) -> None:
    said = call(*asked(tiny, tmp_path / "out", "--loss"))
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert len(lines) <= 25 and max(map(len, lines[:-1])) <= 100
    assert re.search(r"Over its \d blocks it keeps", " ".join(lines))
    assert lines[-1].startswith(f"Wrote {tmp_path / 'out' / 'report.html'}, with measurement.json, measurement.parquet")
    again = call(*asked(tiny, tmp_path / "out", "--loss"))
    assert "Nothing was left to do" in again.stdout and len(again.stdout.splitlines()) <= 25


@pytest.mark.usefixtures("no_figures")
def test_quiet_says_nothing_and_verbose_every_figure(tiny: Path, tmp_path: Path) -> None:
    quiet = call(*asked(tiny, tmp_path / "a", "--quiet"))
    assert (quiet.exit_code, quiet.output) == (0, "") and (tmp_path / "a" / "report.html").is_file()
    verbose = call(*asked(tiny, tmp_path / "a", "--verbose"))
    assert "Whole model" in verbose.output and "permuted" in verbose.output
    record = call(*asked(tiny, tmp_path / "a", "-q", "--json"))
    assert record.output.startswith("{")  # what was asked for is given
    failed = call("measure", "./nowhere", "--quiet")
    assert "no model at" in str(failed.exception)


def test_the_short_table_has_the_figures_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    full = full_measurement()
    settings = {**full.provenance["settings"], "unit": "efficiency", "corrected": "null-curve"}
    show(Measurement(full.estimates, {**full.provenance, "settings": settings}))
    said = capsys.readouterr().out
    row = full.get("complexity", order=1, estimator="null-curve")
    assert f"{100 * row.value:.1f}" in re.search("\ncomplexity +(.*)", said)[1]  # type: ignore[index]
    assert re.findall("^(complexity|expressivity|optimality|ceiling|loss|bits) ", said, re.MULTILINE) == [
        "complexity", "expressivity", "optimality", "ceiling", "loss", "bits",
    ]  # fmt: skip
    assert "4 caveats do not touch these figures: see the report" in said


def test_progress_that_is_redirected_is_a_few_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    with terminal.bars() as progress:
        progress("loading", 0, 1)
        clock[0] += 12.4
        progress("loading", 1, 1)
        for step in range(0, 101):
            progress("capturing", step, 100)
            clock[0] += 1.0
        progress("capturing", 0, 100)  # once more, of another set
        progress("capturing", 100, 100)
    assert capsys.readouterr().err.splitlines() == [
        "loading ...",
        "loading: done in 12 s",
        "capturing ...",
        "capturing: 30 of 100, about 70 s left",
        "capturing: 60 of 100, about 40 s left",
        "capturing: 90 of 100, about 10 s left",
        "capturing: done in 2 min",
    ]


def test_times_and_files_are_said_as_people_say_them(tmp_path: Path) -> None:
    assert [seconds(s) for s in (0.4, 8, 99, 100, 5900, 9000)] == ["0 s", "8 s", "99 s", "2 min", "98 min", "2.5 h"]
    files = [tmp_path / name for name in ("a.json", "report.html", "b/a.json")]
    assert wrote(tmp_path, files) == f"Wrote {tmp_path / 'report.html'}, with a.json, b/a.json"
    assert wrote(tmp_path, files[:1]) == f"Wrote {tmp_path / 'a.json'}"


def test_bars_of_other_packages_stay_away_and_are_as_before_afterwards(
    tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    load_model(tiny)
    assert "Loading weights" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()
    transformers.AutoModelForCausalLM.from_pretrained(tiny)
    assert "Loading weights" in capfd.readouterr().err  # the check above can fail


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_has_examples_that_can_be_typed_and_everyday_options_first(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {opt for parameter in command.params for opt in parameter.opts}
    shown = " ".join(call(name, "--help").output.split())
    for example in EXAMPLES[name]:
        program, typed, *words = shlex.split(example)
        assert (program, typed) == ("infoplane", name)
        assert {word for word in words if word.startswith("--")} <= options, example
        assert example.split(" --")[0] in shown
    if name in EVERYDAY:
        places = [shown.index(panel) for panel in ("Everyday options", "Results") if panel in shown]
        assert places == sorted(places)
        assert all(any(parameter.name == option for parameter in command.params) for option in EVERYDAY[name])
