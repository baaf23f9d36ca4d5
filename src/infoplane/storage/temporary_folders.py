"""Folders on this machine's temporary disk that go with their process, or with the next one where it was killed.

A folder holds the lock of the process that made it, in a file that says whose it is. Where the lock is free, the
process is gone, and the folder is swept by the next that makes one; a folder without that file is somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infoplane.storage.file_locks import lock, locked

LOCK = "lock"
_SAYS = b"made by infoplane, removed with its process\n"


def new_folder(prefix: str) -> tuple[Path, int]:
    """A folder of this process, and the handle that holds its lock; what killed processes left is swept first.

    Raises:
        OSError: the temporary disk is full, or not there.
    """
    top = Path(tempfile.gettempdir())
    sweep(prefix)
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=top))
        with contextlib.suppress(FileNotFoundError):  # else it was swept away before it was locked
            handle = os.open(made / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            os.write(handle, _SAYS)
            with contextlib.suppress(OSError):
                lock(handle)  # for as long as the process is
            if os.fstat(handle).st_nlink:
                return made, handle
            os.close(handle)


def sweep(prefix: str) -> None:
    """Remove the folders of processes that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if stat.S_ISREG((old / LOCK).lstat().st_mode) and (old / LOCK).read_bytes() == _SAYS:
                with locked(old / LOCK):
                    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def temporary(prefix: str = "infoplane-tmp-") -> Iterator[Path]:
    """An empty folder that is removed at the end.

    Raises:
        OSError: the temporary disk is full, or not there.
    """
    folder, handle = new_folder(prefix)
    try:
        (empty := folder / "files").mkdir()
        yield empty
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
