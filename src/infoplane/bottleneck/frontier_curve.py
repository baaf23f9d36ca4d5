"""The frontier of a text as a curve: its codes, its upper hull, and what it allows at a complexity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.information import Floats
from infoplane.storage import Json


@dataclass(frozen=True, eq=False)
class Frontier:
    """What codes of k-grams achieve on a text.

    Attributes:
        order: k.
        target: order of the output n-gram; 1 is the next token.
        positions: `all`, or `seen`.
        n: positions judged.
        seen: part of P_k whose k-gram the other half has.
        codes: (C,) of each point the length, smoothing, beta and symbols in use.
        complexity, relevance: (C, 1 + B) nats: the estimate, then its replicates.
        saturation: lower and upper estimate of I(X_k; Y), nats.
        m: symbols that were allowed.
        windows_hash: of the windows that it was fitted to, where that is known.
    """

    order: int
    target: int
    positions: str
    n: int
    seen: float
    codes: tuple[tuple[int, float, float, int], ...]
    complexity: Floats
    relevance: Floats
    saturation: tuple[float, float]
    m: int
    windows_hash: str | None = None

    def hull(self, replicate: int = 0) -> Floats:
        """(H, 2) corners of the concave hull from the origin up to the largest relevance."""
        return hull(self.complexity[:, replicate], self.relevance[:, replicate])

    def summary(self, scale: float = 1.0) -> dict[str, Json]:
        """As plain JSON values, in nats times `scale`: what a report draws."""
        return {
            "order": self.order,
            "target": self.target,
            "positions": self.positions,
            "n": self.n,
            "seen": self.seen,
            "m": self.m,
            "hull": (scale * self.hull()).tolist(),
            "saturation": [scale * s for s in self.saturation],
        }

    def at(self, complexity: Floats) -> Floats:
        """(1 + B,) F_k at a complexity (1 + B,), replicate by replicate."""
        return np.array([np.interp(max(x, 0.0), *self.hull(i).T) for i, x in enumerate(complexity)])


def hull(complexity: Floats, relevance: Floats) -> Floats:
    """(H, 2) corners of the concave hull of points (C,) and the origin, as far as it rises.

    >>> hull(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.7])).tolist()
    [[0.0, 0.0], [1.0, 0.5], [3.0, 0.7]]
    """
    points = sorted({(0.0, 0.0), *((float(x), float(y)) for x, y in zip(complexity, relevance, strict=True) if x > 0)})
    corners: list[tuple[float, float]] = []
    for x, y in points:
        while len(corners) > 1 and _turns_left(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    top = max(range(len(corners)), key=lambda i: corners[i][1])
    return np.array(corners[: top + 1])


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0
