"""Labels of known information planted on real assignments.

The rows of a layer are the population. Each label has a row as its anchor and a weight, and a row gets a label with a
probability that falls with its squared Hellinger distance from the anchor, over `width`; so E[a | x] and the truth are
exact. Rows are drawn from the population at random and dealt to documents of 40 at random: drawn so they are
independent, and their own documents would say that they are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Planted:
    """Labels on a population of assignments.

    Attributes:
        a: (N, m) assignments, rows of sum 1.
        ends: (N, labels) cumulative probability of each label for each row.
        truth: information of the label about the code, nats.
    """

    a: np.ndarray
    ends: np.ndarray
    truth: float

    @classmethod
    def on(cls, a: np.ndarray, weight: np.ndarray, width: float) -> Planted:
        """Labels of (labels,) weights that spread over `width`."""
        chance = _chances(a, weight, width)
        total = np.maximum(chance.sum(0, dtype=np.float64), 1e-300)  # some labels are drawn by no row
        mean = (chance.T.astype(np.float64) @ a) / total[:, None]
        frequency = chance.mean(0, dtype=np.float64)
        return cls(a, chance.cumsum(1), float(_entropy(frequency @ mean) - frequency @ _entropy(mean)))

    def draw(self, positions: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(positions, m) float16 assignments, their labels and their documents."""
        count = self.ends.shape[1]
        r = np.random.default_rng([seed, count])
        rows = r.integers(len(self.a), size=positions)
        ends = self.ends[rows]
        labels = (ends < r.random(positions)[:, None] * ends[:, -1:]).sum(1).clip(0, count - 1)
        return self.a[rows].astype(np.float16), labels, (np.arange(positions) // 40).astype(np.int32)


def zipf(count: int) -> np.ndarray:
    """Weights of so many labels."""
    return 1 / (np.arange(count) + 2.7)


def _chances(a: np.ndarray, weight: np.ndarray, width: float) -> np.ndarray:
    """(N, labels) probability of each label for each row."""
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
