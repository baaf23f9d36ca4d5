"""Probes of a model that several processes train together: two of them, with gloo on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import several_processes as several
from tiny import byte_tokenizer, save_tiny

import infoplane
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.capture.in_step import dealt
from infoplane.errors import ModelError


def of_both(worker: Any, folder: Path, *arguments: Any) -> list[dict[str, Any]]:
    found = several.started(worker, folder, *arguments)
    assert not any("error" in said or "died" in said for said in found), found
    return found


def test_each_mode_trains_as_without_a_monitor_and_probes_as_one_process(tmp_path: Path) -> None:
    """Losses bit for bit, and the last probe beside that of one process on the gathered weights."""
    first, second = of_both(several.each_mode, tmp_path)
    for mode in several.MODES:
        for said in (first, second):
            assert said[mode]["with"] == said[mode]["without"] and len(said[mode]["with"]) == 4, mode
        assert second[mode]["last"] == {}
        last, whole = first[mode]["last"], first[mode]["whole"]
        assert {*last} == {*whole} and len(last) > 15
        for name, value in whole.items():
            if not name.endswith("phase"):
                assert last[name] == pytest.approx(value, rel=2e-4, abs=2e-6), (mode, name)


def test_what_differs_or_fails_on_one_process_is_an_error_on_every_one(tmp_path: Path) -> None:
    for rank, said in enumerate(of_both(several.refusals, tmp_path)):
        for name, what in (("other text", "text or tokenizer"), ("other setting", "setting"), ("other step", "step")):
            assert said[name] == (
                f"EngineError: process 1 has another {what} than process 0: give every process the same"
            )
        assert "none.txt" in said["no text"] and ("process 1 of 2 failed" in said["no text"]) == (rank == 0)
        assert "1 window cannot be shared out to 2 processes: give the monitor more tokens" in said["few windows"]
        assert "is on the meta device, so it has no values" in said["meta"]
        assert "NaN or infinity in layer block.1" in said["nan"]


def test_precision_checkpointing_compilation_and_accumulation_are_as_without(tmp_path: Path) -> None:
    for said in of_both(several.options, tmp_path):
        assert said["with"] == said["without"] and len(said["with"]) == 4


def test_a_process_that_does_not_come_is_missed_in_time(tmp_path: Path) -> None:
    said = of_both(several.missing, tmp_path)[0]
    assert "is gone, or did not come within 3 s" in said["said"] and 2 < said["after"] < 8


def test_a_process_that_is_killed_is_missed_at_the_next_probe(tmp_path: Path) -> None:
    first, second = several.started(several.dying, tmp_path)
    assert "is gone, or did not come" in first["said"] and first["after"] < 25
    assert second == {"died": True}


def test_a_trainer_is_watched_by_all_its_processes(tmp_path: Path) -> None:
    first, second = of_both(several.in_a_trainer, tmp_path)
    for mode, kind in (("ddp", None), ("fsdp", "fully_shard")):
        assert first[mode]["kind"] == second[mode]["kind"] == kind
        assert first[mode]["logged"] == [0, 2, 4] and not second[mode]["logged"]
        for said in (first, second):
            watched, alone = said[mode]["losses"]
            assert watched == alone and len(watched) == 4
        assert [point.step for point in Trajectory.load(tmp_path / mode).points] == [0, 2, 4]


def test_a_watched_trainer_is_resumed_on_all_its_processes(tmp_path: Path) -> None:
    first, second = of_both(several.resumed_trainer, tmp_path)
    assert first["kept"] == second["kept"] == ["step-0", "step-2", "step-4", "step-6", "step-8"]
    assert [point.step for point in Trajectory.load(tmp_path / "probes").points] == [0, 2, 4, 6, 8]
    assert first["said"].startswith("ResultError: ") and "holds probes of another run" in first["said"]
    assert second["said"].startswith("EngineError: process 0 of 2 failed: ")


def test_a_model_that_transformers_spreads_is_probed(tmp_path: Path) -> None:
    save_tiny(tmp_path / "base")
    first, second = of_both(several.of_transformers, tmp_path / "run", str(tmp_path / "base"))
    assert first["kind"] == second["kind"] == "tensor parallelism"
    assert first["found"] == pytest.approx(first["whole"], rel=2e-4, abs=2e-6) and second["found"] == {}
    assert not [warning for warning in first["warnings"] if "hooks" in warning]


def test_a_run_that_is_killed_goes_on_with_its_probes_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Two processes, 5 million parameters, killed after step 7 and gone on with from step 4; beside one process."""
    killed = several.started(several.long_run, tmp_path / "two", "fsdp", 8, 7)
    assert killed == [{"died": True}] * 2
    assert [point.step for point in Trajectory.load(tmp_path / "two/probes").points] == [0, 2, 4, 6]
    (tmp_path / "two/meet").unlink()
    resumed = of_both(several.long_run, tmp_path / "two", "fsdp", 8, None)
    assert resumed[0]["begun"] == 4 and 4.5e6 < resumed[0]["parameters"] < 5.5e6
    several.started(several.long_run, tmp_path / "one", "alone", 8, None, processes=1)
    two, one = (Trajectory.load(tmp_path / name / "probes") for name in ("two", "one"))
    for quantity in ("complexity", "expressivity", "ceiling"):
        a, b = two.series(quantity), one.series(quantity)
        assert a.steps.tolist() == b.steps.tolist() == [0, 2, 4, 6, 8]
        np.testing.assert_allclose(a.values, b.values, rtol=2e-4)


def test_the_whole_model_is_never_gathered_in_one_place(tmp_path: Path) -> None:
    for said in of_both(several.gathered, tmp_path):
        assert said["most"] <= said["around"] + 2 * said["block"] < 0.5 * said["every"]
        assert said["after"] == 0


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_windows_are_dealt_in_runs_of_about_as_many_tokens(processes: int) -> None:
    windows = infoplane.make_windows(infoplane.read_text("c4-sample"), byte_tokenizer(), tokens=5000, context=64)
    runs = dealt(windows, processes)
    assert runs[0][0] == 0 and runs[-1][1] == len(windows) and all(a < b for a, b in runs)
    assert all(runs[i][1] == runs[i + 1][0] for i in range(processes - 1))
    tokens = [int(windows.starts[b] - windows.starts[a]) for a, b in runs]
    assert max(tokens) - min(tokens) <= 2 * 64
    several_windows = len(windows)
    assert dealt(windows, several_windows) == [(i, i + 1) for i in range(several_windows)]
    with pytest.raises(ModelError, match=f"{several_windows} windows cannot be shared out to {several_windows + 1}"):
        dealt(windows, several_windows + 1)


def test_a_probe_adds_no_more_memory_than_the_docs_say(tmp_path: Path) -> None:
    first, second = of_both(several.peak, tmp_path)
    assert first["peak"] < 500 and second["peak"] < 350, (first, second)
