"""What a teacher said of a text, kept until a bound is fitted to it: to stop in between costs no second reading."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from infoplane.errors import InfoplaneError
from infoplane.storage import atomic_files as files
from infoplane.storage import cache_folder
from infoplane.text import Predictions, Windows

_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile)
"""What reading raises where a file is not there, or not what was written."""


def kept_predictions(windows: Windows, vouched: str | None, make: Callable[[], Predictions]) -> Predictions:
    """Those in the user's cache, or made and put there; made each time where nothing vouches for the teacher."""
    place = _place(windows, vouched)
    if place is None:
        return make()
    with contextlib.suppress(*_DAMAGED), place.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        words, weights, said = stored["words"], stored["weights"], [str(x) for x in stored["said"]]
        if said[1:] == [windows.hash, vouched] and len(words) == len(weights) == windows.n_positions:
            return Predictions(words, weights, said[0], windows.hash, vouched)
    made = make()
    with contextlib.suppress(OSError, InfoplaneError), files.replacing(place) as part, part.open("wb") as out:
        np.savez(out, words=made.words, weights=made.weights, said=np.array([made.teacher, windows.hash, vouched]))
    return made


def forget_predictions(windows: Windows, vouched: str | None) -> None:
    """Remove them from the cache: what they were made for is done."""
    if (place := _place(windows, vouched)) is not None:
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)


def _place(windows: Windows, vouched: str | None) -> Path | None:
    folder = cache_folder()
    if folder is None or vouched is None:
        return None
    return folder / "predictions" / f"{hashlib.sha256(f'{windows.hash};{vouched}'.encode()).hexdigest()}.npz"
