"""`infoplane scores`: benchmark scores, published or of the user's own files, on the command line."""

from __future__ import annotations

import fnmatch
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from infoplane.cli import options as o
from infoplane.cli.terminal import console, safe, say
from infoplane.errors import ResultError, SettingError
from infoplane.storage import atomic_files as files
from infoplane.storage import to_path

if TYPE_CHECKING:
    import polars as pl


FORMATS = ("table", "csv", "json")
SHOWN = 40


def scores(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE|FILE",
            help="A published table, an lm-eval result file (results_*.json), a folder of them, or a .csv or .tsv "
            "table.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this model, or models that match a glob.", rich_help_panel=o.CHOICE)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Only tasks, or task:metric, that match a glob such as 'arc_*'.", rich_help_panel=o.CHOICE),
    ] = None,
    facts: Annotated[
        bool,
        typer.Option(
            "--facts",
            help="Show facts about the models of a published table, such as parameters, training tokens and family.",
            rich_help_panel=o.CHOICE,
        ),
    ] = False,
    percent: Annotated[
        bool, typer.Option("--percent", help="Accuracies in the file are percentages.", rich_help_panel=o.CHOICE)
    ] = False,
    latest: Annotated[
        bool,
        typer.Option(
            "--latest",
            help="Use the newest of several result files for the same model and task.",
            rich_help_panel=o.CHOICE,
        ),
    ] = False,
    model_name: Annotated[
        str | None, typer.Option(help="Name of the model, for files that do not contain it.", rich_help_panel=o.CHOICE)
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="table, csv or json; by default according to the suffix of --out, or table without --out.",
            rich_help_panel=o.OUT,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write, .csv or .json.", rich_help_panel=o.OUT)] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Show or export benchmark scores: published tables that come with infoplane, lm-eval result files, CSV tables.

    If none is named, lists the published tables with their sources and licences.
    """
    out = None if out is None else to_path(out)
    form = _format(form, out)
    if out is not None and out.exists() and not force:
        raise ResultError(f"{out} exists: choose another --out, or --force to overwrite it")
    if source is None:
        _refuse_without_table(model=model, task=task, out=out, facts=facts or None)
        _list_tables(form)
        return
    if facts:
        _give(_facts(source, model, task), form, out)
    else:
        _give(_scores(source, model, task, percent=percent, latest=latest, model_name=model_name), form, out)


@dataclass(frozen=True)
class _Shown:
    """A table to be shown or written, with its title and what to know of it."""

    table: pl.DataFrame
    warnings: tuple[str, ...]
    title: str


def _refuse_without_table(**given: object) -> None:
    from infoplane.analysis.scores import TABLES

    for name, value in given.items():
        if value is not None:
            raise SettingError(f"--{name} asks something of a table: name one of {', '.join(TABLES)}, or a file")


def _facts(source: str, model: str | None, task: str | None) -> _Shown:
    """What a published table tells of its models."""
    from infoplane.analysis.scores import TABLES, find_scores, model_facts

    if task is not None:
        raise SettingError("--facts are of models, not of tasks: leave out --task")
    if source not in TABLES:
        raise SettingError(f"--facts are told by published tables, and {source!r} is none: {', '.join(TABLES)}")
    facts = model_facts(source)
    table = facts.table
    if model is not None:
        names = table["model"].to_list()
        chosen = fnmatch.filter(names, model) if _is_glob(model) else [find_scores(model, names)]
        table = table.filter(table["model"].is_in(chosen))
    return _Shown(table, facts.warnings, f"What {source} tells of {_count(table.height, 'model')}")


def _scores(
    source: str, model: str | None, task: str | None, *, percent: bool, latest: bool, model_name: str | None
) -> _Shown:
    """The scores of a table or of files, of some models and tasks."""
    from infoplane.analysis.scores import find_scores, scores_from

    scores = scores_from(source, percent=percent, latest=latest, model=model_name)
    renamed: tuple[str, ...] = ()
    if model is not None and _is_glob(model):
        scores = scores.like(model=model)
    elif model is not None:
        name = find_scores(model, scores.models)
        renamed = (f"{model} was taken for {name}",) if name != model else ()
        scores = scores.lookup(name)
    if task is not None:
        scores = scores.like(task=task)
    title = f"{_count(len(scores), 'score')} of {_count(len(scores.models), 'model')}, from {source}"
    return _Shown(scores.table, renamed + scores.warnings, title)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _format(form: str | None, out: Path | None) -> str:
    form = form or (out.suffix.lower().removeprefix(".") if out is not None else "table")
    if form not in FORMATS or (out is not None and form == "table"):
        wanted = "csv or json" if out is not None else ", ".join(FORMATS)
        raise SettingError(f"format {form!r}: expected {wanted}" + (", or a name that ends so" if out else ""))
    return form


def _is_glob(text: str) -> bool:
    return any(c in text for c in "*?[")


class _About(TypedDict):
    """What is said of a published table."""

    name: str
    title: str
    scores: int
    models: int
    tasks: list[str]
    source: str
    licence: str
    note: str
    left_out: list[str]
    warnings: list[str]


def _list_tables(form: str) -> None:
    from infoplane.analysis.scores import TABLES, published

    if form == "csv":
        raise SettingError("the list of tables is shown, or printed with --format json; name a table for its scores")
    about: list[_About] = []
    for table in TABLES.values():
        its = published(table.name)
        about.append(
            {
                "name": table.name,
                "title": table.title,
                "scores": len(its),
                "models": len(its.models),
                "tasks": list(its.tasks),
                "source": table.source,
                "licence": table.licence,
                "note": table.note,
                "left_out": list(table.left_out),
                "warnings": list(its.warnings),
            }
        )
    if form == "json":
        say(json.dumps({"tables": about}, indent=1, ensure_ascii=False), lines=True)
        return
    for row in about:
        say(f"{row['name']}: {row['title']}")
        say(f"  {row['scores']:,} scores of {row['models']:,} models: {', '.join(row['tasks'])}")
        say(f"  source: {row['source']}; licence: {row['licence']}")
        say(f"  {row['note']}")
        if row["left_out"]:
            say(f"  left out, twice there with other scores: {', '.join(row['left_out'])}")
        for warning in row["warnings"]:
            say(f"  Note: {warning}")


def _give(shown: _Shown, form: str, out: Path | None) -> None:
    for warning in shown.warnings if form != "json" else ():
        say(f"Note: {warning}", err=form == "csv" or out is not None)
    if form == "table":
        _draw(shown.table, shown.title)
        return
    from infoplane.storage import csv_text

    text = csv_text(shown.table)
    if form == "json":
        record = {"rows": shown.table.to_dicts(), "warnings": list(shown.warnings)}
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if out is None:
        typer.echo(safe(text) if sys.stdout.isatty() else text, nl=False)
        return
    files.write_text(out, text)
    say(f"Wrote {out}")


def _draw(table: pl.DataFrame, title: str) -> None:
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    filled = [name for name in table.columns if table[name].null_count() < table.height and name != "source"]
    for name in filled:
        shown.add_column(name, justify="right" if table[name].dtype.is_numeric() else "left", overflow="fold")
    for row in table.select(filled).head(SHOWN).iter_rows():
        shown.add_row(*("" if c is None else f"{c:.4g}" if isinstance(c, float) else str(c) for c in row))
    shell = console(140)
    shell.print(shown)
    if table.height > SHOWN:
        shell.print(f"{table.height - SHOWN:,} more rows: narrow with --model and --task, or export with --format csv")
