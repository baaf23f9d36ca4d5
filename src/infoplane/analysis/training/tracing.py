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
from typing import TYPE_CHECKING

from infoplane.analysis.training.trace_settings import TraceSettings
from infoplane.analysis.training.trajectory import JSON_NAME, SCHEMA, Point, Trajectory, outliers, twins
from infoplane.analysis.training.worker import DECIDING, Run, Tracing, deciding
from infoplane.engines import Engine, Held, Piece, Progress, WorkSettings, using
from infoplane.errors import ModelError, ResultError
from infoplane.information import FITTED
from infoplane.measurement import JSON_NAME as MEASUREMENT
from infoplane.measurement import check_questions, code_identity_of, read_input
from infoplane.models import Checkpoint, find_checkpoints
from infoplane.settings import apart, settings_or
from infoplane.storage import (
    Json,
    check_free,
    check_kind,
    differences,
    is_address,
    reach_location,
    read_record,
    versions,
)
from infoplane.text import BUILT_IN, TextSource
from infoplane.text.pairs import PairSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from infoplane.analysis.training.trace_keywords import TraceKeywords
    from infoplane.measurement import MeasureSettings
    from infoplane.text import Text
    from infoplane.text.pairs import Pairs


def trace(
    model: str | Path,
    documents: TextSource = BUILT_IN,
    settings: TraceSettings | None = None,
    *,
    out: str | Path,
    preferences: PairSource | None = None,
    table: Mapping[str, tuple[int, int | None]] | None = None,
    force: bool = False,
    work: WorkSettings | None = None,
    engine: str | Engine | None = None,
    progress: Progress | None = None,
    **flat: Unpack[TraceKeywords],
) -> Trajectory:
    """Measure the checkpoints of a training run.

    Args:
        model: a folder of checkpoints, or a hub id whose revisions are checkpoints.
        documents: the text, as for `infoplane.measure`; all checkpoints read the same windows.
        settings: which checkpoints are measured, and how; by default `TraceSettings()`.
        out: folder or address of the results: a measurement for each checkpoint, and the trajectory.
        preferences: preference pairs instead of documents, as for `infoplane.measure`.
        table: training step, and training tokens or None, by name of checkpoint, for names that do not tell the step.
        force: whether to measure again what is stored there for another model or text, or with other settings.
        work: with `ray`, how many checkpoints are measured at a time; memory, threads and batch as for
            `infoplane.measure`. Stored measurements are used again whatever these were.
        engine: an engine that is running, or the name of one, instead of that in `work`.
        progress: called as `progress(stage, done, total)`.
        **flat: settings by keyword, which override those in `settings` and `work`.

    Returns:
        The checkpoints in the order of training; those that could not be measured say why.

    Raises:
        InfoplaneError: bad input; no checkpoint could be measured; or the folder holds other results and `force` is not
            set.
    """
    chosen, how = apart(flat, settings_or(settings, TraceSettings), settings_or(work, WorkSettings, "work"))
    out = reach_location(out, "out").absolute()
    measuring = chosen.measuring
    check_questions(measuring)
    check_kind(out, JSON_NAME)
    checkpoints = find_checkpoints(model, chosen.revisions, table)
    read = read_input(documents, preferences, measuring)
    decides = _decides(model, read, measuring)
    if not force:
        _check_same(out, decides)
    run = Run(out, measuring, chosen.keep_captures, progress, how, decides=decides, force=force)
    done: dict[str, Point] = {}
    pieces = [Piece(f"checkpoint {one.name}", one) for one in checkpoints]
    # a code that all are read with is fitted to the last: its states are those that the others come to
    first = -1 if FITTED in measuring.code.code else 0
    running = using(engine or how.engine, how.workers, how.gpus_per_worker)
    with running as engines, engines.group(Held(None), name="the checkpoints", gpus=True) as group:
        since = len(engines.retried)

        def measure(some: Sequence[Piece[Checkpoint]]) -> None:
            sent = _sent(run, group.threads) if engines.sends else run
            for checkpoint, (measurement, problem, learned) in group.each(Tracing(sent, read), some):
                run.learned, run.engine = learned, engines.record(since)
                point = Point(checkpoint.name, checkpoint.step, checkpoint.tokens, measurement, problem)
                done[checkpoint.name] = point
                if measurement is not None:
                    _store([done[c.name] for c in checkpoints if c.name in done], run, model, checkpoints)
                if progress is not None:
                    progress("checkpoints", len(done), len(checkpoints))

        if progress is not None:
            progress("checkpoints", 0, len(checkpoints))
        while pieces and run.learned is None:  # one by one until one has cut the windows
            measure([pieces.pop(first)])
        measure(pieces)
    points = [done[checkpoint.name] for checkpoint in checkpoints]
    if progress is not None:
        progress("checkpoints", len(checkpoints), len(checkpoints))
    if not any(p.measurement for p in points):
        raise ModelError(
            f"no checkpoint of {model} could be measured; the first, {points[0].name}: {points[0].problem}"
        )
    return _store(points, run, model, checkpoints, whole=True)


def _decides(model: str | Path, read: Text | Pairs, measuring: MeasureSettings) -> dict[str, Json]:
    """What decides the numbers of a trace."""
    folder = Path(model).expanduser()
    return {
        "model": str(folder.resolve() if folder.is_dir() else model),
        "text": read.provenance.get("sha256"),
        **deciding(measuring),
        "code_of": code_identity_of(measuring),
        "versions": versions(*DECIDING),
    }


def _sent(run: Run, threads: int | None) -> Run:
    """The run as workers get it."""
    if not is_address(run.out):
        run.out.mkdir(parents=True, exist_ok=True)  # seen by workers, if it is shared
    work = dataclasses.replace(run.work, threads=run.work.threads or threads)
    return dataclasses.replace(run, progress=None, sent=True, work=work)


def _check_same(out: Path, decides: Mapping[str, Json]) -> None:
    """Refuse a folder with a trace of something else: its measurements would be made anew, in place of those."""
    if not (out / JSON_NAME).exists():
        measured = out / "checkpoints"
        if not (measured.is_dir() and any((checkpoint / MEASUREMENT).exists() for checkpoint in measured.iterdir())):
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
    keys = ({name: value for name, value in each.items() if value is not None} for each in (then, decides))
    if differs := differences(*keys):
        raise ResultError(
            f"{out / JSON_NAME} is a trace of something else (different: {', '.join(differs)}): choose another --out, "
            "or --force to measure its checkpoints again"
        )


def _store(
    points: Sequence[Point], run: Run, model: str | Path, checkpoints: Sequence[Checkpoint], whole: bool = False
) -> Trajectory:
    """Write what there is so far; with `whole`, what can be said of the run as a whole too."""
    trajectory = Trajectory(tuple(points), run.shared(model, checkpoints))
    if whole:
        problems = dict.fromkeys(
            outliers(trajectory), "it looks like a checkpoint from elsewhere in training: was the right one uploaded?"
        )
        for name, other in twins(trajectory).items():
            problems[name] = (
                f"its numbers are all those of {other}, so its weights are too: was the right one uploaded?"
            )
        points = [dataclasses.replace(p, problem=problems.get(p.name, p.problem)) for p in points]
        trajectory = dataclasses.replace(trajectory, points=tuple(points))
    trajectory.save(run.out, {p.name: run.place(p.name).relative_to(run.out).as_posix() for p in points})
    return trajectory
