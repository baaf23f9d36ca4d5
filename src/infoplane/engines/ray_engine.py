"""The engine of a Ray cluster (https://docs.ray.io): the one that `RAY_ADDRESS` names, or one made for the run.

A worker is an actor, a process of its own with its share of the processors and GPUs. What it opens and the work are
sent once a node; of a piece only its number goes out and its result comes back, what is large is written to a folder
that all nodes share. A worker that dies costs the piece it was at: another is started, and the piece is done again, a
bounded number of times. So is a piece that ends in an error of the storage; any other error is the piece's own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from infoplane.engines.base import Advance, Engine, Group, Opening, P, Piece, R, S, Work, lasting
from infoplane.engines.ray_package import kill, nodes, put, ray_package, short, uninterrupted
from infoplane.engines.ray_share import Share, share_of
from infoplane.engines.ray_worker import Elsewhere, Said, Worker
from infoplane.errors import EngineError, SettingError, check_whole
from infoplane.storage import Json

RETRIES = 3
PATIENCE, SHORT = 600.0, 30.0
"""Seconds to wait for room on the cluster; and for the next pieces where one found none."""
"""Seconds that are waited for room for a first worker: a cluster may have to grow."""
_TOLD = (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "TRANSFORMERS_VERBOSITY",
    "HF_HUB_DISABLE_PROGRESS_BARS",
    "TOKENIZERS_PARALLELISM",
    "TQDM_DISABLE",
)


@final
class RayEngine(Engine):
    """Runs work on a Ray cluster: the one that `RAY_ADDRESS` names, or one started on this machine.

    It is a context manager, and is used as `with RayEngine() as engine: ...`.

    Args:
        workers: number of workers at a time; by default one per GPU, or one per node if no node has a GPU.
        gpus: GPUs of each worker, if the cluster has any; with `device_map` a model is spread over them.
        retries: how often a piece of work may be repeated after a failure.
        say: called with a sentence when a piece is repeated; by default the sentence is logged.

    Raises:
        SettingError: a number out of range.
        EngineError: on entering the context, Ray is not installed or the cluster does not answer.
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
        if workers is not None:
            check_whole("workers", workers, 1)
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
        ray = ray_package()
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS") or "local"
            more = {"include_dashboard": False} if address == "local" else {}
            try:
                with uninterrupted():
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise EngineError(
                    f"no Ray cluster at {address!r}: {short(error)}; set RAY_ADDRESS to one that runs, or unset it to "
                    "use this machine alone"
                ) from None
            except KeyboardInterrupt:  # what has started of it must not stay
                ray.shutdown()
                raise
            self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        self.keep([], None)
        if self._ours:
            ray_package().shutdown()
            self._ours = False

    def record(self, since: int = 0) -> dict[str, Json]:
        return {"name": self.name, "workers": self._used, "retried": self.retried[since:]}

    @contextlib.contextmanager
    def group(self, opening: Opening[S], *, name: str, gpus: bool = False, fresh: bool = False) -> Iterator[Group[S]]:
        if not ray_package().is_initialized():
            raise EngineError("the engine is not started: use it as `with RayEngine() as engine: ...`")
        share = share_of(nodes(), self.workers, self.gpus if gpus else 0)
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
        """Keep idle workers for a next group that needs the same share of the cluster, and stop those kept before."""
        for actor in self._idle:
            kill(actor)
        self._idle, self._idle_share = idle, share

    def again(self, sentence: str) -> None:
        """Record and report that a piece of work is repeated."""
        self.retried.append(sentence)
        self._say(sentence)


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
            kill(self.actor)
        self.actor, self.task, self.stage, self.piece = None, None, "", None


@final
class _RayGroup(Group[S]):
    def __init__(
        self, engine: RayEngine, opening: Opening[S], name: str, share: Share, fresh: bool, idle: Sequence[Any]
    ) -> None:
        self._engine, self._name, self._share, self._fresh = engine, name, share, fresh
        self.workers, self.threads = share.workers, share.threads
        self._opening = put(opening, name)
        self._full = False
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

    # one loop over what workers answer: their stages are told apart here alone
    def outcomes(  # noqa: C901, PLR0915
        self, work: Work[S, P, R], pieces: Sequence[Piece[P]], advance: Advance | None = None
    ) -> Iterator[tuple[P, R | Exception]]:
        ray = ray_package()
        task = put(work, self._name)
        waiting, tries, at = deque(pieces), Counter[str](), dict[Any, _Slot]()
        heard = time.monotonic()
        try:
            while waiting or any(slot.piece for slot in at.values()):
                self._hand_out(waiting, task, at)
                ready, _ = ray.wait(list(at), timeout=5)
                if not ready:
                    for left, error in self._unplaced(at, heard):
                        heard = time.monotonic()
                        yield left.what, error
                    continue
                heard = time.monotonic()
                slot = at.pop(ready[0])
                stage, piece = slot.stage, slot.piece
                try:
                    said: Said = ray.get(ready[0])
                except ray.exceptions.RayError as error:
                    slot.stop()
                    slot.deaths += stage != "busy"
                    if (lost := self._lost(piece, slot.deaths, tries, short(error))) is not None:
                        yield piece.what, lost  # type: ignore[union-attr]
                    elif piece is not None:
                        waiting.appendleft(piece)
                    continue
                if stage == "placing":
                    self._full = False
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
                        if isinstance(outcome, OSError) and not lasting(outcome):
                            outcome = self._lost(piece, 0, tries, short(outcome))
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
        needs: dict[str, Json] = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus}
        if piece is not None and piece.memory:
            share = self._share
            fit = [n for n in nodes() if n.get("CPU", 0.0) >= share.cpus and n.get("GPU", 0.0) >= share.gpus]
            most = max((node.get("memory", 0.0) for node in fit), default=0.0)
            needs["memory"] = int(min(piece.memory, most))  # more than there is: it has a node to itself
        told = {name: os.environ[name] for name in _TOLD if name in os.environ}
        return (
            ray_package()
            .remote(**needs, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(Worker)
            .remote(str(Path.cwd()), told, self._share.beside)
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
        times = "once" if count == 1 else f"{count} times"
        failed = EngineError(
            f"{name} failed {times}, the last: {why}; what is done is kept: mend the cause (memory, most often) and "
            "repeat the command to go on"
        )
        if piece is None:
            raise failed
        return failed

    def _unplaced(self, at: dict[Any, _Slot], heard: float) -> list[tuple[Piece[Any], EngineError]]:
        """The pieces whose workers found no room for too long, where nobody works; that of no piece is an error."""
        patience = min(PATIENCE, SHORT) if self._full else PATIENCE
        if any(slot.stage != "placing" for slot in at.values()) or time.monotonic() - heard <= patience:
            return []
        failed = EngineError(
            f"no worker found room for {patience:.0f} s: each needs {self._share.cpus:g} processors, "
            f"{self._share.gpus:g} GPUs, and memory for its model, and the Ray cluster has no node where all are "
            "free; stop what else runs there, or ask for fewer workers"
        )
        lost = []
        for key, slot in list(at.items()):
            if slot.piece is None:
                raise failed
            lost.append((slot.piece, failed))
            at.pop(key)
            slot.stop()
        self._full = True
        return lost
