"""What the report of a bound draws and says: each frontier at a complexity, with its error, and one table of them all.

Everything is in nats. Pictures, sentences, the table of the page and that of the command line read the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infoplane.bottleneck import Bound, Frontier, LessText
from infoplane.information import Floats
from infoplane.report.parts import words
from infoplane.uncertainty import error_and_interval, standard_error_of

PLACES = (0.25, 0.5, 1.0, 2.0, 3.0)
"""Complexities that the table has, nats."""
STEPS = 60
"""Pieces that a line is drawn in, besides its own corners."""


@dataclass(frozen=True)
class Told:
    """What is told about the target: the value, and half of its 95 % interval where there is one."""

    value: float
    half: float | None

    def said(self, digits: int = 2) -> str:
        more = "" if self.half is None else f" ± {words.number(self.half, digits)}"
        return words.number(self.value, digits) + more


@dataclass(frozen=True, eq=False)
class Line:
    """One frontier: its hull, and the hulls of its replicates."""

    frontier: Frontier

    @cached_property
    def hulls(self) -> tuple[Floats, ...]:
        """(H, 2) of the estimate, then of each replicate."""
        return tuple(self.frontier.hull(i) for i in range(self.frontier.complexity.shape[1]))

    @property
    def end(self) -> tuple[float, float]:
        """Complexity of the last code, and what it tells."""
        x, y = self.hulls[0][-1]
        return float(x), float(y)

    def at(self, complexity: float) -> Told:
        """What is told at a complexity; flat beyond the end."""
        value, *replicates = (float(np.interp(complexity, *hull.T)) for hull in self.hulls)
        _, interval = error_and_interval(value, np.array(replicates))
        return Told(value, None if interval is None else (interval[1] - interval[0]) / 2)

    def moved(self, complexity: float) -> tuple[float, float | None] | None:
        """By how much the line rose when the text to fit on was last doubled, and the standard error of the line.

        None where there was too little text to tell.
        """
        f = self.frontier
        x = np.full(f.complexity.shape[1], complexity)
        moved = f.moved_at(x)
        if moved is None:
            return None
        return float(moved[0]), standard_error_of(f.at(x)[1:]) if len(x) > 1 else None

    def upper(self, complexity: float) -> float | None:
        """How high the true curve may be at a complexity; see `Frontier.upper_at`."""
        upper = self.frontier.upper_at(np.full(self.frontier.complexity.shape[1], complexity))
        return None if upper is None else float(upper[0])

    def upper_points(self) -> list[dict[str, float]]:
        """That line, to draw; empty where it is not known."""
        across = np.linspace(0.0, self.end[0], STEPS + 1).tolist()
        found = [(x, self.upper(x)) for x in across]
        return [{"x": x, "y": y} for x, y in found if y is not None]

    def points(self) -> list[dict[str, float]]:
        """The line from the origin to its end, with the ends of the intervals."""
        end = self.end[0]
        across = sorted({*np.linspace(0.0, end, STEPS + 1).tolist(), *self.hulls[0][:, 0].tolist()})
        drawn = []
        for x in across:
            relevance = self.at(x)
            half = relevance.half or 0.0
            drawn.append({"x": x, "y": relevance.value, "low": relevance.value - half, "high": relevance.value + half})
        return drawn


@dataclass(frozen=True, eq=False)
class BoundView:
    """A bound, looked at."""

    bound: Bound

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(f) for f in self.bound.frontiers)

    @cached_property
    def orders(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(f.order for f in self.bound.frontiers))

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """How many tokens are foretold: 1, and where it was asked for and they recur, more."""
        return tuple(dict.fromkeys(f.target for f in self.bound.frontiers))

    def of(self, target: int, positions: str) -> list[Line]:
        return [line for line in self.lines if (line.frontier.target, line.frontier.positions) == (target, positions)]

    def unseen(self) -> list[Frontier]:
        """Frontiers of the next token that have no counterpart on seen positions."""
        seen = {line.frontier.order for line in self.of(1, "seen")}
        return [line.frontier for line in self.of(1, "all") if line.frontier.order not in seen]

    @property
    def has_errors(self) -> bool:
        return all(f.complexity.shape[1] > 1 for f in self.bound.frontiers)

    @property
    def m(self) -> int:
        return self.bound.frontiers[0].m

    @cached_property
    def text_name(self) -> str:
        """A name for titles: the last part of a path, a dataset's id as it is."""
        text = self.bound.provenance.get("text") or {}
        source = str(text.get("source") or "a text")
        return source if text.get("kind") == "dataset" else _last(source)

    @cached_property
    def tokenizer_name(self) -> str | None:
        tokenizer = (self.bound.provenance.get("windows") or {}).get("tokenizer") or {}
        name = str(tokenizer.get("name") or "")
        return (_last(name) if name.startswith((".", "~", "/")) else name) or None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header, and a row for each frontier; the first two columns are words."""
        header = ["k", "positions", "n", "seen", *(f"{x:g}" for x in PLACES), "end", "saturation"]
        rows: list[list[str]] = []
        for line in self.lines:
            f, (x, y) = line.frontier, line.end
            low, high = f.saturation
            rows.append(
                [
                    f"{f.order}" if f.target == 1 else f"{f.order}, next {f.target}",
                    f.positions,
                    f"{f.n:,}",
                    words.percent(f.seen),
                    *(line.at(p).said() if p <= x else words.MISSING for p in PLACES),
                    f"{words.number(y, 2)} at {words.number(x, 1)}",
                    f"{words.number(low, 2)} to {words.number(high, 2)}",
                ]
            )
        return header, rows

    def convergence(self) -> tuple[list[str], list[list[str]]]:
        """A header, and a row for each frontier and each amount of text that codes were fitted on."""
        header = ["k", "positions", "fitted on", *(f"{x:g}" for x in PLACES)]
        rows: list[list[str]] = []
        for line in self.lines:
            f = line.frontier
            name = f"{f.order}" if f.target == 1 else f"{f.order}, next {f.target}"
            parts: list[Frontier | LessText] = [*f.smaller, f]
            for part in parts:
                told = [_told(part.hull(), x) for x in PLACES]
                rows.append([name, f.positions, f"{part.fitted_on:,}", *told])
            upper = [(x, line.upper(x)) for x in PLACES]
            if any(u is not None for _, u in upper):
                at = [words.MISSING if u is None or x > line.end[0] else words.number(u, 2) for x, u in upper]
                rows.append([name, f.positions, "upper side", *at])
        return header, rows


def _told(hull: Floats, x: float) -> str:
    return words.number(float(np.interp(x, *hull.T)), 2) if x <= hull[-1, 0] else words.MISSING


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").split("/")[-1] or path
