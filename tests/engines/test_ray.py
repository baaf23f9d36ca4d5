"""Workers of a Ray cluster: the same numbers as without, whatever dies on the way.

The cluster is real, with two nodes on this machine, and so are the deaths.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT, SUPPORT
from safetensors.numpy import load_file
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.surveys import survey_run
from infoplane.analysis.surveys.record import Survey
from infoplane.analysis.surveys.surveying import survey
from infoplane.analysis.training import tracing
from infoplane.analysis.training.tracing import trace
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.capture import writer as capturing
from infoplane.capture.folder import CODE
from infoplane.capture.stored_capture import open_capture
from infoplane.capture.writer import capture_with
from infoplane.engines import ray_engine
from infoplane.engines.base import Advance, Held, Local, Piece
from infoplane.engines.ray_engine import RayEngine
from infoplane.engines.ray_share import Share, share_of
from infoplane.engines.ray_worker import Worker
from infoplane.errors import CaptureError, EngineError, InfoplaneError, ModelError, SettingError
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement import measuring as run
from infoplane.measurement import steps
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text

ray = pytest.importorskip("ray")

ASKED: dict[str, Any] = {"tokens": 6000, "context": 64, "m": 16, "orders": (1, 2), "loss": True, "dtype": "float32"}
PATH = [str(ROOT), str(SUPPORT), str(Path(infoplane.__file__).parents[1])]
SURVEY = """
[defaults]
tokens = 2000
context = 64
points = 16
orders = [1]
dtype = "float32"
device = "cpu"
[[model]]
path = "tiny"
parameters_b = 0.00003
[[model]]
path = "broken"
[[model]]
path = "other"
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(PATH))  # what is defined here is known to workers by its name
        patch.setenv("RAY_worker_niceness", "0")  # a busy machine would starve them
        yield from _cluster(Cluster)


def _cluster(Cluster: Any) -> Iterator[Any]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine]:
    with RayEngine(2, say=lambda sentence: None) as engine:
        yield engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("tiny", "other")):
        tiny_model(seed=seed).save_pretrained(place / name)
        byte_tokenizer().save_pretrained(place / name)
    (place / "broken").mkdir()
    (place / "broken/config.json").write_text('{"model_type": "llama"}')
    (place / "survey.toml").write_text(SURVEY)
    return place / "tiny"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "capture_with", functools.partial(steps.capture_with, shard_tokens=1500))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As many as a worker has here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(folder: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measurement]:
    """The capture and the measurement of one process."""
    kept = tmp_path_factory.mktemp("alone") / "capture"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "capture_with", functools.partial(steps.capture_with, shard_tokens=1500))
        return kept, infoplane.measure(str(folder), capture=kept, **ASKED)


def shards(folder: Path) -> dict[str, Any]:
    """The bytes of every array of every shard; the order of a header is no part of it."""
    found = {}
    for path in sorted(folder.glob("shard-*")):
        found |= {f"{path.name}/{name}": array.tobytes() for name, array in load_file(path).items()}
    return found


def assert_same(a: Measurement, b: Measurement) -> None:
    assert [row.key for row in a] == [row.key for row in b]
    for one, other in zip(a, b, strict=True):
        assert (one.n, one.repeated_mass, one.warning) == (other.n, other.repeated_mass, other.warning)
        assert one.value == pytest.approx(other.value, abs=1e-9)
        assert one.replicates == pytest.approx(other.replicates, abs=1e-9)
        assert one.control_permuted == pytest.approx(other.control_permuted, abs=1e-9)


# ---------------------------------------------------------------------- the same numbers


def test_a_survey_measures_several_models_at_once(engine: RayEngine, folder: Path, tmp_path: Path) -> None:
    source, said = folder.parent / "survey.toml", list[str]()
    here = survey(source, out=tmp_path / "here")
    there = survey(source, out=tmp_path / "there", engine=engine, say=said.append)
    assert [(m.name, m.status, m.message) for m in here.models] == [(m.name, m.status, m.message) for m in there.models]
    for one, other in zip(here.measured, there.measured, strict=True):
        assert one.measurement is not None and other.measurement is not None
        assert_same(other.measurement, one.measurement)
        assert (tmp_path / "there" / one.name / "measurement.json").exists()
    assert sorted(s.partition(":")[0] for s in said) == ["1/3 tiny", "2/3 broken", "3/3 other"]
    before = (tmp_path / "there/tiny/measurement.json").stat().st_mtime_ns
    survey(source, out=tmp_path / "there", engine=engine, only="tiny")
    assert (tmp_path / "there/tiny/measurement.json").stat().st_mtime_ns == before


def test_two_workers_capture_the_same_bytes_and_measure_the_same(
    engine: RayEngine, folder: Path, alone: Any, tmp_path: Path
) -> None:
    found = infoplane.measure(str(folder), capture=tmp_path / "c", engine=engine, **ASKED)
    assert len(list((tmp_path / "c").glob("shard-*"))) == 5
    assert shards(tmp_path / "c") == shards(alone[0])
    assert open_capture(tmp_path / "c").run_id == open_capture(alone[0]).run_id
    assert_same(found, alone[1])
    assert found.provenance["engine"] == {"name": "ray", "workers": 2, "retried": []}
    asked: dict[str, Any] = {"orders": (1, 3), "weights": ("frequency", "uniform"), "text_labels": ("word",)}
    here = infoplane.measure(None, capture=alone[0], **asked)
    there = infoplane.measure(None, capture=alone[0], engine=engine, **asked)
    assert_same(there, here)


def test_a_fitted_code_is_the_same_on_workers(engine: RayEngine, folder: Path, tmp_path: Path) -> None:
    asked = {**ASKED, "code": ("random", "fitted"), "orders": (1,)}
    here = infoplane.measure(str(folder), capture=tmp_path / "here", **asked)
    there = infoplane.measure(str(folder), capture=tmp_path / "there", engine=engine, **asked)
    assert (tmp_path / "there" / CODE).read_bytes() == (tmp_path / "here" / CODE).read_bytes()
    assert shards(tmp_path / "there") == shards(tmp_path / "here")
    assert_same(there, here)
    k = [m.of_code("fitted").provenance["points"]["inverse_temperatures"] for m in (here, there)]
    assert k[0] == k[1] and all(len(fits) == 2 for fits in k[0].values())


@pytest.mark.parametrize("code", ["random", "fitted"])
def test_a_trace_measures_several_checkpoints_at_once(
    code: str, engine: RayEngine, folder: Path, tmp_path: Path
) -> None:
    for step, of in ((0, "broken"), (1, "tiny"), (2, "other"), (3, "tiny")):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / f"run/checkpoint-{step}").symlink_to(folder.parent / of)
    asked: dict[str, Any] = {
        "tokens": 2000,
        "context": 64,
        "m": 16,
        "orders": (1,),
        "dtype": "float32",
        "code": (code,),
    }
    here = trace(tmp_path / "run", out=tmp_path / "here", **asked)
    there = trace(tmp_path / "run", out=tmp_path / "there", engine=engine, **asked)
    assert [(p.name, p.problem) for p in here.points] == [(p.name, p.problem) for p in there.points]
    assert here.points[0].measurement is None and here.provenance["engine"] == {"name": "local"}
    assert {**here.provenance, "engine": {"name": "ray", "workers": 2, "retried": []}} == there.provenance
    for one, other in zip(here.points[1:], there.points[1:], strict=True):
        assert one.measurement is not None and other.measurement is not None
        assert one.measurement.provenance["trace_key"] == other.measurement.provenance["trace_key"]
        assert_same(other.measurement, one.measurement)


def test_probes_are_read_by_workers(engine: RayEngine, folder: Path) -> None:
    asked: dict[str, Any] = {**ASKED, "probe": True}
    assert_same(infoplane.measure(str(folder), engine=engine, **asked), infoplane.measure(str(folder), **asked))


# ---------------------------------------------------------------------- deaths


class Held_Back(run.Source):
    """A model that stops in the middle of a shard, for as long as the file `hold` is there, and says who it is."""

    def open(self) -> Model:
        model = super().open()
        hold = Path(os.environ.get("HOLD", "")) if "HOLD" in os.environ else Path(self.model).parent / "hold"

        def pause(*_: Any) -> None:
            if hold.exists():
                node = ray.get_runtime_context().get_node_id()
                (hold.parent / f"at-{os.getpid()}-{node}").touch()
                while hold.exists():
                    time.sleep(0.02)

        model.backbone.register_forward_pre_hook(pause)
        return model


@contextlib.contextmanager
def disturbed(folder: Path, harm: Callable[[int, str], object], workers: int = 1) -> Iterator[list[BaseException]]:
    """Do harm to a worker, given its process and node, once so many are in the middle of a shard."""
    hold, errors, over = folder.parent / "hold", list[BaseException](), threading.Event()
    hold.touch()

    def wait() -> None:
        try:
            while len(found := sorted(folder.parent.glob("at-*"))) < workers and not over.wait(0.02):
                pass
            _, pid, node = found[-1].name.split("-")
            harm(int(pid), node)
        except BaseException as error:
            errors.append(error)
        finally:
            hold.unlink()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield errors
    finally:
        over.set()
        thread.join()
        for path in folder.parent.glob("at-*"):
            path.unlink()
    assert not errors


def test_a_worker_killed_in_a_shard_costs_only_that(
    engine: RayEngine, folder: Path, alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Source", Held_Back)
    with disturbed(folder, lambda pid, node: os.kill(pid, signal.SIGKILL)):
        found = infoplane.measure(str(folder), capture=tmp_path / "c", engine=engine, **ASKED)
    assert shards(tmp_path / "c") == shards(alone[0])
    assert_same(found, alone[1])
    (said,) = found.provenance["engine"]["retried"]
    assert said.startswith("shard ") and "is done again (1 of 3): " in said and "process has died" in said


def once(flag: Path, do: Callable[[Any, Advance], Any]) -> Callable[[Any, Advance], Any]:
    """Work that kills its worker where the flag is, and takes it away."""

    def killing(what: Any, advance: Advance) -> Any:
        if flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return do(what, advance)

    return killing


class TracingThatDies(tracing.Tracing):
    def open(self, state: None) -> Any:
        return once(self.run.out.parent / "die", super().open(state))


class MeasuringThatDies(survey_run.Measuring):
    def open(self, state: None) -> Any:
        return once(self.out.parent / "die", super().open(state))


def test_a_trace_and_a_survey_keep_what_was_done_again(
    engine: RayEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "Tracing", TracingThatDies)
    monkeypatch.setattr(survey_run, "Measuring", MeasuringThatDies)
    (tmp_path / "run").mkdir()
    for step in (1, 2):
        (tmp_path / f"run/checkpoint-{step}").symlink_to(folder)
    (tmp_path / "die").touch()
    asked: dict[str, Any] = {"tokens": 2000, "context": 64, "m": 16, "orders": (1,), "dtype": "float32"}
    trace(tmp_path / "run", out=tmp_path / "trace", engine=engine, **asked)
    (tmp_path / "die").touch()
    survey(folder.parent / "survey.toml", out=tmp_path / "survey", engine=engine, only="tiny")
    kept = (Trajectory.load(tmp_path / "trace").provenance, Survey.load(tmp_path / "survey").provenance)
    for provenance, name in zip(kept, ("checkpoint checkpoint-1", "tiny"), strict=True):
        (said,) = provenance["engine"]["retried"]
        assert said.startswith(f"{name} is done again (1 of 3): ")


class TracingWithoutStorage(tracing.Tracing):
    """Its storage is away once."""

    def open(self, state: None) -> Any:
        measurement, flag = self.run.measurement, self.run.out.parent / "away"

        def measured(*given: Any) -> Any:
            if flag.exists():
                flag.unlink()
                raise OSError(5, "the storage is away")
            return measurement(*given)

        self.run.measurement = measured  # type: ignore[method-assign]
        return super().open(state)


def test_a_checkpoint_whose_storage_fails_is_done_again(
    engine: RayEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "Tracing", TracingWithoutStorage)
    for step in (1, 2):
        (tmp_path / f"run/checkpoint-{step}").mkdir(parents=True)
        for path in folder.iterdir():
            (tmp_path / f"run/checkpoint-{step}" / path.name).symlink_to(path)
    (tmp_path / "away").touch()
    asked: dict[str, Any] = {"tokens": 2000, "context": 64, "m": 16, "orders": (1,), "dtype": "float32"}
    found = trace(tmp_path / "run", out=tmp_path / "trace", engine=engine, **asked)
    assert len(found.measured) == 2
    (said,) = found.provenance["engine"]["retried"]
    assert said.startswith("checkpoint checkpoint-1 is done again (1 of 3): ") and "the storage is away" in said


class Doing:
    """Work that gives back what it is given."""

    def open(self, state: None) -> Callable[[int, Advance], int]:
        return lambda what, advance: what


def test_what_finds_no_room_is_left_and_the_rest_goes_on(
    engine: RayEngine, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.keep([], None)
    monkeypatch.setattr(ray_engine, "PATIENCE", 1.0)
    monkeypatch.setattr(ray_engine, "SHORT", 1.0)
    others = [ray.remote(num_cpus=1)(Worker).remote(".", {}) for _ in range(2)]
    ray.get([other.here.remote() for other in others])  # all that there is
    with engine.group(Held(None), name="the models", fresh=True) as group:
        found = group.outcomes(Doing(), [Piece(str(i), i) for i in range(3)])
        for want in (0, 1):
            what, error = next(found)
            assert what == want and isinstance(error, EngineError) and "no worker found room" in str(error)
            monkeypatch.setattr(ray_engine, "PATIENCE", 1000.0)  # of the next, less: they wait in vain too, most likely
        for other in others:
            ray.kill(other)
        assert list(found) == [(2, 2)]


class Dying:
    """Work that kills its worker at one piece, or has trouble with the storage at another."""

    def open(self, state: str) -> Callable[[int, Advance], int]:
        def do(what: int, advance: Advance) -> int:
            if what == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if what == 2:
                raise OSError(5, "the storage is away")
            if what == 3:
                raise ModelError("a model of its own kind")
            return what * 10

        return do


def test_what_keeps_dying_is_given_up_and_named(engine: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.retries == 3
    monkeypatch.setattr(engine, "retries", 1)  # each takes a new process
    pieces, since = [Piece(f"piece {i}", i) for i in range(5)], len(engine.retried)
    with engine.group(Held("state"), name="nothing") as group:
        found = dict(group.outcomes(Dying(), pieces))
        assert (found[0], found[4]) == (0, 40)
        for i, why in ((1, "worker process has died"), (2, "the storage is away")):
            message = str(found[i])
            assert isinstance(found[i], EngineError) and f"piece {i} failed 2 times, the last: " in message
            assert why in message and "repeat the command to go on" in message
        assert isinstance(found[3], ModelError) and str(found[3]) == "a model of its own kind"  # not tried again
        assert len(engine.record(since)["retried"]) == 2
        monkeypatch.setattr(engine, "retries", 0)
        with pytest.raises(InfoplaneError, match="piece 1 failed once, the last"):
            list(group.each(Dying(), pieces[1:2]))
    with Local().group(Held("state"), name="nothing") as group:
        assert dict(group.outcomes(Dying(), [pieces[0], pieces[4]])) == {0: 0, 4: 40}


_SCRIPT = """
    import functools
    import infoplane, torch
    from tests.engines import test_ray
    from infoplane.measurement import measuring as run, steps
    torch.set_num_threads(1)
    steps.capture_with = functools.partial(steps.capture_with, shard_tokens=1500)
    run.Source = test_ray.Held_Back
    infoplane.measure({model!r}, capture={capture!r}, engine="ray", workers=2, **test_ray.ASKED)
"""


def test_a_driver_killed_leaves_no_process_and_a_second_run_does_what_is_missing(
    engine: RayEngine, folder: Path, alone: Any, tmp_path: Path
) -> None:
    script = textwrap.dedent(_SCRIPT).format(model=str(folder), capture=str(tmp_path / "c"))
    hold = tmp_path / "hold"
    environment = {**os.environ, "HOLD": str(hold), "PYTHONPATH": os.pathsep.join(PATH), "RAY_worker_niceness": "0"}
    environment.pop("RAY_ADDRESS", None)
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "c").glob("shard-*"))) < 1 and time.monotonic() < deadline:
        time.sleep(0.005)
    hold.touch()
    while not list(tmp_path.glob("at-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    workers = [int(p.name.split("-")[1]) for p in tmp_path.glob("at-*")]
    process.kill()
    process.wait()
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "c").glob("shard-*")}
    assert 1 <= len(done) < 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    hold.unlink()
    found = infoplane.measure(str(folder), capture=tmp_path / "c", engine=engine, **ASKED)
    assert {name: (tmp_path / "c" / name).stat().st_mtime_ns for name in done} == done
    assert shards(tmp_path / "c") == shards(alone[0])
    assert_same(found, alone[1])


# ---------------------------------------------------------------------- what is refused


def test_what_cannot_be_sent_or_found_is_refused(
    engine: RayEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match="a LlamaForCausalLM that is loaded here cannot be sent to workers"):
        infoplane.measure(tiny_model(), tokenizer=byte_tokenizer(), engine=engine)
    with pytest.raises(ModelError, match="no model at 'no/such/place/at/all'"):
        infoplane.measure("no/such/place/at/all", engine=engine)
    with pytest.raises(SettingError, match="workers = 2: all is done in this process"):
        infoplane.measure(str(folder), workers=2)
    with pytest.raises(SettingError, match="engine 'dask' is not known; choose one of local, ray"):
        infoplane.measure(str(folder), engine="dask")
    with pytest.raises(SettingError, match="workers = 0: expected a whole number"):
        infoplane.measure(str(folder), engine="ray", workers=0)


class Another(run.Source):
    """A worker whose model, or whose disk, is not the driver's."""

    def open(self) -> Model:
        model = super().open()
        if ray.is_initialized() and "strange" in str(self.model):
            return dataclasses.replace(model, provenance={**model.provenance, "dtype": "bfloat16"})
        return model


def test_a_worker_with_another_model_or_disk_is_found_out(engine: RayEngine, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "strange").symlink_to(folder)
    facts = run.Source(str(folder), None, {"dtype": "float32"}).open().facts
    windows = make_windows(read_text("c4-sample"), facts.tokenizer, tokens=2000, context=64)
    points = [ReferencePoints.make(32, 16)]
    source = Another(str(tmp_path / "strange"), None, {"dtype": "float32"})
    facts = dataclasses.replace(facts, provenance={**facts.provenance, "source": str(tmp_path / "strange")})
    with (
        engine.group(source, name="the model") as models,
        pytest.raises(ModelError, match=r"another model than this run began with \(dtype: 'bfloat16', not 'float32'\)"),
    ):
        capture_with(models, tmp_path / "c", facts, windows, points, facts.layers)
    assert not list((tmp_path / "c").glob("shard-*"))
    elsewhere = capturing._Writing(tmp_path / "nowhere", {"run_id": "0"}, windows, list(points), "", 2048)
    with pytest.raises(CaptureError, match=r"does not see .*nowhere: name a folder on storage that all nodes share"):
        elsewhere.open(run.Source(str(folder), None, {"dtype": "float32"}).open())


@pytest.mark.parametrize(
    "nodes, workers, gpus, share",
    [
        ([(16, 0)], None, 1, Share(1, 16, 0)),
        ([(16, 0), (8, 0)], None, 1, Share(2, 8, 0, 2)),
        ([(16, 0), (8, 0)], 3, 1, Share(3, 8, 0, 2)),
        ([(2, 0)], 4, 1, Share(4, 0.5, 0, 4)),
        ([(1, 0), (1, 0)], 2, 0, Share(2, 1, 0)),
        ([(8, 0), (96, 8)], None, 1, Share(8, 12, 1, 8)),
        ([(96, 8), (96, 8)], None, 4, Share(4, 48, 4, 2)),
        ([(96, 8)], 2, 1, Share(2, 48, 1, 2)),
    ],
)
def test_workers_share_the_cluster(nodes: Any, workers: Any, gpus: float, share: Share) -> None:
    assert share_of([{"CPU": c, "GPU": g} for c, g in nodes], workers, gpus) == share


def test_a_share_that_cannot_be() -> None:
    with pytest.raises(EngineError, match="no node of the Ray cluster has 9 GPUs"):
        share_of([{"CPU": 96, "GPU": 8}], None, 9)
    with pytest.raises(EngineError, match="has no processors"):
        share_of([{"GPU": 8}], None, 1)


# ---------------------------------------------------------------------- last, for the cluster is smaller afterwards


def test_a_node_lost_costs_only_what_it_was_at(
    cluster: Any, engine: RayEngine, folder: Path, alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Source", Held_Back)

    def remove(*_: Any) -> None:
        node = next(iter(cluster.worker_nodes))
        (lost,) = folder.parent.glob(f"at-*-{node.node_id}")  # each of the two workers is in a shard, on its own node
        cluster.remove_node(node, allow_graceful=False)
        with contextlib.suppress(ProcessLookupError):  # gone with its node, and not after it has ended the shard
            os.kill(int(lost.name.split("-")[1]), signal.SIGKILL)

    with disturbed(folder, remove, workers=2):
        found = infoplane.measure(str(folder), capture=tmp_path / "c", engine=engine, **ASKED)
    assert shards(tmp_path / "c") == shards(alone[0])
    assert_same(found, alone[1])
    assert any(said.startswith("shard ") for said in found.provenance["engine"]["retried"])
