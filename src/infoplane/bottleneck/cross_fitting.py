"""The positions of a text in two halves of its documents: what is fitted on one is judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import Expected, choose_alphas
from infoplane.bottleneck.fit_text import BOTH, Ints, Joined

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sample:
    """Positions that codes are fitted to.

    Attributes:
        grams: for each length 1 to k the (n,) codes of the input n-grams.
        y: (n,) codes of the output, from 0.
        expected: what a teacher expects in its place; None for the output itself.
    """

    grams: tuple[Ints, ...]
    y: Ints
    expected: Expected | None


@dataclass(frozen=True, eq=False)
class Positions:
    """P_k of windows, as the frontier needs them.

    Attributes:
        joined: the windows.
        rows: (n,) measured positions of `joined.windows`; those that are judged are rows of a capture.
        document: (n,) of each.
        half: (n,) 0 or 1, or `BOTH`.
        judged: (n,) whether codes are judged there.
        grams: for each length 1 to k the (n,) codes of the input n-grams.
        y: (n,) codes of the output, from 0.
        target: order of the output.
        is_seen: (n,) whether the other half of what is judged has the whole k-gram too.
    """

    joined: Joined
    rows: Ints
    document: Ints
    half: Ints
    judged: Mask
    grams: tuple[Ints, ...]
    y: Ints
    target: int
    is_seen: Mask

    @classmethod
    def of(cls, joined: Joined, order: int, target: int = 1) -> Positions:
        grams, wide = joined.grams, max(order, target)
        rows = grams.positions(wide)
        document = joined.windows.position_document[rows]
        codes = tuple(grams.input(j, wide).codes for j in range(1, order + 1))
        y = np.unique(grams.output(target, wide).codes, return_inverse=True)[1].reshape(-1)
        half, judged = joined.half[document], rows < joined.judged
        there = np.zeros((2, int(codes[-1].max()) + 1 if len(rows) else 0), bool)
        there[half[judged], codes[-1][judged]] = True
        is_seen = np.zeros(len(rows), bool)
        is_seen[judged] = there[1 - half[judged], codes[-1][judged]]
        return cls(joined, rows, document, half, judged, codes, y.astype(np.int32), target, is_seen)

    def to_fit(self, half: int) -> Mask:
        """(n,) where codes of a half are fitted: its documents, and those that nobody judges."""
        of_fit = self.judged if self.joined.fit is None else ~self.judged
        mine: Mask = of_fit & ((self.half == half) | (self.half == BOTH))
        return mine

    def sample(self, fit: Mask, trust: float = 0.0) -> Sample:
        """The positions (n,) of a mask, of those to fit on.

        Args:
            fit: the mask.
            trust: occurrences of a k-gram that weigh as much as what the teacher expects of the next token after it;
                0 for tokens alone, infinite for the teacher alone.
        """
        grams, y = tuple(gram[fit] for gram in self.grams), self.y[fit]
        told = self.joined.expected(self.rows[fit], self.rows, self.y) if trust > 0 and self.target == 1 else None
        if told is None or np.isinf(trust):
            return Sample(grams, y, told)
        n = np.bincount(grams[-1])[grams[-1]]
        return Sample(grams, y, told.with_tokens(y, n / (n + trust)))


def saturation(p: Positions) -> tuple[float, float]:
    """Nats that the p(y | x) fitted to each half saves on the other, and the plug-in I(X_k; Y) of what is judged."""
    words = int(p.y.max()) + 1
    pairs = [np.unique(g.astype(np.int64) * words + p.y, return_inverse=True)[1].reshape(-1) for g in p.grams]
    saved = np.mean([_saved(p, pairs, p.to_fit(half), p.judged & (p.half == 1 - half)) for half in (0, 1)])
    return float(saved), sum(_entropy(codes[p.judged]) for codes in (p.grams[-1], p.y)) - _entropy(pairs[-1][p.judged])


def _saved(p: Positions, pairs: Sequence[npt.NDArray[np.int64]], fit: Mask, judged: Mask) -> float:
    """Mean of log p(y | x) - log p(y) where judged; words that `fit` lacks share what it has of words seen once."""
    n = np.bincount(p.y[fit], minlength=int(p.y.max()) + 1)
    once, lacking, total = (max(int(np.count_nonzero(a)), 1) for a in (n == 1, n == 0, fit))
    base: npt.NDArray[np.float64] = np.where(n > 0, n * (1 - once / total), once / lacking) / total
    likely = base[p.y[judged]]
    alphas, _ = choose_alphas([g[fit] for g in p.grams], p.y[fit])
    for gram, pair, alpha in zip(p.grams, pairs, alphas, strict=True):
        own, of_all = (np.bincount(c[fit], minlength=int(c.max()) + 1)[c[judged]] for c in (pair, gram))
        likely = (own + alpha * likely) / (of_all + alpha)
    return float(np.log(likely / base[p.y[judged]]).mean())


def _entropy(codes: npt.NDArray[np.integer]) -> float:
    n = np.bincount(codes)
    p = n[n > 0] / len(codes)
    return -float(p @ np.log(p))
