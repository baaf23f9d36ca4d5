"""The frontier of a text as a curve: its codes, its upper hull, and what it allows at a complexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.information import Floats
from infoplane.storage import Json


def rest_of(rise: Floats, before: float, after: float, now: float) -> Floats:
    """What more text than `now` still brings, if the frontier falls short by a / sqrt(n), and rose so much between."""
    if not 0 < before < after <= now:
        return np.zeros_like(rise)
    return np.asarray(np.maximum(rise, 0.0) * (after / now) ** 0.5 / ((after / before) ** 0.5 - 1), np.float64)


@dataclass(frozen=True, eq=False)
class Frontier:
    """What codes of k-grams achieve on a text.

    Attributes:
        order: k.
        target: order of the output n-gram; 1 is the next token.
        positions: `all`, or `seen`.
        n: positions judged.
        seen: part of P_k whose k-gram the other half has.
        codes: (C,) of each point the length, trust in the teacher, smoothing, beta and symbols in use.
        complexity, relevance: (C, 1 + B) nats: the estimate, then its replicates.
        saturation: lower and upper estimate of I(X_k; Y), nats.
        m: symbols that were allowed.
        windows_hash: of the windows that it is judged on, where that is known.
        fitted_on: positions that a code was fitted to, the mean of both halves.
        smaller: what codes achieve that were fitted to less of the same text, the least first.
        tangents: (U, 2) slope 1 / beta, and nats at the origin, of lines that no code passes, if the fit is right about
            what follows: see `upper_at`.
        teacher: name of the model whose predictions codes were fitted to; None for counts.
        fit_hash: of the text to fit on and its teacher, where it is other than the windows.
    """

    order: int
    target: int
    positions: str
    n: int
    seen: float
    codes: tuple[tuple[int, float, float, float, int], ...]
    complexity: Floats
    relevance: Floats
    saturation: tuple[float, float]
    m: int
    windows_hash: str | None = None
    fitted_on: int = 0
    smaller: tuple[LessText, ...] = ()
    tangents: Floats | None = None
    teacher: str | None = None
    fit_hash: str | None = None

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
            "fitted_on": self.fitted_on,
            "smaller": [{"fitted_on": less.fitted_on, "hull": (scale * less.hull()).tolist()} for less in self.smaller],
            "upper": None if self.tangents is None else (scale * self._upper_corners()).tolist(),
            "teacher": self.teacher,
        }

    def at(self, complexity: Floats) -> Floats:
        """(1 + B,) F_k at a complexity (1 + B,), replicate by replicate."""
        return _at(self.hull, complexity)

    def moved_at(self, complexity: Floats) -> Floats | None:
        """(1 + B,) by how much F_k rose at a complexity (1 + B,) when the text to fit on was last doubled."""
        return self.at(complexity) - _at(self.smaller[-1].hull, complexity) if self.smaller else None

    def upper_at(self, complexity: Floats) -> Floats | None:
        """(1 + B,) an upper side of the curve at a complexity (1 + B,): the larger of two, and not above the diagonal.

        The first is what no code of m symbols passes if the fit is right about what follows. A code that is best for
        beta has the largest I(T; Y) - I(X; T) / beta, so all codes lie below the line of slope 1 / beta through it. The
        joint is that of the k-grams that are judged with the mean of what the fit has after each of them, whose errors
        lift the curve: the less text, the higher. But a teacher may foretell less than there is to foretell.

        So the second: the frontier, and what is left to rise if that falls with the text as n ** -1/2, or faster, so
        that a doubling brings at most 0.71 of what the one before it brought (`rest_of`). The larger of what the last
        two doublings say is taken.
        """
        if self.tangents is None:
            return None
        less = [_at(part.hull, complexity) for part in self.smaller]
        return self._upper(complexity, [*less, self.at(complexity)])

    def _upper(self, complexity: Floats, reached: Sequence[Floats]) -> Floats:
        """The same; `reached` is the frontier by ever more text."""
        assert self.tangents is not None
        slope, origin = self.tangents.T
        at = np.maximum(np.asarray(complexity, np.float64), 0.0)
        n = [*(less.fitted_on for less in self.smaller), self.fitted_on]
        rest = [rest_of(reached[i] - reached[i - 1], n[i - 1], n[i], self.fitted_on) for i in range(1, len(reached))]
        upper = np.maximum((origin + at[:, None] * slope).min(1), reached[-1] + np.max([*rest, 0.0 * at], axis=0))
        return np.asarray(np.maximum(np.minimum(upper, at), reached[-1]), np.float64)

    def _upper_corners(self) -> Floats:
        """(P, 2) the upper side as a line to draw."""
        assert self.tangents is not None
        at = np.linspace(0.0, float(self.hull()[-1, 0]), 61)
        reached = [np.interp(at, *corners.T) for corners in (*(less.hull() for less in self.smaller), self.hull())]
        return np.stack([at, self._upper(at, reached)], axis=1)


@dataclass(frozen=True, eq=False)
class LessText:
    """What codes achieve that were fitted to less text.

    Attributes:
        fitted_on: positions that a code was fitted to, the mean of both halves.
        complexity, relevance: (C, 1 + B) nats, as of the frontier.
    """

    fitted_on: int
    complexity: Floats
    relevance: Floats

    def hull(self, replicate: int = 0) -> Floats:
        """(H, 2) corners, as of the frontier."""
        return hull(self.complexity[:, replicate], self.relevance[:, replicate])


def _at(hull_of: Callable[[int], Floats], complexity: Floats) -> Floats:
    return np.array([np.interp(max(x, 0.0), *hull_of(i).T) for i, x in enumerate(complexity)])


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
