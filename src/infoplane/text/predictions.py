"""What a language model expects after each measured position of windows: a teacher of what comes next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Predictions:
    """The next tokens that a model expects.

    Attributes:
        words: (N, K) int32, token ids at each measured position of the windows; one that stands twice counts twice.
        weights: (N, K) float32, adding up to 1 at each position.
        teacher: name of the model.
        windows_hash: of the windows.
        vouched: hash of the model's weights, or its commit; None where nothing vouches for them.
    """

    words: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    teacher: str
    windows_hash: str
    vouched: str | None = None

    def __repr__(self) -> str:
        return f"<Predictions of {self.teacher}: {len(self.words):,} positions, {self.words.shape[1]} words each>"
