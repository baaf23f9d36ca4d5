"""How a setting is named in messages: as a keyword of Python, a key of a file, or an option of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infoplane.settings import Setting


@dataclass(frozen=True)
class Spelling:
    """How a setting is written in one of the places where it can be given.

    Attributes:
        name: of a setting there.
        written: a setting with its value, as messages quote it.
    """

    name: Callable[[Setting], str]
    written: Callable[[Setting, object], str]


def _python(value: object) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


_EMPTY = "''"


KEYWORDS = Spelling(lambda one: one.name, lambda one, value: f"{one.name} = {_python(value)}")
"""In Python."""


KEYS = Spelling(lambda one: one.key, lambda one, value: f"{one.key} = {_python(value)}")
"""In a file."""


OPTIONS = Spelling(lambda one: one.option, lambda one, value: f"{one.option} {as_text(value) or _EMPTY}")
"""On the command line."""


def as_text(value: object) -> str:
    """A value as it stands on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
