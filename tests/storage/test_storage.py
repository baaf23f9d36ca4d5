"""Results at addresses: a real S3 server (moto) on this machine, and fsspec's memory where one process is enough."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import fsspec
import pytest
from paths import ROOT, SUPPORT
from safetensors.numpy import load
from tiny import save_tiny
from typer.testing import CliRunner

import infoplane
from infoplane.analysis.comparison.comparison import Comparison
from infoplane.analysis.forecasting.case_table import REFERENCE
from infoplane.analysis.surveys.surveying import survey
from infoplane.analysis.training.tracing import trace
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.capture.folder import shard_path
from infoplane.capture.stored_capture import open_capture
from infoplane.cli import app
from infoplane.engines.ray_engine import RayEngine
from infoplane.errors import CaptureError, ResultError, SettingError
from infoplane.measurement import steps
from infoplane.measurement.results import Measurement
from infoplane.storage import atomic_files as files
from infoplane.storage import local_copies as copies
from infoplane.storage import locations as storage
from infoplane.storage import working_folders as work_folders
from infoplane.storage.address import Address, is_address, reaching, to_path

pytestmark = pytest.mark.usefixtures("no_figures")

ASKED: dict[str, Any] = {"tokens": 3000, "context": 64, "m": 16, "orders": (1, 2), "dtype": "float32"}
OPTIONS = ["--tokens", "3000", "--context", "64", "--points", "16", "--orders", "1,2", "--dtype", "float32"]
PATH = [str(ROOT), str(SUPPORT), str(Path(infoplane.__file__).parents[1])]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of an S3 server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        _wait_for(port)
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # of a server before, where this one is not the first
        cast(Any, to_path("s3://results")).storage.mkdir("results")
        yield "s3://results"
    server.terminate()
    server.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the S3 server does not answer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny(place)
    return place


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "capture_with", functools.partial(steps.capture_with, shard_tokens=800))


def _values(found: Measurement) -> list[tuple[Any, ...]]:
    return [(r.quantity, r.layer, r.order, r.estimator, r.value, r.standard_error) for r in found.estimates]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir(), key=lambda p: p.name)}


def _shards(folder: Path) -> dict[str, dict[str, bytes]]:
    """The arrays of each shard, as bytes; what is said of them stands in any order in a file."""
    return {
        name: {array: value.tobytes() for array, value in load(content).items()}
        for name, content in _bytes(folder).items()
        if name.endswith(".safetensors")
    }


# ------------------------------------------------------------------ what is an address


def test_what_is_an_address_and_what_a_path(tmp_path: Path) -> None:
    for address in ("s3://bucket/run", "s3:/bucket/run", "memory://a/b", "GS://bucket/a", Path("s3://bucket/run")):
        assert is_address(address), address
    for path in ("run", "/tmp/s3:/x", "C:\\runs", "C:/runs", "a=b/c", "runs/s3://x", "file:///tmp/x", Path("x")):
        assert not is_address(path), path
    assert to_path("file:///tmp/x") == Path("/tmp/x")
    assert to_path(tmp_path) is not None and to_path(str(tmp_path)) == tmp_path
    once = to_path(Path("memory://a/b"))  # has lost a slash
    assert str(once) == "memory://a/b" and to_path(once) is once


def test_an_address_that_cannot_be_used_is_an_error_before_any_work(bucket: str, model: Path) -> None:
    with pytest.raises(SettingError, match=r"'nope://x/y' cannot be used.*expected a folder, or an address"):
        to_path("nope://x/y")
    with pytest.raises(SettingError, match="which storages take for a pattern or a chain of addresses; expected one"):
        to_path("simplecache::s3://bucket/x")
    with pytest.raises(SettingError, match=r"capture s3://absent/x cannot be used: .*bucket does not exist"):
        infoplane.measure(str(model), capture="s3://absent/x", **ASKED)
    with pytest.raises(SettingError, match=r"until_se keeps the captures of its stages.*which an address cannot do"):
        infoplane.measure(str(model), capture=f"{bucket}/u", until_se=0.01, until_order=1, **{**ASKED, "tokens": None})
    said = CliRunner().invoke(app, ["measure", str(model), *OPTIONS, "--out", "s3://absent/x"])
    assert isinstance(said.exception, SettingError) and "--out s3://absent/x cannot be used" in str(said.exception)


@pytest.mark.parametrize("name", ["sweep[1]", "sweep*", "sweep?", "a::b"])
def test_an_address_that_reads_as_a_pattern_is_refused(name: str) -> None:
    """What removes a folder would remove those of others."""
    with pytest.raises(SettingError, match="which storages take for a pattern"):
        to_path(f"s3://results/{name}/run")


def test_whatever_a_storage_raises_is_an_error_with_a_number() -> None:
    address = Address("s3://bucket/x")
    for raised, number in (
        (PermissionError("Access Denied"), errno.EACCES), (FileNotFoundError("no such bucket"), errno.ENOENT),
        (OSError("Forbidden"), errno.EIO), (RuntimeError("no credentials"), errno.EIO),
    ):  # fmt: skip
        with pytest.raises(OSError, match=str(raised)) as caught, reaching(address):
            raise raised
        assert caught.value.errno == number and caught.value.filename == "s3://bucket/x"
    with pytest.raises(RuntimeError), reaching(Path("here")):  # a fault of ours is not hidden
        raise RuntimeError


def test_a_storage_that_does_not_answer_is_an_error(bucket: str) -> None:
    code = "import infoplane.cli.command_line; infoplane.cli.command_line.main()"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = {
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "AWS_MAX_ATTEMPTS": "1",
        }
        ran = subprocess.run(
            [sys.executable, "-c", code, "report", f"{bucket}/run"], env=told, capture_output=True, text=True
        )
    assert ran.returncode == 2 and "cannot be used" in ran.stderr and "Traceback" not in ran.stderr


def test_without_its_package_an_address_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SettingError, match=r"install infoplane\[remote\] and the package of the storage"):
        to_path("s3://bucket/run")


def test_a_record_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    assert storage.path_inside(tmp_path, "a/b") == tmp_path / "a/b"
    (tmp_path / "link").symlink_to("/")
    for name in ("../x", "/etc", "a/../../x", "link/etc", "s3://elsewhere/x", "s3:/elsewhere/x", "a\\..\\x"):
        with pytest.raises(ResultError, match="points outside of its folder"):
            storage.path_inside(tmp_path, name)
    for name in ("../x", "/x", "memory://x", "s3:/x"):
        with pytest.raises(ResultError, match="points outside of its folder"):
            storage.path_inside(to_path("memory://a/run"), name)


# ------------------------------------------------------------------ files that are whole, and copies


def test_of_two_that_write_a_new_file_one_succeeds(bucket: str) -> None:
    for folder in (to_path(f"{bucket}/new"), to_path("memory://new")):
        assert files.write_new(folder / "a.json", {"x": 1})
        assert not files.write_new(folder / "a.json", {"x": 2})
        assert json.loads((folder / "a.json").read_text()) == {"x": 1}


def test_where_files_grow_a_file_is_moved_to_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk, seen as a storage: there a file is seen while it is written, and a write can fail in the middle."""
    path: Any = to_path(f"local://{tmp_path}/new/a.json")
    storage.put(path, b"first")
    pipe = path.storage.pipe_file

    def failing(name: str, content: bytes) -> None:
        pipe(name, content[:3])
        raise RuntimeError("connection lost")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="RuntimeError: connection lost"):
        patch.setattr(path.storage, "pipe_file", failing)
        storage.put(path, b"second")
    assert _bytes(tmp_path / "new") == {"a.json": b"first"}
    with pytest.raises(FileExistsError):
        storage.put(path, b"third", new=True)
    storage.put(path, b"second")
    assert _bytes(tmp_path / "new") == {"a.json": b"second"}


def test_a_copy_is_made_again_where_the_file_has_changed_and_removed_with_its_folder(bucket: str) -> None:
    path: Any = to_path(f"{bucket}/copies/manifest.json")
    work_folders.make(path.parent)
    storage.put(path, b"first")
    assert copies.local_copy(path).read_bytes() == b"first"
    path.storage.pipe_file(path.path, b"of another")
    assert copies.local_copy(path).read_bytes() == b"first"
    assert copies.local_copy(path, fresh=True).read_bytes() == b"of another"
    storage.put(path, b"own")
    copy = copies.local_copy(path)
    assert copy.read_bytes() == b"own"
    storage.put(path.parent / "notes.txt", b"mine")
    work_folders.discard(path.parent)
    assert not copy.exists() and not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]


def test_copies_go_with_their_process_or_with_the_next_one(tmp_path: Path) -> None:
    code = (
        "import os, sys; from infoplane.storage import local_copy, to_path;"
        "from infoplane.storage.locations import put;"
        "p = to_path('memory://a/b'); put(p, b'x'); local_copy(p);"
        " os._exit(1) if sys.argv[1] == 'killed' else None"
    )
    told = {**os.environ, "TMPDIR": str(tmp_path)}
    for how, left in (("ended", 0), ("killed", 1), ("ended", 0)):
        subprocess.run([sys.executable, "-c", code, how], env=told)
        assert len(list(tmp_path.glob("infoplane-copies-*"))) == left, how


# ------------------------------------------------------------------ the commands


def test_measuring_to_an_address_gives_the_files_of_measuring_to_a_folder(
    bucket: str, model: Path, tmp_path: Path
) -> None:
    """Bytes of the page and the table; the record but for its times."""
    remote, here = to_path(f"{bucket}/measure"), tmp_path / "measure"
    for out in (remote, here):
        ran = CliRunner().invoke(app, ["measure", str(model), *OPTIONS, "--out", str(out)])
        assert ran.exit_code == 0, ran.output
        assert f"Wrote {out}/" in ran.output and "measurement.json" in ran.output
    assert sorted(p.name for p in remote.iterdir()) == sorted(p.name for p in here.iterdir())
    assert (remote / "measurement.parquet").read_bytes() == (here / "measurement.parquet").read_bytes()
    assert _values(Measurement.load(str(remote))) == _values(Measurement.load(here))
    again = CliRunner().invoke(app, ["measure", str(model), *OPTIONS, "--out", str(remote)])
    assert again.exit_code == 0 and f"Nothing was left to do: {remote} holds the result" in again.output
    other = CliRunner().invoke(app, ["measure", str(model), *OPTIONS, "--unit", "bits", "--out", str(remote)])
    assert isinstance(other.exception, ResultError) and "(different: unit): choose another --out" in str(
        other.exception
    )
    page = (remote / "report.html").read_bytes()
    (remote / "report.html").unlink()
    assert CliRunner().invoke(app, ["report", str(remote)]).exit_code == 0
    assert (remote / "report.html").read_bytes() == page
    out = f"{bucket}/comparison"
    compared = CliRunner().invoke(app, ["compare", f"a={remote}", f"b={here}", "--out", out])
    assert compared.exit_code == 0, compared.output
    assert Comparison.load(out).members["name"].to_list() == ["a", "b"]


def test_a_capture_at_an_address_is_gone_on_with_and_its_damage_found(bucket: str, model: Path, tmp_path: Path) -> None:
    remote, here = to_path(f"{bucket}/capture"), tmp_path / "capture"
    found = infoplane.measure(str(model), capture=str(remote), **ASKED)
    assert _values(found) == _values(infoplane.measure(str(model), capture=here, **ASKED))
    assert _shards(remote) == _shards(here)
    assert _values(infoplane.measure(None, capture=str(remote), orders=(1, 2))) == _values(found)
    flipped = bytearray(shard_path(remote, 1).read_bytes())
    flipped[-5] ^= 1
    storage.put(shard_path(remote, 1), bytes(flipped))
    with pytest.raises(CaptureError, match=r"shard-00001.safetensors is damaged"):
        open_capture(str(remote))
    shard_path(remote, 0).unlink()
    with pytest.raises(CaptureError, match="shard 0 of 4 is missing"):
        open_capture(str(remote))
    kept = cast(Any, shard_path(remote, 2)).info()["LastModified"]
    assert _values(infoplane.measure(str(model), capture=str(remote), **ASKED)) == _values(found)
    assert _shards(remote) == _shards(here) and cast(Any, shard_path(remote, 2)).info()["LastModified"] == kept
    with pytest.raises(CaptureError, match="holds the capture of another run"):
        infoplane.measure(str(model), capture=str(remote), **{**ASKED, "m": 8})
    other = infoplane.measure(str(model), capture=str(remote), force=True, **{**ASKED, "m": 8})
    assert _values(infoplane.measure(None, capture=str(remote), orders=(1, 2))) == _values(other)


def test_a_capture_is_not_thrown_away_because_its_storage_does_not_answer(
    bucket: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote: Any = to_path(f"{bucket}/silent")
    infoplane.measure(str(model), capture=str(remote), **ASKED)
    names = sorted(p.name for p in remote.iterdir())

    def silent(*_: Any, **__: Any) -> bytes:
        raise OSError("connection reset")

    for asked in ("cat_file", "get_file"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="connection reset"):
            patch.setattr(remote.storage, asked, silent)
            copies.forget_copies()
            infoplane.measure(str(model), capture=str(remote), force=True, **ASKED)
        assert sorted(p.name for p in remote.iterdir()) == names


def test_measuring_removes_nothing_that_it_has_not_made(bucket: str, model: Path) -> None:
    out = to_path(f"{bucket}/mine")
    storage.put(out / "capture/notes.txt", b"mine")
    storage.put(out / "baseline-capture/notes.txt", b"mine")
    ran = CliRunner().invoke(app, ["measure", str(model), *OPTIONS, "--baseline", "random-init", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert (out / "capture/notes.txt").exists() and (out / "baseline-capture/notes.txt").exists()


def test_a_folder_made_in_a_console_is_an_empty_one(bucket: str, model: Path) -> None:
    """Such a folder is an object of no bytes, whose name ends with a slash."""
    remote: Any = to_path(f"{bucket}/made")
    remote.storage.pipe_file(f"{remote.path}/", b"")
    assert list(remote.iterdir()) == []
    infoplane.measure(str(model), capture=str(remote), **ASKED)


def test_tables_are_written_to_addresses_and_read_from_them(bucket: str) -> None:
    for command in (
        ["scores", "open-llm-leaderboard", "--out", f"{bucket}/tables/scores.csv"],
        ["forecast", f"{bucket}/tables/cases.csv", "--score", "swap", "--features", "optimality", "--baselines",
         "log:parameters", "--draws", "100", "--out", f"{bucket}/forecast"],
    ):  # fmt: skip
        storage.put(to_path(f"{bucket}/tables/cases.csv"), REFERENCE["small-models"].read_bytes())
        ran = CliRunner().invoke(app, command)
        assert ran.exit_code == 0, (ran.output, ran.exception)
    assert to_path(f"{bucket}/tables/scores.csv").is_file() and to_path(f"{bucket}/forecast/report.html").is_file()


def test_a_trace_and_a_survey_stand_at_an_address_and_are_gone_on_with(
    bucket: str, model: Path, tmp_path: Path
) -> None:
    run_folder = tmp_path / "run"
    for step in (1, 2):
        shutil.copytree(model, run_folder / f"checkpoint-{step}")
    asked = {name: value for name, value in ASKED.items() if name != "orders"} | {"orders": (1,)}
    out = f"{bucket}/trace"
    found = trace(run_folder, out=out, **asked)
    assert [p.step for p in Trajectory.load(out).measured] == [1, 2] == [p.step for p in found.measured]
    kept: Any = to_path(out) / "checkpoints/checkpoint-1"
    assert not (kept / "capture").exists()
    before = (kept / "measurement.json").info()["LastModified"]
    trace(run_folder, out=out, **asked)
    assert (kept / "measurement.json").info()["LastModified"] == before
    (tmp_path / "survey.toml").write_text(
        '[defaults]\ntokens = 2000\ncontext = 64\npoints = 16\norders = [1]\ndtype = "float32"\n'
        f'[[model]]\npath = "{model}"\n'
    )
    said: list[str] = []
    for _ in range(2):
        made = survey(tmp_path / "survey.toml", out=f"{bucket}/survey", say=said.append)
        assert [one.name for one in made.measured] == ["tiny"]
    assert said[-2:] == ["1/1 tiny: measured", "1/1 tiny: measured already"]


@pytest.fixture(scope="module")
def workers(bucket: str) -> Iterator[RayEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join(PATH))
        patch.setenv("RAY_worker_niceness", "0")
        with RayEngine(2, say=lambda sentence: None) as engine:
            yield engine


def test_workers_share_an_address(bucket: str, workers: RayEngine, model: Path, tmp_path: Path) -> None:
    """The capture of two workers is that of one process, bit for bit, and they measure it from there."""
    remote, here = to_path(f"{bucket}/shared"), tmp_path / "capture"
    found = infoplane.measure(str(model), capture=str(remote), engine=workers, **ASKED)
    workers.keep([], None)  # it holds the cluster's processors, and the command is another engine
    command = ["measure", str(model), *OPTIONS, "--engine", "ray", "--workers", "2", "--out", f"{bucket}/ray"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    assert found.provenance["engine"]["workers"] == 2
    alone = infoplane.measure(str(model), capture=here, **ASKED)
    assert _values(alone) == _values(found) == _values(Measurement.load(f"{bucket}/ray"))
    assert _shards(remote) == _shards(here)
    assert not (to_path(f"{bucket}/ray") / "capture").exists()


def test_what_a_worker_writes_anew_is_read_anew(bucket: str, workers: RayEngine, model: Path) -> None:
    """This process has copies of the damaged shards, which it looked at, when a worker mends them."""
    remote = to_path(f"{bucket}/mended")
    found = infoplane.measure(str(model), capture=str(remote), **ASKED)
    for number in (0, 2):
        content = bytearray(shard_path(remote, number).read_bytes())
        content[-1000:] = bytes(1000)
        storage.put(shard_path(remote, number), bytes(content))
    mended = infoplane.measure(str(model), capture=str(remote), engine=workers, **ASKED)
    assert _values(mended) == _values(found)
    path = shard_path(remote, 0)
    assert copies.local_copy(path).read_bytes() == path.read_bytes()


def test_copies_lie_in_the_temporary_folder() -> None:
    storage.put(path := to_path("memory://t/x"), b"x")
    assert copies.local_copy(path).is_relative_to(tempfile.gettempdir())
