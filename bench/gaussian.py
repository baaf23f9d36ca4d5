"""How near the corrections are to a truth known by integration, on Gaussian channels, and how often intervals hold it.

python bench/gaussian.py [draws] [part of a name ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from channels import GAUSSIAN, GaussianChannel, estimate

from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("bias, spread / mean standard error in nats, share of 95 % intervals that hold the truth\n")
    print("| channel | truth | plugin | corrected | thinned |")
    print("|---|---|---|---|---|")
    for name, (shape, positions) in GAUSSIAN.items():
        if len(sys.argv) > 2 and not any(part in name for part in sys.argv[2:]):
            continue
        channel = GaussianChannel(**shape, draws=20_000 if shape.get("k", 300) * shape.get("d", 12) < 40_000 else 4_000)
        rows = []
        for seed in range(draws):
            found = estimate(*channel.draw(seed, positions), thinned=True)
            row = [found.plugin[0]]
            for value in (found.corrected, found.thinned):
                error = standard_error_of(value[1:])
                low, high = interval_of(value[0], error, 32)
                row += [value[0], error, low <= channel.truth <= high]
            rows.append(row)
        x = np.array(rows, dtype=float)
        cells = [_bias(x[:, 0], channel.truth)]
        cells += [
            f"{_bias(x[:, i], channel.truth)}, {x[:, i].std(ddof=1):.4f} / {x[:, i + 1].mean():.4f}, "
            f"{x[:, i + 2].mean():.0%}"
            for i in (1, 4)
        ]
        print(f"| {name} | {channel.truth:.4f} | {' | '.join(cells)} |", flush=True)


def _bias(values: np.ndarray, truth: float) -> str:
    bias = float(values.mean()) - truth
    return f"{bias / truth:+.1%}" if truth > 0.01 else f"{bias:+.4f} nats"


if __name__ == "__main__":
    main()
