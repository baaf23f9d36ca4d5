"""Preference pairs on the command line: options of `infoplane measure`, and what it shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli.terminal import console
from infoplane.errors import SettingError

if TYPE_CHECKING:
    from infoplane.measurement import Measurement

PANEL = "Preferences"
Preferences = Annotated[
    str | None,
    typer.Option(
        "--preferences",
        help="Preference pairs instead of a text: .json, .jsonl, .parquet or a datasets id with prompt, chosen and "
        "rejected. --tokens is then a budget of answer tokens.",
        rich_help_panel=PANEL,
    ),
]
ChatTemplate = Annotated[
    str,
    typer.Option(
        "--chat-template",
        help="auto: conversations by the tokenizer's template, plainly where it has none; yes: all pairs; no: none.",
        rich_help_panel=PANEL,
    ),
]
PromptTruncate = Annotated[
    bool,
    typer.Option(
        "--prompt-truncate",
        help="Cut prompts longer than half the context, from the left, instead of leaving their pairs out.",
        rich_help_panel=PANEL,
    ),
]


def check_alone(text: str, column: str | None, include_first: bool, size: int | None) -> None:
    """Refuse what goes with a text and not with pairs.

    Raises:
        SettingError: a text, a column, a budget of bytes or the first tokens of windows were asked for too.
    """
    for name, given in (
        ("--text", text != "c4-sample"),
        ("--column", column is not None),
        ("--include-first", include_first),
        ("--bytes", size is not None),
    ):
        if given:
            raise SettingError(f"--preferences reads pairs and no other text: leave {name} out")


def check_none(chat_template: str, prompt_truncate: bool) -> None:
    """Refuse what says how pairs are read where there are none.

    Raises:
        SettingError: such an option.
    """
    for name, there in (("--chat-template", chat_template != "auto"), ("--prompt-truncate", prompt_truncate)):
        if there:
            raise SettingError(f"{name} says how --preferences are read: set both, or leave it out")


def show(found: Measurement) -> None:
    """The preference figures of the whole model."""
    from rich.table import Table

    from infoplane.measurement import QUANTITIES

    rows = [row for row in found.select(layer="model") if row.quantity in QUANTITIES]
    if not rows:
        return
    title = (
        f"Preference information, whole model ({rows[0].unit}); matched: as many tokens of both answers, place by place"
    )
    shown = Table(title=title, title_justify="left")
    for name in ("quantity", "positions", "estimator", "value", "95 % interval", "swapped", "± spread"):
        shown.add_column(name, justify="left" if name in ("quantity", "positions", "estimator") else "right")
    for row in rows:
        control = found.get(
            f"{row.quantity}_swapped", position_set=row.position_set, estimator=(row.estimator or "").partition(",")[0]
        )
        interval = "" if row.interval is None else f"{row.interval[0]:.5f} to {row.interval[1]:.5f}"
        shown.add_row(
            row.quantity, row.position_set or "", row.estimator or "", f"{row.value:.5f}", interval,
            f"{control.value:.5f}", f"{control.standard_error or 0:.5f}",
        )  # fmt: skip
    console().print(shown)
