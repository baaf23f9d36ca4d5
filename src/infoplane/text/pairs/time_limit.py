"""An end for code that is not ours: a chat template is a program, and may take more time or memory than there is."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from pathlib import Path


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


@contextlib.contextmanager
def within(size: int) -> Iterator[None]:
    """Let the process have so many bytes more, where the system can tell (Linux).

    Raises:
        MemoryError: from inside, where that is not enough.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        most = pages * resource.getpagesize() + size
        if before[0] != resource.RLIM_INFINITY:
            most = min(most, before[0])
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
