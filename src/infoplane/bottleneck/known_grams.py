"""Where the k-grams of a fit are in its tables, for other text: those that it lacks by the longest end that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class KnownGrams:
    """The k-grams of a ladder, and where in its tables they are.

    Attributes:
        rungs: for each length the codes, ascending, and the place of each.
    """

    rungs: tuple[tuple[Ints, Ints], ...]

    def places(self, grams: Sequence[npt.NDArray[np.integer]]) -> tuple[Ints, Ints]:
        """Where the k-grams (n,) of other text are, or the longest of their ends that was seen.

        Returns:
            (n,) places, and (n,) how many tokens of each were known: 0 to k.
        """
        place, known = np.zeros(len(grams[0]), np.int64), np.zeros(len(grams[0]), np.int64)
        for length, (gram, (codes, places)) in enumerate(zip(grams, self.rungs, strict=True), start=1):
            nearest = np.minimum(np.searchsorted(codes, gram), len(codes) - 1)
            seen = codes[nearest] == gram
            place[seen], known[seen] = places[nearest[seen]], length
        return place, known
