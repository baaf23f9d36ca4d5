"""Labels of known information planted on the real assignments of a capture: how near the corrections come.

python bench/planted.py CAPTURE [draws]

Labels (`tests/support/planted_labels.py`) are as frequent as Zipf's law says, or as the n-grams of the text itself, of
order 1 or 2 (then every fourth row is the population). 16,000 positions are drawn each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from channels import estimate
from planted_labels import Planted, zipf

import infoplane
from infoplane.text.ngram_labels import NGrams
from infoplane.uncertainty.document_jackknife import standard_error_of

POSITIONS = 16_000
LABELS = ((300, 0.01), (300, 0.05), (1000, 0.01), (1000, 0.05), (3000, 0.01))
"""How many, and how wide they spread."""
ORDERS = ((1, 0.01), (1, 0.05), (2, 0.01), (2, 0.05))
"""Of which order the n-grams are whose frequencies the labels have, and how wide they spread."""


def main() -> None:
    capture = infoplane.open_capture(sys.argv[1])
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    blocks = [name for name in capture.layers if name.startswith("block.")]
    print("bias; spread / mean standard error in nats\n")
    print("| layer | labels | width | truth, nats | plugin | null-curve | thinned-curve |")
    print("|---|---|---|---|---|---|---|")
    for layer in ("embed", blocks[len(blocks) // 6], blocks[len(blocks) // 2], blocks[-1]):
        a = capture.read(layer).astype(np.float64)
        a /= a.sum(1, keepdims=True)
        grams = NGrams(capture.windows, 2)
        cases = [(f"{count:,}", zipf(count), width, a) for count, width in LABELS]
        for order, width in ORDERS:
            weight = np.sort(np.bincount(grams.input(order).codes).astype(float))[::-1]
            cases.append((f"{len(weight):,}, as n-grams of order {order}", weight, width, a[::4]))
        for name, weight, width, population in cases:
            one_case(layer, name, width, Planted.on(population, weight, width), draws)


def one_case(layer: str, name: str, width: float, planted: Planted, draws: int) -> None:
    values = []
    for seed in range(draws):
        told = estimate(*planted.draw(POSITIONS, seed), thinned=True)
        both = [v for x in (told.null_curve, told.thinned) for v in (x[0], standard_error_of(x[1:]))]
        values.append([told.plugin[0], *both])
    x = np.array(values)
    cells = [f"{x[:, 0].mean() / planted.truth - 1:+.1%}"]
    cells += [
        f"{x[:, i].mean() / planted.truth - 1:+.1%}; {x[:, i].std(ddof=1):.4f} / {x[:, i + 1].mean():.4f}"
        for i in (1, 3)
    ]
    print(f"| {layer} | {name} | {width} | {planted.truth:.4f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
