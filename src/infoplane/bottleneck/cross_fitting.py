"""The positions of a text in two halves of its documents: what is fitted on one is judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.bottleneck.backoff import choose_alphas
from infoplane.errors import TextError
from infoplane.text import NGrams, Windows
from infoplane.uncertainty import assign_blocks

Ints = npt.NDArray[np.int32]


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


@dataclass(frozen=True, eq=False)
class Positions:
    """P_k of windows, as the frontier needs them.

    Attributes:
        rows: (n,) rows of a capture.
        document: (n,) of each.
        half: (n,) 0 or 1.
        grams: for each length 1 to k the (n,) codes of the input n-grams.
        y: (n,) codes of the output, from 0.
        is_seen: (n,) whether the other half has the whole k-gram.
    """

    rows: Ints
    document: Ints
    half: Ints
    grams: tuple[Ints, ...]
    y: Ints
    is_seen: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, grams: NGrams, half_of_document: Ints, order: int, target: int = 1) -> Positions:
        rows = grams.positions(max(order, target))
        document = grams.windows.position_document[rows]
        codes = tuple(grams.input(j, max(order, target)).codes for j in range(1, order + 1))
        y = np.unique(grams.output(target, max(order, target)).codes, return_inverse=True)[1].reshape(-1)
        half = half_of_document[document]
        there = np.zeros((2, int(codes[-1].max()) + 1), bool)
        there[half, codes[-1]] = True
        return cls(rows, document, half, codes, y.astype(np.int32), there[1 - half, codes[-1]])


def saturation(p: Positions) -> tuple[float, float]:
    """Nats that the p(y | x) of each half saves on the other, and the plug-in I(X_k; Y)."""
    words = int(p.y.max()) + 1
    pairs = [np.unique(g.astype(np.int64) * words + p.y, return_inverse=True)[1].reshape(-1) for g in p.grams]
    saved = np.mean([_saved(p, pairs, p.half == half) for half in (0, 1)])
    return float(saved), _entropy(p.grams[-1]) + _entropy(p.y) - _entropy(pairs[-1])


def _saved(p: Positions, pairs: Sequence[npt.NDArray[np.int64]], fit: npt.NDArray[np.bool_]) -> float:
    """Mean of log p(y | x) - log p(y) outside of `fit`; words that it lacks share what it has of words seen once."""
    n = np.bincount(p.y[fit], minlength=int(p.y.max()) + 1)
    once, lacking, total = (max(int(np.count_nonzero(a)), 1) for a in (n == 1, n == 0, fit))
    base: npt.NDArray[np.float64] = np.where(n > 0, n * (1 - once / total), once / lacking) / total
    likely = base[p.y[~fit]]
    for gram, pair, alpha in zip(p.grams, pairs, choose_alphas([g[fit] for g in p.grams], p.y[fit]), strict=True):
        own, of_all = (np.bincount(c[fit], minlength=int(c.max()) + 1)[c[~fit]] for c in (pair, gram))
        likely = (own + alpha * likely) / (of_all + alpha)
    return float(np.log(likely / base[p.y[~fit]]).mean())


def _entropy(codes: npt.NDArray[np.integer]) -> float:
    n = np.bincount(codes)
    p = n[n > 0] / len(codes)
    return -float(p @ np.log(p))
