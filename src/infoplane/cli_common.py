"""What the commands share: progress bars, and how words on the command line are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.errors import SettingError

if TYPE_CHECKING:
    from infoplane.capture import Progress


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress on the terminal's error stream; nothing where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    tasks: dict[str, TaskID] = {}
    with Bars(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bars:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None if total == 1 else total)
            bars.update(tasks[stage], completed=done, total=total if done or total > 1 else None)

        yield progress


def quiet() -> None:
    """The libraries' own bars and advice stay off the terminal; errors do not."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TQDM_DISABLE", "1")


def tell(sentence: str) -> None:
    """Say something on the error stream."""
    import typer

    typer.echo(sentence, err=True)


def short(source: object) -> str:
    name = str(source).rstrip("/").split("/")[-1]
    return name.removesuffix(".gguf") or "model"


def words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words(text))
    except ValueError:
        raise SettingError(f"--orders {text!r}: expected whole numbers such as 1,2,3,4") from None


def pair(text: str, option: str = "--label", form: str = "name=file") -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise SettingError(f"{option} {text!r}: expected {form}")
    return name, value


def named_source(text: str) -> tuple[str, Path]:
    """`NAME=FOLDER` or `FOLDER`, which is its own name; a folder whose name has a `=` is still a folder."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        return text.rstrip("/").removesuffix("/trace").rpartition("/")[2] or text, Path(text)
    return name, Path(rest)
