"""What tests replace is what runs: a name that was moved and left behind would let them pass empty.

Tests that replace something, to prove that it is not called or that a number does not hang on it, would pass as well if
nobody called it any longer. Here each such name is replaced by something that nothing can use, and the work must fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from paths import GOLDEN
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.surveys.surveying import survey

SMALL: dict[str, Any] = {"tokens": 2600, "context": 32, "orders": (1,), "m": 8}


def ask(place: Path) -> None:
    infoplane.measure_capture(
        infoplane.open_capture(GOLDEN / "capture-1"), orders=(1, 2), weights=("frequency", "uniform")
    )


def measure(place: Path) -> None:
    infoplane.measure(GOLDEN / "model", capture=place / "capture", **SMALL)


def measure_by_command(place: Path) -> None:
    from commands import call

    options = ["--tokens", "2600", "--context", "32", "--orders", "1", "--points", "8", "--json"]
    result = call("measure", GOLDEN / "model", *options)
    if result.exception is not None and result.exit_code:
        raise result.exception


def measure_until(place: Path) -> None:
    infoplane.measure(GOLDEN / "model", until_se=0.5, **SMALL)


def probe(place: Path) -> None:
    infoplane.Monitor(tiny_model(), byte_tokenizer(), tokens=1000, context=64).probe(1)


def measure_several(place: Path) -> None:
    (place / "s.toml").write_text(
        f'[defaults]\ntokens = 2600\ncontext = 32\norders = [1]\npoints = 8\n[[model]]\npath = "{GOLDEN / "model"}"\n'
    )
    found = survey(place / "s.toml", out=place / "survey")
    assert not found.failures


def measure_run(place: Path) -> None:
    for step in (1, 2):
        tiny_model(seed=step).save_pretrained(place / f"run/step{step}")
        byte_tokenizer().save_pretrained(place / f"run/step{step}")
    found = infoplane.trace(place / "run", out=place / "trace", **SMALL)
    assert len(found.measured) == 2


REPLACED = [
    (ask, "infoplane.information.assignments.WIDTH"),
    (ask, "infoplane.measurement.reduction.settings"),
    (measure, "infoplane.capture.forward_pass.assign_windows"),
    (measure, "infoplane.measurement.steps.capture_with"),
    (measure, "infoplane.measurement.measuring.Source"),
    (measure, "infoplane.models.loading.load_model"),
    (measure_by_command, "infoplane.cli.measure_command.using"),
    (measure_until, "infoplane.measurement.read_until.FIRST"),
    (probe, "infoplane.capture.forward_pass.assign_windows"),
    (measure_several, "infoplane.analysis.surveys.worker.measure"),
    (measure_several, "infoplane.analysis.surveys.entries.deciding_versions"),
    (measure_several, "infoplane.models.fast_dtype"),
    (measure_run, "infoplane.models.load_model"),
    (measure_run, "infoplane.models.loading.fast_dtype"),
    (measure_run, "infoplane.analysis.training.worker.capture_model"),
    (measure_run, "infoplane.analysis.training.tracing.Tracing"),
]


@pytest.mark.parametrize(("work", "name"), REPLACED, ids=lambda one: getattr(one, "__name__", one))
def test_what_tests_replace_is_what_runs(work: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name, object())
    with pytest.raises(Exception):  # noqa: B017 (whatever it does with that)
        work(tmp_path)


@pytest.mark.parametrize("work", dict.fromkeys(work for work, _ in REPLACED), ids=lambda one: one.__name__)
def test_the_work_is_done_where_nothing_is_replaced(work: Any, tmp_path: Path) -> None:
    work(tmp_path)
