"""What breaks while a measurement is made or kept: the right numbers or a clear error, and never another number."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import Child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated
from paths import ROOT
from readers import READERS, Reader, make, small_measurement
from safetensors import numpy as safe
from tiny import byte_tokenizer, tiny_model

from infoplane.capture.folder import content
from infoplane.capture.stored_capture import open_capture
from infoplane.capture.writer import write_capture
from infoplane.cli import main
from infoplane.errors import CaptureError, InfoplaneError, ResultError
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from infoplane.storage import atomic_files as files
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = ("--tokens", "2500", "--context", "64", "--orders", "1", "--points", "8", "--dtype", "float32")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    make(place)
    return place


def values(folder: Path) -> dict[Any, tuple[Any, ...]]:
    found = measure_capture(open_capture(folder), orders=(1,), threads=1)
    return {row.key: (row.value, row.standard_error, *row.replicates) for row in found}


# ---------------------------------------------------------------------- killed


def test_killed_at_random_and_repeated_it_ends_with_the_same_numbers() -> None:
    """The short form of `bench/soak.py --kills 200`."""
    command = [sys.executable, str(ROOT / "bench" / "soak.py"), "--kills", "5", "--seed", "1", "--minutes", "9"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "| all | 5 |" in run.stdout and ", 0 half-written files left, 0 commands failed" in run.stdout


def test_what_killed_writers_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    stale, foreign = tmp_path / ".x.json.abcd1234.part", tmp_path / ".y.json.abcd1234.part"
    for path in (stale, foreign):
        path.write_text("half")
    with files.replacing(target) as part:
        files.write_text(target, "another process")  # sweeps while this one is at work
        part.write_text("whole")
    assert target.read_text() == "whole"
    assert {p.name for p in tmp_path.iterdir()} == {"x.json", ".y.json.abcd1234.part"}


# ---------------------------------------------------------------------- damaged captures


def rewritten(path: Path, change: Any) -> None:
    """A shard changed, with a checksum that is right again."""
    with safe_open(path) as shard:
        head = shard.metadata()
        arrays = {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118 (not a dict)
    arrays = change(arrays)
    path.write_bytes(safe.save(arrays, metadata={**head, "content_sha256": content(arrays)}))


def safe_open(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="np")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {k: v[:-1] for k, v in a.items()},
        lambda a: {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in a.items()},
        lambda a: {k.replace("block.0", "block.9"): v for k, v in a.items()},
        lambda a: {k: v for k, v in a.items() if k != "embed/0"},
        lambda a: {**a, "more": np.zeros(3, np.float16)},
        lambda a: {k: np.ascontiguousarray(v.T) for k, v in a.items()},
    ],
    ids=["rows", "dtype", "names", "missing", "more", "turned"],
)
def test_a_shard_with_a_right_checksum_and_a_wrong_shape_is_refused(change: Any, good: Path, tmp_path: Path) -> None:
    shutil.copytree(good / "capture", tmp_path / "c")
    rewritten(tmp_path / "c" / "shard-00000.safetensors", change)
    with pytest.raises(CaptureError, match=r"shard-00000.safetensors is damaged"):
        open_capture(tmp_path / "c")


@pytest.mark.parametrize("name", ["manifest.json", "windows.safetensors", "shard-00000.safetensors"])
def test_a_mutated_capture_gives_the_right_numbers_or_an_error(
    name: str, good: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mutated") / "c"
    shutil.copytree(good / "capture", folder)
    whole, wanted, seen = (folder / name).read_bytes(), values(folder), {"refused": 0}

    @given(draw=st.randoms(use_true_random=False))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def each(draw: random.Random) -> None:
        (folder / name).write_bytes(mutated(whole, draw))
        try:
            found = values(folder)
        except CaptureError as error:
            assert str(error)
            seen["refused"] += 1
        else:
            assert found == wanted

    each()
    assert seen["refused"] > 10


def test_the_windows_of_a_capture_are_mended_when_it_is_named_again(good: Path, tmp_path: Path) -> None:
    model = Model.from_module(tiny_model(), byte_tokenizer(), "tiny")
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=2000, context=64)
    more = [ReferencePoints.make(32, 8)], model.layers
    write_capture(tmp_path / "c", model, windows, *more)
    wanted = values(tmp_path / "c")
    (tmp_path / "c" / "windows.safetensors").write_bytes(b"x")
    with pytest.raises(CaptureError, match="is damaged"):
        open_capture(tmp_path / "c")
    write_capture(tmp_path / "c", model, windows, *more)
    assert values(tmp_path / "c") == wanted


# ---------------------------------------------------------------------- damaged results


def test_a_flipped_bit_of_a_result_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    whole = small_measurement()
    whole.save(tmp_path)
    draw, refused = random.Random(0), 0
    for path in (tmp_path / "measurement.json", tmp_path / "measurement.parquet"):
        data = path.read_bytes()
        for _ in range(40):
            harmed = bytearray(data)
            harmed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(harmed)
            try:
                found = Measurement.load(tmp_path)
            except ResultError:
                refused += 1
            else:
                assert found.estimates == whole.estimates and found.provenance == whole.provenance
        path.write_bytes(data)
    assert refused > 70
    assert Measurement.load(tmp_path).estimates == whole.estimates


def test_a_table_of_another_run_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """A kill between the table and the record, when a result is overwritten."""
    small_measurement().save(tmp_path)
    other = tmp_path / "other"
    Measurement(small_measurement().estimates[::-1], {}).save(other)
    shutil.copy(other / "measurement.parquet", tmp_path)
    with pytest.raises(ResultError, match=r"measurement\.parquet cannot be read: it is damaged, or of another run"):
        Measurement.load(tmp_path)


def test_records_of_before_there_were_seals_are_still_read(tmp_path: Path) -> None:
    small_measurement().save(tmp_path)
    record = json.loads((tmp_path / "measurement.json").read_text())
    for name in ("sha256", "tables"):
        del record[name]
    (tmp_path / "measurement.json").write_text(json.dumps(record))
    assert Measurement.load(tmp_path).estimates == small_measurement().estimates


@pytest.mark.parametrize("reader", [r for r in READERS if not r.heavy], ids=lambda reader: reader.name)
def test_harmed_files_are_read_or_refused(reader: Reader, good: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The short form of `bench/fuzz.py`."""
    place = tmp_path_factory.mktemp("harmed")
    top = place / Path(reader.path).parts[0]
    source = good / Path(reader.path).parts[0]
    shutil.copytree(source, top) if source.is_dir() else shutil.copy(source, top)
    for extra in ("text", "model"):
        if reader.name == "survey toml":
            shutil.copytree(good / extra, place / extra)
    reader.read(place)
    whole = (place / reader.path).read_bytes()
    before = sorted(p for p in place.rglob("*"))

    @given(draw=st.randoms(use_true_random=False))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def each(draw: random.Random) -> None:
        (place / reader.path).write_bytes(mutated(whole, draw))
        try:
            reader.read(place)
        except InfoplaneError as error:
            assert str(error)

    each()
    assert sorted(p for p in place.rglob("*")) == before


@pytest.mark.parametrize("length", [2**60, 2**63 - 1, 100_000_000])
def test_a_header_that_declares_more_than_there_is_allocates_nothing(length: int, good: Path, tmp_path: Path) -> None:
    import resource

    shutil.copytree(good / "capture", tmp_path / "c")
    shard = tmp_path / "c" / "shard-00000.safetensors"
    shard.write_bytes(length.to_bytes(8, "little") + shard.read_bytes()[8:])
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CaptureError):
        open_capture(tmp_path / "c")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert time.process_time() - began < 5


# ---------------------------------------------------------------------- two at once

_TWO = """
import time
from pathlib import Path
from tiny import byte_tokenizer, tiny_model
from infoplane.capture.writer import write_capture
from infoplane.models.decoder import Model
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.asking import measure_capture
from infoplane.errors import CaptureError
from infoplane.text.documents import read_text
from infoplane.text.cut_windows import make_windows
model = Model.from_module(tiny_model(), byte_tokenizer(), "tiny")
windows = make_windows(read_text("c4-sample", limit=60), model.tokenizer, tokens=6000, context=64)
Path({ready!r}).touch()
while not Path("go").exists():
    time.sleep(0.001)
for number, seed in enumerate({seeds!r}):
    try:
        kept = write_capture({folder!r} + str(number), model, windows, [ReferencePoints.make(32, 8, seed)],
                             model.layers, shard_tokens=800)
        rows = measure_capture(kept, orders=(1,), threads=1)
        print(kept.run_id, [r.value for r in rows], flush=True)
    except CaptureError as error:
        print("refused:", error, flush=True)
"""


@pytest.mark.parametrize("same", [True, False], ids=["same settings", "other settings"])
def test_two_runs_that_capture_into_one_folder_at_once(same: bool, tmp_path: Path) -> None:

    rounds = 8
    both = []
    for who in range(2):
        seeds = [0] * rounds if same else [who] * rounds
        code = _TWO.format(ready=str(tmp_path / f"ready{who}"), folder=str(tmp_path / "c"), seeds=seeds)
        both.append(Child(code, cwd=tmp_path))
    for who, child in enumerate(both):
        child.wait_for(tmp_path / f"ready{who}")
    (tmp_path / "go").touch()
    assert [child.wait(500) for child in both] == [0, 0]
    said = [child.stdout.splitlines() for child in both]
    assert all(len(lines) == rounds for lines in said)
    numbers: dict[str, set[str]] = {}
    for number, (a, b) in enumerate(zip(*said, strict=True)):
        for line in (a, b):
            if not line.startswith("refused:"):
                run_id, _, found = line.partition(" ")
                numbers.setdefault(run_id, set()).add(found)
        kept = open_capture(tmp_path / f"c{number}")
        if same:
            assert a == b and not a.startswith("refused:")
        else:
            assert sum(line.startswith("refused:") for line in (a, b)) == 1
            assert kept.run_id == next(line for line in (a, b) if not line.startswith("refused:")).split()[0]
    assert all(len(found) == 1 for found in numbers.values())


def test_a_shard_that_another_run_wrote_meanwhile_is_not_read(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good / "capture", tmp_path / "c")
    kept = open_capture(tmp_path / "c")
    path = tmp_path / "c" / "shard-00000.safetensors"
    arrays = safe.load_file(path)
    path.write_bytes(safe.save(arrays, metadata={"run_id": "another", "shard": "0", "content_sha256": content(arrays)}))
    with pytest.raises(CaptureError, match="another run wrote it meanwhile"):
        kept.read("embed")


# ---------------------------------------------------------------------- a full disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: that needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def room(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def called(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["infoplane", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["measure", "ask", "trace", "survey"])
def test_a_full_disk_is_said_and_the_command_goes_on_when_there_is_room(
    command: str, good: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    kind = "trace" if command == "trace" else "measurement"

    def draw(found: Any, folder: Path, **_: Any) -> list[Path]:  # a page that takes no room
        files.write_text(folder / "report.html", f'<p class="eyebrow">infoplane {kind}</p>')
        return [folder / "report.html"]

    # else most of it would be refused before anything is written
    monkeypatch.setattr("infoplane.capture.writer.check_space", lambda *_: None)
    monkeypatch.setattr("infoplane.report.measurement.writing.write_report", draw)
    monkeypatch.setattr("infoplane.report.training.run_page.write_run_report", draw)
    out = str(disk / "out")
    if command == "measure":
        words = ["measure", str(good / "model"), *SMALL, "--capture", str(disk / "c"), "--out", out]
    elif command == "ask":
        words = ["measure", "--capture", str(good / "capture"), "--orders", "1,2,3", "--out", out]
    elif command == "trace":
        for step in (1, 2):
            shutil.copytree(good / "model", tmp_path / "run" / f"checkpoint-{step}")
        words = ["trace", str(tmp_path / "run"), *SMALL, "--out", out]
    else:
        lines = ['[defaults]\ntokens = 2500\ncontext = 64\norders = [1]\npoints = 8\ndtype = "float32"\n']
        lines += [f'[[model]]\nname = "{name}"\npath = "{good}/model"\nseed = {i}\n' for i, name in enumerate("ab")]
        (tmp_path / "s.toml").write_text("\n".join(lines))
        words = ["survey", str(tmp_path / "s.toml"), "--out", out]
    failed = 0
    for size in ("64k", "128k", "256k", "512k"):
        room(disk, size)
        status = called(*words, monkeypatch=monkeypatch)
        said = capsys.readouterr().err
        assert status in (0, 2), said
        assert not list(disk.rglob("*.part"))
        for path in (*disk.rglob("measurement.json"), *disk.rglob("trajectory.json")):
            assert json.loads(path.read_text("utf-8"))
        if status == 0:
            break
        assert "infoplane: the disk is full while writing" in said and "Traceback" not in said, said
        failed += 1
    assert failed
    if status:
        room(disk, "16m")
        assert called(*words, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
    assert list(disk.rglob("measurement.json"))


def test_a_limit_on_the_size_of_files_is_said(good: Path, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); from infoplane.cli import main; main()"
    )
    words = ["measure", "--capture", str(good / "capture"), "--orders", "1", "--out", str(tmp_path / "out")]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    assert "would be larger than" in run.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".part", ".json", ".parquet")]


# ---------------------------------------------------------------------- clocks and locales


def test_neither_clock_nor_locale_nor_time_zone_changes_a_byte(good: Path, tmp_path: Path) -> None:
    places = {
        "plain": {},
        "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Kiritimati"},
        "turkish": {"LC_ALL": "tr_TR.UTF-8", "PYTHONIOENCODING": "ascii", "TZ": "America/St_Johns"},
    }
    code = (
        "import sys; from infoplane.report.measurement import writing; "
        "writing.write_report = lambda found, folder, **_: [folder / 'report.html']"
    )
    said = {}
    for name, more in places.items():
        capture = tmp_path / f"capture-{name}"
        shutil.copytree(good / "capture", capture)
        for path in capture.iterdir():
            when = {"plain": time.time(), "ascii": 4e9, "turkish": 0}[name]
            os.utime(path, (when, when))
        words = ["measure", "--capture", str(capture), "--orders", "1", "--out", str(tmp_path / name)]
        run = subprocess.run(
            [sys.executable, "-c", f"{code}; from infoplane.cli import main; main()", *words],
            capture_output=True, env={**os.environ, **more},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        said[name] = run.stdout.decode("ascii" if name != "plain" else "utf-8")
        record = json.loads((tmp_path / name / "measurement.json").read_bytes())
        assert record["provenance"].pop("wall_time")
        (tmp_path / f"{name}.json").write_text(json.dumps({**record, "sha256": None}))
    assert len({(tmp_path / f"{name}.json").read_bytes() for name in places}) == 1
    assert len({(tmp_path / name / "measurement.parquet").read_bytes() for name in places}) == 1
    assert "\\u00b1" in said["ascii"] and "±" in said["plain"]
