"""`infoplane bound`: the frontier of a text on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.bottleneck import BoundSettings
from infoplane.cli import options as o
from infoplane.cli.repeated import done, refuse_other, request_of, stored_request
from infoplane.cli.settings_options import with_settings
from infoplane.cli.terminal import bars, console, quiet, say, wrote
from infoplane.storage import reach_location

if TYPE_CHECKING:
    from infoplane.bottleneck import Bound


@with_settings
def bound(
    ctx: typer.Context,
    text: Annotated[
        str, typer.Argument(help="c4-sample (built in), a file, a folder, - (standard input) or a datasets id.")
    ],
    tokenizer: Annotated[
        str,
        typer.Option(
            help="Tokenizer to cut the text with: smollm2-135m, a hub id, a folder or a .gguf file.",
            rich_help_panel=o.TEXT,
        ),
    ],
    settings: BoundSettings,
    out: Annotated[Path, typer.Option(help="Folder or address for the results.", rich_help_panel=o.OUT)] = Path(
        "infoplane-bound"
    ),
    as_json: o.AsJson = False,
    force: Annotated[bool, typer.Option(help="Overwrite existing results.", rich_help_panel=o.OUT)] = False,
) -> None:
    """Compute the frontier of a text: how much a code of the last k tokens can tell about the next token, given how
    much it keeps of them.

    Codes are fitted on one half of the documents and judged on the other, then the other way round. No model is needed;
    `infoplane measure --bound` places a model against the frontier. Writes bound.json, bound.parquet, report.html and
    figures/ to --out.
    """
    from infoplane.bottleneck import JSON_NAME, Bound
    from infoplane.bottleneck import bound as run
    from infoplane.models import load_tokenizer
    from infoplane.report.text_bound import write_bound_report
    from infoplane.text import ReadSettings, text_of, tokenizer_hash

    out = reach_location(out, "--out")
    before = stored_request(out, JSON_NAME, force)
    with bars() as progress:
        quiet()
        documents = text_of(text, settings.reading, settings.windows)
        cut_by = load_tokenizer(tokenizer)
        request = request_of(ctx, settings, read=documents.provenance["sha256"], tokenizer=tokenizer_hash(cut_by))
        if before is not None:
            refuse_other(out, JSON_NAME, before, request)
            fitted = Bound.load(out)
            say((out / JSON_NAME).read_text("utf-8").rstrip(), lines=True) if as_json else _summary(fitted)
            say(done(out), err=as_json)
            return
        fitted = run(documents, cut_by, replace(settings, reading=ReadSettings()), progress=progress)
    fitted = replace(fitted, provenance={**fitted.provenance, "request": request})
    page = write_bound_report(fitted, out)[0]
    written = [*fitted.save(out), page]  # the record last: where it stands, everything stands
    if as_json:
        say(written[0].read_text("utf-8").rstrip(), lines=True)
    else:
        _summary(fitted)
    say(wrote(out, written), err=as_json)


def _summary(fitted: Bound) -> None:
    from rich import box
    from rich.table import Table

    from infoplane.report.text_bound import BoundView

    view = BoundView(fitted)
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
