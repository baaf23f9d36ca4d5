"""`infoplane survey`: many models on the same text, on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infoplane.analysis.surveys import RunSettings
from infoplane.cli import options as o
from infoplane.cli.repeated import done, measured_before
from infoplane.cli.settings_options import with_settings, without_engine
from infoplane.cli.terminal import amount_of, bars, console, quiet, say, short, tell, wrote
from infoplane.engines import using
from infoplane.errors import SettingError
from infoplane.storage import reach_location

if TYPE_CHECKING:
    from infoplane.analysis.surveys import Cost, Entry, Survey
    from infoplane.text import Text


@with_settings
def survey(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SURVEY", help="A survey file (TOML), or open-families, a list that comes with infoplane."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder or address for the results; infoplane-survey-NAME by default.", rich_help_panel=o.OUT
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these models: globs of ids, folder names or families, comma-separated or repeated.",
            rich_help_panel="Survey",
        ),
    ] = None,
    up_to: Annotated[
        str | None,
        typer.Option(
            help="Only models with at most this many billion parameters.", metavar="<float>", rich_help_panel="Survey"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Estimate what the survey would cost, and stop.", rich_help_panel="Survey"),
    ] = False,
    throughput: Annotated[
        str | None,
        typer.Option(
            help="For --dry-run: assumed operations per second, such as 2e14, or h100-bf16 (the default) or cpu-core.",
            rich_help_panel="Survey",
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show",
            help="Print the file of a list that comes with infoplane, as a start for your own.",
            rich_help_panel="Survey",
        ),
    ] = False,
    *,
    work: RunSettings,
    as_json: o.AsJson = False,
    force: Annotated[
        bool, typer.Option(help="Measure again what was measured with other settings.", rich_help_panel=o.OUT)
    ] = False,
) -> None:
    """Measure every model of a list on the same text; models already measured are skipped.

    Writes one measurement per model, survey.json (what was measured, what failed and why), survey.parquet (one row per
    measured model) and survey.lock.json (revisions used) to --out. The exit status is 1 if some models failed; the
    others are kept, and repeating the command tries the failed ones again.
    """
    from infoplane.analysis.surveys import JSON_NAME, TABLE_NAME, choose, read_survey, ready_text
    from infoplane.analysis.surveys import survey as run

    if show:
        if Path(source).is_file():
            raise SettingError(
                f"{source} is a file of your own: --show prints a survey that ships, such as open-families"
            )
        say(ready_text(source).rstrip("\n"), lines=True)
        return
    most = None if up_to is None else amount_of(up_to, "--up-to")
    entries = read_survey(source)
    globs = ",".join(only) if only else None
    if dry_run:
        _dry_run(choose(entries, globs, most), throughput, as_json)
        return
    if throughput is not None:
        raise SettingError("--throughput is for --dry-run: set both")
    folder = reach_location(
        out or Path(f"infoplane-survey-{short(source).removesuffix('.toml')}"), "--out", writes=False
    )
    asked = {entry.name for entry in choose(entries, globs, most)}
    record = folder / JSON_NAME
    there = set() if force else asked & measured_before(record, "models")
    before = record.read_bytes() if there == asked else b""
    with bars() as progress, using(work.engine, work.workers, work.gpus_per_worker, tell) as running:
        quiet()
        result = run(
            entries,
            out=folder,
            only=globs,
            up_to=most,
            force=force,
            work=without_engine(work),
            engine=running,
            progress=progress,
            source=source,
            say=tell,
        )
    if as_json:
        say(record.read_text("utf-8").rstrip(), lines=True)
    else:
        _summary(result)
    if before and before == record.read_bytes():
        say(done(folder), err=as_json)
    else:
        say(wrote(folder, (record, folder / TABLE_NAME, folder / "survey.lock.json")), err=as_json)
    if failed := [model for model in result.failures if model.name in asked]:
        names = ", ".join(model.id for model in failed)
        say(f"infoplane: {len(failed)} of {len(asked)} models could not be measured: {names}", err=True)
        raise typer.Exit(1)


def _summary(result: Survey) -> None:
    from rich.table import Table

    from infoplane.analysis.scores import family_of
    from infoplane.measurement import figures_by_column
    from infoplane.report.parts import words

    orders = sorted(
        {min(one.measurement.provenance["settings"]["orders"]) for one in result.measured if one.measurement}
    )
    order = orders[0] if orders else 1
    shown = Table(title=f"Whole models, order {order} (± 95 %)", title_justify="left")
    for name in ("model", "family", "parameters", "complexity", "expressivity", "optimality", "bits/byte", ""):
        shown.add_column(name, justify="left" if name in ("model", "family", "") else "right")
    for one in result.models:
        by_name = figures_by_column(one.measurement) if one.measurement else {}
        model = one.measurement.provenance["model"] if one.measurement else {}
        names = (f"complexity_{order}", f"expressivity_{order}", f"optimality_{order}", "bits_per_byte")
        shown.add_row(
            one.id,
            one.facts.get("family") or family_of(one.id) or "",
            _spoken(model.get("parameters")),
            *("" if (row := by_name.get(name)) is None else words.spoken(row, with_unit=False) for name in names),
            "" if one.status == "measured" else one.status,
        )
    shell = console()
    shell.print(shown)
    for one in result.failures:
        shell.print(f"Note: {one.id}: {one.error}: {one.message}", highlight=False)


# ---------------------------------------------------------------------- what it would cost


def _dry_run(entries: Sequence[Entry], throughput: str | None, as_json: bool) -> None:
    from infoplane.analysis.surveys import Hub, costs, throughput_of

    value, why = throughput_of(throughput)
    hub = Hub()
    models = costs(entries, _texts(entries), value, hub)
    record = _record(models, value, why, hub.reachable)
    if as_json:
        say(json.dumps(record, indent=1, allow_nan=False), lines=True)
        return
    from rich.table import Table

    shown = Table(title=f"What {len(models)} models would cost", title_justify="left")
    for name in ("model", "parameters", "download", "tokens", "hours", "measuring h", "capture"):
        shown.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for c in models:
        shown.add_row(
            c.entry.id,
            _spoken(c.parameters) + ("" if c.told_by in ("hub", "file", None) else " *"),
            "0" if c.download == 0 else _bytes(c.download) + (" *" if c.download_is == "estimate" else ""),
            _spoken(c.tokens) + (" *" if c.tokens_are == "estimate" else ""),
            *("?" if h is None else f"{h:.2g}" for h in (c.hours, c.measuring_hours)),
            _bytes(c.capture),
        )
    t = record["total"]
    shown.add_section()
    shown.add_row(
        "total",
        _spoken(t["parameters"]),
        _bytes(t["download"]),
        _spoken(t["tokens"]),
        f"{t['hours']:.2g}",
        f"{t['measuring_hours']:.2g}",
        f"{_bytes(t['capture'])} at once",
    )
    shell = console()
    shell.print(shown)
    for note in record["notes"]:
        shell.print(f"Note: {note}", highlight=False)


def _texts(entries: Sequence[Entry]) -> dict[str, Text | None]:
    """The texts that lie on this machine; those of a hub are not fetched for an estimate."""
    from infoplane.analysis.surveys import read_entry_text, text_key
    from infoplane.text import BUILT_IN

    read: dict[str, Text] = {}
    by_name = {}
    for entry in entries:
        here = entry.settings.source.text == BUILT_IN or Path(entry.settings.source.text).is_absolute()
        key = text_key(entry)
        if here and key not in read:
            read[key] = read_entry_text(entry)
        by_name[entry.name] = read.get(key)
    return by_name


def _record(models: Sequence[Cost], value: float, why: str, reachable: bool) -> dict[str, Any]:
    from infoplane.analysis.surveys import BYTES_PER_TOKEN, CAPTURING, EACH_SET

    kept = [c.capture or 0 for c in models if c.entry.settings.keep_captures]
    passing = [c.capture or 0 for c in models if not c.entry.settings.keep_captures]
    notes = [
        f"hours are forward passes, 2 N operations a token, with the capture ({CAPTURING:.0%} more, {EACH_SET:.1%} for "
        f"each further reference set), at {value:.3g} operations a second ({why}); downloads and loading come on top",
        "measuring h: the processor's, one core, after each pass; layers are estimated from parameters",
    ]
    if any(c.told_by == "survey" or c.download_is == "estimate" or c.tokens_are == "estimate" for c in models):
        notes.append(
            f"* estimates: parameters as the survey file tells them, downloads from the bytes of a number, tokens from "
            f"{BYTES_PER_TOKEN} bytes each"
        )
    if not reachable:
        notes.append("the hub cannot be reached: no size comes from it")
    if unknown := [c.entry.id for c in models if c.parameters is None]:
        notes.append(f"not in the totals, for nothing tells their parameters (parameters_b): {', '.join(unknown)}")
    keys = ("parameters", "download", "tokens", "hours", "measuring_hours")
    return {
        "throughput": value,
        "throughput_is": why,
        "models": [
            {
                "id": c.entry.id,
                "name": c.entry.name,
                "parameters": c.parameters,
                "parameters_told_by": c.told_by,
                "download": c.download,
                "download_is": c.download_is,
                "tokens": c.tokens,
                "tokens_are": c.tokens_are,
                "hours": c.hours,
                "measuring_hours": c.measuring_hours,
                "capture": c.capture,
            }
            for c in models
        ],
        "total": {
            **{k: sum(getattr(c, k) or 0 for c in models) for k in keys},
            "capture": sum(kept) + max(passing, default=0),
        },
        "notes": notes,
    }


def _spoken(count: int | None) -> str:
    from infoplane.report.parts import words

    return "?" if count is None else words.amount(count)


def _bytes(size: int | None) -> str:
    if size is None:
        return "?"
    for unit, of in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= of:
            return f"{size / of:.3g} {unit}"
    return f"{size} B"
