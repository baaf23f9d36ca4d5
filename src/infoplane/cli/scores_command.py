"""`infoplane scores`: benchmark scores, published or of the user's own files, on the command line."""

from __future__ import annotations

import fnmatch
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
            help="A published table, a results_*.json of lm-eval, a folder of them, or a .csv. Left out: the published "
            "tables are listed.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="One model, or a glob.", rich_help_panel=o.ASK)] = None,
    task: Annotated[
        str | None, typer.Option(help="A glob of tasks or task:metric, such as 'arc_*'.", rich_help_panel=o.ASK)
    ] = None,
    facts: Annotated[
        bool,
        typer.Option("--facts", help="Of a published table: parameters, tokens, family.", rich_help_panel=o.ASK),
    ] = False,
    percent: Annotated[
        bool, typer.Option("--percent", help="Accuracies in the file are per cent.", rich_help_panel=o.ASK)
    ] = False,
    latest: Annotated[
        bool,
        typer.Option("--latest", help="Of several files for one model and task, the newest.", rich_help_panel=o.ASK),
    ] = False,
    model_name: Annotated[
        str | None, typer.Option(help="The model, for a file that does not name it.", rich_help_panel=o.ASK)
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="table, csv or json; by the ending of --out, else table.", rich_help_panel=o.OUT),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write to, .csv or .json.", rich_help_panel=o.OUT)] = None,
    force: Annotated[bool, typer.Option(help="Overwrite it.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Show or export benchmark scores: those that come with infoplane, or result files of lm-eval and CSV tables."""
    from infoplane.analysis.scores import TABLES, find_scores, scores_from
    from infoplane.analysis.scores import model_facts as facts_of

    out = None if out is None else to_path(out)
    form = _format(form, out)
    if out is not None and out.exists() and not force:
        raise ResultError(f"{out} exists: choose another --out, or --force to overwrite it")
    if source is None:
        for name, value in {"model": model, "task": task, "out": out, "facts": facts or None}.items():
            if value is not None:
                raise SettingError(f"--{name} asks something of a table: name one of {', '.join(TABLES)}, or a file")
        _list_tables(form)
        return
    if facts:
        if task is not None:
            raise SettingError("--facts are of models, not of tasks: leave out --task")
        if source not in TABLES:
            raise SettingError(f"--facts are told by published tables, and {source!r} is none: {', '.join(TABLES)}")
        told = facts_of(source)
        table, warnings = told.table, told.warnings
        if model is not None:
            names = table["model"].to_list()
            chosen = fnmatch.filter(names, model) if _is_glob(model) else [find_scores(model, names)]
            table = table.filter(table["model"].is_in(chosen))
        title = f"What {source} tells of {_count(table.height, 'model')}"
    else:
        found = scores_from(source, percent=percent, latest=latest, model=model_name)
        more: tuple[str, ...] = ()
        if model is not None and _is_glob(model):
            found = found.like(model=model)
        elif model is not None:
            name = find_scores(model, found.models)
            more = (f"{model} was taken for {name}",) if name != model else ()
            found = found.lookup(name)
        if task is not None:
            found = found.like(task=task)
        table, warnings = found.table, more + found.warnings
        title = f"{_count(len(found), 'score')} of {_count(len(found.models), 'model')}, from {source}"
    _give(table, warnings, form, out, title)


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


def _list_tables(form: str) -> None:
    from infoplane.analysis.scores import TABLES, published

    if form == "csv":
        raise SettingError("the list of tables is shown, or printed with --format json; name a table for its scores")
    about: list[dict[str, Any]] = []
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


def _give(table: pl.DataFrame, warnings: tuple[str, ...], form: str, out: Path | None, title: str) -> None:
    for warning in warnings if form != "json" else ():
        say(f"Note: {warning}", err=form == "csv" or out is not None)
    if form == "table":
        _draw(table, title)
        return
    from infoplane.storage import csv_text

    text = csv_text(table)
    if form == "json":
        record = {"rows": table.to_dicts(), "warnings": list(warnings)}
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if out is None:
        typer.echo(safe(text) if sys.stdout.isatty() else text, nl=False)
        return
    files.write_text(out, text)
    say(f"Wrote {out}")


def _draw(table: pl.DataFrame, title: str) -> None:
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    told = [name for name in table.columns if table[name].null_count() < table.height and name != "source"]
    for name in told:
        shown.add_column(name, justify="right" if table[name].dtype.is_numeric() else "left", overflow="fold")
    for row in table.select(told).head(SHOWN).iter_rows():
        shown.add_row(*("" if c is None else f"{c:.4g}" if isinstance(c, float) else str(c) for c in row))
    shell = console(140)
    shell.print(shown)
    if table.height > SHOWN:
        shell.print(f"{table.height - SHOWN:,} more rows: narrow with --model and --task, or export with --format csv")
