"""What a setting can be: a whole number, one of some words, a flag, and how that is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from infoplane.errors import SettingError, check_whole

Value: TypeAlias = "bool | int | float | str | tuple[int, ...] | tuple[str, ...] | None"
"""Of a setting; None stands for what its meaning says."""


@dataclass(frozen=True)
class Kind:
    """What a setting can be.

    Attributes:
        fits: whether a value is of the kind.
        words: how that is said: `expected ...`.
        one: type of a value, or of one of several; what the command line reads.
        several: whether it is a list, comma-separated on the command line.
    """

    fits: Callable[[object], bool]
    words: str
    one: type[bool] | type[int] | type[float] | type[str]
    several: bool = False

    def parsed(self, text: str) -> Value:
        """The value that a word on the command line stands for; what cannot be read is no value of the kind.

        Raises:
            ValueError: it cannot be read.
        """
        if not self.several:
            return self.one(text)
        words = [word.strip() for word in text.split(",") if word.strip()]
        return tuple(int(word) for word in words) if self.one is int else tuple(words)


def whole(least: int, most: int | None = None) -> Kind:
    """A whole number within bounds."""

    def fits(value: object) -> bool:
        try:
            return (number := check_whole("", value, least)) is not None and (most is None or number <= most)
        except SettingError:
            return False

    return Kind(fits, f"a whole number, {least} or more" if most is None else f"a whole number, {least} to {most}", int)


def one_of(*names: str) -> Kind:
    """One of some words."""
    return Kind(lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}", str)


def some_of(*members: int | str) -> Kind:
    """At least one of some words or numbers."""
    kind = type(members[0])

    def fits(value: object) -> bool:
        return (
            isinstance(value, tuple) and bool(value) and all(type(each) is kind and each in members for each in value)
        )

    return Kind(fits, f"some of {', '.join(map(str, members))}", kind, several=True)


def names(words: str = "names, comma-separated", least: int = 1) -> Kind:
    """Some words, of which whoever uses them knows which there are."""

    def fits(value: object) -> bool:
        return isinstance(value, tuple) and len(value) >= least and all(map(word().fits, value))

    return Kind(fits, words, str, several=True)


def word(words: str = "a name") -> Kind:
    """A word that is not empty."""
    return Kind(lambda value: isinstance(value, str) and bool(value.strip()), words, str)


def flag() -> Kind:
    """Yes or no."""
    return Kind(lambda value: isinstance(value, bool), "true or false", bool)


def amount() -> Kind:
    """A number above 0."""
    return _number(1e300, "a number above 0")


def share() -> Kind:
    """A number between 0 and 1."""
    return _number(1, "a number above 0 and below 1")


def _number(below: float, words: str) -> Kind:
    def fits(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < below

    return Kind(fits, words, float)
