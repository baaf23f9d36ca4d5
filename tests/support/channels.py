"""Channels whose information is known by construction, with Zipf labels, bursts and document effects."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoplane.information.assignments import Rows
from infoplane.information.estimator_names import LESS_THINNED
from infoplane.information.estimators import information
from infoplane.information.label_groups import Grouping
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.information.reference_points import ReferencePoints
from infoplane.text.ngram_labels import Labels
from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.document_jackknife import error_and_interval


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


class GaussianChannel:
    """K labels of Zipf frequency; states are Gaussian around the label's mean, with an effect of their document.

    The assignments are those of the code itself, so that nothing is drawn from a table. The truth is integrated over
    draws of each label: E[a | x], less half the variance of its entropy.

    Args:
        k, scale, d, m: labels, spread of their means, dimensions of states, reference points.
        document, total: standard deviation of the document's effect, and of it and the noise together.
        shape: `plain`; `broad` and `sharp`: rare labels have more noise, or less; `function`: the means of the most
            frequent labels hardly differ; `mixed`: labels have two means each.
        eps: temperature; that of the points by default.
    """

    def __init__(
        self, k: int = 300, scale: float = 0.8, d: int = 12, m: int = 20, document: float = 0.0,
        total: float = 0.98**0.5, shape: str = "plain", eps: float | None = None, draws: int = 4000,
    ) -> None:  # fmt: skip
        fixed = np.random.default_rng(11)
        points = ReferencePoints.make(d, m, 3)
        self.directions, self.eps = points.directions, eps or points.eps
        self.mu = fixed.standard_normal((k, d)) * scale
        self.second = fixed.standard_normal((k, d)) * scale if shape == "mixed" else None
        rank = np.arange(k)
        if shape == "function":
            self.mu *= (0.25 + 0.75 * np.minimum(1, rank / 30))[:, None]
        self.spread = {"broad": 1 + 0.8 * rank / k, "sharp": 1.2 - 0.7 * rank / k}.get(shape, np.ones(k))
        self.document, self.noise = document, max(total**2 - document**2, 0.0) ** 0.5
        self.frequency = 1 / (rank + 2.7)
        self.frequency /= self.frequency.sum()
        mean, lacks = np.empty((k, m)), np.empty(k)
        for x in range(k):
            r = np.random.default_rng([99, x])
            a = self.assigned(np.full(draws, x), r.standard_normal((draws, d)), r)
            mean[x] = a.mean(0)
            lacks[x] = (a.var(0) / mean[x]).sum() / (2 * draws)
        self.truth = float(_entropy(self.frequency @ mean) - self.frequency @ (_entropy(mean) + lacks))

    def assigned(self, x: Any, document: Any, r: Any) -> Any:
        """Soft assignments (n, m) of labels (n,), with effects of documents (n, d) in standard deviations."""
        mu = self.mu[x]
        if self.second is not None:
            mu = np.where(r.random(len(x))[:, None] < 0.5, mu, self.second[x])
        noise = self.noise * self.spread[x][:, None] * r.standard_normal(mu.shape)
        z = mu + noise + self.document * document
        logits = z @ self.directions.T / (np.linalg.norm(z, axis=1, keepdims=True) * self.eps)
        a = np.exp(logits - logits.max(1, keepdims=True))
        return a / a.sum(1, keepdims=True)

    def draw(self, seed: int, n: int) -> tuple[Any, Any, Any]:
        """Rows (n, m) float16, labels (n,) and documents (n,) of 10 to 70 positions."""
        r = np.random.default_rng([len(self.frequency), n, seed])
        lengths = r.integers(10, 71, n // 10 + 1)
        document = np.repeat(np.arange(len(lengths)), lengths)[:n].astype(np.int32)
        x = r.choice(len(self.frequency), n, p=self.frequency)
        effect = r.standard_normal((int(document[-1]) + 1, self.mu.shape[1]))[document]
        return self.assigned(x, effect, r).astype(np.float16), x, document


def _entropy(p: Any) -> Any:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


GAUSSIAN: dict[str, tuple[dict[str, Any], int]] = {
    "60 labels, documents matter": ({"k": 60, "document": 0.7}, 8_000),
    "300 labels, documents matter, 2,000 positions": ({"document": 0.7}, 2_000),
    "300 labels, documents matter": ({"document": 0.7}, 8_000),
    "300 labels that tell little, documents matter": ({"scale": 0.35, "document": 0.7}, 8_000),
    "300 labels": ({}, 8_000),
    "300 labels that tell much": ({"scale": 1.6}, 8_000),
    "300 labels in 64 dimensions, documents matter": ({"d": 64, "document": 0.7}, 8_000),
    "2,000 labels": ({"k": 2000}, 8_000),
    "2,000 labels, 32,000 positions": ({"k": 2000}, 32_000),
    "2,000 labels, documents matter": ({"k": 2000, "document": 0.7}, 8_000),
    "2,000 labels that mean nothing": ({"k": 2000, "scale": 0.0}, 8_000),
    "5,000 labels": ({"k": 5000}, 8_000),
    "1,000 labels, rare ones broad": ({"k": 1000, "document": 0.4, "shape": "broad"}, 8_000),
    "1,000 labels, rare ones sharp": ({"k": 1000, "document": 0.4, "shape": "sharp"}, 8_000),
    "1,500 labels, frequent ones alike": ({"k": 1500, "scale": 0.9, "document": 0.4, "shape": "function"}, 8_000),
    "800 labels of two means each": ({"k": 800, "scale": 1.0, "shape": "mixed"}, 8_000),
    "1,000 labels in 128 dimensions, 100 points": (
        {"k": 1000, "scale": 0.5, "d": 128, "m": 100, "document": 0.3}, 8_000,
    ),
    "600 labels in 576 dimensions, 100 points": ({"k": 600, "scale": 0.4, "d": 576, "m": 100, "document": 0.3}, 8_000),
    "800 labels, a sharp code of 50 points": ({"k": 800, "m": 50, "eps": 0.12, "document": 0.3}, 8_000),
}  # fmt: skip
"""Gaussian channels: the arguments of `GaussianChannel`, and positions."""

HELD_OUT: dict[str, tuple[dict[str, Any], int]] = {
    "500 labels in 24 dimensions, 40 points": ({"k": 500, "scale": 0.7, "d": 24, "m": 40, "document": 0.5}, 8_000),
    "3,000 labels that tell much": ({"k": 3000, "scale": 1.2, "document": 0.3}, 8_000),
    "150 labels in 256 dimensions, 100 points": (
        {"k": 150, "scale": 0.3, "d": 256, "m": 100, "document": 0.4}, 8_000,
    ),
    "1,200 labels of two means in 32 dimensions, 60 points": (
        {"k": 1200, "scale": 0.9, "d": 32, "m": 60, "document": 0.4, "shape": "mixed"}, 8_000,
    ),
    "900 labels in 48 dimensions, rare ones broad, 100 points": (
        {"k": 900, "scale": 0.6, "d": 48, "m": 100, "document": 0.3, "shape": "broad"}, 16_000,
    ),
    "2,500 labels in 20 dimensions, frequent ones alike, 30 points": (
        {"k": 2500, "scale": 0.8, "d": 20, "m": 30, "document": 0.2, "shape": "function"}, 16_000,
    ),
    "700 labels in 96 dimensions, rare ones sharp, 64 points": (
        {"k": 700, "scale": 0.5, "d": 96, "m": 64, "document": 0.5, "shape": "sharp"}, 8_000,
    ),
}  # fmt: skip
"""More of them, made up before the correction was tried on them; nothing was chosen by them."""

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
        found = estimate(*channel.draw(seed, documents, length), thinned=True)
        rows.append((found.plugin[0], *judged(found, channel.truth)))
    return channel.truth, np.array(rows, dtype=float)


def judged(found: Any, truth: float) -> tuple[float, float, bool]:
    """Corrected, its error, whether its interval holds the truth."""
    value, correction = found.thinned, found.by(LESS_THINNED)[0] - found.thinned[0]
    error, (low, high) = error_and_interval(value[0], value[1:], correction)
    return float(value[0]), error, low <= truth <= high


def estimate(a: Any, labels: Any, document: Any, weight: str = "frequency", thinned: bool = False) -> Any:
    """The information of labels, all rows in the sample."""
    rows = np.arange(len(document), dtype=np.int32)
    block = assign_blocks(np.bincount(document))
    layer = Rows.of(a)
    marginal = Marginal.of(layer, rows, document, block)
    these = labels if isinstance(labels, Labels) else as_labels(labels)
    return information(layer, Grouping.of(these, document, block), marginal, NullCurve.of(layer, rows), weight, thinned)


def as_labels(values: Any) -> Labels:
    codes = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int32)
    return Labels(np.arange(len(codes), dtype=np.int32), codes)
