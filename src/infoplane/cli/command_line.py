"""The command line. It parses, calls, draws progress and turns errors into one message and exit status 2."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from infoplane import __version__
from infoplane.cli.bound_command import bound
from infoplane.cli.budget_command import budget
from infoplane.cli.cases_command import cases
from infoplane.cli.compare_command import compare
from infoplane.cli.forecast_command import forecast
from infoplane.cli.help_pages import with_help
from infoplane.cli.measure_command import measure
from infoplane.cli.references_command import references
from infoplane.cli.report_command import report
from infoplane.cli.scores_command import scores
from infoplane.cli.speech import with_speech
from infoplane.cli.survey_command import survey
from infoplane.cli.terminal import say, show_what_cannot_be_encoded
from infoplane.cli.trace_command import trace
from infoplane.errors import InfoplaneError, SettingError
from infoplane.given_settings import not_known

_GOES_ON = ("measure", "trace", "survey")
"""Commands that keep what they have done, and go on from there."""


class _Stopped(KeyboardInterrupt):
    """SIGTERM: as from the keyboard, so that what is made on the way is removed."""


def _stop(*_: object) -> None:
    raise _Stopped


class _Commands(TyperGroup):
    """The commands; one that is interrupted says how to go on."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _in_our_words(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _in_our_words(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            name = ctx.invoked_subcommand
            nothing = "nothing was written; repeat the command to begin again"
            if name in _GOES_ON:
                nothing = "repeat the same command to go on where it stopped"
                words = sys.argv[1:]
                if "--json" in words and not any(word.startswith(("--out", "--capture")) for word in words):
                    nothing = "--json alone keeps nothing on the way; name --capture or --out to go on from there"
            stopped = isinstance(error, _Stopped)
            say(f"infoplane: {'stopped' if stopped else 'interrupted'}: {nothing}", err=True, always=True)
            raise typer.Exit(143 if stopped else 130) from None


@contextlib.contextmanager
def _in_our_words(ctx: Any) -> Iterator[None]:
    """Errors of usage are said as all others are.

    Raises:
        SettingError: in the place of what typer would have said.
    """
    try:
        yield
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__}  # by name: typer may bring its own copy of click
        if "UsageError" not in names or "NoArgsIsHelpError" in names:
            raise
        raise SettingError(_said(error, ctx)) from None


def _said(error: Any, ctx: Any) -> str:
    commands = ctx.command.commands
    command = commands.get(ctx.invoked_subcommand, ctx.command)
    hint = f"see infoplane {'' if command.name == 'infoplane' else f'{command.name} '}--help"
    option = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption":
        of = [name for name, one in commands.items() if any(option in parameter.opts for parameter in one.params)]
        if command.name == "infoplane" and of:
            named = next((word for word in sys.argv[1:] if word in of), of[0])
            return f"{option} belongs after the name of the command, as in infoplane {named} {option}"
        kinds = getattr(command.callback, "kinds", ())
        settings = {one.option: one for kind in kinds for one in kind.settings().values()}
        known = {name: settings.get(name) for one in command.params for name in one.opts if name.startswith("--")}
        return not_known(str(option), known, kinds, hint)
    if type(error).__name__ == "BadOptionUsage":
        what = "takes no value: write it alone" if "not take" in str(error) else "has no value: write one after it"
        return f"{option} {what}; {hint}"
    if found := re.match("No such command '(.*?)'", str(error)):
        near = difflib.get_close_matches(found[1], [*commands], n=3)
        return f"unknown command {found[1]!r}; " + (f"near names: {', '.join(near)}" if near else hint)
    if found := re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", str(error), re.DOTALL):
        return f"unexpected {found[1]!r}: flags take no value, and a name with spaces stands in quotes; {hint}"
    said = error.format_message().rstrip(".")
    return f"{said[:1].lower()}{said[1:]}; {hint}"


app = typer.Typer(
    cls=_Commands,
    name="infoplane",
    help="Measure how a language model has compressed its training data.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --reference_sets is as good
    },
)


def main() -> None:
    """Entry point."""
    show_what_cannot_be_encoded()
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except InfoplaneError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"the disk is full while writing {error.filename or 'a result'}: make room and repeat the command")
        if error.errno == errno.EPIPE:
            os._exit(0)
        if error.errno == errno.EFBIG:
            _fail(f"{error.filename or 'a result'} would be larger than this disk or `ulimit -f` allows: {_AGAIN}")
        if error.errno is None:
            raise
        _fail(f"cannot read or write {error.filename or 'a file'}: {error.strerror}; choose another --out or --capture")
    except MemoryError:
        _fail("memory ran out: read less (--limit, --tokens), name less with --memory, or use a machine with more")
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of polars, which is no Exception
            raise
        _fail(f"a file cannot be made sense of ({' '.join(str(error).split())[:150]}): check that it is whole")


_AGAIN = "allow more, or choose another place, and repeat the command"


def _fail(message: str) -> None:
    say(f"infoplane: {message}", err=True, always=True)
    raise SystemExit(2)


for _command in (measure, trace, bound, budget, compare, references, cases, report, scores, survey, forecast):
    app.command()(with_help(with_speech(_command)))


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        say(f"infoplane {__version__}")
        raise typer.Exit
