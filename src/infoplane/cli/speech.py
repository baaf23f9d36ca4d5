"""How much a command says: `--quiet` and `--verbose`, which every command takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from infoplane.errors import SettingError

R = TypeVar("R")
QUIET, NORMAL, VERBOSE = 0, 1, 2


class Speech:
    """How much is said: by `--quiet` errors alone, by `--verbose` all figures and the library's messages."""

    level = NORMAL


def with_speech(function: Callable[..., R]) -> Callable[..., R]:
    """A command that takes both options too."""
    signature = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def command(**values: object) -> R:
        quiet, verbose = (values.pop(option.name) for option in _OPTIONS)
        if quiet and verbose:
            raise SettingError("--quiet and --verbose contradict each other: give one of them")
        Speech.level = QUIET if quiet else VERBOSE if verbose else NORMAL
        try:
            return function(**values)
        finally:
            Speech.level = NORMAL

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    command.__signature__ = inspect.Signature([*parameters, *_OPTIONS])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *_OPTIONS)}
    return command


def _flag(name: str, words: str) -> inspect.Parameter:
    option = typer.Option(f"--{name}", f"-{name[0]}", help=words, rich_help_panel="Results")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])


_OPTIONS = (
    _flag("quiet", "Print no messages except errors."),
    _flag("verbose", "Print all figures, and the library's log messages."),
)
