"""Does the band of a frontier hold the frontier of twice the text? `python bench/bound_by_text.py BOUND_FOLDER`.

Reads a stored bound (of `infoplane bound`, or of the cache) and prints, for each order and complexity, the frontier by
a quarter, half and all of the text, and whether the band by half of it holds the frontier by all: from 1.96 standard
errors below to 1.96 above what `rest_of` the doubling before still leaves (the tangents of half the text are not
stored; they can only widen the band).
"""

from __future__ import annotations

import argparse

import numpy as np

from infoplane.bottleneck import Bound
from infoplane.bottleneck.frontier_curve import rest_of
from infoplane.uncertainty.document_jackknife import standard_error_of

PLACES = (0.1, 0.3, 0.5, 0.7, 1.0, 1.4, 1.8, 2.2)


def main() -> None:
    """Print a line for each order and complexity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    given = parser.parse_args()
    print("order | complexity | quarter | half | all | error | band by half | held")
    for f in Bound.load(given.folder).frontiers:
        if f.positions != "seen" or len(f.smaller) < 2:
            continue
        for x in PLACES:
            quarter, half = (float(np.interp(x, *less.hull().T)) for less in f.smaller[-2:])
            reached = f.at(np.full(f.complexity.shape[1], x))
            error = standard_error_of(reached[1:])
            n = [less.fitted_on for less in f.smaller[-2:]]
            rest = float(rest_of(np.array(half - quarter), n[0], n[1], n[1]))
            low, high = half - 1.96 * error, half + rest + 1.96 * error
            values = " | ".join(f"{value:.3f}" for value in (quarter, half, reached[0], error))
            print(f"{f.order} | {x} | {values} | {low:.3f} to {high:.3f} | {low <= reached[0] <= high}")


if __name__ == "__main__":
    main()
