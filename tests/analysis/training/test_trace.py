"""Tracing a run: names of checkpoints, resumption, failures, and differences between checkpoints."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import WITHOUT_FIGURES, Child
from children import run as run_child
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.training import worker as trace_work
from infoplane.analysis.training.tracing import trace
from infoplane.analysis.training.trajectory import Point, Trajectory, outliers
from infoplane.errors import ModelError, ResultError, SettingError
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.models import checkpoints as c

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name, want",
    [
        ("step143000", (143_000, None, (0, 0))),
        ("step1000-tokens4B", (1_000, 4 * 10**9, (0, 0))),
        ("stage1-step150-tokens1B", (150, 10**9, (1, 0))),
        ("stage2-ingredient1-step11931-tokens50B", (11_931, 50 * 10**9, (2, 1))),
        ("step-001000-2BT", (1_000, 2 * 10**9, (0, 0))),
        ("step69369-seed-default", (69_369, None, (0, 0))),
        ("checkpoint-500", (500, None, (0, 0))),
        ("global_step1200", (1_200, None, (0, 0))),
        ("step-5-seed-2", (5, None, (0, 0))),
        ("main", None),
        ("footstep7", None),
    ],
)
def test_names_tell_steps_and_tokens(name: str, want: Any) -> None:
    assert c.parse_name(name) == want


def folders(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "config.json").write_text("{}")
    return place


def test_globs_ranges_and_names_choose_checkpoints_in_the_order_of_training(tmp_path: Path) -> None:
    place = folders(tmp_path, "step1", "step10", "step9", "step100", "main", "step1000")
    every = [x.name for x in c.find_checkpoints(place)]
    assert every == ["step1", "step9", "step10", "step100", "step1000"]
    assert [x.step for x in c.find_checkpoints(place, "..10")] == [1, 9, 10]
    assert [x.step for x in c.find_checkpoints(place, "9..100,step1000")] == [9, 10, 100, 1000]
    assert [x.step for x in c.find_checkpoints(place, "step*0")] == [10, 100, 1000]


def test_what_cannot_be_traced_is_said(tmp_path: Path) -> None:
    place = folders(tmp_path / "run", "step1", "step10", "main")
    with pytest.raises(SettingError, match=r"no checkpoint 'step11'; near names: step1, step10"):
        c.find_checkpoints(place, "step1,step11")
    with pytest.raises(SettingError, match=r"'main' tells no training step: give table, whose columns are"):
        c.find_checkpoints(place, "*")
    with pytest.raises(
        ModelError, match=r"at least two checkpoints .*only 'step1' fits; there are main, step1, step10"
    ):
        c.find_checkpoints(place, "step1")
    with pytest.raises(SettingError, match=r"'(step1|step01)' and '(step1|step01)' are of one step, 1"):
        c.find_checkpoints(folders(tmp_path / "twice", "step1", "step01"))
    with pytest.raises(ModelError, match="it is a single model: name the folder that holds"):
        c.find_checkpoints(folders(tmp_path, "one") / "one")
    table = tmp_path / "steps.csv"
    table.write_text("name,step,tokens\nmain,20,1e9\nstep1,1,\n")
    found = c.find_checkpoints(place, "main,step1", c.read_table(table))
    assert [(x.name, x.step, x.tokens) for x in found] == [("step1", 1, None), ("main", 20, 10**9)]
    table.write_text("name,step\nmain,soon\n")
    with pytest.raises(SettingError, match="line 2: expected whole numbers"):
        c.read_table(table)
    table.write_text("revision,step\nmain,1\n")
    with pytest.raises(SettingError, match="expected name,step,tokens"):
        c.read_table(table)


def test_steps_and_tokens_of_a_later_stage_go_on(tmp_path: Path) -> None:
    place = folders(
        tmp_path, "stage1-step10-tokens1B", "stage1-step20-tokens2B", "stage2-ingredient1-step5-tokens1B",
        "stage2-ingredient1-step9-tokens2B", "stage2-ingredient2-step5-tokens1B",
    )  # fmt: skip
    found = c.find_checkpoints(place, "stage1-*,stage2-ingredient1-*")
    assert [(x.step, x.tokens) for x in found] == [
        (10, 10**9), (20, 2 * 10**9), (25, 3 * 10**9), (29, 4 * 10**9)
    ]  # fmt: skip
    with pytest.raises(SettingError, match=r"are ingredients 1 and 2 of stage 2: .*,stage2-ingredient1-\*'"):
        c.find_checkpoints(place)


def test_gaps_are_seen_in_even_and_in_logarithmic_series() -> None:
    assert c.gaps([100, 200, 300, 600, 700, 800]) == ((300, 600),)
    assert c.gaps([1, 2, 4, 8, 16, 32, 64]) == ()
    assert c.gaps([1, 2, 4, 8, 64, 128, 256]) == ()  # wide beside the doubled steps after it: not told apart


def test_hub_revisions_are_listed_with_their_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import GitRefInfo, GitRefs

    def refs(repository: str) -> GitRefs:
        names = ["main", "step1000", "step2000"]
        made = [GitRefInfo(name=n, ref=f"refs/heads/{n}", target_commit=f"sha-{n}") for n in names]
        return GitRefs(branches=made, converts=[], tags=[])

    monkeypatch.setattr(huggingface_hub, "list_repo_refs", refs)
    found = c.find_checkpoints("owner/model", "step*")
    assert [(x.source, x.revision, x.commit) for x in found] == [
        ("owner/model", "step1000", "sha-step1000"), ("owner/model", "step2000", "sha-step2000"),
    ]  # fmt: skip

    def fails(repository: str) -> GitRefs:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "list_repo_refs", fails)
    with pytest.raises(ModelError, match=r"no folder 'owner/model', and the hub does not list its revisions: no route"):
        c.find_checkpoints("owner/model")


# ---------------------------------------------------------------------- traces


def save_run(place: Path, steps: Any) -> Path:
    """A run whose weights move on a line from one tiny model to another."""
    first, last = tiny_model(seed=0), tiny_model(seed=1)
    start, end = first.state_dict(), last.state_dict()
    for step in steps:
        part = np.log1p(step) / np.log1p(max(steps))
        first.load_state_dict({k: torch.lerp(start[k], end[k], float(part)) for k in start})
        first.save_pretrained(place / f"checkpoint-{step}")
        byte_tokenizer().save_pretrained(place / f"checkpoint-{step}")
        first.load_state_dict(start)
    return place


STEPS = (0, 1, 3, 7, 15, 31, 63)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), STEPS)


@pytest.fixture(scope="module")
def traced(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trajectory, Path]:
    out = tmp_path_factory.mktemp("traced")
    return trace(run, out=out, **SMALL), out


def test_a_checkpoint_of_a_trace_is_measured_as_by_itself(run: Path, traced: Any) -> None:
    trajectory, out = traced
    assert [p.step for p in trajectory.points] == list(STEPS) and not any(p.problem for p in trajectory.points)
    alone = infoplane.measure(run / "checkpoint-7", loss=True, **SMALL)
    for a, b in zip(alone, trajectory.points[3].measurement, strict=True):
        assert a.key == b.key and a.value == b.value and a.standard_error == b.standard_error
    assert not list(out.rglob("capture"))  # dropped once measured
    again = Trajectory.load(out)
    assert again == trajectory and again.provenance["checkpoints"] == len(STEPS)
    table = trajectory.table()
    assert set(table["step"]) == set(STEPS) and table["checkpoint"][0] == "checkpoint-0"


def test_series_and_paired_differences(traced: Any) -> None:
    trajectory, _ = traced
    x = trajectory.series("complexity")
    assert x.steps.tolist() == list(STEPS) and x.replicates.shape == (len(STEPS), 32)
    value, error, interval = x.difference(0, 6)
    direct = trajectory.points[6].measurement.minus(trajectory.points[0].measurement).get("complexity")
    assert (value, error, interval) == (direct.value, direct.total_error, direct.interval)
    near = x.difference(0, 1)[1]
    assert near is not None and x.standard_errors is not None and near < x.standard_errors[0]  # the text cancels
    distance, y = trajectory.series("distance_to_diagonal"), trajectory.series("expressivity")
    np.testing.assert_allclose(distance.values, x.values - y.values)
    assert trajectory.series("loss").unit == "nats/token"
    assert len(trajectory.series("entropy", "block.1")) == len(STEPS)
    with pytest.raises(ResultError, match="no checkpoint has optimality of model, order 3"):
        trajectory.series("optimality", order=3)


def test_an_interrupted_trace_goes_on_and_ends_the_same(run: Path, traced: Any, tmp_path: Path) -> None:
    command = (WITHOUT_FIGURES, "trace", run, "--out", "out", "--tokens", "3000", "--context", "64", "--orders", "1",
               "-m", "16", "--dtype", "float32")  # fmt: skip
    child = Child(*command, cwd=tmp_path)
    child.wait_for(tmp_path / "out/checkpoints/checkpoint-3/measurement.json")
    child.send(signal.SIGKILL)
    child.wait()
    done = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("measurement.json")}
    assert 3 <= len(done) < len(STEPS)
    again = run_child(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Traceback" not in again.stderr and "stopped" not in again.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())  # not one was done again
    want = json.loads((traced[1] / "trajectory.json").read_text())
    found = json.loads((tmp_path / "out/trajectory.json").read_text())
    assert found["points"] == want["points"]
    for a, b in zip(Trajectory.load(tmp_path / "out").points, traced[0].points, strict=True):
        assert [(r.key, r.value) for r in a.measurement] == [(r.key, r.value) for r in b.measurement]
    repeated = run_child(*command, cwd=tmp_path)
    assert repeated.returncode == 0 and "Nothing was left to do: out holds the result" in repeated.stdout


def test_traces_are_reported_together(traced: Any, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from infoplane.cli import app

    place, noise = str(traced[1]), np.random.default_rng(0)
    points = []
    for point in traced[0].points:  # another seed of the same: other numbers
        rows = (dataclasses.replace(row, value=row.value * noise.normal(1, 0.01)) for row in point.measurement)
        found = dataclasses.replace(point.measurement, estimates=tuple(rows))
        found.save(tmp_path / "other" / point.name)
        points.append(dataclasses.replace(point, measurement=found))
    seed = Trajectory(tuple(points), traced[0].provenance)
    seed.save(tmp_path / "other", {p.name: p.name for p in points})
    asked = ["report", f"twins={place}", f"twins={tmp_path / 'other'}", place, "--out", str(tmp_path / "page")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page/report.html").read_text("utf-8")
    assert "3 runs of 2 configurations" in page and "twins" in page and traced[1].name in page
    assert "exists: choose another --out" in str(CliRunner().invoke(app, asked).exception)


def test_stored_measurements_are_used_only_for_the_same_question_and_weights(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    for step in (0, 3, 63):
        shutil.copytree(run / f"checkpoint-{step}", place / f"checkpoint-{step}")
    first = trace(place, out=tmp_path / "out", **SMALL)
    shutil.copy(run / "checkpoint-31/model.safetensors", place / "checkpoint-3/model.safetensors")
    with pytest.raises(
        ResultError, match="was measured of other weights, on another device, with another code or with other settings"
    ):
        trace(place, out=tmp_path / "out", **SMALL)
    second = trace(place, out=tmp_path / "out", force=True, **SMALL)
    changed = [a.measurement != b.measurement for a, b in zip(first.points, second.points, strict=True)]
    assert changed == [False, True, False]
    third = trace(place, out=tmp_path / "out", force=True, **{**SMALL, "tokens": 4000})
    assert all(a.measurement != b.measurement for a, b in zip(second.points, third.points, strict=True))


def test_what_fails_is_recorded_and_the_others_go_on(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(run, place)
    broken = tiny_model(seed=3)
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    broken.save_pretrained(place / "checkpoint-1")
    (place / "checkpoint-3/model.safetensors").write_bytes(b"nothing")
    tiny_model("gpt2").save_pretrained(place / "checkpoint-7")
    byte_tokenizer(bos=True).save_pretrained(place / "checkpoint-15")
    found = trace(place, out=tmp_path / "out", **SMALL)
    problems = {p.step: p.problem for p in found.points}
    assert "NaN or infinity in layer block.1" in problems[1]
    assert "cannot load" in problems[3]
    assert "is another model: its architecture is GPT2LMHeadModel" in problems[7]
    assert "another tokenizer" in problems[15]
    assert [p.step for p in found.measured] == [0, 31, 63]
    assert Trajectory.load(tmp_path / "out") == found
    with pytest.raises(ModelError, match=r"no checkpoint of .* could be measured; the first, checkpoint-1: NaN"):
        trace(place, out=tmp_path / "none", revisions="checkpoint-1,checkpoint-3", **SMALL)


def test_an_error_of_any_kind_is_a_checkpoints_own_but_a_full_disk_ends_the_trace(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture, raised = trace_work.capture_model, list[Exception]()

    def breaks(*given: Any, **settings: Any) -> Any:
        if any("checkpoint-3" in one.parts for one in given if isinstance(one, Path)) and raised:
            raise raised[0]
        return capture(*given, **settings)

    monkeypatch.setattr(trace_work, "capture_model", breaks)
    raised.append(RuntimeError("a kernel\nof its own"))
    found = trace(run, out=tmp_path / "out", revisions="checkpoint-1,checkpoint-3,checkpoint-7", **SMALL)
    assert [p.problem for p in found.points] == [None, "RuntimeError: a kernel of its own", None]
    raised[0] = OSError(28, "No space left on device", "somewhere")
    with pytest.raises(OSError, match="No space left"):
        trace(run, out=tmp_path / "out", revisions="checkpoint-1,checkpoint-3,checkpoint-7", **SMALL)
    raised.clear()
    found = trace(run, out=tmp_path / "out", revisions="checkpoint-1,checkpoint-3,checkpoint-7", **SMALL)
    assert [p.problem for p in found.points] == [None] * 3


def synthetic(values: np.ndarray, steps: Any) -> Trajectory:
    """A trajectory with given complexities (T, layers)."""
    points = []
    for step, row in zip(steps, values, strict=True):
        rows = tuple(
            Estimate("complexity", f"block.{i}", float(v), "efficiency", side="input", order=1, weight="frequency",
                     estimator="null-curve", position_set="P_1")
            for i, v in enumerate(row)
        )  # fmt: skip
        points.append(Point(f"step{step}", int(step), None, Measurement(rows, {})))
    return Trajectory(tuple(points))


@pytest.mark.parametrize("wrong, like", [(6, 18), (12, 2), (15, None)])
def test_a_checkpoint_from_elsewhere_in_training_is_flagged(wrong: int, like: int | None) -> None:
    """A rise and fall with a plateau and an optimiser's jitter; one checkpoint holds another one's weights."""
    draw = np.random.default_rng(0)
    steps = np.unique(np.geomspace(1, 20_000, 20).astype(int))
    x = np.log(steps)[:, None]
    flagged = 0
    for _ in range(50):
        rise, fall = draw.uniform(0.1, 0.3, 12), draw.uniform(0.0, 0.1, 12)
        values = rise / (1 + np.exp(4 - x)) - fall / (1 + np.exp(7 - x)) + 0.002 * draw.standard_normal((len(x), 12))
        if like is not None:
            values[wrong] = values[like] + 0.0005 * draw.standard_normal(12)
        found = outliers(synthetic(values, steps))
        assert set(found) <= {f"step{steps[wrong]}"} if like is not None else not found
        flagged += bool(found)
    assert flagged >= 48 if like is not None else flagged == 0


def test_trajectories_are_refused_when_they_are_not_ours(traced: Any, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no trajectory at"):
        Trajectory.load(tmp_path)
    shutil.copytree(traced[1], tmp_path / "t")
    path = tmp_path / "t/trajectory.json"
    text = path.read_text()
    path.write_text(text.replace("trajectory/2", "trajectory/7"))
    with pytest.raises(ResultError, match="schema 'infoplane/trajectory/7'"):
        Trajectory.load(tmp_path / "t")
    path.write_text(text.replace("checkpoints/checkpoint-0", "../../elsewhere"))
    with pytest.raises(ResultError, match="was changed after it was written"):
        Trajectory.load(tmp_path / "t")
    record = json.loads(path.read_text())
    del record["sha256"]  # as it was before records were sealed
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError, match="points outside of its folder"):
        Trajectory.load(tmp_path / "t")
