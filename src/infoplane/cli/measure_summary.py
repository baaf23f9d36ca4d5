"""What `infoplane measure` prints of a measurement: the figures of the whole model, and what to know of them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from infoplane.cli import preferences as pairs
from infoplane.cli.speech import VERBOSE, Speech
from infoplane.cli.terminal import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from infoplane.measurement import Estimate, Measurement


_NOTES = 3
"""So many caveats that do not touch the answer are printed; of more, how many there are."""


def show(measurement: Measurement, twin: Measurement | None = None) -> None:
    """The answer, the figures of the whole model, and what puts them in doubt; by `--verbose` every figure."""
    from infoplane.report.measurement import said_of

    answer, caveats = said_of(measurement, twin)
    shell = console(100)
    for sentence in answer:  # rich would break a line between a number and its unit
        for line in textwrap.wrap(sentence, min(shell.width, 100)):
            shell.print(line, highlight=False, soft_wrap=True)
    if Speech.level == VERBOSE:
        _every_figure(measurement)
        return
    for each in measurement.by_code():
        shell.print(_short_table(each, len(measurement.codes) > 1), highlight=False)
    pairs.show(measurement)
    if (dtype := measurement.origin.dtype) is not None:
        shell.print(f"The model ran in {dtype}.", highlight=False)
    for caveat in (caveat for caveat in caveats if caveat.doubtful):
        shell.print(f"In doubt: {caveat.text}", highlight=False)
    notes = [caveat.text for caveat in caveats if not caveat.doubtful]
    if len(notes) <= _NOTES:
        for note in notes:
            shell.print(f"Note: {note}", highlight=False)
    else:
        shell.print(f"{len(notes)} caveats do not touch these figures: see the report, or --verbose.", highlight=False)


def _short_table(measurement: Measurement, several: bool) -> Table:
    """Of each quantity its figure for each order, with half of the 95 % interval."""
    from rich.table import Table

    from infoplane.report.parts import words

    origin = measurement.origin.settings
    corrected = origin.estimators[0] if origin.estimators else None
    rows = [row for row in measurement.select(layer="model") if row.estimator in (corrected, None)]
    rows = [row for row in rows if row.weight in (*origin.weights[:1], None)]
    sets = [*(f"P_{k}" for k in origin.orders), *origin.text_labels]
    shown = Table(box=None, pad_edge=False)
    shown.add_column(f"code {measurement.codes[0]}" if several else "")
    for name in sets:
        shown.add_column(f"order {name.removeprefix('P_')}" if name.startswith("P_") else name, justify="right")
    for quantity in ("complexity", "expressivity", "optimality", "ceiling"):
        of = sets[:1] if quantity == "ceiling" else sets
        cells = [next((words.spoken(row) for row in rows if _is_of(row, quantity, name)), "") for name in of]
        if any(cells):
            shown.add_row(quantity, *cells)
    for quantity in ("loss", "bits_per_byte"):
        row = next((row for row in rows if row.quantity == quantity), None)
        if row is not None and sets:
            shown.add_row(quantity.replace("_", " "), words.spoken(row))
    return shown


def _is_of(row: Estimate, quantity: str, position_set: str) -> bool:
    own = position_set.removeprefix("P_")
    return (
        row.quantity == quantity
        and row.position_set == position_set
        and (row.order is None or not position_set.startswith("P_") or str(row.order) == own)
    )


def _every_figure(measurement: Measurement) -> None:
    shell = console(140)
    unit, marks = measurement.provenance["settings"]["unit"], list[str]()
    by_code = measurement.by_code()
    for each in by_code:
        code = f", code {each.codes[0]}" if len(by_code) > 1 else ""
        shell.print(_table(each, f"Whole model{code} ({unit})", marks))
    pairs.show(measurement)
    for mark in dict.fromkeys(marks):
        shell.print(mark)
    for warning in measurement.provenance["warnings"]:
        shell.print(f"Note: {warning}")
    if measurement.select(quantity="gap"):
        shell.print("The frontier of the text, and the model's place against it, are in the report.")


def _table(measurement: Measurement, title: str, marks: list[str]) -> Table:
    """The figures of a code; why some are marked is added to `marks`."""
    from rich.table import Table

    settings, of_text = measurement.provenance["settings"], measurement.provenance["settings"].get("text_labels") or ()
    rows = [
        row
        for row in measurement.select(layer="model")
        if row.position_set in (None, f"P_{row.order or 1}", *of_text) or row.quantity == "information"
        if row.quantity not in ("share", "mean_ratio_optimality")
    ]
    called = measurement.origin.settings.spoken
    texts: dict[str, Callable[[Estimate], str]] = {
        "quantity": lambda row: row.quantity,
        "side": lambda row: row.side or "",
        "order": lambda row: str(row.order or "") if row.position_set not in of_text else "",
        **({"labels": lambda row: str(row.position_set) if row.position_set in of_text else ""} if of_text else {}),
        **({"weights": lambda row: row.weight or ""} if len(settings["weights"]) > 1 else {}),
        "estimator": lambda row: called(row.estimator) or "",
    }
    figures: dict[str, Callable[[Estimate], float | None]] = {
        "value": lambda row: row.value,
        "± 95 %": lambda row: (row.interval[1] - row.interval[0]) / 2 if row.interval else None,
        **({"SE, points": lambda row: row.points_error} if any(r.points_error is not None for r in rows) else {}),
        "permuted": lambda row: row.control_permuted,
        "shifted": lambda row: row.control_shifted,
        "halved": lambda row: row.control_halved,
    }
    shown = Table(title=title, title_justify="left")
    for name in (*texts, *figures, ""):
        shown.add_column(name, justify="right" if name in figures or name == "order" else "left")
    marked: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row.warning:
            which = str(row.position_set) if row.position_set in of_text else f"order {row.order}"
            of = marked.setdefault((called(row.estimator) or "", row.warning), {})
            of[which if row.order else row.quantity] = None
        cells = ("" if (value := number(row)) is None else f"{value:.4f}" for number in figures.values())
        shown.add_row(*(text(row) for text in texts.values()), *cells, "!" if row.warning else "")
    marks += [f"! {estimator} ({', '.join(orders)}): {warning}" for (estimator, warning), orders in marked.items()]
    return shown
