"""What the ceiling is spent on, against codes whose parts are known: by the token, by the document, by neither."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from infoplane.capture.stored_capture import Capture
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.text.windows import Windows

M, WIDE, WORDS, LONG = 30, 12, 500, 80
DIRECTIONS = np.random.default_rng(5).standard_normal((M, WIDE))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
MEANING = np.random.default_rng(6).standard_normal((WORDS, WIDE))
OFTEN = 1 / np.arange(1, WORDS + 1)
OFTEN /= OFTEN.sum()


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


def assigned(z: np.ndarray, sharp: float) -> np.ndarray:
    logits = sharp * (z / np.linalg.norm(z, axis=1, keepdims=True)) @ DIRECTIONS.T
    a: np.ndarray = np.exp(logits - logits.max(1, keepdims=True))
    return a / a.sum(1, keepdims=True)


class Made:
    """States that are a token's meaning, a document's topic and noise, at known weights."""

    def __init__(self, token: float, document: float, noise: float, sharp: float, documents: int = 96) -> None:
        self.weights, self.noise, self.sharp, self.documents = (token, document), noise, sharp, documents

    def draw(self, seed: int) -> tuple[Windows, np.ndarray, np.ndarray, np.ndarray]:
        """Windows, (N, M) assignments, (N, WIDE) means of states, and (N,) words."""
        r = np.random.default_rng([seed, 1])
        n = self.documents * LONG
        tokens = r.choice(WORDS, n + self.documents, p=OFTEN).astype(np.int32)  # the last of each has no next token
        document = np.repeat(np.arange(self.documents), LONG + 1).astype(np.int32)
        starts = np.arange(self.documents + 1, dtype=np.int64) * (LONG + 1)
        here = np.ones(len(tokens), bool)
        here[starts[1:] - 1] = False
        windows = Windows(
            tokens, starts, np.arange(self.documents, dtype=np.int32), np.ones(len(tokens), bool), here,
            np.ones(len(tokens), np.int32), tuple(map(str, range(self.documents))), {},
        )  # fmt: skip
        topic = r.standard_normal((self.documents, WIDE))
        means = self.weights[0] * MEANING[tokens[here]] + self.weights[1] * topic[document[here]]
        return windows, assigned(means + self.noise * r.standard_normal(means.shape), self.sharp), means, tokens[here]

    def left(self, means: np.ndarray, draws: int = 200) -> float:
        """H(Z' | token, document) - mean H(a) in nats of rows with these means, half of it from each half of draws."""
        r = np.random.default_rng(9)
        halves, inside = [np.zeros((len(means), M)), np.zeros((len(means), M))], 0.0
        for i in range(draws):
            a = assigned(means + self.noise * r.standard_normal(means.shape), self.sharp)
            halves[i % 2] += 2 * a / draws
            inside += float(entropy(a).mean()) / draws
        whole = float(entropy((halves[0] + halves[1]) / 2).mean())
        return 2 * whole - float(np.mean([entropy(half).mean() for half in halves])) - inside  # its error goes as 1 / n


def measured(windows: Windows, a: np.ndarray, **more: Any) -> Measurement:
    code = {
        "code": "random", "m": M, "d": 2, "seed": 0, "calibration": "exact", "eps": 1, "sets": 1, "shared": False,
        "hash": "x", "kept": None,
    }  # fmt: skip
    manifest: Any = {
        "layers": ["block.0"], "codes": [code], "loss": False, "run_id": "x", "windows_hash": windows.hash,
        "model": {}, "versions": {},
    }  # fmt: skip
    capture = Capture(None, manifest, windows, {"block.0/0": a.astype(np.float16)})
    return measure_capture(capture, orders=(1,), unit="nats", controls=False, **more)


def part(found: Measurement, side: str, quantity: str = "ceiling_part") -> Any:
    return found.get(quantity, side=side)


@pytest.mark.parametrize(
    ("token", "document", "noise", "sharp"),
    [(1, 0.5, 0.5, 4), (1, 0, 0.5, 4), (0.5, 1, 0.5, 6), (1, 0.5, 1, 6), (1, 0, 1, 10), (1, 0.3, 1.5, 10)],
    ids=["both", "no topic", "much topic", "much noise", "sharp, no topic", "sharp"],
)
def test_parts_are_the_true_ones(token: float, document: float, noise: float, sharp: float) -> None:
    made, draws = Made(token, document, noise, sharp), 8
    found: dict[str, list[Any]] = {"token": [], "document": [], "rest": []}
    truth = []
    for seed in range(draws):
        windows, a, means, words = made.draw(seed)
        some = np.random.default_rng(seed).choice(len(words), 800)
        truth.append(made.left(means[some], 60))
        measurement = measured(windows, a)
        for side, rows in found.items():
            rows.append(part(measurement, side))
        whole = measurement.get("ceiling", position_set="P_1").value
        assert sum(part(measurement, side).value for side in found) == pytest.approx(whole, abs=1e-9)
        assert part(measurement, "token").value == measurement.get("complexity").value
    rest = np.array([row.value for row in found["rest"]])
    error = float(np.mean([row.standard_error for row in found["rest"]]))
    assert rest.mean() == pytest.approx(np.mean(truth), abs=0.03 * np.mean(truth) + 2.5 * error / math.sqrt(draws))
    assert 0.5 * rest.std(ddof=1) < error < 2.2 * rest.std(ddof=1)
    if document == 0:
        of_document = [row.value / row.standard_error for row in found["document"]]
        assert np.abs(of_document).max() < 3 and abs(np.mean(of_document)) < 1


def test_a_code_of_the_token_spends_all_on_it() -> None:
    windows, _, _, words = Made(1, 0, 0, 4).draw(0)
    found = measured(windows, assigned(MEANING, 4)[words])
    assert part(found, "document").value == pytest.approx(0, abs=1e-4)
    assert part(found, "rest").value == pytest.approx(0, abs=1e-4)
    assert part(found, "token").value == pytest.approx(found.get("ceiling").value, abs=1e-4)


def test_a_code_of_the_document_spends_all_on_it_and_makes_nothing_of_next_tokens() -> None:
    made = Made(0, 1, 0, 4)
    windows, a, _, _ = made.draw(0)
    found = measured(windows, a)
    whole = found.get("ceiling").value
    assert part(found, "document").value == pytest.approx(whole, rel=0.05) and whole > 0.3
    assert abs(part(found, "rest").value) < 0.01
    shown = part(found, "document", "expressivity_part")
    assert abs(shown.value) < 3 * shown.standard_error


def test_expressivity_that_is_topic_alone_is_all_due_to_documents() -> None:
    """Documents that draw their words from one of two halves; a code that says which half."""
    windows, *_ = Made(1, 0, 1, 4).draw(1)
    topic = np.random.default_rng(3).random(96) < 0.5
    tokens = windows.tokens.copy()
    of = np.repeat(topic, LONG + 1)
    tokens[of] = tokens[of] // 2 * 2
    tokens[~of] = np.minimum(tokens[~of] // 2 * 2 + 1, WORDS - 1)
    windows = Windows(
        tokens, windows.starts, windows.document, windows.is_text, windows.is_position, windows.byte_count,
        windows.documents, {},
    )  # fmt: skip
    a = np.full((96 * LONG, M), 0.1 / M)
    a[np.arange(len(a)), np.where(np.repeat(topic, LONG), 0, 1)] += 0.9
    found = measured(windows, a)
    expressivity, shown = found.get("expressivity"), part(found, "document", "expressivity_part")
    assert expressivity.value > 0.4
    assert shown.value == pytest.approx(expressivity.value, rel=0.05)


def test_no_parts_where_they_cannot_be_or_are_not_asked_for() -> None:
    windows, a, _, _ = Made(1, 0.5, 0.5, 4).draw(0)
    assert not measured(windows, a, parts=False).select(quantity="ceiling_part")
    assert not measured(windows, a, estimators=("plugin",)).select(quantity="ceiling_part")
    assert not measured(windows, a, weights=("uniform",)).select(quantity="ceiling_part")
    alone = Windows(
        windows.tokens[: LONG + 1], windows.starts[:2], windows.document[:1], windows.is_text[: LONG + 1],
        windows.is_position[: LONG + 1], windows.byte_count[: LONG + 1], ("one",), {},
    )  # fmt: skip
    assert not measured(alone, a[:LONG]).select(quantity="ceiling_part")
