"""A bound of made-up frontiers."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoplane.bottleneck.frontier_curve import Frontier
from infoplane.bottleneck.text_bound import Bound

SEEN = {1: 0.76, 2: 0.24, 3: 0.05}


def frontier(
    order: int, positions: str = "all", *, target: int = 1, replicates: int = 32,
    saturation: tuple[float, float] = (0.27, 4.61), scale: float = 1.0,
) -> Frontier:  # fmt: skip
    """Eight codes and a hard one, on and below a curve."""
    draw = np.random.default_rng([order, target, len(positions)])
    x = np.array([0.01, 0.3, 0.6, 1.1, 1.5, 2.2, 2.9, 3.4, 3.6])
    y = (0.5 + 0.1 * order) * scale * x**0.8 - np.array([0.0, 0.0, 0.1, 0.0, 0.15, 0.0, 0.2, 0.0, 0.05])
    x, y = (np.column_stack([v, v[:, None] * (1 + 0.005 * draw.standard_normal((len(v), replicates)))]) for v in (x, y))
    soft = ((1, 0.0, 0.25, beta, 100) for beta in (1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0))
    codes = (*soft, (1, 0.0, 0.0, np.inf, 31))
    n = {"all": 32_168, "seen": 7_648}[positions]
    return Frontier(order, target, positions, n, SEEN[order], codes, x, y, saturation, 100)


def made_bound(frontiers: Any = None, **provenance: Any) -> Bound:
    frontiers = frontiers or [
        frontier(k, name) for k in SEEN for name in ("all", "seen") if not (k == 3 and name == "seen")
    ]
    return Bound(tuple(frontiers), {
        "text": {"source": "texts/novels.jsonl", "kind": "jsonl"},
        "windows": {"tokenizer": {"name": "/home/me/tokenizers/words", "class": "T", "hash": "ab" * 32}},
        "windows_hash": "cd" * 32, "tokens": 32_768, "documents": 300,
        "settings": {"orders": [1, 2, 3], "m": 100}, "versions": {"infoplane": "0.1.0"}, **provenance,
    })  # fmt: skip
