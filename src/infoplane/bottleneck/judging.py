"""Judging codes: what a code of k-grams keeps and tells at positions of documents that it was not fitted to.

Both coordinates are estimated as those of a layer are, by the same estimator; see `infoplane.bottleneck.frontier`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.cross_fitting import Positions
from infoplane.bottleneck.fit_text import Ints
from infoplane.bottleneck.known_grams import KnownGrams
from infoplane.information import Floats, Grouping, Marginal, NullCurve, Rows, information
from infoplane.text import Labels


class Judge:
    """The positions of one half, on which codes that were fitted to the other are judged; labels are grouped once."""

    def __init__(
        self, p: Positions, judged: Mapping[str, npt.NDArray[np.bool_]], half: int, blocks: Ints | None
    ) -> None:
        here = judged["all"] & (p.half == half)
        self.grams, self.document, self.blocks = [g[here] for g in p.grams], p.document[here], blocks
        self.outputs = {}
        for name, mask in judged.items():
            at = np.flatnonzero(mask[here]).astype(np.int32)
            codes = np.unique(p.y[here][at], return_inverse=True)[1].reshape(-1).astype(np.int32)
            self.outputs[name] = at, Grouping.of(Labels(at, codes), self.document, blocks)

    def n(self, name: str) -> int:
        return len(self.outputs[name][0])

    def places(self, known: KnownGrams, length: int) -> npt.NDArray[np.int64]:
        return known.places(self.grams[:length])[0]

    def of(self, code: npt.NDArray[np.float16]) -> dict[str, tuple[Floats, Floats]]:
        """Complexity and relevance (1 + B,), from p(t | x) (n, t) at each position."""
        rows = Rows.of(code)
        return {name: self._coordinates(rows, *output) for name, output in self.outputs.items()}

    def _coordinates(self, rows: Rows, at: Ints, outputs: Grouping) -> tuple[Floats, Floats]:
        marginal = Marginal.of(rows, at, self.document, self.blocks)
        zero = np.zeros_like(marginal.ceiling)
        if not (marginal.ceiling > 1e-9).all():  # a code that keeps nothing
            return zero, zero
        found = information(rows, outputs, marginal, NullCurve.of(rows, at), thinned=True).thinned
        return marginal.ceiling_corrected, zero if found is None else found


def judging_documents(sizes: npt.NDArray[np.integer], half: Ints, most: int) -> npt.NDArray[np.bool_]:
    """(D,) the documents of each half that judge: in a random order, as long as `most` positions are not passed."""
    order = np.random.default_rng([0, 6]).permutation(len(sizes))
    judges = np.zeros(len(sizes), bool)
    for h in (0, 1):
        mine = order[half[order] == h]
        before = np.cumsum(sizes[mine]) - sizes[mine]
        judges[mine[(before + sizes[mine] <= most) | (before == 0)]] = True
    return judges


def mean_of_halves(n: Sequence[int], points: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    x, y = (sum(w * point[i] for w, point in zip(n, points, strict=True)) / sum(n) for i in (0, 1))
    return np.asarray(x), np.asarray(y)
