"""Labels of known information planted on the real assignments of a capture: how near the corrections come.

python bench/planted.py CAPTURE [draws]

The rows of a layer are the population. Each label has a row as its anchor and a weight: Zipf, or as often as the
n-grams of the text itself occur, of order 1 or 2 (then every fourth row is the population), and a row gets a label
with a probability that falls with its squared Hellinger distance from the anchor, over `width`; so E[a | x] and the
truth are exact. Rows are drawn from the population at random, 16,000 for each draw, and dealt to documents of 40 at
random: drawn so they are independent, and their own documents would say that they are not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from channels import estimate

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
        cases = [(f"{count:,}", 1 / (np.arange(count) + 2.7), width, a) for count, width in LABELS]
        for order, width in ORDERS:
            weight = np.sort(np.bincount(grams.input(order).codes).astype(float))[::-1]
            cases.append((f"{len(weight):,}, as n-grams of order {order}", weight, width, a[::4]))
        for name, weight, width, population in cases:
            one_case(layer, name, weight, width, population, draws)


def one_case(layer: str, name: str, weight: np.ndarray, width: float, a: np.ndarray, draws: int) -> None:
    document = (np.arange(POSITIONS) // 40).astype(np.int32)
    count = len(weight)
    chance = chances(a, weight, width)
    total = np.maximum(chance.sum(0, dtype=np.float64), 1e-300)  # some labels are drawn by no row
    mean = (chance.T.astype(np.float64) @ a) / total[:, None]
    frequency = chance.mean(0, dtype=np.float64)
    truth = float(_entropy(frequency @ mean) - frequency @ _entropy(mean))
    ends, found = chance.cumsum(1), []
    for seed in range(draws):
        r = np.random.default_rng([seed, count])
        rows = r.integers(len(a), size=POSITIONS)
        labels = (ends[rows] < r.random(POSITIONS)[:, None] * ends[rows, -1:]).sum(1).clip(0, count - 1)
        one = estimate(a[rows].astype(np.float16), labels, document, thinned=True)
        both = [v for x in (one.null_curve, one.thinned) for v in (x[0], standard_error_of(x[1:]))]
        found.append([one.plugin[0], *both])
    x = np.array(found)
    cells = [f"{x[:, 0].mean() / truth - 1:+.1%}"]
    cells += [
        f"{x[:, i].mean() / truth - 1:+.1%}; {x[:, i].std(ddof=1):.4f} / {x[:, i + 1].mean():.4f}" for i in (1, 3)
    ]
    print(f"| {layer} | {name} | {width} | {truth:.4f} | {' | '.join(cells)} |", flush=True)


def chances(a: np.ndarray, weight: np.ndarray, width: float) -> np.ndarray:
    """(N, labels) probability of each label for each row (N, m)."""
    count = len(weight)
    anchors = np.random.default_rng([count, 7]).choice(len(a), count, replace=count > len(a))
    root = np.sqrt(a)
    chance = np.empty((len(a), count), np.float32)
    for i in range(0, len(a), 4096):
        log = (root[i : i + 4096] @ root[anchors].T - 1) / width
        near = np.exp(log - log.max(1, keepdims=True)) * weight
        chance[i : i + 4096] = near / near.sum(1, keepdims=True)
    return chance


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


if __name__ == "__main__":
    main()
