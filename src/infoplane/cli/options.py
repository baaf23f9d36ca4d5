"""Options that more than one command has: their types and what help says of them."""

from __future__ import annotations

from typing import Annotated

import typer

TEXT, MODEL, ASK, OUT = "Text", "Model", "Questions", "Results"

Text = Annotated[
    str,
    typer.Option(
        help="c4-sample (built in), a file, a folder, - or a datasets id. A text file is one document; so is a row of "
        "JSONL or Parquet.",
        rich_help_panel=TEXT,
    ),
]
Preferences = Annotated[
    str | None,
    typer.Option(
        "--preferences",
        help="Preference pairs instead of a text: .json, .jsonl, .parquet or a datasets id with prompt, chosen and "
        "rejected. --tokens is then a budget of answer tokens.",
        rich_help_panel="Preferences",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record.", rich_help_panel=OUT)]
