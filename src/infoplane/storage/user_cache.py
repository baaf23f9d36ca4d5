"""What takes long to make and is the same each time, kept in the user's cache folder.

A text that is damaged there is made anew, and where nothing can be kept it is made each time.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from infoplane.errors import InfoplaneError
from infoplane.storage import atomic_files as files


def cache_folder() -> Path | None:
    """The folder of this package in the user's cache, which may not be there; None without a home folder."""
    try:
        return user_cache_path("infoplane", appauthor=False)
    except RuntimeError:
        return None


def cached_text(name: str, make: Callable[[], str]) -> str:
    """The text of a name, which says everything that decides it."""
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / name
    with contextlib.suppress(OSError, ValueError):
        digest, _, text = path.read_bytes().decode("utf-8").partition("\n")
        if digest == _digest(text):
            return text
    text = make()
    with contextlib.suppress(OSError, ValueError, InfoplaneError):
        files.write_text(path, f"{_digest(text)}\n{text}")
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
