"""`infoplane cases`: measurements joined to scores, the table that `infoplane forecast` reads, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.terminal import say
from infoplane.errors import ResultError, SettingError
from infoplane.storage import Json, reach_location, to_path

if TYPE_CHECKING:
    from infoplane.measurement import Measurement


def cases(
    sources: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of surveys or measurements.")],
    scores: Annotated[
        list[str],
        typer.Option("--scores", help="Published table, lm-eval result file or folder, or CSV table; can be repeated."),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="Only tasks, or task:metric, that match a glob such as 'hellaswag*'.", rich_help_panel=o.CHOICE
        ),
    ] = None,
    percent: Annotated[
        bool, typer.Option(help="Accuracies in the files are percentages.", rich_help_panel=o.CHOICE)
    ] = False,
    latest: Annotated[
        bool,
        typer.Option(
            help="Use the newest of several result files for the same model and task.", rich_help_panel=o.CHOICE
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Table to write, .csv or .parquet.", rich_help_panel=o.OUT)] = Path(
        "cases.csv"
    ),
    force: Annotated[bool, typer.Option(help="Overwrite an existing table.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Join measurements of models with their benchmark scores in one table, for `infoplane forecast`.

    Scores are matched by the name of the model. Models without scores are left out and listed, with similar names.
    """
    from infoplane.analysis.forecasting import join
    from infoplane.analysis.scores import TABLES, concat_scores, scores_from
    from infoplane.storage import atomic_files as files
    from infoplane.storage import csv_text, write_parquet

    if out.suffix not in (".csv", ".parquet"):
        raise SettingError(f"--out {out}: expected a .csv or .parquet file")
    out = to_path(out)
    reach_location(out.parent, "--out")
    if out.exists() and not force:
        raise ResultError(f"{out} exists: choose another --out, or --force to overwrite it")
    measurements, facts = _measurements(sources)
    if (percent or latest) and all(s in TABLES for s in scores):
        raise SettingError("--percent and --latest are for files, and only published tables are named: leave them out")
    # the two say how files are read; a table among them knows its own unit
    table = concat_scores(
        [scores_from(s) if s in TABLES else scores_from(s, percent=percent, latest=latest) for s in scores]
    )
    if task is not None:
        table = table.like(task=task)
    joined = join(measurements, table, told=facts)
    if out.suffix == ".csv":
        files.write_text(out, csv_text(joined.table))
    else:
        write_parquet(out, joined.table)
    for warning in (*table.warnings, *joined.notes):
        say(f"Note: {warning}", err=True)
    for unmatched in joined.unmatched:
        say(f"Left out: {unmatched}", err=True)
    models = "1 model" if joined.table.height == 1 else f"{joined.table.height} models"
    say(f"Wrote {out}: {models}, {joined.table.width} columns")


def _measurements(sources: list[Path]) -> tuple[list[Measurement], list[dict[str, Json]]]:
    """The measurements in folders, and what a survey knows of each."""
    from infoplane.analysis.surveys import JSON_NAME, Survey
    from infoplane.measurement import Measurement

    measurements: list[Measurement] = []
    facts: list[dict[str, Json]] = []
    for folder in (reach_location(source, "source", writes=False) for source in sources):
        if (folder / JSON_NAME).is_file():
            for model in Survey.load(folder).measured:
                if model.measurement is not None:
                    measurements.append(model.measurement)
                    facts.append({"model": model.id, "revision": model.revision, **model.facts})
        else:
            measurements.append(Measurement.load(folder))
            facts.append({})
    return measurements, facts
