"""`infoplane compare`: several measured models in one table and one plane, on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.repeated import check_new, done
from infoplane.cli.terminal import console, named_source, pair, say, wrote
from infoplane.errors import SettingError
from infoplane.storage import check_kind, reach_location

if TYPE_CHECKING:
    from infoplane.analysis.comparison import Comparison
    from infoplane.measurement import Member


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Folders of measurements, as FOLDER or NAME=FOLDER, or of surveys."),
    ],
    family: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FAMILY: family of a model whose name does not show it.", rich_help_panel=o.CHOICE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder or address for the results; infoplane-comparison by default.", rich_help_panel=o.OUT),
    ] = None,
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite an existing comparison.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Test whether a variant differs from its base, and in which layers; or show several models in one plane.

    `infoplane compare BASE VARIANT...` tests each variant against the base, the first run named, layer by layer and by
    the loss (measure both with --loss). Both must have read the same text with the same tokenizer.

    With different tokenizers, only labels of the text compare (`infoplane measure --text-labels word --bytes N`); the
    table says which figures compare. Writes comparison.json, comparison.parquet, report.html and figures/ to --out;
    with --json and no --out, only prints the result.
    """
    from infoplane.analysis.comparison import JSON_NAME
    from infoplane.analysis.comparison import compare as put_together

    folder = reach_location(out or Path("infoplane-comparison"), "--out")
    writes = out is not None or not as_json
    if writes:
        check_kind(folder, JSON_NAME)
    comparison = put_together(_members(sources, family or []))
    if writes and check_new(folder, JSON_NAME, force, comparison.to_dict()):
        if not as_json:
            _show(comparison)
        say(done(folder), err=as_json)
    elif writes:
        from infoplane.report.comparison import write_comparison_report

        page = write_comparison_report(comparison, folder)[0]
        written = [*comparison.save(folder), page]
        if not as_json:
            _show(comparison)
        say(wrote(folder, written), err=as_json)
    if as_json:
        say(json.dumps(comparison.to_dict(), indent=1, ensure_ascii=False, allow_nan=False), lines=True)


def _members(sources: list[str], families: list[str]) -> list[Member]:
    from infoplane.analysis.scores import family_of
    from infoplane.analysis.surveys import JSON_NAME as SURVEY_NAME
    from infoplane.analysis.surveys import Survey
    from infoplane.measurement import Measurement, Member

    family_of_name = dict(pair(text, "--family", "NAME=FAMILY") for text in families)
    members = []
    for name, path in map(named_source, sources):
        if path.name == SURVEY_NAME or (path / SURVEY_NAME).is_file():
            for m in Survey.load(path).members():
                source = str(m.measurement.origin.model.source)
                members.append(replace(m, family=family_of_name.pop(m.name, None) or m.family or family_of(source)))
            continue
        measurement = Measurement.load(path)
        source = str(measurement.origin.model.source)
        members.append(Member(name, family_of_name.pop(name, None) or family_of(source), measurement))
    if family_of_name:
        names = ", ".join(m.name for m in members)
        raise SettingError(f"--family {next(iter(family_of_name))}: no measurement has that name; there are {names}")
    return members


def _show(comparison: Comparison) -> None:
    from rich.table import Table

    from infoplane.analysis.comparison import SHOWN
    from infoplane.report.comparison import figure_text, spoken_comparison, subject
    from infoplane.report.parts import words
    from infoplane.uncertainty import MIN_DOCUMENTS

    shell = console(140)
    for sentence in spoken_comparison(comparison):
        shell.print(sentence, highlight=False)
    for name, why in comparison.apart.items():
        shell.print(f"{name} is left out: {why}", highlight=False)
    by = {(r["name"], r["position_set"], r["quantity"]): r for r in comparison.values.to_dicts()}
    for position_set, (fair, why) in sorted(comparison.fairness.items(), key=lambda item: not item[1][0]):
        title = f"About {subject(position_set)}: {'' if fair else 'these figures do not compare: '}{why}"
        shell.print(title, highlight=False)
        shown = Table()
        quantities = [q for q in SHOWN if any((n, position_set, q) in by for n in comparison.names)]
        units = {q: row["unit"] for (_, s, q), row in by.items() if s == position_set}
        for column in ("model", "family", "parameters", *(words.column_title(q, units[q]) for q in quantities)):
            shown.add_column(column, justify="left" if column in ("model", "family") else "right")
        for m in comparison.members.to_dicts():
            cells = [m["name"], m["family"] or "", words.amount(m["parameters"]) if m["parameters"] else ""]
            shown.add_row(*cells, *(figure_text(by.get((m["name"], position_set, q))) for q in quantities))
        shell.print(shown)
    every = comparison.differences
    known = every.filter(every["standard_error"].is_not_null()) if len(every) else every
    claimed = known.filter(known["claimed"]) if len(known) else known
    if len(known):
        shell.print(f"{len(claimed)} of {len(known)} differences from {comparison.names[0]} are beyond their error.")
    elif not len(every):
        shell.print("No figures compare, so no difference is taken.")
    if unknown := len(every) - len(known):
        shell.print(
            f"{unknown} of {len(every)} differences cannot be judged: their error is not known, because fewer than "
            f"{MIN_DOCUMENTS} documents were read. Measure more text (--tokens)."
        )
    for warning in comparison.warnings:
        shell.print(f"Note: {warning}", highlight=False)
