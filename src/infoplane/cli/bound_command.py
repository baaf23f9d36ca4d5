"""`infoplane bound`: the frontier of a text on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli import options as o
from infoplane.cli.repeated import done, refuse_other, request_of, stored_request
from infoplane.cli.terminal import bars, console, numbers, quiet, say
from infoplane.storage import reach_location

if TYPE_CHECKING:
    from infoplane.bottleneck import Bound


def bound(
    ctx: typer.Context,
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
    out: Annotated[Path, typer.Option(help="Folder or address of the results.", rich_help_panel=o.OUT)] = Path(
        "infoplane-bound"
    ),
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite results.", rich_help_panel=o.OUT)] = False,
) -> None:
    """The achievable frontier of a text: how much about the next token can be kept, for what is kept of the last k?

    Codes of k-grams are fitted on one half of the documents and judged on the other. Writes bound.json, bound.parquet,
    report.html and figures/ to --out. No model is needed. `infoplane measure --bound` places a model against it.
    """
    from infoplane.bottleneck import JSON_NAME, Bound
    from infoplane.bottleneck import bound as run
    from infoplane.models import load_tokenizer
    from infoplane.report.text_bound import write_bound_report
    from infoplane.text import read_text, tokenizer_hash

    out = reach_location(out, "--out")
    before = stored_request(out, JSON_NAME, force)
    with bars() as progress:
        quiet()
        documents = read_text(text, column=column, split=split, config=config, limit=limit, seed=seed)
        cut_by = load_tokenizer(tokenizer)
        request = request_of(ctx, read=documents.provenance["sha256"], tokenizer=tokenizer_hash(cut_by))
        if before is not None:
            refuse_other(out, JSON_NAME, before, request)
            found = Bound.load(out)
            say((out / JSON_NAME).read_text("utf-8").rstrip(), lines=True) if as_json else _summary(found)
            say(done(out), err=as_json)
            return
        found = run(
            documents, cut_by, tokens=tokens, context=context, seed=seed, orders=numbers(orders),
            m=symbols, windows={"add_bos": add_bos}, wide=wide, starts=restarts, forward=forward, progress=progress,
        )  # fmt: skip
    found = replace(found, provenance={**found.provenance, "request": request})
    page = write_bound_report(found, out)[0]
    written = [*found.save(out), page]  # the record last: where it stands, everything stands
    if as_json:
        say(written[0].read_text("utf-8").rstrip(), lines=True)
    else:
        _summary(found)
    for path in written:
        say(f"Wrote {path}", err=as_json)


def _summary(found: Bound) -> None:
    from rich import box
    from rich.table import Table

    from infoplane.report.text_bound import BoundView

    view = BoundView(found)
    shell = console()
    title = "Most about the next token (nats, ± 95 %), for so many nats kept about the last k tokens"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    header, rows = view.table()
    for name in header:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    shell.print(shown)
    if view.unseen():
        shell.print("Note: too few k-grams of an order are in both halves to compare a model there; give more text")
