"""Loops as machine code, by Numba.

A loop is compiled when it is first called, and the machine code is kept beside its file (or in the user's cache, where
that folder cannot be written), so that only the first use after an installation takes some seconds. Loops run without
the interpreter's lock: threads share the work of a layer, or take one each. A loop calls only those of its own file:
of others a change would not be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compiled(loop: _Loop, **options: object) -> _Loop:
    """A function as machine code, which divides as IEEE 754 does."""
    try:
        made: _Loop = njit(nogil=True, error_model="numpy", cache=True, **options)(loop)
    except RuntimeError:  # there is no place to keep machine code: it is made anew in each process
        made = njit(nogil=True, error_model="numpy", **options)(loop)
    return made


def reordered(loop: _Loop) -> _Loop:
    """The same for a sum that may be added up in several parts, as many as the processor adds at a time."""
    return compiled(loop, fastmath={"reassoc", "contract"})
