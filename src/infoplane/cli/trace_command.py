"""`infoplane trace`: the checkpoints of a training run on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infoplane.cli import options as o
from infoplane.cli.repeated import done
from infoplane.cli.terminal import bars, console, numbers, quiet, say, short, tell, words
from infoplane.engines import using
from infoplane.storage import check_kind, parse_json, reach_location

if TYPE_CHECKING:
    from infoplane.analysis.training import Trajectory


def trace(
    model: Annotated[str, typer.Argument(help="A folder that holds checkpoint folders, or a hub id.")],
    revisions: Annotated[
        str | None,
        typer.Option(
            help="Which checkpoints: names, globs (step*000) and ranges of steps (1000..143000), comma-separated; "
            "all that tell a step by default.",
            rich_help_panel="Run",
        ),
    ] = None,
    steps: Annotated[
        Path | None,
        typer.Option(help="CSV with name,step,tokens for names that tell no step.", rich_help_panel="Run"),
    ] = None,
    text: o.Text = "c4-sample",
    tokens: o.Tokens = 16_384,
    context: o.Context = 512,
    seed: o.Seed = 0,
    column: o.Column = None,
    split: o.Split = "train",
    config: o.Config = None,
    limit: o.Limit = None,
    add_bos: o.AddBos = None,
    tokenizer: o.Tokenizer = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    device_map: o.DeviceMap = None,
    layers: o.Layers = None,
    batch: o.Batch = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    points: o.PointCount = 100,
    points_seed: o.PointsSeed = 0,
    orders: o.Orders = "1,2",
    with_bound: o.Bounded = False,
    estimator: o.Estimator = "corrected,plugin",
    unit: o.Unit = "efficiency",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder or address of the results; infoplane-trace-MODEL by default.", rich_help_panel=o.OUT),
    ] = None,
    keep_captures: Annotated[bool, typer.Option(help="Keep each checkpoint's capture.", rich_help_panel=o.OUT)] = False,
    engine: o.Engine = "local",
    workers: o.Workers = None,
    gpus_per_worker: o.GpusPerWorker = None,
    memory: o.Memory = None,
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite a finished trace.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Measure a model at many checkpoints of its training, on the same text: does it fit, does it compress?

    Writes trajectory.json, trajectory.parquet, report.html, figures/ and one measurement a checkpoint to --out. An
    interrupted command goes on where it stopped when it is repeated. Exit status 1 where some checkpoints could not be
    measured: the others stand, and a repeated command tries those again.
    """
    from infoplane.analysis.training import JSON_NAME, TABLE_NAME
    from infoplane.analysis.training import trace as run
    from infoplane.models import find_checkpoints, read_table
    from infoplane.report.training import write_run_report
    from infoplane.text import read_text

    folder = reach_location(out or Path(f"infoplane-trace-{short(model)}"), "--out", writes=False)
    check_kind(folder, JSON_NAME)
    table = read_table(steps) if steps else None
    there = _measured(folder / JSON_NAME) if not force and (folder / "report.html").exists() else set()
    before = (folder / JSON_NAME).read_bytes() if there else b""
    nothing_left = there and {checkpoint.name for checkpoint in find_checkpoints(model, revisions, table)} <= there
    with bars() as progress, using(engine, workers, gpus_per_worker, tell) as running:
        quiet()
        documents = read_text(text, column=column, split=split, config=config, limit=limit, seed=seed)
        more: dict[str, Any] = {"device_map": device_map} if device_map else {}
        found = run(
            model, documents, out=folder, revisions=revisions, table=table, tokens=tokens, context=context, seed=seed,
            orders=numbers(orders), estimators=words(estimator), unit=unit, m=points, points_seed=points_seed,
            layers=words(layers) if layers else None, windows={"add_bos": add_bos}, keep_captures=keep_captures,
            bound=with_bound, engine=running, memory=memory, batch=batch, progress=progress, tokenizer=tokenizer,
            dtype=dtype, device=device, force=force,
            trust_remote_code=trust_remote_code, allow_pickle=allow_pickle, **more,
        )  # fmt: skip
    if as_json:
        say((folder / JSON_NAME).read_text("utf-8").rstrip(), lines=True)
    else:
        _summary(found)
    if nothing_left and before == (folder / JSON_NAME).read_bytes():
        say(done(folder), err=as_json)
    else:
        page = write_run_report(found, folder)[0]
        for path in (folder / JSON_NAME, folder / TABLE_NAME, page):
            say(f"Wrote {path}", err=as_json)
    if failed := [point.name for point in found.points if point.measurement is None]:
        names = ", ".join(failed)
        say(f"infoplane: {len(failed)} of {len(found.points)} checkpoints could not be measured: {names}", err=True)
        raise typer.Exit(1)


def _measured(path: Path) -> set[str]:
    """The checkpoints that a stored trace has measured; where some are missing it is gone on with."""
    try:
        return {p["name"] for p in parse_json(path.read_text("utf-8"))["points"] if p["measurement"] is not None}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _summary(found: Trajectory) -> None:
    from rich.table import Table

    unit = found.provenance["settings"]["unit"]
    order = min(found.provenance["settings"]["orders"])
    shown = Table(title=f"Whole model, order {order} ({unit})")
    for name in ("checkpoint", "step", "complexity", "± 95 %", "expressivity", "± 95 %", "optimality", "loss", ""):
        shown.add_column(name, justify="left" if name in ("checkpoint", "") else "right")
    for point in found.points:
        cells: list[str] = []
        for quantity in ("complexity", "expressivity", "optimality", "loss"):
            if point.measurement is None:
                cells += ["", ""] if quantity in ("complexity", "expressivity") else [""]
                continue
            fields = {} if quantity == "loss" else {"order": order}
            rows = point.measurement.select(quantity=quantity, layer="model", **fields)
            rows = tuple(r for r in rows if r.position_set in (None, f"P_{order}"))
            cells.append(f"{rows[0].value:.4f}" if rows else "")
            if quantity in ("complexity", "expressivity"):
                half = (rows[0].interval[1] - rows[0].interval[0]) / 2 if rows and rows[0].interval else None
                cells.append("" if half is None else f"{half:.4f}")
        shown.add_row(point.name, f"{point.step:,}", *cells, "!" if point.problem else "")
    shell = console()
    shell.print(shown)
    for point in found.points:
        if point.problem:
            shell.print(f"Note: {point.name}: {point.problem}")
    for a, b in found.provenance["gaps"]:
        shell.print(f"Note: no checkpoint between steps {a:,} and {b:,}, where some seem to be missing")
