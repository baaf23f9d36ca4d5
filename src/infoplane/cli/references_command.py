"""`infoplane references`: the models that stand beside one that is measured, on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.terminal import named_source, say
from infoplane.errors import ResultError, SettingError
from infoplane.storage import reach_location

if TYPE_CHECKING:
    from infoplane.analysis.references import Reference
    from infoplane.measurement import Measurement


def references(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Folders of measurements or surveys to add; without any, known models are listed.",
        ),
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="List which models are shown with this measurement, and why others are not.")
    ] = None,
    remove: Annotated[str | None, typer.Option(help="Remove a model that you added.", rich_help_panel=o.OUT)] = None,
    force: Annotated[
        bool, typer.Option(help="Replace an added model of the same name.", rich_help_panel=o.OUT)
    ] = False,
) -> None:
    """List or add reference models, which are marked on the plane of measurements made alike on the same text.

    Some come with infoplane. To add your own, run `infoplane references NAME=FOLDER`.
    """
    from infoplane.analysis.references import remove_reference

    asked = [what for what, given in (("RUN", sources), ("--beside", beside), ("--remove", remove)) if given]
    if len(asked) > 1:
        raise SettingError(f"{asked[0]} and {asked[1]} are two requests: give one at a time")
    if remove is not None:
        say(f"Removed {remove_reference(remove)}")
    elif sources:
        _add(list(_named(sources)), force)
    elif force:
        raise SettingError("--force is for a measurement that is added: name its folder")
    else:
        _list(beside)


def _add(named: list[tuple[str, Measurement]], force: bool) -> None:
    from infoplane.analysis.references import Reference, add_references

    made = [Reference.of(measurement, name) for name, measurement in named]
    for reference, path in zip(made, add_references(made, force), strict=True):
        say(f"Added {reference.name}: {path}")


def _named(sources: list[str]) -> Iterator[tuple[str, Measurement]]:
    from infoplane.analysis.surveys import JSON_NAME, Survey
    from infoplane.measurement import Measurement

    for source in sources:
        name, folder = named_source(source)
        if folder.name != JSON_NAME and not (folder / JSON_NAME).is_file():
            yield name.removeprefix("infoplane-"), Measurement.load(folder)
            continue
        if source.startswith(f"{name}="):
            raise SettingError(f"{folder} is a survey, whose models have names: leave out {name}=")
        measured = [(model.name, model.measurement) for model in Survey.load(folder).measured]
        if not measured:
            raise ResultError(f"{folder} is a survey that has measured no model yet: nothing can be added")
        for model, measurement in measured:
            if measurement is not None:
                yield model, measurement


def _list(beside: Path | None) -> None:
    from rich.table import Table

    from infoplane.analysis.references import known_references
    from infoplane.cli.terminal import console
    from infoplane.measurement import Measurement

    measurement = None if beside is None else Measurement.load(reach_location(beside, "--beside", writes=False))
    found, unreadable = known_references()
    table = Table(box=None, pad_edge=False)
    for column in ("model", "text", "tokens", "complexity", "expressivity", "from"):
        table.add_column(column, justify="right" if column in ("tokens", "complexity", "expressivity") else "left")
    if measurement is not None:
        table.add_column("stands beside it")
    for reference in found:
        table.add_row(*_cells(reference, measurement))
    console().print(table)
    for reason in unreadable:
        say(f"Left out: {reason}", err=True)


def _cells(reference: Reference, measurement: Measurement | None) -> list[str]:
    origin = reference.origin
    cells = [reference.name, origin.text.source or "", f"{origin.windows.token_budget or 0:,}"]
    for quantity in ("complexity", "expressivity"):
        row = next(
            iter(reference.measurement.select(quantity=quantity, order=min(origin.settings.orders, default=1))), None
        )
        shown = "" if row is None else f"{row.value:.3f} {row.unit}"
        cells.append(f"{100 * row.value:.2f} %" if row is not None and row.unit == "efficiency" else shown)
    cells.append("infoplane" if reference.shipped else "you")
    if measurement is not None:
        same = "it is this model" if reference.is_of(measurement) else None
        why = same or reference.why_apart(measurement)
        cells.append("yes" if why is None else f"no: {why}")
    return cells
