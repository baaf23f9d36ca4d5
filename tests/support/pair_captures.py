"""Captures of simulated preference pairs whose informations are known by construction."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoplane.capture.stored_capture import Capture
from infoplane.text.windows import Windows


class PairChannel:
    """Answers of tokens of a few kinds; each state is a row of a table, drawn by token, answer, place and topic.

    A state's row comes from the mixture of its pair's topic (probability `topic`), else from its place's (probability
    `place`, mixtures that change along the answer), else from its token's, shifted by `effect` toward another mixture
    in rejected answers. Tokens of rejected answers are drawn from other frequencies by a part `words`. Topics are
    common to both answers, so E[a | token, answer] is exact. `uneven`: half of the pairs, by chance, have twice the
    effect and the others none, which leaves the means as they are.
    """

    def __init__(
        self, effect: float = 0.0, words: float = 0.0, place: float = 0.0, topic: float = 0.2, uneven: bool = False
    ) -> None:
        fixed = np.random.default_rng(11)
        self.tokens, rows, m = 60, 30, 12
        table = np.exp(2 * fixed.standard_normal((rows, m)))
        self.table = table / table.sum(1, keepdims=True)
        frequency = 1 / np.arange(1, self.tokens + 1)
        other = np.roll(frequency, 20)
        self.frequency = np.array([frequency, (1 - words) * frequency + words * other]) / frequency.sum()
        of_token = fixed.dirichlet(np.full(rows, 0.2), self.tokens)
        toward = fixed.dirichlet(np.full(rows, 0.2))
        self.of_token = np.array([of_token, (1 - effect) * of_token + effect * toward])  # (2, tokens, rows)
        self.of_topic = fixed.dirichlet(np.full(rows, 0.3), 8)
        self.of_place = fixed.dirichlet(np.full(rows, 0.2), 2)
        self.topic, self.place, self.uneven = topic, place, uneven

    def _entropy(self, p: Any) -> Any:
        return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)

    def _means(self) -> Any:
        """(2, tokens, m) mean assignment given answer and token; without places."""
        assert self.place == 0
        return ((1 - self.topic) * self.of_token + self.topic * self.of_topic.mean(0)) @ self.table

    @property
    def truth(self) -> float:
        """I(L; Z') in nats."""
        mean = np.einsum("lt,ltj->lj", self.frequency, self._means())
        return float(self._entropy(mean.mean(0)) - self._entropy(mean).mean())

    @property
    def truth_given_token(self) -> float:
        """I(L; Z' | T) in nats."""
        joint = self.frequency / 2
        token = joint.sum(0)
        mean = (joint[..., None] * self._means()).sum(0) / token[:, None]
        return float(token @ self._entropy(mean) - (joint * self._entropy(self._means())).sum())

    @property
    def truth_of_token(self) -> float:
        """I(T; L) in nats."""
        return float(self._entropy(self.frequency.mean(0)) - self._entropy(self.frequency).mean())

    def windows(self, seed: int, pairs: int, mean: int = 40, longer: int = 0) -> tuple[Windows, Any]:
        """Windows, the chosen answers first, one token of prompt each; and the generator that drew them."""
        r = np.random.default_rng(seed)
        n = np.clip(r.lognormal(np.log(mean), 0.5, (2, pairs)).astype(int), 3, 4 * mean)
        n[1] += longer
        parts = [np.concatenate(([0], r.choice(self.tokens, k, p=self.frequency[i]))) for i in (0, 1) for k in n[i]]
        starts = np.concatenate(([0], np.cumsum([len(p) for p in parts]))).astype(np.int64)
        total = int(starts[-1])
        is_position = np.ones(total, bool)
        is_position[starts[:-1]] = False
        return Windows(
            np.concatenate(parts).astype(np.int32), starts, np.tile(np.arange(pairs, dtype=np.int32), 2),
            np.ones(total, bool), is_position, np.ones(2 * pairs, np.int64),
            tuple(f"pair:{i}" for i in range(pairs)), {"pairs": {"pairs": pairs}},
        ), r  # fmt: skip

    def capture(self, seed: int, pairs: int, mean: int = 40, longer: int = 0) -> Capture:
        """One block."""
        windows, r = self.windows(seed, pairs, mean, longer)
        starts = windows.row_starts
        n = np.diff(starts)
        window = np.repeat(np.arange(2 * pairs), n)
        where = np.minimum((np.arange(len(window)) - np.repeat(starts[:-1], n)) / (2 * mean), 1.0)[:, None]
        topic = r.integers(8, size=pairs)[windows.document[window]]
        token = windows.tokens[windows.is_position]
        strength = (window >= pairs).astype(float)[:, None]
        if self.uneven:
            strength *= 2 * r.integers(2, size=pairs)[windows.document[window], None]
        mixture = self.of_token[0, token] + strength * (self.of_token[1, token] - self.of_token[0, token])
        by_place = r.random(len(window)) < self.place
        mixture = np.where(by_place[:, None], (1 - where) * self.of_place[0] + where * self.of_place[1], mixture)
        mixture = np.where((r.random(len(window)) < self.topic)[:, None], self.of_topic[topic], mixture)
        row = (r.random(len(window))[:, None] > np.cumsum(mixture, 1)).sum(1).clip(0, len(self.table) - 1)
        manifest = {
            "layers": ["block.0"],
            "codes": [
                {"code": "random", "m": self.table.shape[1], "sets": 1, "shared": False, "hash": "x", "kept": None}
            ],
        }
        return Capture(None, manifest, windows, {"block.0/0": self.table[row].astype(np.float16)})
