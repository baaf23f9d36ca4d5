"""Channels whose information is known by construction, with Zipf labels, bursts and document effects."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoplane.information.assignments import Rows
from infoplane.information.estimators import information
from infoplane.information.label_groups import Grouping
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.text.ngram_labels import Labels
from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of


class Channel:
    """K labels of Zipf frequency; each label and each kind of document draws rows from a table of its own mixture.

    A row comes from its document's mixture with probability `document_effect`, else from its label's. Labels repeat
    within a document with probability `reinforce`, which keeps their frequencies. So E[a | x] and the truth are exact.
    """

    def __init__(
        self, k: int = 2000, m: int = 24, rows: int = 60, noise: float = 0.3, document_effect: float = 0.2,
        reinforce: float = 0.0,
    ) -> None:  # fmt: skip
        fixed = np.random.default_rng(7)
        table = np.exp(2 * fixed.standard_normal((rows, m)))
        self.table = table / table.sum(1, keepdims=True)
        self.of_label = (1 - noise) * fixed.dirichlet(np.full(rows, 0.15), k) + noise * fixed.dirichlet(np.ones(rows))
        self.of_kind = fixed.dirichlet(np.full(rows, 0.3), 8)
        self.frequency = 1 / np.arange(1, k + 1)
        self.frequency /= self.frequency.sum()
        self.document_effect, self.reinforce = document_effect, reinforce
        mean = ((1 - document_effect) * self.of_label + document_effect * self.of_kind.mean(0)) @ self.table

        def entropy(p: Any) -> Any:
            return -(p * np.log(p)).sum(-1)

        self.truth = float(entropy(self.frequency @ mean) - self.frequency @ entropy(mean))

    def draw(self, seed: int, documents: int, length: int) -> tuple[Any, Any, Any]:
        """Rows (n, m) float16, labels (n,) and documents (n,)."""
        r = np.random.default_rng(seed)
        n = documents * length
        document = np.repeat(np.arange(documents), length).astype(np.int32)
        labels = r.choice(len(self.frequency), n, p=self.frequency)
        if self.reinforce:
            again, place = r.random(n) < self.reinforce, np.arange(n) % length
            earlier = (r.random(n) * place).astype(int)
            for i in np.flatnonzero(again & (place > 0)):
                labels[i] = labels[i - place[i] + earlier[i]]
        kind = r.integers(8, size=documents)[document]
        mixture = np.where((r.random(n) < self.document_effect)[:, None], self.of_kind[kind], self.of_label[labels])
        row = (r.random(n)[:, None] > np.cumsum(mixture, 1)).sum(1).clip(0, len(self.table) - 1)
        return self.table[row].astype(np.float16), labels, document


CHANNELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "200 labels, bursty, documents matter": ({"k": 200, "m": 12, "rows": 30, "reinforce": 0.3}, 64, 40),
    "2,000 labels, documents matter": ({"k": 2000, "m": 12, "rows": 30}, 64, 60),
    "50 labels, strong documents": ({"k": 50, "m": 12, "rows": 30, "document_effect": 0.4}, 64, 40),
    "2,000 labels, more samples": ({}, 300, 100),
    "300 labels, bursty, strong documents": ({"k": 300, "reinforce": 0.5, "document_effect": 0.4}, 100, 60),
    "2,000 labels that mean nothing, bursty": ({"noise": 1.0, "reinforce": 0.5, "document_effect": 0.3}, 100, 60),
}
"""Channels on which intervals are tried: the arguments of `Channel`, documents, and their length."""


def covered(name: str, draws: int) -> tuple[float, Any]:
    """Truth of a channel; (draws, 4) plugin, corrected, its error, whether its interval holds the truth."""
    shape, documents, length = CHANNELS[name]
    channel = Channel(**shape)
    rows = []
    for seed in range(draws):
        found = estimate(*channel.draw(seed, documents, length))
        error = standard_error_of(found.corrected[1:])
        low, high = interval_of(found.corrected[0], error, 32)
        rows.append((found.plugin[0], found.corrected[0], error, low <= channel.truth <= high))
    return channel.truth, np.array(rows, dtype=float)


def estimate(a: Any, labels: Any, document: Any, weight: str = "frequency") -> Any:
    """The information of labels, all rows in the sample."""
    rows = np.arange(len(document), dtype=np.int32)
    block = assign_blocks(np.bincount(document))
    layer = Rows.of(a)
    marginal = Marginal.of(layer, rows, document, block)
    these = labels if isinstance(labels, Labels) else as_labels(labels)
    return information(layer, Grouping.of(these, document, block), marginal, NullCurve.of(layer, rows), weight)


def as_labels(values: Any) -> Labels:
    codes = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int32)
    return Labels(np.arange(len(codes), dtype=np.int32), codes)
