"""Copies of remote files on this machine's temporary disk, for what reads by seeking (safetensors, Parquet).

They go with their process, or with the next one where it was killed.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import threading
from pathlib import Path

from infoplane.storage.address import Address, address_of, reaching
from infoplane.storage.temporary_folders import new_folder

_COPIES = "infoplane-copies-"
_SAME = ("http", "https")
"""Storages whose files have one key for ever, as if they did not change."""


class _Copies:
    """Copies of remote files, in a folder of this process."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.folder: Path | None = None
        self.known: dict[str, tuple[str, Path]] = {}

    def of(self, address: Address, fresh: bool) -> Path:
        key = address.url
        with self.guard, reaching(address):
            before = self.known.get(key)
            if before is not None and not fresh:
                return before[1]
            storage = address.storage
            state = storage.ukey(address.path)
            if before is not None and before[0] == state and address.scheme not in _SAME:
                return before[1]
            copy = self._folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{address.name}"
            part = copy.with_name(f".{copy.name}.part")
            try:
                storage.get_file(address.path, str(part))
                part.replace(copy)
            finally:
                part.unlink(missing_ok=True)
            self.known[key] = (state, copy)
            return copy

    def forget(self, folder: Path | Address | None) -> None:
        with self.guard:
            for key in [k for k in self.known if folder is None or f"{k}/".startswith(f"{folder}/")]:
                self.known.pop(key)[1].unlink(missing_ok=True)

    def _folder(self) -> Path:
        if self.folder is None:
            self.folder, self.handle = new_folder(_COPIES)  # the handle holds its lock
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        return self.folder


_copies = _Copies()


def local_copy(path: Path, fresh: bool = False) -> Path:
    """The file on this machine: itself, or a copy.

    Args:
        path: of the file.
        fresh: make another copy where the file has changed since.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    address = address_of(path)
    return path if address is None else _copies.of(address, fresh)


def forget_copies(path: Path | Address | None = None) -> None:
    """Remove the copy of a file, the copies of all in a folder, or all copies: others may have written since."""
    _copies.forget(path)
