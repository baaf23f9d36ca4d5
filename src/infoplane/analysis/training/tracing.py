"""Tracing a run: every checkpoint measured on the same windows with the same reference points.

Each checkpoint is loaded, captured and measured by one worker, one after the other or several at a time; its capture is
dropped once its measurement is stored. The first that loads cuts the windows of all. A stored measurement is used again
only if the hash of everything that decides its numbers is the same, so an interrupted trace goes on where it stopped. A
checkpoint that cannot be measured is recorded, and the others go on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoplane.analysis.training.trajectory import JSON_NAME, SCHEMA, Point, Trajectory, outliers, twins
from infoplane.analysis.training.worker import DECIDING, Run, Tracing, asked
from infoplane.capture import check_sizes
from infoplane.engines import Engine, Held, Piece, Progress, using
from infoplane.errors import ModelError, ResultError
from infoplane.measurement import JSON_NAME as MEASUREMENT
from infoplane.measurement import check_asked
from infoplane.models import Checkpoint, find_checkpoints
from infoplane.storage import (
    check_free,
    check_kind,
    differences,
    is_address,
    parse_size,
    reach_location,
    read_record,
    versions,
)
from infoplane.text import BUILT_IN, read_text

TOKENS, CONTEXT = 16_384, 512


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
    force: bool = False,
    progress: Progress | None = None,
    **loading: Any,
) -> Trajectory:
    """Measure the checkpoints of a training run.

    Args:
        model: a folder of checkpoints, or a hub id whose revisions are checkpoints.
        documents: as for `infoplane.measure`.
        out: folder or address of the results: one measurement a checkpoint, and the trajectory.
        revisions, table: which checkpoints, and their steps; see `infoplane.models.checkpoints.find_checkpoints`.
        tokens, context, seed, windows: of the text; the same windows for all.
        orders, estimators, unit: what is measured.
        m, points_seed, calibration: reference points; the same for all.
        layers: names of the layers to read, all by default.
        loss: also the next-token loss of the same text.
        bound: also the frontier of the text, once, and each checkpoint's place against it.
        keep_captures: keep each checkpoint's capture beside its measurement.
        engine, workers: `local`, or `ray`: so many checkpoints at a time, each by a worker of a Ray cluster (see
            `infoplane.engines.ray_engine`); or an engine that runs.
        memory, batch: as for `infoplane.measure`; a stored measurement is used again whatever they were.
        force: measure again what is stored there of another model or text, or with other settings.
        progress: called with a stage, what is done and what there is to do.
        **loading: for `load_model`: tokenizer, dtype, device, device_map, trust_remote_code, allow_pickle.

    Raises:
        InfoplaneError: bad input; no checkpoint at all could be measured; or the folder holds other results, and not
            `force`.
    """
    out = reach_location(out, "out").absolute()
    if memory is not None:
        parse_size(memory)
    orders = tuple(orders)
    check_asked(orders, estimators, unit=unit)
    check_sizes(
        m=m, points_seed=points_seed, calibration=calibration, tokens=tokens, context=context, seed=seed,
        windows=windows, batch=batch,
    )  # fmt: skip
    check_kind(out, JSON_NAME)
    found = find_checkpoints(model, revisions, table)
    text = read_text(documents)
    cutting = {"tokens": tokens, "context": context, "seed": seed, **(windows or {})}
    settings = {
        "orders": list(orders), "estimators": list(estimators), "unit": unit, "loss": loss,
        "layers": None if layers is None else list(layers), "m": m, "points_seed": points_seed,
        "calibration": calibration, **({"bound": True} if bound else {}),
    }  # fmt: skip
    at = Path(model).expanduser()
    decides = {
        "model": str(at.resolve() if at.is_dir() else model), "text": text.provenance.get("sha256"),
        **settings, **cutting, **asked(loading), "versions": versions(*DECIDING),
    }  # fmt: skip
    if not force:
        _check_same(out, decides)
    run = Run(out, loading, settings, keep_captures, progress, memory=memory, batch=batch, decides=decides, force=force)
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
            for checkpoint, (measurement, problem, learned) in group.each(Tracing(sent, text, cutting), some):
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


def _check_same(out: Path, decides: Mapping[str, Any]) -> None:
    """Refuse a folder with a trace of something else: its measurements would be made anew, in place of those."""
    if not (out / JSON_NAME).exists():
        measured = out / "checkpoints"
        if not (measured.is_dir() and any((one / MEASUREMENT).exists() for one in measured.iterdir())):
            check_free(out, JSON_NAME, False)  # else its first record was to be written
        return
    try:
        then = read_record(out / JSON_NAME, SCHEMA, "trajectory", "trace")["provenance"].get("decides")
    except ResultError:
        return  # damaged: what is stored beside it says itself what it is of
    if not isinstance(then, dict):
        raise ResultError(
            f"{out / JSON_NAME} does not say what it is of (a monitor wrote it, or an earlier version): choose another "
            "--out, or --force to overwrite it"
        )
    if differs := differences(then, decides):
        raise ResultError(
            f"{out / JSON_NAME} is a trace of something else (different: {', '.join(differs)}): choose another --out, "
            "or --force to measure its checkpoints again"
        )


def _store(
    points: Sequence[Point], run: Run, model: str | Path, found: Sequence[Checkpoint], whole: bool = False
) -> Trajectory:
    """Write what there is so far; with `whole`, what can be said of the run as a whole too."""
    trajectory = Trajectory(tuple(points), run.shared(model, found))
    if whole:
        said = dict.fromkeys(
            outliers(trajectory), "it looks like a checkpoint from elsewhere in training: was the right one uploaded?"
        )
        for name, other in twins(trajectory).items():
            said[name] = f"its numbers are all those of {other}, so its weights are too: was the right one uploaded?"
        points = [dataclasses.replace(p, problem=said.get(p.name, p.problem)) for p in points]
        trajectory = dataclasses.replace(trajectory, points=tuple(points))
    trajectory.save(run.out, {p.name: run.place(p.name).relative_to(run.out).as_posix() for p in points})
    return trajectory
