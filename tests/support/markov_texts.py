"""Texts of a Markov chain, whose curve is known, for tests of the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from infoplane.bottleneck.backoff import Ladder, Piece, Rung
from infoplane.bottleneck.blahut_arimoto import anneal
from infoplane.bottleneck.frontier_curve import hull
from infoplane.capture.stored_capture import Capture
from infoplane.text.predictions import Predictions
from infoplane.text.windows import Windows

Floats = npt.NDArray[np.float64]


def source(joint: Floats) -> Ladder:
    """A known p(x, y) as it is."""
    p = joint / joint.sum()
    n = len(p)
    rung = Rung(np.arange(n), np.zeros(n, np.int64), np.arange(p.shape[1]), sparse.csr_array(1e6 * p), np.ones(n))
    return Ladder((Piece((rung,)),), p.sum(0))


def information_of(joint: Floats) -> float:
    p = joint / joint.sum()
    outer = np.outer(p.sum(1), p.sum(0))
    return float((p[p > 0] * np.log(p[p > 0] / outer[p > 0])).sum())


WORDS, LENGTH = 12, 60


def chain(documents: int, seed: int = 0, words: int = WORDS, sharp: float = 0.15) -> tuple[Windows, Floats]:
    """Documents of a Markov chain, and its p(x, y)."""
    draw = np.random.default_rng([7, seed])
    step = np.random.default_rng([8, words]).dirichlet(np.full(words, sharp), size=words)
    step = 0.95 * step + 0.05 / words
    tokens = np.zeros((documents, LENGTH), np.int64)
    tokens[:, 0] = draw.integers(0, words, documents)
    total = np.cumsum(step, 1)
    for i in range(1, LENGTH):
        tokens[:, i] = (draw.random(documents)[:, None] > total[tokens[:, i - 1]]).sum(1)
    stationary = np.linalg.matrix_power(step, 200)[0]
    return windows_of(list(tokens)), stationary[:, None] * step


def windows_of(documents: Sequence[Any]) -> Windows:
    lengths = [len(d) for d in documents]
    position = np.concatenate([np.arange(n) > 0 for n in lengths])
    return Windows(
        tokens=np.concatenate(documents).astype(np.int32),
        starts=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        document=np.arange(len(documents), dtype=np.int32),
        is_text=np.ones(sum(lengths), bool),
        is_position=position,
        byte_count=np.array(lengths, np.int64),
        documents=tuple(f"d{i}" for i in range(len(documents))),
    )


def true_curve(joint: Floats, m: int) -> Floats:
    codes = anneal(source(joint), m, np.geomspace(1.05, 60, 30), starts=2, tolerance=1e-9)
    return hull(np.array([c.complexity for c in codes]), np.array([c.relevance for c in codes]))


def classes(documents: int, words: int, seed: int = 0, kinds: int = 12, sharp: float = 0.2) -> tuple[Windows, Floats]:
    """Documents whose next word hangs on the class of the last one alone, and the joint distribution of two classes.

    Words are drawn from a class by the law of Zipf, whatever came before: so a code of the class has all that a word
    tells, and the curve of the text is that of the classes, however many words there are.
    """
    draw = np.random.default_rng([11, seed])
    step = np.random.default_rng([12, kinds]).dirichlet(np.full(kinds, sharp), size=kinds)
    step = 0.9 * step + 0.1 / kinds
    stationary = np.linalg.matrix_power(step, 500)[0]
    kind = np.zeros((documents, LENGTH), np.int64)
    kind[:, 0] = draw.choice(kinds, documents, p=stationary)
    total = np.cumsum(step, 1)
    for i in range(1, LENGTH):
        kind[:, i] = (draw.random(documents)[:, None] > total[kind[:, i - 1]]).sum(1)
    each = words // kinds
    zipf = 1 / np.arange(1, each + 1)
    inside = draw.choice(each, kind.shape, p=zipf / zipf.sum())
    return windows_of(list(kind * each + inside)), stationary[:, None] * step


def classes_of_two(
    documents: int, words: int, seed: int = 0, kinds: int = 4, sharp: float = 0.25
) -> tuple[Windows, Floats]:
    """The same, but the next word hangs on the classes of the last two: the joint is of a pair of classes and one."""
    draw = np.random.default_rng([13, seed])
    step = np.random.default_rng([14, kinds]).dirichlet(np.full(kinds, sharp), size=kinds**2)
    step = 0.9 * step + 0.1 / kinds
    forward = np.zeros((kinds**2, kinds**2))  # from a pair of classes to the next pair
    for pair in range(kinds**2):
        forward[pair, kinds * (pair % kinds) + np.arange(kinds)] = step[pair]
    stationary = np.linalg.matrix_power(forward, 500)[0]
    kind = np.zeros((documents, LENGTH), np.int64)
    first = draw.choice(kinds**2, documents, p=stationary)
    kind[:, 0], kind[:, 1] = first // kinds, first % kinds
    total = np.cumsum(step, 1)
    for i in range(2, LENGTH):
        at = kinds * kind[:, i - 2] + kind[:, i - 1]
        kind[:, i] = (draw.random(documents)[:, None] > total[at]).sum(1)
    each = words // kinds
    zipf = 1 / np.arange(1, each + 1)
    inside = draw.choice(each, kind.shape, p=zipf / zipf.sum())
    return windows_of(list(kind * each + inside)), stationary[:, None] * step


def taught(windows: Windows, joint: Floats, words: int, blur: float = 0.0) -> Predictions:
    """What the source of `classes` expects after each position; `blur` of it as if nothing had come before."""
    kinds = len(joint)
    each = words // kinds
    zipf = 1 / np.arange(1, each + 1)
    step = joint / joint.sum(1, keepdims=True)
    step = (1 - blur) * step + blur * joint.sum(0)
    row = np.repeat(step, each, axis=1) * np.tile(zipf / zipf.sum(), kinds)
    q = row[windows.tokens[windows.is_position] // each]
    at = np.broadcast_to(np.arange(q.shape[1], dtype=np.int32), q.shape)
    return Predictions(at, q.astype(np.float32), "the source", windows.hash, "its weights")


def held(windows: Windows, rows: Floats) -> Capture:
    """A capture of given assignments in one layer, a block."""
    m = rows.shape[1]
    manifest = {
        "layers": ["block.0"],
        "codes": [{
            "code": "random", "m": m, "d": 2, "seed": 0, "calibration": "exact", "eps": 1, "sets": 1, "shared": False,
            "hash": "x", "kept": None,
        }],
        "loss": False, "run_id": "x", "windows_hash": windows.hash, "model": {}, "versions": {},
    }  # fmt: skip
    return Capture(None, manifest, windows, {"block.0/0": rows.astype(np.float16)})


def at_positions(windows: Windows, ahead: int) -> npt.NDArray[np.int64]:
    """Token at each position, or after it; 0 after the last."""
    return np.append(windows.tokens, [0] * ahead)[np.flatnonzero(windows.is_position) + ahead].astype(np.int64)
