"""Texts that take seconds to make and are the same each time, kept in the user's cache folder.

A text that is damaged there is made anew, and where nothing can be kept it is made each time.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

from platformdirs import user_cache_path

from infoplane.errors import InfoplaneError
from infoplane.storage import atomic_files as files


def cached_text(name: str, make: Callable[[], str]) -> str:
    """The text of a name, which says everything that decides it."""
    path = user_cache_path("infoplane", appauthor=False) / name
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: nobody's home folder
        digest, _, text = path.read_bytes().decode("utf-8").partition("\n")
        if digest == _digest(text):
            return text
    text = make()
    with contextlib.suppress(OSError, ValueError, RuntimeError, InfoplaneError):
        files.write_text(path, f"{_digest(text)}\n{text}")
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
