"""How often the band of a frontier holds the truth: `python bench/bound_coverage.py`.

Texts whose next word hangs on the class of the last one alone (`tests/support/markov_texts.py`), so that their curve is
that of twelve classes, however many words there are: 300 documents of 60 words, codes of 20 symbols, at four
complexities. The band goes from 1.96 standard errors below the frontier to 1.96 above its upper side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from infoplane.bottleneck.frontier import fit_frontiers
from infoplane.uncertainty.document_jackknife import standard_error_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from markov_texts import classes, true_curve

PLACES = (0.3, 0.8, 1.4, 2.0)


def main() -> None:
    """Print a line for each number of words and complexity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--words", type=int, nargs="+", default=[60, 600, 5_004])
    given = parser.parse_args()
    print("words | complexity | truth | frontier | upper | error | band holds it | moved less than its error")
    for words in given.words:
        rows = np.array([row for seed in range(given.draws) for row in _of_draw(words, given.documents, seed)])
        for x in PLACES:
            mine = rows[rows[:, 0] == x]
            _, truth, reached, upper, error, held, still = mine.mean(0)
            print(f"{words} | {x} | {truth:.3f} | {reached:.3f} | {upper:.3f} | {error:.3f} | {held:.0%} | {still:.0%}")
        print(f"{words} words: the band holds the truth in {rows[:, 5].mean():.1%} of {len(rows)}", flush=True)


def _of_draw(words: int, documents: int, seed: int) -> list[list[float]]:
    """Of each complexity: itself, the truth, the frontier, its upper side and error; whether held, and converged."""
    windows, joint = classes(documents, words, seed)
    truth = true_curve(joint, len(joint))
    frontier = next(f for f in fit_frontiers(windows, (1,), m=20) if f.positions == "seen")
    rows = []
    for x in PLACES:
        at = np.full(frontier.complexity.shape[1], x)
        reached, upper, moved = frontier.at(at), frontier.upper_at(at), frontier.moved_at(at)
        assert upper is not None and moved is not None
        error, true = standard_error_of(reached[1:]), float(np.interp(x, *truth.T))
        held = reached[0] - 1.96 * error <= true <= upper[0] + 1.96 * error
        rows.append([x, true, float(reached[0]), float(upper[0]), error, float(held), float(moved[0] < error)])
    return rows


if __name__ == "__main__":
    main()
