"""Locks of files that end with the process that holds them, so that no clock and no process number is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    fcntl: ModuleType | None = None
else:
    fcntl = _fcntl


def lock(handle: int) -> None:
    """Lock a file, at once or not at all.

    Raises:
        OSError: another process holds it, or files cannot be locked here.
    """
    if fcntl is None:
        raise OSError("files cannot be locked here")
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that another process may have left.

    Raises:
        OSError: it is gone, the process still lives, or files cannot be locked here.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        lock(handle)
        yield
    finally:
        os.close(handle)
