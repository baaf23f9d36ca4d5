"""Nothing of the user's is removed: what goes bears a mark that infoplane wrote itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from children import COMMAND, Child, run
from commands import call
from safetensors.numpy import save_file
from tiny import byte_tokenizer, save_tiny, tiny_folder, tiny_model

from infoplane.errors import InfoplaneError, ResultError
from infoplane.storage import temporary_folders as temporary
from infoplane.storage import working_folders as work_folders

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = ["--tokens", "3000", "--context", "64", "--orders", "1", "--points", "8", "--dtype", "float32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory)


def listed(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---------------------------------------------------------------------- folders of the user


def test_folders_called_like_stages_stay(model: Path, tmp_path: Path) -> None:
    """`--until-se --capture cap` removed every `cap.until-*`, `--out` every `capture.until-*`."""
    for name in ("cap.until-2026", "cap.until-notes", "out/capture.until-1", "out/.capture-in-progress.until-x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "notes.md").write_text("mine")
    assert call("measure", model, *SMALL, "--json", "--capture", tmp_path / "cap.until-kept").exit_code == 0
    before = listed(tmp_path)
    until = [*SMALL, "--until-se", "0.5", "--tokens", "3000"]
    assert call("measure", model, *until, "--json", "--capture", tmp_path / "cap").exit_code == 0
    assert call("measure", model, *until, "--out", tmp_path / "out").exit_code == 0
    after = listed(tmp_path)
    assert before.items() <= after.items()
    assert not [name for name in after if "in-progress/" in name or work_folders.MARK in name]


def test_a_stage_that_is_somebodys_folder_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cap.until-3000").mkdir()
    (tmp_path / "cap.until-3000" / "notes.md").write_text("mine")
    command = ["measure", model, *SMALL, "--until-se", "1e-9", "--json", "--capture", tmp_path / "cap"]
    for force in ([], ["--force"]):
        said = call(*command, *force).exception
        assert isinstance(said, ResultError) and "cap.until-3000 is there, and infoplane did not make it" in str(said)
    assert listed(tmp_path) == {"cap.until-3000/notes.md": b"mine"}


def test_a_kept_capture_survives_a_later_out_beside_it(model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run1/capture"
    assert call("measure", model, *SMALL, "--json", "--capture", kept).exit_code == 0
    before = listed(kept)
    for more in ([], ["--force"], ["--force", "--seed", "3"]):
        assert call("measure", model, *SMALL, *more, "--out", tmp_path / "run1").exit_code == 0
        assert listed(kept) == before
    assert call("measure", model, *SMALL, "--baseline", "random-init", "--out", tmp_path / "run2").exit_code == 0
    assert {p.name for p in (tmp_path / "run2").iterdir()} >= {"measurement.json", "baseline"}
    assert not list((tmp_path / "run2").glob("*in-progress"))


def test_captures_that_a_trace_and_a_survey_kept_stay(model: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        save_tiny(tmp_path / f"run/step{step}")
    assert call("trace", tmp_path / "run", *SMALL, "--keep-captures", "--out", tmp_path / "trace").exit_code == 0
    kept = tmp_path / "trace/checkpoints/step1/capture"
    before = listed(kept)
    assert call("trace", tmp_path / "run", *SMALL, "--force", "--seed", "2", "--out", tmp_path / "trace").exit_code == 0
    assert listed(kept) == before
    other = ["--seed", "3", "--keep-captures", "--out", tmp_path / "trace"]
    for name in ("trajectory.json", "checkpoints/step1/measurement.json", "checkpoints/step2/measurement.json"):
        (tmp_path / "trace" / name).unlink()
    refused = call("trace", tmp_path / "run", *SMALL, *other)
    assert "holds the capture of another run" in str(refused.exception) + refused.output
    assert listed(kept) == before
    assert call("trace", tmp_path / "run", *SMALL, *other, "--force").exit_code == 0
    assert listed(kept) != before


def test_force_removes_only_what_infoplane_made(model: Path, tmp_path: Path) -> None:
    cap = tmp_path / "cap"
    assert call("measure", model, *SMALL, "--json", "--capture", cap).exit_code == 0
    (cap / "notes.md").write_text("mine")
    result = call("measure", model, *SMALL, "--seed", "1", "--json", "--capture", cap, "--force")
    assert isinstance(result.exception, InfoplaneError) and "nothing was removed" in str(result.exception)
    assert (cap / "notes.md").read_text() == "mine" and (cap / "manifest.json").exists()


def test_of_a_marked_folder_only_what_infoplane_writes_goes(tmp_path: Path) -> None:
    made = work_folders.make(tmp_path / "x")
    for name in (
        "manifest.json",
        "windows.safetensors",
        "shard-00001.safetensors",
        ".manifest.json.abcd1234.part",
        "notes.md",
    ):
        (made / name).write_text("x")
    work_folders.discard(made)
    assert listed(tmp_path) == {"x/notes.md": b"x"}
    with pytest.raises(ResultError, match=r"x is there, and infoplane did not make it"):
        work_folders.make(tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / work_folders.MARK).write_text("a mark of somebody else")
    work_folders.discard(tmp_path / "y")
    assert (tmp_path / "y" / work_folders.MARK).exists()


def test_force_takes_no_manifest_and_no_part_of_somebody_else(model: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/manifest.json").write_text('{"name": "a browser extension"}')
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.secret.part").write_text("mine")
    (tmp_path / "d/.report.html.mine.part").write_text("mine")
    before = listed(tmp_path)
    result = call("measure", model, *SMALL, "--json", "--capture", tmp_path / "c", "--force")
    assert isinstance(result.exception, InfoplaneError) and "nothing was removed" in str(result.exception)
    assert call("measure", model, *SMALL, "--json", "--capture", tmp_path / "d", "--force").exit_code == 0
    assert call("measure", model, *SMALL, "--out", tmp_path / "d").exit_code == 0
    assert before.items() <= listed(tmp_path).items()
    own = call("measure", model, *SMALL, "--json", "--capture", tmp_path / "e/.capture-in-progress")
    assert "are infoplane's own, and are removed; name another" in str(own.exception)


def test_nothing_is_written_over_where_the_record_is_not_there(model: Path, tmp_path: Path) -> None:
    """Tables, figures and pages were, if only the record itself was missing."""
    for step in (1, 2):
        save_tiny(tmp_path / f"run/step{step}")
    (tmp_path / "s.toml").write_text(f'[[model]]\npath = "{model}"\n')
    measured = tmp_path / "m"
    assert call("measure", model, *SMALL, "--out", measured).exit_code == 0
    commands = {
        "measurement": ["measure", model, *SMALL], "trajectory": ["trace", tmp_path / "run", *SMALL],
        "comparison": ["compare", f"a={measured}", f"b={measured}"], "survey": ["survey", tmp_path / "s.toml"],
        "bound": ["bound", "c4-sample", "--tokenizer", model, "--tokens", "3000", "-m", "8"],
    }  # fmt: skip
    for kind, command in commands.items():
        for name in (f"{kind}.parquet", "report.html", "figures/of-my-own.svg"):
            if kind == "survey" and not name.endswith(".parquet"):
                continue
            place = tmp_path / f"{kind}-{Path(name).stem}"
            (place / name).parent.mkdir(parents=True)
            (place / name).write_text("mine")
            result = call(*command, "--out", place)
            assert isinstance(result.exception, ResultError), (kind, name, result.output)
            assert f"{place / name} exists: choose another --out, or --force" in str(result.exception)
            assert listed(place) == {name: b"mine"}


def test_what_a_stopped_command_left_is_gone_on_with(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("measure", model, *SMALL, "--out", out).exit_code == 0
    whole = listed(out)
    for gone in (["measurement.json"], ["measurement.json", "measurement.parquet"]):
        for name in gone:
            (out / name).unlink()
        assert call("measure", model, *SMALL, "--out", out).exit_code == 0
        assert set(listed(out)) == set(whole)


def test_a_record_of_another_version_is_not_measured_over(tmp_path: Path) -> None:
    for step in (1, 2):
        tiny_model(seed=step).save_pretrained(tmp_path / f"run/step{step}")
        byte_tokenizer().save_pretrained(tmp_path / f"run/step{step}")
    out = tmp_path / "out"
    record = out / "checkpoints/step1/measurement.json"
    assert call("trace", tmp_path / "run", *SMALL, "--out", out).exit_code == 0
    for content in ('{"schema": "infoplane/measurement/2"}', '{"note": "mine"}', ""):
        record.write_text(content)
        result = call("trace", tmp_path / "run", *SMALL, "--out", out)
        assert isinstance(result.exception, ResultError) and "--force to write over it" in str(result.exception)
        assert record.read_text() == content
    assert call("trace", tmp_path / "run", *SMALL, "--out", out, "--force").exit_code == 0
    whole = record.read_text()
    record.write_text(whole[:900])  # one of ours, damaged
    assert call("trace", tmp_path / "run", *SMALL, "--out", out).exit_code == 0
    assert json.loads(record.read_text())["estimates"] == json.loads(whole)["estimates"]


def test_files_with_names_of_a_capture_are_told_apart(model: Path, tmp_path: Path) -> None:
    cap, lone = tmp_path / "cap", tmp_path / "lone"
    assert call("measure", model, *SMALL, "--json", "--capture", cap).exit_code == 0
    save_file({"w": np.zeros(3)}, cap / "shard-00007.safetensors")
    lone.mkdir()
    save_file({"w": np.zeros(3)}, lone / "windows.safetensors")
    before = listed(tmp_path)
    again = ["measure", model, *SMALL, "--json", "--seed", "1"]
    for place, force, says in ((cap, ["--force"], "is of no capture"), (lone, [], "holds other files"),
                               (lone, ["--force"], "is of no capture")):  # fmt: skip
        result = call(*again, "--capture", place, *force)
        assert isinstance(result.exception, InfoplaneError) and says in str(result.exception)
        assert listed(tmp_path) == before
    (cap / "shard-00007.safetensors").unlink()
    (cap / "shard-00000.safetensors").write_bytes(b"damaged")
    assert call(*again, "--capture", cap, "--force").exit_code == 0


def test_what_a_killed_command_left_goes_with_another_that_succeeds(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work_folders.make(out / ".capture-in-progress")
    for name in (".capture-in-progress.until-8192", ".baseline-capture-in-progress"):
        (work_folders.make(out / name) / "shard-00000.safetensors").write_text("x")
    (out / ".capture-in-progress.until-mine").mkdir()
    assert call("measure", model, *SMALL, "--out", out).exit_code == 0
    assert [p.name for p in out.iterdir() if "progress" in p.name] == [".capture-in-progress.until-mine"]
    for step in (1, 2):
        save_tiny(tmp_path / f"run/step{step}")
    work_folders.make(place := tmp_path / "trace/checkpoints/step1/.capture-in-progress")
    assert call("trace", tmp_path / "run", *SMALL, "--keep-captures", "--out", tmp_path / "trace").exit_code == 0
    assert not place.exists() and (place.parent / "capture/manifest.json").exists()


# ---------------------------------------------------------------------- the temporary disk


def test_folders_of_killed_processes_are_swept_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, content in (("infoplane-tmp-notes", None), ("infoplane-tmp-lock", b"of somebody else")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.md").write_text("mine")
        if content is not None:
            (tmp_path / name / "lock").write_bytes(content)
    code = "import os, infoplane.storage.temporary_folders as t; t.new_folder('infoplane-tmp-'); os._exit(1)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert len(list(tmp_path.iterdir())) == 3
    with temporary.temporary() as one, temporary.temporary() as two:
        assert one.is_dir() and two.is_dir() and not any(one.iterdir())
        assert len(list(tmp_path.iterdir())) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["infoplane-tmp-lock", "infoplane-tmp-notes"]


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_measurement_that_is_stopped_leaves_nothing_for_ever(
    sent: signal.Signals, status: int, model: Path, tmp_path: Path
) -> None:
    """SIGTERM and SIGKILL of `measure --json` left the whole capture on the temporary disk."""
    temporary_disk = {"TMPDIR": str(tmp_path)}
    command = (COMMAND, "measure", model, "--json", "--context", "64")
    child = Child(*command, "--tokens", "150000", cwd=tmp_path, env=temporary_disk)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("infoplane-tmp-*/files/**/shard-*")) and time.monotonic() < end:
        time.sleep(0.02)
    child.send(sent)
    assert child.wait(60) == status, child.stderr
    if sent == signal.SIGTERM:
        assert "infoplane: stopped: " in child.stderr and "Traceback" not in child.stderr
        assert not list(tmp_path.glob("infoplane-*"))
    else:
        assert list(tmp_path.glob("infoplane-tmp-*"))
        small = run(*command, "--tokens", "2000", "--orders", "1", "--points", "8", cwd=tmp_path, env=temporary_disk)
        assert small.returncode == 0, small.stderr
        assert not list(tmp_path.glob("infoplane-*"))
