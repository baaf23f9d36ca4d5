"""Tracing a run: every checkpoint measured on the same windows with the same reference points.

Each checkpoint is loaded, captured and measured by one worker, one after the other or several at a time; its capture is
dropped once its measurement is stored. The first that loads cuts the windows of all. A stored measurement is used again
only if the hash of everything that decides its numbers is the same, so an interrupted trace goes on where it stopped. A
checkpoint that cannot be measured is recorded, and the others go on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane import files
from infoplane.addresses import is_address
from infoplane.asking import measure_capture
from infoplane.bound import Bound, stored_or_fitted, with_a_bound
from infoplane.capture import Progress, versions
from infoplane.capturing import write_capture
from infoplane.checkpoints import Checkpoint, find_checkpoints, gaps
from infoplane.engine import LASTING, Advance, Engine, Held, Piece, unseen
from infoplane.engines import using
from infoplane.errors import InfoplaneError, ModelError, ResultError
from infoplane.layers import named_layers, select_layers
from infoplane.measurement import JSON_NAME, Measurement
from infoplane.memory import parse
from infoplane.placing import with_bound
from infoplane.points import ReferencePoints
from infoplane.run import capture_sizes
from infoplane.storage import reach, working
from infoplane.text import BUILT_IN, read_text
from infoplane.tokenize import make_windows, tokenizer_hash
from infoplane.trajectory import Point, Trajectory, outliers

if TYPE_CHECKING:
    from infoplane.models import Model
    from infoplane.text import Text
    from infoplane.windows import Windows

TOKENS, CONTEXT = 16_384, 512
_SAME = ("architecture", "width", "blocks", "vocabulary", "dtype")


def trace(
    model: str | Path,
    documents: Any = BUILT_IN,
    *,
    out: str | Path,
    revisions: str | None = None,
    table: Mapping[str, tuple[int, int | None]] | None = None,
    tokens: int = TOKENS,
    context: int = CONTEXT,
    seed: int = 0,
    orders: Sequence[int] = (1, 2),
    estimators: Sequence[str] = ("corrected", "plugin"),
    unit: str = "efficiency",
    m: int = 100,
    points_seed: int = 0,
    calibration: str = "exact",
    layers: Sequence[str] | None = None,
    loss: bool = True,
    bound: bool = False,
    windows: Mapping[str, Any] | None = None,
    keep_captures: bool = False,
    engine: str | Engine = "local",
    workers: int | None = None,
    memory: int | str | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
    **loading: Any,
) -> Trajectory:
    """Measure the checkpoints of a training run.

    Args:
        model: a folder of checkpoints, or a hub id whose revisions are checkpoints.
        documents: as for `infoplane.measure`.
        out: folder or address of the results: one measurement a checkpoint, and the trajectory.
        revisions, table: which checkpoints, and their steps; see `infoplane.checkpoints.find_checkpoints`.
        tokens, context, seed, windows: of the text; the same windows for all.
        orders, estimators, unit: what is measured.
        m, points_seed, calibration: reference points; the same for all.
        layers: names of the layers to read, all by default.
        loss: also the next-token loss of the same text.
        bound: also the frontier of the text, once, and each checkpoint's place against it.
        keep_captures: keep each checkpoint's capture beside its measurement.
        engine, workers: `local`, or `ray`: so many checkpoints at a time, each by a worker of a Ray cluster (see
            `infoplane.ray_engine`); or an engine that runs.
        memory, batch: as for `infoplane.measure`; a stored measurement is used again whatever they were.
        progress: called with a stage, what is done and what there is to do.
        **loading: for `load_model`: tokenizer, dtype, device, device_map, trust_remote_code, allow_pickle.

    Raises:
        InfoplaneError: bad input; or no checkpoint at all could be measured.
    """
    out = reach(out, "out").absolute()
    if memory is not None:
        parse(memory)
    found = find_checkpoints(model, revisions, table)
    text = read_text(documents)
    cutting = {"tokens": tokens, "context": context, "seed": seed, **(windows or {})}
    run = _Run(out, loading, {
        "orders": list(orders), "estimators": list(estimators), "unit": unit, "loss": loss,
        "layers": None if layers is None else list(layers), "m": m, "points_seed": points_seed,
        "calibration": calibration, **({"bound": True} if bound else {}),
    }, keep_captures, progress, memory=memory, batch=batch)  # fmt: skip
    done: dict[str, Point] = {}
    pieces = [Piece(f"checkpoint {one.name}", one) for one in found]
    with using(engine, workers) as running, running.group(Held(None), name="the checkpoints", gpus=True) as group:
        since = len(running.retried)

        def measure(some: Sequence[Piece[Checkpoint]]) -> None:
            sent = run
            if running.sends:
                if not is_address(out):
                    out.mkdir(parents=True, exist_ok=True)  # seen by workers, if it is shared
                sent = dataclasses.replace(run, progress=None, sent=True, threads=group.threads)
            for checkpoint, (measurement, problem, learned) in group.each(_Tracing(sent, text, cutting), some):
                run.learned, run.engine = learned, running.record(since)
                point = Point(checkpoint.name, checkpoint.step, checkpoint.tokens, measurement, problem)
                done[checkpoint.name] = point
                if measurement is not None:
                    _store([done[c.name] for c in found if c.name in done], run, model, found)
                if progress is not None:
                    progress("checkpoints", len(done), len(found))

        if progress is not None:
            progress("checkpoints", 0, len(found))
        while pieces and run.learned is None:  # one by one until one has cut the windows
            measure([pieces.pop(0)])
        measure(pieces)
    points = [done[checkpoint.name] for checkpoint in found]
    if progress is not None:
        progress("checkpoints", len(found), len(found))
    if not any(p.measurement for p in points):
        raise ModelError(
            f"no checkpoint of {model} could be measured; the first, {points[0].name}: {points[0].problem}"
        )
    return _store(points, run, model, found, whole=True)


def _store(
    points: Sequence[Point], run: _Run, model: str | Path, found: Sequence[Checkpoint], whole: bool = False
) -> Trajectory:
    """Write what there is so far; with `whole`, what can be said of the run as a whole too."""
    trajectory = Trajectory(tuple(points), run.shared(model, found))
    if whole:
        strange = outliers(trajectory)
        said = "it looks like a checkpoint from elsewhere in training: was the right one uploaded?"
        points = [dataclasses.replace(p, problem=said) if p.name in strange else p for p in points]
        trajectory = dataclasses.replace(trajectory, points=tuple(points))
    trajectory.save(run.out, {p.name: run.place(p.name).relative_to(run.out).as_posix() for p in points})
    return trajectory


@dataclass(frozen=True, eq=False)
class _Learned:
    """What the first model that loads says of all: the windows, what they have in common, and their tokenizer."""

    windows: Windows
    like: dict[str, Any]
    words: str


@dataclass(frozen=True, eq=False)
class _Tracing:
    """The work of a trace: a piece is a checkpoint."""

    run: _Run
    text: Text
    cutting: Mapping[str, Any]

    def open(self, _: None) -> Callable[[Checkpoint, Advance], tuple[Measurement | None, str | None, _Learned | None]]:
        if self.run.sent and not is_address(self.run.out) and not self.run.out.is_dir():
            raise ResultError(unseen(self.run.out))

        def do(checkpoint: Checkpoint, advance: Advance) -> tuple[Measurement | None, str | None, _Learned | None]:
            try:
                found, problem = self.run.measurement(checkpoint, self.text, self.cutting), None
            except InfoplaneError as error:
                found, problem = None, str(error)
            except Exception as error:  # a model's own code may raise anything, and the others can go on
                if isinstance(error, OSError) and (self.run.sent or error.errno in LASTING):
                    raise  # of the storage: the engine does the checkpoint again, where that can help
                found, problem = None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return found, problem, self.run.learned

        return do


@dataclass(eq=False)
class _Run:
    """What all checkpoints of a trace share."""

    out: Path
    loading: Mapping[str, Any]
    settings: dict[str, Any]
    keep: bool
    progress: Progress | None
    sent: bool = False
    threads: int | None = None
    learned: _Learned | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    bound: Bound | None = None
    memory: int | str | None = None
    batch: int | None = None

    def place(self, name: str) -> Path:
        """Folder of a checkpoint's measurement; names may hold what a folder's may not."""
        safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:60] or "_"
        if safe != name:
            safe += "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.out / "checkpoints" / safe

    def shared(self, model: str | Path, found: Sequence[Checkpoint]) -> dict[str, Any]:
        """Provenance of the trajectory."""
        w = None if self.learned is None else self.learned.windows
        like = {} if self.learned is None else self.learned.like
        return {
            "model": str(model), "like": dict(like), "settings": dict(self.settings),
            "text": None if w is None else w.provenance.get("text"),
            "windows_hash": None if w is None else w.hash,
            "checkpoints": len(found), "gaps": [list(g) for g in gaps([c.step for c in found])],
            "versions": versions("infoplane", "torch", "transformers", "numpy"), "engine": dict(self.engine),
        }  # fmt: skip

    def measurement(self, checkpoint: Checkpoint, text: Any, cutting: Mapping[str, Any]) -> Measurement:
        """The checkpoint's measurement, stored or new; the first model loaded cuts the windows."""
        model = self._load(checkpoint, text, cutting) if self.learned is None else None
        key = self._key(checkpoint)  # once: it reads all the weights
        stored = self._stored(checkpoint, key)
        if stored is not None:
            return stored
        return self._measure(checkpoint, model or self._load(checkpoint, text, cutting), key)

    def _load(self, checkpoint: Checkpoint, text: Any, cutting: Mapping[str, Any]) -> Model:
        """The model, known to be of the same run as the first."""
        from infoplane.loading import load_model

        model = load_model(checkpoint.source, revision=checkpoint.commit or checkpoint.revision, **self.loading)
        like = {name: model.provenance[name] for name in _SAME}
        words = tokenizer_hash(model.tokenizer)
        if self.learned is None:
            limit = model.max_context
            context = min(cutting["context"], limit or cutting["context"])
            windows = make_windows(text, model.tokenizer, **{**cutting, "context": context})
            self.learned = _Learned(windows, like, words)
        for name in _SAME:
            if like[name] != self.learned.like[name]:
                raise ModelError(
                    f"{checkpoint.name} is another model: its {name} is {like[name]}, that of the first checkpoint "
                    f"{self.learned.like[name]}; a trace is of one run"
                )
        if words != self.learned.words:
            raise ModelError(
                f"{checkpoint.name} has another tokenizer than the first checkpoint: their windows cannot be the same"
            )
        return model

    def _measure(self, checkpoint: Checkpoint, model: Model, key: str) -> Measurement:
        assert self.learned is not None
        windows, s, place = self.learned.windows, self.settings, self.place(checkpoint.name)
        layers = select_layers(named_layers(model.backbone), None if s["layers"] is None else tuple(s["layers"]))
        points = [ReferencePoints.make(model.width, s["m"], s["points_seed"], s["calibration"])]
        sizes = capture_sizes(model.facts, windows, points, len(layers), s["loss"], self.memory, self.batch)
        with working(place / "capture", self.keep) as folder:
            kept = write_capture(
                folder, model, windows, points, layers, loss=s["loss"], force=True, progress=self.progress, **sizes
            )
            found = measure_capture(
                kept, orders=s["orders"], estimators=s["estimators"], unit=s["unit"], threads=self.threads,
                memory=self.memory, progress=self.progress,
            )  # fmt: skip
            if s.get("bound"):
                if self.bound is None:
                    self.bound = stored_or_fitted(
                        self.out / "bound", windows, with_a_bound(s["orders"]), m=s["m"], progress=self.progress
                    )
                found = with_bound(found, kept, self.bound.frontiers)
            where = {"name": checkpoint.name, "step": checkpoint.step, "training_tokens": checkpoint.tokens}
            more = {"trace_key": key, "checkpoint": where}
            found = dataclasses.replace(found, provenance={**found.provenance, **more})
            found.save(place)
        return found

    def _stored(self, checkpoint: Checkpoint, key: str) -> Measurement | None:
        place = self.place(checkpoint.name)
        if not (place / JSON_NAME).is_file():
            return None
        try:
            found = Measurement.load(place)
        except ResultError:
            return None  # of another version, or damaged: it is made anew
        return found if found.provenance.get("trace_key") == key else None

    def _key(self, checkpoint: Checkpoint) -> str:
        """Hash of everything that decides the numbers of a checkpoint."""
        from infoplane.loading import _device, folder_hash

        assert self.learned is not None
        device = _device(str(self.loading.get("device") or "auto")).type
        weights = checkpoint.commit if checkpoint.revision else folder_hash(Path(checkpoint.source))
        return files.hash_of({
            "weights": weights, "source": checkpoint.source if checkpoint.revision else None,
            "windows": self.learned.windows.hash, "settings": self.settings, "step": checkpoint.step,
            "loading": {**{k: str(v) for k, v in self.loading.items()}, "dtype": self.learned.like["dtype"]},
            "device": device,
            "versions": versions("infoplane", "torch", "transformers"),
        })  # fmt: skip
