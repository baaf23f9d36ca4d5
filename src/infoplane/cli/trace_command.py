"""`infoplane trace`: the checkpoints of a training run on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.analysis.training import TraceSettings
from infoplane.cli import options as o
from infoplane.cli.repeated import done, measured_before
from infoplane.cli.settings_options import with_settings, without_engine
from infoplane.cli.terminal import bars, console, quiet, say, short, tell, wrote
from infoplane.engines import WorkSettings, using
from infoplane.measurement import InputSettings
from infoplane.storage import check_kind, reach_location

if TYPE_CHECKING:
    from infoplane.analysis.training import Trajectory


@with_settings
def trace(
    model: Annotated[
        str, typer.Argument(help="A folder of checkpoint folders, or a hub id with checkpoints as revisions.")
    ],
    steps: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with columns name, step and, if known, tokens, for checkpoints whose names contain no step.",
            rich_help_panel="Run",
        ),
    ] = None,
    *,
    source: InputSettings,
    settings: TraceSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder or address for the results; infoplane-trace-MODEL by default.", rich_help_panel=o.OUT
        ),
    ] = None,
    work: WorkSettings,
    as_json: o.AsJson = False,
    force: Annotated[
        bool,
        typer.Option(
            help="Replace a trace of another model, of another text or with other settings.", rich_help_panel=o.OUT
        ),
    ] = False,
) -> None:
    """Measure the checkpoints of a training run on the same text, to see when the model fits and when it compresses.

    Writes trajectory.json, trajectory.parquet, report.html, figures/ and one measurement per checkpoint to --out.
    Repeat an interrupted command to resume it. The exit status is 1 if some checkpoints could not be measured; the
    others are kept, and repeating the command tries the failed ones again.
    """
    from infoplane.analysis.training import JSON_NAME, TABLE_NAME
    from infoplane.analysis.training import trace as run
    from infoplane.models import find_checkpoints, read_table
    from infoplane.report.training import write_run_report

    folder = reach_location(out or Path(f"infoplane-trace-{short(model)}"), "--out", writes=False)
    check_kind(folder, JSON_NAME)
    table = read_table(steps) if steps else None
    there = set() if force else measured_before(folder / JSON_NAME, "points")
    before = (folder / JSON_NAME).read_bytes() if there else b""
    asked = {checkpoint.name for checkpoint in find_checkpoints(model, settings.revisions, table)} if there else set()
    nothing_left = there and asked <= there and (folder / "report.html").exists()
    if there & asked and not nothing_left:
        tell(f"Resuming {folder}: {len(there & asked)} of {len(asked)} checkpoints are measured already")
    with bars() as progress, using(work.engine, work.workers, work.gpus_per_worker, tell) as running:
        quiet()
        trajectory = run(
            model,
            source.text,
            settings,
            out=folder,
            preferences=source.preferences,
            table=table,
            force=force,
            work=without_engine(work),
            engine=running,
            progress=progress,
        )
    if as_json:
        say((folder / JSON_NAME).read_text("utf-8").rstrip(), lines=True)
    else:
        _summary(trajectory)
    if nothing_left and before == (folder / JSON_NAME).read_bytes():
        say(done(folder), err=as_json)
    else:
        page = write_run_report(trajectory, folder)[0]
        say(wrote(folder, (folder / JSON_NAME, folder / TABLE_NAME, page)), err=as_json)
    if failed := [point.name for point in trajectory.points if point.measurement is None]:
        names = ", ".join(failed)
        say(
            f"infoplane: {len(failed)} of {len(trajectory.points)} checkpoints could not be measured: {names}", err=True
        )
        raise typer.Exit(1)


def _summary(trajectory: Trajectory) -> None:
    from rich.table import Table

    from infoplane.analysis.training import REFITTED
    from infoplane.report.parts import words

    order = min(trajectory.provenance["settings"]["orders"])
    shown = Table(title=f"Whole model, order {order} (± 95 %)")
    names = ("complexity", "expressivity", "optimality", "loss")
    for name in ("checkpoint", "step", *names, ""):
        shown.add_column(name, justify="left" if name in ("checkpoint", "") else "right")
    for point in trajectory.points:
        found = dict[str, str]()
        for row in () if point.measurement is None else point.measurement.select(layer="model"):
            if row.order in (None, order) and row.position_set in (None, f"P_{order}"):
                found.setdefault(row.quantity, words.spoken(row, with_unit=False))
        cells = (found.get(name, "") for name in names)
        shown.add_row(point.name, f"{point.step:,}", *cells, "!" if point.problem else "")
    shell = console()
    shell.print(shown)
    for point in trajectory.points:
        if point.problem:
            shell.print(f"Note: {point.name}: {point.problem}")
    if far := [p.name for p in trajectory.measured if p.measurement is not None and REFITTED in p.measurement.codes]:
        shell.print(
            f"Note: the code of the run is of other states than those of {', '.join(far)}, and sees little there: they "
            "were measured with a code of their own too (rows of the code refitted)"
        )
    for a, b in trajectory.provenance["gaps"]:
        shell.print(f"Note: no checkpoint between steps {a:,} and {b:,}, where some seem to be missing")
