"""What the commands share: progress bars, and how words on the command line are read."""

from __future__ import annotations

import codecs
import contextlib
import logging
import math
import os
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from infoplane.cli.speech import QUIET, VERBOSE, Speech
from infoplane.errors import SettingError
from infoplane.setting_kinds import amount
from infoplane.storage import is_address, reach_location

if TYPE_CHECKING:
    from rich.console import Console

    from infoplane.engines import Progress


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_BREAK = re.compile(r"\n(?!  )")


def safe(text: str) -> str:
    """A text whose control characters are shown, not sent: a name must not colour, move or rename a terminal.

    Escapes are those of JSON, so that a record printed as JSON stays the record that it is.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str, err: bool = False, lines: bool = False, always: bool = False) -> None:
    """Print a line; a name with a line break in it must not look like a line of ours.

    Args:
        text: what is said. A break before an indented line stays.
        err: on the error stream.
        lines: it is several lines, whose breaks stay: a record that was asked for.
        always: with `--quiet` too.
    """
    if Speech.level != QUIET or lines or always:
        typer.echo(safe(text if lines else _BREAK.sub(r"\\n", text)), err=err)


def show_what_cannot_be_encoded() -> None:
    """Streams in the user's encoding write what it has not as JSON escapes, and do not fail on it."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)), error.end

    codecs.register_error("infoplane", escaped)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # replaced by a caller, or closed
            stream.reconfigure(errors="infoplane")  # type: ignore[union-attr]


def console(width: int = 120, **more: Any) -> Console:
    """The terminal for tables, `width` wide where it is none; words are printed as they are, without markup."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(safe(_BREAK.sub(r"\\n", text)), **options)

    silent = Speech.level == QUIET
    return Plain(width=None if sys.stdout.isatty() else width, markup=False, emoji=False, quiet=silent, **more)


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress on the error stream: bars on a terminal, else a plain line where a stage begins and now and then."""
    if Speech.level == QUIET:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        with _moving_bars() as progress:
            yield progress
    else:
        yield _Lines().progress


class _Lines:
    """Progress as plain lines, for a log: few enough to be read."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.said: dict[str, float] = {}

    def progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage not in self.began:
            self.began[stage] = self.said[stage] = now
            tell(f"{stage} ...")
        elif done >= total > 0 and self.said[stage] != math.inf:
            if now - self.began[stage] >= 1:
                tell(f"{stage}: done in {seconds(now - self.began[stage])}")
            self.said[stage] = math.inf  # a stage that comes again says nothing more
        elif now - self.said[stage] >= _EVERY and total > 1:
            self.said[stage] = now
            left = (now - self.began[stage]) * (total - done) / done if done else None
            more = "" if left is None else f", about {seconds(left)} left"
            tell(f"{stage}: {done:,} of {total:,}{more}")


_EVERY = 30.0
"""Seconds between two lines of one stage."""


def seconds(value: float) -> str:
    """A time as people say it: `8 s`, `3 min`, `2.5 h`."""
    if value < 99.5:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5970 else f"{value / 3600:.1f} h"


@contextmanager
def _moving_bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None if total == 1 else total)
            bars.update(tasks[stage], completed=done, total=total if done or total > 1 else None)

        starting = bars.add_task("starting", total=None)  # before anything is loaded: it moves from the first second

        def first(stage: str, done: int, total: int) -> None:
            bars.update(starting, visible=False)
            progress(stage, done, total)

        yield first


def quiet() -> None:
    """The libraries' own bars and advice stay off the terminal; errors do not."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # each of its retries, where there is no network
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name in ("torchao", "torch.utils._pytree"):  # of libraries that transformers imports
        logging.getLogger(name).setLevel(logging.ERROR)


def wrote(folder: Path, written: Sequence[Path]) -> str:
    """What a command wrote, the page first, for it is what is opened next."""
    names = [path.name if path.parent == folder else f"{path.parent.name}/{path.name}" for path in written]
    pages = [name for name in names if name.endswith(".html")]
    first = pages[0] if pages else names[0]
    others = [name for name in names if name != first]
    return f"Wrote {folder / first}" + (f", with {', '.join(others)}" if others else "")


def tell(sentence: str) -> None:
    """Say something on the error stream."""
    say(sentence, err=True)


@contextmanager
def telling() -> Iterator[None]:
    """Show the library's log messages on the error stream, if that is a terminal, or by `--verbose`."""
    if Speech.level == QUIET or not (sys.stderr.isatty() or Speech.level == VERBOSE):
        yield
        return
    log, handler = logging.getLogger("infoplane"), _Told()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"infoplane: {record.getMessage()}")


def short(source: object) -> str:
    name = str(source).rstrip("/").split("/")[-1]
    return name.removesuffix(".gguf") or "model"


STATED = "infoplane.stated"
"""Where a context holds the names of options whose values come from a file of settings."""


def given(ctx: typer.Context, names: Collection[str]) -> list[str]:
    """Those of some options that stand on the command line or in a file of settings, as options."""
    stated = ctx.meta.get(STATED, ())
    return [
        max(option.opts, key=len)
        for option in ctx.command.params
        if option.name in names
        # by name: typer may bring its own copy of click
        and (option.name in stated or getattr(ctx.get_parameter_source(option.name), "name", "") == "COMMANDLINE")
    ]


def words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words(text))
    except ValueError:
        raise SettingError(f"--orders {text!r}: expected whole numbers such as 1,2,3,4") from None


def amount_of(text: str, option: str) -> float:
    """A number above 0.

    Raises:
        SettingError: it is none.
    """
    kind = amount()
    with contextlib.suppress(ValueError):
        if kind.fits(number := float(text)):
            return number
    raise SettingError(f"{option} {text or _EMPTY}: expected {kind.words}")


_EMPTY = "''"


def pair(text: str, option: str = "--label", form: str = "name=file") -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise SettingError(f"{option} {text!r}: expected {form}")
    return name, value


def named_source(text: str) -> tuple[str, Path]:
    """`NAME=FOLDER` or `FOLDER`, which is its own name; a folder whose name has a `=` is still a folder."""
    name, equals, rest = text.partition("=")
    if not equals or is_address(text) or Path(text).exists():
        return text.rstrip("/").removesuffix("/trace").rpartition("/")[2] or text, reach_location(
            text, "source", writes=False
        )
    return name, reach_location(rest, "source", writes=False)
