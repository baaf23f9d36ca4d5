"""How often the band of a frontier holds the truth: `python bench/bound_coverage.py`.

Texts whose next word hangs on the class of the last one, or on the classes of the last two
(`tests/support/markov_texts.py`), so that their curve is that of the classes, however many words there are: 300
documents of 60 words, codes of 20 symbols, at four complexities. Codes are fitted to counts; or to a teacher that knows
the source but blurs it, so that it foretells less than there is to foretell. The band goes from 1.96 standard errors
below the frontier to 1.96 above its upper side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from infoplane.bottleneck import FitText
from infoplane.bottleneck.frontier import fit_frontiers
from infoplane.uncertainty.document_jackknife import standard_error_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from markov_texts import classes, classes_of_two, taught, true_curve

PLACES = {1: (0.3, 0.8, 1.4, 2.0), 2: (0.3, 0.6, 1.0, 1.6)}


class Case(NamedTuple):
    """A source of texts, its words, and the part of a teacher that is blurred; None for counts."""

    order: int
    words: int
    blur: float | None = None

    def __str__(self) -> str:
        teacher = "" if self.blur is None else f", teacher blurred {self.blur}"
        return f"order {self.order}, {self.words} words{teacher}"


CASES = (
    Case(1, 60), Case(1, 600), Case(1, 5_004), Case(2, 48), Case(2, 480),
    Case(1, 60, 0.3), Case(1, 600, 0.0), Case(1, 600, 0.3),
)  # fmt: skip


def main() -> None:
    """Print a line for each case and complexity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    given = parser.parse_args()
    print("source | complexity | truth | frontier | upper | error | band holds it | moved less than its error")
    for case in (CASES[i] for i in given.cases):
        rows = np.array([row for seed in range(given.draws) for row in _of_draw(case, given.documents, seed)])
        for x in PLACES[case.order]:
            mine = rows[rows[:, 0] == x]
            _, truth, reached, upper, error, held, still = mine.mean(0)
            print(f"{case} | {x} | {truth:.3f} | {reached:.3f} | {upper:.3f} | {error:.3f} | {held:.0%} | {still:.0%}")
        print(f"{case}: the band holds the truth in {rows[:, 5].mean():.1%} of {len(rows)}", flush=True)


def _of_draw(case: Case, documents: int, seed: int) -> list[list[float]]:
    """Of each complexity: itself, the truth, the frontier, its upper side and error; whether held, and converged."""
    windows, joint = (classes if case.order == 1 else classes_of_two)(documents, case.words, seed)
    truth = true_curve(joint, len(joint))
    fit = None if case.blur is None else FitText(windows, taught(windows, joint, case.words, case.blur))
    frontiers = fit_frontiers(windows, (case.order,), m=20, fit=fit)
    frontier = next(f for f in frontiers if f.positions == "seen")
    rows = []
    for x in PLACES[case.order]:
        at = np.full(frontier.complexity.shape[1], x)
        reached, upper, moved = frontier.at(at), frontier.upper_at(at), frontier.moved_at(at)
        assert upper is not None and moved is not None
        error, true = standard_error_of(reached[1:]), float(np.interp(x, *truth.T))
        held = reached[0] - 1.96 * error <= true <= upper[0] + 1.96 * error
        rows.append([x, true, float(reached[0]), float(upper[0]), error, float(held), float(moved[0] < error)])
    return rows


if __name__ == "__main__":
    main()
