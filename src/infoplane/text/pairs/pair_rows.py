"""Which rows of windows of pairs belong to which pair and answer, and the swapped labels of a control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.errors import LabelError
from infoplane.text import Windows

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PairRows:
    """What is known of every row of a capture of pairs.

    Attributes:
        pair: (N,) its document.
        rejected: (N,) 0 for the chosen answer, 1 for the rejected one.
        place: (N,) how many measured tokens of the answer come before.
        matched: (N,) whether the pair's other answer has a token at that place too: as many rows of both answers in
            every pair and at every place.
        token: (N,) rank of the token.
    """

    pair: Ints
    rejected: Ints
    place: Ints
    matched: npt.NDArray[np.bool_]
    token: Ints

    @classmethod
    def of(cls, windows: Windows) -> PairRows:
        """From windows of `make_pair_windows`.

        Raises:
            LabelError: windows of a text, which have no answers.
        """
        if not is_of_pairs(windows):
            raise LabelError("these windows are of a text, not of preference pairs: there is no chosen and rejected")
        starts = windows.row_starts
        n = np.diff(starts)
        window = np.repeat(np.arange(len(windows)), n)
        answer_place = np.arange(len(window)) - np.repeat(starts[:-1], n)
        shorter = np.full(len(windows.documents), np.iinfo(np.int64).max)
        np.minimum.at(shorter, windows.document, n)
        pair = windows.document[window]
        tokens = windows.tokens[windows.is_position]
        return cls(
            pair.astype(np.int32),
            (window >= len(windows) // 2).astype(np.int32),
            answer_place.astype(np.int32),
            answer_place < shorter[pair],
            np.unique(tokens, return_inverse=True)[1].reshape(-1).astype(np.int32),
        )

    def swapped(self, draw: int) -> Ints:
        """(N,) `rejected` with the answers of each pair exchanged by a fair coin of its own; a draw has one seed."""
        pairs = int(self.pair.max()) + 1
        coins = np.random.Generator(np.random.PCG64([draw, 3])).integers(0, 2, pairs, dtype=np.int32)
        return self.rejected ^ coins[self.pair]


def is_of_pairs(windows: Windows) -> bool:
    """Whether windows are those of preference pairs."""
    return windows.provenance.get("pairs") is not None
