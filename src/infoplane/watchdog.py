"""An end for code that is not ours: a chat template is a program, and may loop for longer than anybody waits."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator


class _Late(BaseException):
    """Raised in the middle of the block; no handler for Exception catches it."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let Python code run for so long.

    Raises:
        TimeoutError: it took longer.
    """
    thread, done = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Late))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        try:
            yield
        finally:
            done.set()
            watcher.join()
    except _Late:
        raise TimeoutError(f"it was not done in {seconds:g} s") from None
