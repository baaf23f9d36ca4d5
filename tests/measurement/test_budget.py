"""How many tokens a standard error needs, and measuring until it is reached."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_factory import full_measurement
from tiny import byte_tokenizer, save_tiny, tiny_model
from typer.testing import CliRunner

from infoplane.capture import forward_pass as forward
from infoplane.cli import app
from infoplane.errors import CaptureError, InfoplaneError, ResultError, SettingError, TextError
from infoplane.measurement import measuring as run
from infoplane.measurement import read_until as until
from infoplane.measurement import steps
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.measurement.tokens_needed import costs, spoken_tokens, tokens_for
from infoplane.models.decoder import Model
from infoplane.report.measurement.writing import render_report
from infoplane.text.documents import read_text

SMALL: dict[str, Any] = {"context": 64, "m": 16, "orders": (1, 2)}
FIRST, MOST = 3_072, 24_576


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.from_module(tiny_model(), byte_tokenizer(), "tiny")


@pytest.fixture(autouse=True)
def small_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(until, "FIRST", FIRST)


@pytest.fixture(scope="module")
def error(model: Model) -> Any:
    """The standard error that is judged, of a plain measurement of a budget."""

    def of(tokens: int, order: int = 1) -> float:
        found = run.measure(model, tokens=tokens, **SMALL)
        return max(found.get(q, order=order).standard_error or 0 for q in ("complexity", "expressivity"))

    return of


def planned() -> Measurement:
    found = full_measurement()
    settings = {**found.provenance["settings"], "corrected": "null-curve", "unit": "efficiency"}
    return dataclasses.replace(
        found, provenance={**found.provenance, "tokens": 32_768, "documents": 300, "settings": settings}
    )


# ---------------------------------------------------------------------- the law


def test_the_law_is_that_of_a_mean_over_documents() -> None:
    assert tokens_for(8_192, 0.004, 0.002) == 4 * 8_192
    assert tokens_for(8_192, 0.002, 0.002) == 8_192
    assert tokens_for(8_192, 0.001, 0.002) == 2_048
    random = np.random.default_rng(0)
    few, many = (np.std([random.standard_normal(n).mean() for _ in range(4_000)]) for n in (50, 200))
    assert tokens_for(50, float(few), float(many)) == pytest.approx(200, rel=0.1)


@pytest.mark.parametrize(
    "needed, said",
    [(100, "already there"), (101, "110"), (30_001, "31,000"), (990_001, "1,000,000")],
)
def test_plans_are_said_with_two_digits_rounded_up(needed: int, said: str) -> None:
    assert spoken_tokens(needed, 100) == said


def test_each_row_of_the_whole_model_has_its_price() -> None:
    found = costs(planned(), (0.01, 0.0001))
    assert [(c.row.quantity, c.row.order) for c in found] == [
        (q, k) for k in (1, 2, 3, 4) for q in ("complexity", "expressivity", "optimality")
    ]
    for c in found:
        assert c.row.estimator == "null-curve" and c.row.layer == "model" and c.row.standard_error is not None
        assert c.needed[1] == math.ceil(32_768 * (c.row.standard_error / 0.0001) ** 2)


def test_what_cannot_be_planned_is_said() -> None:
    found = planned()
    bare = dataclasses.replace(
        found,
        estimates=tuple(dataclasses.replace(r, standard_error=None) for r in found),
        provenance={**found.provenance, "documents": 12},
    )
    with pytest.raises(ResultError, match="12 documents were read, and 40 are needed"):
        costs(bare, (0.1,))
    plugin = dataclasses.replace(found, estimates=found.select(estimator="plugin"))
    with pytest.raises(ResultError, match="measure with --estimator corrected"):
        costs(plugin, (0.1,))
    with pytest.raises(ResultError, match="a difference does not"):
        costs(full_measurement(), (0.1,))
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="expected a number above 0"):
            costs(found, (wrong,))


def test_the_report_has_the_table_where_there_is_something_to_plan() -> None:
    title = "How many tokens a tighter interval needs"
    assert title in render_report(planned())
    assert title not in render_report(full_measurement())


# ---------------------------------------------------------------------- the loop, on simulated stages


class Simulated:
    """Windows and captures that know their budget alone; a text that ends at `has` tokens."""

    def __init__(self, errors: Any, has: int = 10**9) -> None:
        self.errors, self.has, self.captured = errors, has, list[int]()

    def cut(self, budget: int) -> Any:
        read = min(budget, self.has)
        return _Windows(read)

    def keep(self, budget: int, windows: Any) -> Any:
        self.captured.append(budget)
        return _Capture(windows)

    def error_of(self, capture: Any) -> float:
        return float(self.errors(capture.windows.tokens))

    def read(self, wanted: float, most: int) -> Any:
        goal = until.Wanted.of(wanted, None, (1,), ("frequency",), "efficiency", most)
        _, stages = until.read_until(goal, self.cut, self.keep, self.error_of)
        return until.outcome(goal, stages)


@dataclasses.dataclass(frozen=True)
class _Windows:
    tokens: int
    documents: tuple[str, ...] = ("a",) * 50

    @property
    def hash(self) -> str:
        return str(self.tokens)

    @property
    def is_text(self) -> Any:
        return np.ones(self.tokens, bool)


@dataclasses.dataclass(frozen=True)
class _Capture:
    windows: Any


def test_one_prediction_is_enough_where_the_law_holds() -> None:
    simulated = Simulated(lambda n: 0.2 / math.sqrt(n))
    told, warning = simulated.read(0.002, 100_000)
    assert simulated.captured == [FIRST, 11_264]  # (0.2 / 0.002)^2 = 10,000, a tenth more, in steps of 1,024
    assert told["reached"] and warning is None
    assert [s["budget"] for s in told["stages"]] == simulated.captured


def test_it_stops_at_once_goes_on_and_stops_at_the_most() -> None:
    at_once = Simulated(lambda n: 0.001)
    assert at_once.read(0.001, MOST)[0]["reached"] and at_once.captured == [FIRST]
    slower = Simulated(lambda n: 0.1 * n**-0.4)
    told, _ = slower.read(0.002, 10**6)
    assert told["reached"] and len(slower.captured) > 2 and slower.captured == sorted(set(slower.captured))
    never = Simulated(lambda n: 0.2 / math.sqrt(n))
    told, warning = never.read(0.001, 20_000)
    assert never.captured == [FIRST, 20_000] and not told["reached"]
    assert warning is not None
    assert "wanted standard error of 0.001 was not reached: it is 0.00141 at order 1 with 20,000 tokens" in warning
    assert "(20,000 tokens may be read); it would need about 40,000" in warning


def test_a_text_that_has_no_more_is_captured_once() -> None:
    simulated = Simulated(lambda n: 0.2 / math.sqrt(n), has=7_000)
    told, warning = simulated.read(0.002, 10**6)
    assert simulated.captured == [FIRST, 11_264]  # the next budget would read the same windows
    assert not told["reached"] and warning is not None and "with 7,000 tokens" in warning


# ---------------------------------------------------------------------- a model


def rows(found: Measurement) -> list[Estimate]:
    return list(found.estimates)


def test_the_result_is_that_of_a_plain_measurement_of_its_budget(model: Model, error: Any, tmp_path: Path) -> None:
    wanted = 0.6 * error(FIRST)
    found = run.measure(model, until_se=wanted, tokens=MOST, capture=tmp_path / "cap", loss=True, **SMALL)
    told = found.provenance["until_se"]
    budget = found.provenance["windows"]["token_budget"]
    assert told["reached"] and not any("not reached" in w for w in found.provenance["warnings"])
    assert FIRST < budget <= MOST and budget == told["stages"][-1]["budget"]
    assert [s["standard_error"] <= wanted for s in told["stages"]] == [False] * (len(told["stages"]) - 1) + [True]
    assert told["stages"][-1]["standard_error"] == error(budget)
    plain = run.measure(model, tokens=budget, loss=True, **SMALL)
    assert rows(found) == rows(plain)
    assert [p.name for p in tmp_path.iterdir()] == ["cap"]
    assert rows(run.measure(None, capture=tmp_path / "cap", orders=(1, 2))) == rows(plain)
    assert json.loads(found.to_json())["provenance"]["until_se"] == told


def test_not_reached_is_a_warning_and_another_order_can_be_judged(model: Model, error: Any) -> None:
    found = run.measure(model, until_se=0.5 * error(4_096, 2), until_order=2, tokens=4_096, **SMALL)
    told = found.provenance["until_se"]
    assert not told["reached"] and told["order"] == 2 and [s["budget"] for s in told["stages"]] == [FIRST, 4_096]
    assert told["stages"][-1]["standard_error"] == error(4_096, 2)
    (said,) = [w for w in found.provenance["warnings"] if "was not reached" in w]
    assert "at order 2 with 4,096 tokens" in said
    assert rows(found) == rows(run.measure(model, tokens=4_096, **SMALL))


def test_the_unit_asked_is_the_unit_judged(model: Model, error: Any) -> None:
    wanted = 0.7 * error(FIRST) * math.log2(16)
    told = run.measure(model, until_se=wanted, unit="bits", tokens=4_096, **SMALL).provenance["until_se"]
    assert [s["budget"] for s in told["stages"]] == [FIRST, 4_096]
    assert told["stages"][0]["standard_error"] == pytest.approx(error(FIRST) * math.log2(16), rel=1e-9)


def test_an_interrupted_run_goes_on(model: Model, error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "capture_with", functools.partial(steps.capture_with, shard_tokens=1_000))
    asked = {"until_se": 0.7 * error(FIRST), "tokens": MOST, "capture": tmp_path / "cap", **SMALL}

    def stopped(stage: str, done: int, total: int) -> None:
        if stage == "capturing" and total > FIRST and done > 3_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.measure(model, progress=stopped, **asked)
    left = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("shard-*")}
    stage = max(tmp_path.iterdir(), key=lambda p: int(p.name.rpartition("-")[2]))
    kept = {p.name: when for p, when in left.items() if p.parent == stage}
    assert kept and not (tmp_path / "cap").exists()
    found = run.measure(model, **asked)
    assert [p.name for p in tmp_path.iterdir()] == ["cap"]
    budget = found.provenance["windows"]["token_budget"]
    assert stage.name == f"cap.until-{budget}"
    assert {name: (tmp_path / "cap" / name).stat().st_mtime_ns for name in kept} == kept  # not one was done again
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cap").iterdir()}
    worked, work = list[int](), forward.assign_windows

    def watched(model: Any, windows: Any, *more: Any, **settings: Any) -> Any:
        worked.append(windows.provenance["token_budget"])
        return work(model, windows, *more, **settings)

    monkeypatch.setattr(forward, "assign_windows", watched)
    again = run.measure(model, **asked)  # of a finished one only the early stages are done again
    assert worked and set(worked) == {s["budget"] for s in found.provenance["until_se"]["stages"][:-1]}
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cap").iterdir()} == done
    assert rows(again) == rows(found) and [p.name for p in tmp_path.iterdir()] == ["cap"]


def test_another_capture_in_the_folder_is_refused_unless_forced(model: Model, error: Any, tmp_path: Path) -> None:
    asked = {"until_se": 1.01 * error(FIRST), "capture": tmp_path / "cap", **SMALL}
    run.measure(model, tokens=2_600, capture=tmp_path / "cap", **SMALL)
    held = {p.name: p.read_bytes() for p in (tmp_path / "cap").iterdir()}
    with pytest.raises(CaptureError, match="capture of another run: choose another folder, or --force"):
        run.measure(model, **asked)
    run.measure(model, tokens=4_096, capture=tmp_path / "larger", **SMALL)
    with pytest.raises(CaptureError, match="capture of another budget"):
        run.measure(model, **{**asked, "capture": tmp_path / "larger"})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(CaptureError, match="holds other files"):
        run.measure(model, **{**asked, "capture": tmp_path / "notes"})
    with pytest.raises(
        CaptureError, match=r"holds other files \(mine.txt\) than those of a capture: nothing was removed"
    ):
        run.measure(model, **{**asked, "capture": tmp_path / "notes"}, force=True)
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"
    assert {p.name: p.read_bytes() for p in (tmp_path / "cap").iterdir()} == held
    found = run.measure(model, **asked, force=True)
    assert run.measure(None, capture=tmp_path / "cap").provenance["run_id"] == found.provenance["run_id"]


def test_settings_that_cannot_be_are_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    def refused(kind: type[Exception], match: str, documents: Any = "c4-sample", **asked: Any) -> None:
        with pytest.raises(kind, match=match):
            run.measure("./no-such-model", documents, **{"until_se": 0.002, **asked})

    for wrong in (0, 0.0, -0.002, math.nan, math.inf, True, "0.002"):
        refused(SettingError, "until_se = .*: expected a number above 0", until_se=wrong)
    refused(SettingError, "until_order = 3: expected one of the orders asked, 1, 2", orders=(1, 2), until_order=3)
    refused(SettingError, "until_se needs 40 documents, so 2560 tokens or more", tokens=2_000)
    refused(SettingError, "labels fit the positions of one budget", labels={"x": [0, 1]})
    refused(SettingError, "set until_se too", until_se=None, until_order=1)
    refused(TextError, "the text has 12 documents, and a standard error needs 40", read_text("c4-sample", limit=12))
    with pytest.raises(SettingError, match="so until_se can say nothing more: leave that out, or name the model too"):
        run.measure(None, capture=tmp_path, until_se=0.002)


def test_too_few_usable_documents_are_found_after_the_first_stage(model: Model) -> None:
    documents = [f"no {i}" for i in range(30)] + [
        f"document {i} is long enough for a window of its own" for i in range(30)
    ]
    with pytest.raises(TextError, match=r"order 1: \d+ documents were read, 40 are needed"):
        run.measure(model, documents, until_se=0.002, **SMALL)


# ---------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny(place)
    return place


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_commands_measure_until_and_tell_the_price(folder: Path, error: Any, tmp_path: Path) -> None:
    wanted = 0.6 * error(FIRST)
    more = ["--context", "64", "--points", "16", "--orders", "1,2", "--dtype", "float32", "--baseline", "random-init"]
    out = tmp_path / "out"
    done = call("measure", str(folder), "--until-se", f"{wanted:.8f}", "--tokens", str(MOST), "--out", str(out), *more)
    assert done.exit_code == 0, done.output
    assert {p.name for p in out.iterdir()} == {
        "measurement.json",
        "measurement.parquet",
        "report.html",
        "figures",
        "baseline",
    }
    found, twin = Measurement.load(out), Measurement.load(out / "baseline")
    assert found.provenance["until_se"]["reached"]
    assert found.minus(twin)  # the same windows

    said = call("budget", str(out), "--se", "0.5,0.0001")
    assert said.exit_code == 0 and "already there" in said.output and "expressivity" in said.output
    assert "documents in proportion" in " ".join(said.output.split())
    record = json.loads(call("budget", str(out), "--se", "0.5,0.0001", "--json").output)
    assert [r["tokens_needed"] for r in record["rows"]] == [list(c.needed) for c in costs(found, (0.5, 0.0001))]
    assert "0.005" in call("budget", str(out)).output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["measure", "./nowhere", "--until-se", "0"], "--until-se 0.0: expected a number above 0"),
        (["measure", "./nowhere", "--until-se", "-0.1"], "--until-se -0.1: expected a number above 0"),
        (["measure", "./nowhere", "--until-se", "nan"], "--until-se nan: expected a number above 0"),
        (["measure", "./nowhere", "--until-order", "1"], "set --until-se too"),
        (["measure", "--capture", "cap", "--until-se", "0.1"], "so --until-se can say nothing more"),
        (["budget", "nowhere"], "no measurement at nowhere"),
        (["budget", "few"], "no standard errors to plan by: 12 documents"),
        (["budget", "few", "--se", "small"], "expected numbers such as 0.005,0.002,0.001"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_message(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cap").mkdir()
    (tmp_path / "cap" / "manifest.json").write_text("{}")
    found = planned()
    bare = tuple(dataclasses.replace(r, standard_error=None, interval=None) for r in found)
    Measurement(bare, {**found.provenance, "documents": 12}).save(tmp_path / "few")
    result = call(*arguments)
    assert isinstance(result.exception, InfoplaneError), result.output
    assert message in str(result.exception)
