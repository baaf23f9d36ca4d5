"""Options that more than one command has: their types and what help says of them."""

from __future__ import annotations

from typing import Annotated

import typer

TWIN_FOLDER = "baseline"
"""Of the untrained twin, in the folder of the model's results."""
TEXT, MODEL, ASK, CHOICE, OUT = "Text", "Model", "What to compute", "Selection", "Results"

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=OUT)]
