"""`infoplane bound`: the frontier of a text on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane import cli_options as o
from infoplane.cli_common import bars, numbers, quiet
from infoplane.errors import ResultError

if TYPE_CHECKING:
    from infoplane.bound import Bound


def bound(
    text: Annotated[str, typer.Argument(help="c4-sample (built in), a file, a folder, - or a datasets id.")],
    tokenizer: Annotated[
        str,
        typer.Option(help="Whose tokens: smollm2-135m, a hub id, a folder or a .gguf file.", rich_help_panel=o.TEXT),
    ],
    tokens: o.Tokens = 32_768,
    context: o.Context = 512,
    seed: o.Seed = 0,
    column: o.Column = None,
    split: o.Split = "train",
    config: o.Config = None,
    limit: o.Limit = None,
    add_bos: o.AddBos = None,
    orders: Annotated[str, typer.Option(help="Lengths of the k-grams, of 1 to 3.", rich_help_panel=o.ASK)] = "1,2,3",
    symbols: Annotated[int, typer.Option("--symbols", "-m", help="Symbols of a code.", rich_help_panel=o.ASK)] = 100,
    wide: Annotated[
        bool, typer.Option(help="The next k tokens too, where half of them recur.", rich_help_panel=o.ASK)
    ] = False,
    restarts: Annotated[int, typer.Option(help="Starts of each annealing.", rich_help_panel=o.ASK)] = 1,
    forward: Annotated[
        bool, typer.Option(help="Anneal forward too: slower, seldom better.", rich_help_panel=o.ASK)
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.", rich_help_panel=o.OUT)] = Path("infoplane-bound"),
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite results.", rich_help_panel=o.OUT)] = False,
) -> None:
    """The achievable frontier of a text: how much about the next token can be kept, for what is kept of the last k?

    Codes of k-grams are fitted on one half of the documents and judged on the other. Writes bound.json and
    bound.parquet to --out. No model is needed. `infoplane measure --bound` places a model against it.
    """
    from infoplane.bound import JSON_NAME
    from infoplane.bound import bound as run
    from infoplane.loading import load_tokenizer
    from infoplane.text import read_text

    if (out / JSON_NAME).exists() and not force:
        raise ResultError(f"{out / JSON_NAME} exists: choose another --out, or --force to overwrite it")
    if out.exists() and not out.is_dir():
        raise ResultError(f"{out} is a file; expected a folder for --out")
    with bars() as progress:
        quiet()
        documents = read_text(text, column=column, split=split, config=config, limit=limit, seed=seed)
        found = run(
            documents, load_tokenizer(tokenizer), tokens=tokens, context=context, seed=seed, orders=numbers(orders),
            m=symbols, windows={"add_bos": add_bos}, wide=wide, starts=restarts, forward=forward, progress=progress,
        )  # fmt: skip
    written = found.save(out)
    if as_json:
        typer.echo(written[0].read_text("utf-8").rstrip())
    else:
        _summary(found)
    for path in written:
        typer.echo(f"Wrote {path}", err=as_json)


def _summary(found: Bound) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from infoplane.jackknife import error_and_interval

    console = Console(width=None if sys.stdout.isatty() else 120)
    places = (0.25, 0.5, 1.0, 2.0, 3.0)
    title = "Most about the next token (nats, ± 95 %), for so many nats kept about the last k tokens"
    shown = Table(title=title, title_justify="left")
    for name in ("k", "positions", "", *(f"{x:g}" for x in places), "end", "I(X;Y)"):
        shown.add_column(name, justify="right", no_wrap=True)
    for f in found.frontiers:
        end = f.hull()[-1]
        cells = []
        for x in places:
            reached = f.at(np.full(f.complexity.shape[1], x))
            _, interval = error_and_interval(reached[0], reached[1:])
            own = f"{reached[0]:.2f}" + (f" ± {(interval[1] - interval[0]) / 2:.2f}" if interval else "")
            cells.append(own if x <= end[0] else "")
        target = "" if f.target == 1 else f", next {f.target}"
        shown.add_row(
            f"{f.order}{target}", f.positions, f"{f.n:,}", *cells, f"{end[1]:.2f} at {end[0]:.1f}",
            f"{f.saturation[0]:.1f}-{f.saturation[1]:.1f}",
        )  # fmt: skip
    console.print(shown)
    if len({f.order for f in found.frontiers if f.positions == "seen"}) < len({f.order for f in found.frontiers}):
        console.print("Note: too few k-grams of an order are in both halves to compare a model there; give more text")
