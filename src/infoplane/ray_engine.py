"""The engine of a Ray cluster (https://docs.ray.io): the one that `RAY_ADDRESS` names, or one made for the run.

A worker is an actor, a process of its own with its share of the processors and GPUs. What it opens and the work are
sent once a node; of a piece only its number goes out and its result comes back, what is large is written to a folder
that all nodes share. A worker that dies costs the piece it was at: another is started, and the piece is done again, a
bounded number of times. So is a piece that ends in an error of the storage; any other error is the piece's own.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pickle
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from infoplane.engine import Advance, Engine, Group, Opening, P, Piece, R, S, Work
from infoplane.errors import EngineError, SettingError
from infoplane.ray_worker import Elsewhere, Said, Worker

RETRIES = 3
PATIENCE = 600.0
"""Seconds that are waited for room for a first worker: a cluster may have to grow."""
LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of the storage that doing it again does not mend."""
_TOLD = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS",
         "TOKENIZERS_PARALLELISM", "TQDM_DISABLE")  # fmt: skip


@final
class RayEngine(Engine):
    """Workers of a Ray cluster; a context manager.

    Args:
        workers: how many at a time; by default one a GPU, or one a node where no node has any.
        gpus: of each worker, where the cluster has some: with `device_map` a model is spread over them.
        retries: how often a piece may be done again.
        say: called with a sentence where one is; by default the log has it.

    Raises:
        SettingError: numbers out of range.
        EngineError: Ray is not installed, or the cluster does not answer.
    """

    name, sends = "ray", True

    def __init__(
        self,
        workers: int | None = None,
        gpus: float = 1,
        *,
        retries: int = RETRIES,
        say: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__()
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise SettingError(f"workers = {workers!r}: expected a whole number, 1 or more")
        if gpus <= 0 or retries < 0:
            raise SettingError(
                f"gpus = {gpus!r}, retries = {retries!r}: expected gpus above 0 and retries of 0 or more"
            )
        self.workers, self.gpus, self.retries = workers, gpus, retries
        self._say = say or logging.getLogger("infoplane").warning
        self._used = 0
        self._ours = False
        self._idle: list[Any] = []  # workers between two groups, and what each has of the cluster
        self._idle_share: Share | None = None

    def __enter__(self) -> RayEngine:
        ray = _ray()
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS") or "local"
            try:
                ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR,
                    **({"include_dashboard": False} if address == "local" else {}),
                )  # fmt: skip
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise EngineError(
                    f"no Ray cluster at {address!r}: {_short(error)}; set RAY_ADDRESS to one that runs, or unset it to "
                    "use this machine alone"
                ) from None
            self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        self.keep([], None)
        if self._ours:
            _ray().shutdown()
            self._ours = False

    def record(self) -> dict[str, Any]:
        retried, self.retried = self.retried, []
        return {"name": self.name, "workers": self._used, "retried": retried}

    @contextlib.contextmanager
    def group(self, opening: Opening[S], *, name: str, gpus: bool = False, fresh: bool = False) -> Iterator[Group[S]]:
        if not _ray().is_initialized():
            raise EngineError("the engine is not started: use it as `with RayEngine() as engine: ...`")
        share = share_of(_nodes(), self.workers, self.gpus if gpus else 0)
        self._used = max(self._used, share.workers)
        if fresh or share != self._idle_share:
            self.keep([], None)
        idle, self._idle = self._idle, []
        made: _RayGroup[S] = _RayGroup(self, opening, name, share, fresh, idle)
        try:
            yield made
        finally:
            made.end()

    def keep(self, idle: list[Any], share: Share | None) -> None:
        """Keep workers for the next group, if that wants the same of the cluster, in place of those kept before."""
        for actor in self._idle:
            _kill(actor)
        self._idle, self._idle_share = idle, share

    def again(self, sentence: str) -> None:
        """Keep, and tell, that a piece is done again."""
        self.retried.append(sentence)
        self._say(sentence)


@dataclass(frozen=True)
class Share:
    """What each of some workers gets of a cluster."""

    workers: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus))


def share_of(nodes: Sequence[Mapping[str, float]], workers: int | None, gpus: float) -> Share:
    """The largest share of processors that as many workers as are wanted can have at the same time.

    Args:
        nodes: resources of each node: `CPU`, `GPU`.
        workers: wanted; by default as many as there are GPUs for, or nodes.
        gpus: wanted for each; not asked for where no node has any.

    Raises:
        EngineError: no node has so many GPUs, or the cluster has no node.
    """
    has = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
    if not any(cpu for cpu, _ in has):
        raise EngineError("the Ray cluster has no processors: start a node with some")
    if not any(gpu for _, gpu in has):
        gpus = 0
    if gpus:
        has = [(cpu, gpu) for cpu, gpu in has if gpu >= gpus]
        if not has:
            raise EngineError(f"no node of the Ray cluster has {gpus:g} GPUs, as a worker needs: ask for fewer")
    fitting = sum(int(gpu // gpus) for _, gpu in has) if gpus else None
    wanted = workers or fitting or sum(cpu > 0 for cpu, _ in has)
    if fitting is not None:
        wanted = min(wanted, fitting)
    sizes = [float(c) for c in range(int(max(cpu for cpu, _ in has)), 0, -1)] + [1 / k for k in range(2, wanted + 1)]
    for size in sizes:
        room = sum(min(int(cpu / size + 1e-9), int(gpu // gpus) if gpus else wanted) for cpu, gpu in has)
        if room >= wanted:
            return Share(wanted, size, gpus)
    return Share(wanted, sizes[-1], gpus)


@dataclass(eq=False)
class _Slot:
    """A place for a worker, and what it is at: nothing, `placing`, `opening` or `busy`."""

    actor: Any = None
    task: Any = None
    stage: str = ""
    piece: Piece[Any] | None = None
    deaths: int = 0

    def stop(self) -> None:
        if self.actor is not None:
            _kill(self.actor)
        self.actor, self.task, self.stage, self.piece = None, None, "", None


@final
class _RayGroup(Group[S]):
    def __init__(
        self, engine: RayEngine, opening: Opening[S], name: str, share: Share, fresh: bool, idle: Sequence[Any]
    ) -> None:
        self._engine, self._name, self._share, self._fresh = engine, name, share, fresh
        self.workers, self.threads = share.workers, share.threads
        self._opening = _put(opening, name)
        self._slots = [_Slot(idle[i] if i < len(idle) else None) for i in range(share.workers)]

    def end(self) -> None:
        """Stop the workers, but for those that are free."""
        free = [slot.actor for slot in self._slots if slot.actor is not None and not slot.stage]
        for actor in free:
            actor.forget.remote()
        for slot in self._slots:
            if slot.stage:
                slot.stop()
        self._engine.keep(free, self._share)

    def outcomes(
        self, work: Work[S, P, R], pieces: Sequence[Piece[P]], advance: Advance | None = None
    ) -> Iterator[tuple[P, R | Exception]]:
        ray = _ray()
        task = _put(work, self._name)
        waiting, tries, at = deque(pieces), Counter[str](), dict[Any, _Slot]()
        heard = time.monotonic()
        try:
            while waiting or any(slot.piece for slot in at.values()):
                self._hand_out(waiting, task, at)
                ready, _ = ray.wait(list(at), timeout=5)
                if not ready:
                    self._check_patience(at, heard)
                    continue
                heard = time.monotonic()
                slot = at.pop(ready[0])
                stage, piece = slot.stage, slot.piece
                try:
                    said: Said = ray.get(ready[0])
                except ray.exceptions.RayError as error:
                    slot.stop()
                    slot.deaths += stage != "busy"
                    if (lost := self._lost(piece, slot.deaths, tries, _short(error))) is not None:
                        yield piece.what, lost  # type: ignore[union-attr]
                    elif piece is not None:
                        waiting.appendleft(piece)
                    continue
                if stage == "placing":
                    slot.stage, at[slot.actor.begin.remote(self._opening, task)] = "opening", slot
                elif stage == "opening":
                    if said.error is not None:
                        raise said.error from Elsewhere(said.trace)
                    slot.task, slot.stage, slot.deaths = task, "", 0
                    if piece is not None:
                        slot.stage, at[slot.actor.do.remote(piece.what)] = "busy", slot
                elif piece is not None:
                    slot.stage, slot.piece = "", None
                    if self._fresh:
                        slot.stop()
                    outcome = said.result
                    if said.error is not None:
                        said.error.__cause__ = Elsewhere(said.trace)
                        outcome = said.error
                        if isinstance(outcome, OSError) and outcome.errno not in LASTING:
                            outcome = self._lost(piece, 0, tries, _short(outcome))
                            if outcome is None:
                                waiting.appendleft(piece)
                                continue
                    elif advance is not None:
                        advance(piece.size)
                    yield piece.what, outcome
        finally:
            for slot in at.values():  # that still load, or, where the caller leaves, work
                slot.stop()

    def _hand_out(self, waiting: deque[Piece[Any]], task: Any, at: dict[Any, _Slot]) -> None:
        """Give pieces to workers that are ready, and start as many more as there are pieces for."""
        for slot in self._slots:
            if waiting and slot.task is task and not slot.stage:
                slot.piece = waiting.popleft()
                slot.stage, at[slot.actor.do.remote(slot.piece.what)] = "busy", slot
        for slot in self._slots:
            coming = sum(one.piece is None for one in at.values())
            if slot.stage or len(waiting) <= coming:
                continue
            if slot.actor is None:
                slot.piece = waiting.popleft() if self._fresh else None
                slot.actor = self._start(slot.piece)
                slot.stage, at[slot.actor.here.remote()] = "placing", slot
            else:
                slot.stage, at[slot.actor.begin.remote(self._opening, task)] = "opening", slot

    def _start(self, piece: Piece[Any] | None) -> Any:
        needs: dict[str, Any] = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus}
        if piece is not None and piece.memory:
            most = max(node.get("memory", 0.0) for node in _nodes())
            needs["memory"] = int(min(piece.memory, most))  # more than there is: it has a node to itself
        told = {name: os.environ[name] for name in _TOLD if name in os.environ}
        return (
            _ray()
            .remote(**needs, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(Worker)
            .remote(str(Path.cwd()), told)
        )

    def _lost(self, piece: Piece[Any] | None, deaths: int, tries: Counter[str], why: str) -> EngineError | None:
        """Count a death or an error of the storage; the error where it was one too many."""
        most = self._engine.retries
        if piece is None:
            name, count = f"opening {self._name}", deaths
        else:
            tries[piece.name] += 1
            name, count = piece.name, tries[piece.name]
        if count <= most:
            self._engine.again(f"{name} is done again ({count} of {most}): {why}")
            return None
        failed = EngineError(
            f"{name} failed {count} times, the last: {why}; what is done is kept: mend the cause (memory, most "
            "often) and repeat the command to go on"
        )
        if piece is None:
            raise failed
        return failed

    def _check_patience(self, at: Mapping[Any, _Slot], heard: float) -> None:
        nobody = all(slot.stage == "placing" for slot in at.values())
        if nobody and time.monotonic() - heard > PATIENCE:
            raise EngineError(
                f"no worker found room for {PATIENCE:.0f} s: each needs {self._share.cpus:g} processors and "
                f"{self._share.gpus:g} GPUs, and the Ray cluster has none free; stop what else runs there, or ask for "
                "fewer workers"
            )


# ---------------------------------------------------------------------- Ray


def _ray() -> Any:
    if "ray" not in sys.modules:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no advice about GPUs where there are none
    try:
        import ray
    except ImportError:
        raise EngineError("the engine ray needs the package ray: pip install 'infoplane[ray]'") from None
    return ray


def _kill(actor: Any) -> None:
    with contextlib.suppress(Exception):  # it may be dead, or the cluster gone
        _ray().kill(actor)


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in _ray().nodes() if node["Alive"]]


def _put(value: Any, name: str) -> Any:
    try:
        return _ray().put(value)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise SettingError(f"{name} cannot be sent to a worker: {_short(error)}; give names and numbers") from None


def _short(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(getattr(error, "cause", None) or error).split())
    text = text.partition("The actor is dead because ")[2] or text
    return (text.partition(" Some common causes include")[0] or type(error).__name__)[:300]
