"""What runs in a worker of a Ray cluster: it opens, and does piece after piece."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infoplane.engines.base import Advance, Opening, Work
from infoplane.storage import forget_copies as forget_copies
from infoplane.storage import shared_by


@dataclass(frozen=True)
class Said:
    """What comes back of a piece: its result, or its error with the trace of where it was raised."""

    result: Any = None
    error: Exception | None = None
    trace: str = ""


class Elsewhere(Exception):
    """The trace of an error that was raised in a worker; it is shown as the cause of that error."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


class Worker:
    """A process that opens, and does piece after piece."""

    def __init__(self, folder: str, environment: Mapping[str, str], beside: int = 1) -> None:
        os.environ.update(environment)
        shared_by(beside)
        with contextlib.suppress(OSError):  # names of files are meant as the caller sees them, where that is possible
            os.chdir(folder)
        self._state: Any = None
        self._is_open = False
        self._do: Callable[[Any, Advance], Any] | None = None

    def here(self) -> Said:
        return Said()

    def begin(self, opening: Opening[Any], work: Work[Any, Any, Any]) -> Said:
        return _saying(self._open, opening, work)

    def forget(self) -> None:
        """Give back the memory of what is open, and the copies of what others may write anew."""
        forget_copies()
        self._state, self._is_open, self._do = None, False, None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def do(self, what: Any) -> Said:
        assert self._do is not None
        return _saying(self._do, what, lambda done: None)

    def _open(self, opening: Opening[Any], work: Work[Any, Any, Any]) -> None:
        if not self._is_open:
            self._state, self._is_open = opening.open(), True
        self._do = work.open(self._state)


def _saying(do: Callable[..., Any], *given: Any) -> Said:
    try:
        return Said(do(*given))
    except Exception as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # our own bytes: what cannot be sent comes back as its text
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return Said(None, error, trace)
