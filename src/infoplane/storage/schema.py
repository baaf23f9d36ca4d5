"""Whether a value that was read from a file is what its type says: `misfit(value, hint)`.

What is stored is read by code that trusts types, so types are settled where a file is read. A hint is one of Python's
(`str`, `int | None`, `tuple[float, ...]`, `dict[str, int]`); JSON's lists count as tuples, whole numbers as floats;
floats are finite and whole numbers fit 64 bits. A dict of hints, a TypedDict or a dataclass says what its
keys hold, where they are there at all.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict, overload

from infoplane.storage.json_values import Hint

T = TypeVar("T")
OBJECT: Hint = dict[str, Any]
OBJECTS: Hint = list[dict[str, Any]]
"""Hints of JSON objects, whatever they hold."""


def misfit(value: Any, hint: Hint, where: str = "it") -> str | None:
    """What does not fit, as words; None where all does."""
    if is_typeddict(hint) or (isinstance(hint, type) and is_dataclass(hint)):
        return misfit(value, fields_of(hint), where)
    if isinstance(hint, Mapping):
        if not isinstance(value, Mapping):
            return _said(value, "names and values", where)
        known = ((k, h) for k, h in hint.items() if value.get(k) is not None)
        return next((reason for k, h in known if (reason := misfit(value[k], h, f"{where}.{k}"))), None)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if any(misfit(value, h) is None for h in inner) else _said(value, _words(hint), where)
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            return _said(value, "a list", where)
        each = inner[:1] * len(value) if origin is list or inner[-1] is ... else inner
        if len(each) != len(value):
            return _said(value, f"a list of {len(each)}", where)
        return next((reason for v, h in zip(value, each, strict=True) if (reason := misfit(v, h, f"{where}[]"))), None)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            return _said(value, "names and values", where)
        return next((reason for k, v in value.items() if (reason := misfit(v, inner[1], f"{where}.{k}"))), None)
    return None if _is(value, hint) else _said(value, _words(hint), where)


@overload
def check_schema(value: Any, hint: type[T], where: str = "it") -> T: ...


@overload
def check_schema(value: Any, hint: Hint, where: str = "it") -> Any: ...


def check_schema(value: Any, hint: Hint, where: str = "it") -> Any:
    """The value, which is then known to be what its hint says.

    Raises:
        ValueError: it does not fit.
    """
    if reason := misfit(value, hint, where):
        raise ValueError(reason)
    return value


@cache
def fields_of(kind: type, *without: str) -> dict[str, Hint]:
    """The hints of the fields of a dataclass or a TypedDict, some left out."""
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in without}


def _is(value: Any, hint: Hint) -> bool:
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, cast("type", hint))


def _words(hint: Hint) -> str:
    return str(getattr(hint, "__name__", hint)) if get_origin(hint) is None else str(hint)


def _said(value: Any, expected: str, where: str) -> str:
    shown = "not a finite number" if isinstance(value, float) and not math.isfinite(value) else repr(value)[:60]
    return f"{where} is {shown}; expected {expected}"
