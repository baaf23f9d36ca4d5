"""What frontiers are fitted on: as much text as there is, the documents that are judged among it.

A frontier is judged at the positions that a model is measured at. It may be fitted on far more: on all that the
documents of the other half hold, on documents that nobody measures, and on what a teacher expects there. No code
is judged on a document that it was fitted on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import Expected
from infoplane.errors import TextError
from infoplane.text import NGrams, Predictions, Windows, WindowSettings
from infoplane.uncertainty import assign_blocks

Ints = npt.NDArray[np.int32]
MOST_FITTED = 131_072
"""Tokens of a text that frontiers are fitted on, at most; those that are judged may be more."""
BOTH = 2
"""In the place of a half: a document that is not judged, so that codes of both halves may be fitted on it."""


def deep(windows: WindowSettings) -> WindowSettings:
    """Those that cut all of a text, to fit on, where these cut a budget, to judge on."""
    return replace(windows, tokens=max(MOST_FITTED, windows.tokens or windows.bytes or 0), bytes=None)


def halves(windows: Windows) -> Ints:
    """(D,) 0 or 1, the half of each document; the same windows always give the same.

    Raises:
        TextError: fewer than two documents.
    """
    sizes = windows.document_positions
    if np.count_nonzero(sizes) < 2:
        raise TextError(
            f"{np.count_nonzero(sizes)} document with positions: the bound is fitted on one half of the documents and "
            "judged on the other; give two or more"
        )
    return assign_blocks(sizes, 2)


def fit_hash(windows: Windows, teacher: str | None) -> str:
    """SHA-256 over the windows that codes are fitted on and, if there is a teacher, what vouches for its weights."""
    return hashlib.sha256(f"{windows.hash};{teacher or 'counts'}".encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class FitText:
    """The text that frontiers are fitted on.

    Attributes:
        windows: of all of it; a document that is judged too has the same name there.
        predictions: of a teacher, at the measured positions of `windows`; none, and codes are fitted to counts.
    """

    windows: Windows
    predictions: Predictions | None = None

    def __post_init__(self) -> None:
        told = self.predictions
        if told is not None and (told.windows_hash, len(told.words)) != (self.windows.hash, self.windows.n_positions):
            raise TextError(
                f"predictions of {told.teacher} at {len(told.words):,} positions of other windows than those to fit "
                f"on, which have {self.windows.n_positions:,}: of another text, or by another tokenizer; let the "
                "teacher read these windows"
            )
        if told is not None and not np.isfinite(told.weights).all():
            raise TextError(f"predictions of {told.teacher} with weights that are no numbers: expected finite ones")

    @property
    def teacher(self) -> str | None:
        """Name of the model whose predictions are used; None for counts."""
        return None if self.predictions is None else self.predictions.teacher

    @property
    def hash(self) -> str | None:
        """SHA-256 over the windows and the teacher; None where nothing vouches for the teacher's weights."""
        vouched = None if self.predictions is None else self.predictions.vouched
        return None if self.predictions is not None and vouched is None else fit_hash(self.windows, vouched)


@dataclass(frozen=True, eq=False)
class Joined:
    """Windows that are judged and windows to fit on, in one numbering of documents, k-grams and words.

    Attributes:
        windows: those that are judged, then those to fit on, if these are others.
        judged: how many of the measured positions of `windows` are judged.
        half: (D,) 0 or 1 of a document that is judged, else `BOTH`.
        fit: what was joined; None where codes are fitted on the windows that are judged.
        order: of the longest k-grams.
    """

    windows: Windows
    judged: int
    half: Ints
    fit: FitText | None
    order: int

    @classmethod
    def of(cls, judged: Windows, order: int, fit: FitText | None = None) -> Joined:
        """Join windows to the text to fit on.

        Raises:
            TextError: fewer than two documents are judged.
        """
        half = halves(judged)
        if fit is None:
            return cls(judged, judged.n_positions, half, None, order)
        number = {name: i for i, name in enumerate(judged.documents)}
        for name in fit.windows.documents:
            number.setdefault(name, len(number))
        here = np.array([number[name] for name in fit.windows.documents], np.int32)
        a, b = judged, fit.windows
        windows = Windows(
            tokens=np.concatenate((a.tokens, b.tokens)),
            starts=np.concatenate((a.starts, a.starts[-1] + b.starts[1:])),
            document=np.concatenate((a.document, here[b.document])).astype(np.int32),
            is_text=np.concatenate((a.is_text, b.is_text)),
            is_position=np.concatenate((a.is_position, b.is_position)),
            byte_count=np.concatenate((a.byte_count, b.byte_count)),
            documents=tuple(number),
        )
        more = np.full(len(number) - len(half), BOTH, np.int32)
        return cls(windows, a.n_positions, np.concatenate((half, more)).astype(np.int32), fit, order)

    @cached_property
    def grams(self) -> NGrams:
        """K-grams of all windows."""
        return NGrams(self.windows, self.order)

    def expected(self, fits: Ints, rows: Ints, y: Ints) -> Expected | None:
        """What the teacher expects at rows to fit on; None without one.

        Args:
            fits: rows to fit on.
            rows, y: (n,) all rows that have a next word, and its code; words that follow nowhere are one word.
        """
        if self.fit is None or self.fit.predictions is None:
            return None
        told, at = self.fit.predictions, np.flatnonzero(self.windows.is_position)
        after = self.windows.tokens[at[rows] + 1]
        code = np.full(max(int(after.max()), int(told.words.max())) + 1, int(y.max()) + 1, np.int32)
        code[after] = y
        here = fits - self.judged
        return Expected(code[told.words[here]], told.weights[here])
