"""`infoplane budget`: the tokens that a tighter interval needs, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.terminal import console, say, words
from infoplane.errors import SettingError


def budget(
    source: Annotated[Path, typer.Argument(metavar="RESULT", help="Folder of a measurement.")],
    se: Annotated[
        str | None,
        typer.Option(
            "--se",
            help="Standard errors to reach, in the unit of the measurement; by default 0.005,0.002,0.001 (efficiency), "
            "0.03,0.01,0.005 (bits) or 0.02,0.01,0.005 (nats). Counting the text alone, a 95 % interval is "
            "2.04 standard errors to each side.",
            rich_help_panel=o.ASK,
        ),
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Estimate from a stored measurement how many tokens a tighter interval would need. No model is needed.

    Half the standard error takes about four times the tokens; docs/findings/estimator.md shows how well this holds.
    `infoplane measure --until-se` reads until a standard error is reached.
    """
    from infoplane.measurement import WANTED, Measurement, costs, note, spoken_tokens

    measurement = Measurement.load(source)
    unit = measurement.origin.settings.unit or "efficiency"
    wanted = _errors(se) if se is not None else WANTED[unit]
    rows = costs(measurement, wanted)
    tokens, documents = measurement.provenance["tokens"], measurement.provenance.get("documents")
    if as_json:
        record = {
            "tokens": tokens,
            "documents": documents,
            "wanted": list(wanted),
            "note": note(measurement),
            "rows": [
                {
                    "quantity": c.row.quantity,
                    "order": c.row.order,
                    "estimator": c.row.estimator,
                    "unit": c.row.unit,
                    "value": c.row.value,
                    "standard_error": c.row.standard_error,
                    "tokens_needed": list(c.needed),
                }
                for c in rows
            ],
        }
        say(json.dumps(record, indent=1, allow_nan=False), lines=True)
        return
    from rich.table import Table

    shown = Table(title=f"Tokens for a standard error of ... ({unit}; optimality: ratio)", title_justify="left")
    for name in ("quantity", "order", "value", f"SE at {tokens:,}", *(f"{w:g}" for w in wanted)):
        shown.add_column(name, justify="left" if name == "quantity" else "right", no_wrap=True)
    for c in rows:
        shown.add_row(
            c.row.quantity,
            str(c.row.order),
            f"{c.row.value:.4f}",
            f"{c.row.standard_error:.4f}",
            *(spoken_tokens(n, tokens) for n in c.needed),
        )
    shell = console()
    shell.print(shown)
    shell.print(f"Note: {note(measurement)}", highlight=False)


def _errors(text: str) -> tuple[float, ...]:
    try:
        errors = tuple(float(word) for word in words(text))
    except ValueError:
        errors = ()
    if not errors:
        raise SettingError(f"--se {text!r}: expected numbers such as 0.005,0.002,0.001")
    return errors
