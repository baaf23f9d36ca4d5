"""How near the corrections are to a truth known by integration, on Gaussian channels, and how often intervals hold it.

    python bench/gaussian.py [draws] [part of a name ...]

The interval of `thinned-curve` counts the error of the correction, which is printed as the third number of errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from channels import GAUSSIAN, HELD_OUT, GaussianChannel, estimate

from infoplane.information.estimator_names import LESS_THINNED
from infoplane.uncertainty.document_jackknife import error_and_interval


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("bias, spread / mean standard error in nats, share of 95 % intervals that hold the truth\n")
    print("| channel | truth | plugin | null-curve | thinned-curve |")
    print("|---|---|---|---|---|")
    for name, (shape, positions) in (GAUSSIAN | HELD_OUT).items():
        if len(sys.argv) > 2 and not any(part in name for part in sys.argv[2:]):
            continue
        channel = GaussianChannel(**shape, draws=20_000 if shape.get("k", 300) * shape.get("d", 12) < 40_000 else 4_000)
        rows = []
        for seed in range(draws):
            found = estimate(*channel.draw(seed, positions), thinned=True)
            row = [found.plugin[0]]
            for value, shift in (
                (found.null_curve, 0.0),
                (found.thinned, found.by(LESS_THINNED)[0] - found.thinned[0]),
            ):
                error, (low, high) = error_and_interval(value[0], value[1:], shift)
                row += [value[0], error, low <= channel.truth <= high, abs(shift)]
            rows.append(row)
        x = np.array(rows, dtype=float)
        cells = [_bias(x[:, 0], channel.truth)]
        cells += [
            f"{_bias(x[:, i], channel.truth)}, {x[:, i].std(ddof=1):.4f} / {x[:, i + 1].mean():.4f}"
            f"{f' / {x[:, i + 3].mean():.4f}' if i > 1 else ''}, {x[:, i + 2].mean():.0%}"
            for i in (1, 5)
        ]
        print(f"| {name} | {channel.truth:.4f} | {' | '.join(cells)} |", flush=True)


def _bias(values: np.ndarray, truth: float) -> str:
    bias = float(values.mean()) - truth
    return f"{bias / truth:+.1%}" if truth > 0.01 else f"{bias:+.4f} nats"


if __name__ == "__main__":
    main()
