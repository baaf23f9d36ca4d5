"""Errors that teach: each message says what came, what was expected and what to do.

Every error that a user can cause derives from `InfoplaneError`; the command line prints its
message alone and exits with status 2. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral


class InfoplaneError(Exception):
    """Base class of every error that infoplane raises on purpose.

    Attributes:
        settings: keywords of settings that the message names; the command line shows them as options.
    """

    def __init__(self, message: str = "", *, settings: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.settings = tuple(settings)


class TextError(InfoplaneError):
    """The text cannot be read, or there is too little of it."""


class ModelError(InfoplaneError):
    """The model cannot be loaded, is not decoder-only, or computes NaN."""


class CaptureError(InfoplaneError):
    """A capture is missing, damaged, or belongs to another model, text or setting."""


class EngineError(InfoplaneError):
    """No workers are available, a piece of work failed too often, or one of several processes failed or is missing."""


class LabelError(InfoplaneError):
    """Labels do not fit the positions of a capture."""


class ResultError(InfoplaneError):
    """A stored result cannot be read, written or compared."""


class ScoreError(InfoplaneError):
    """Benchmark scores cannot be read, contradict each other, or do not cover the measured models."""


class SettingError(InfoplaneError, ValueError):
    """An argument has a value that it cannot take, or contradicts another argument."""


def check_whole(name: str, value: object, least: int) -> int:
    """A whole number of at least `least`, of whatever kind.

    Raises:
        SettingError: of that name.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SettingError(f"{name} = {value!r}: expected a whole number, {least} or more")
    return int(value)


def spoken(error: BaseException) -> str:
    """What a record says of an error: our own message, or the kind of another's with the beginning of its own."""
    text = " ".join(str(error).split())
    if isinstance(error, InfoplaneError):
        return text[:1000]
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
