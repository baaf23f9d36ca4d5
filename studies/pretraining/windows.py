"""What a run is fed: windows of one document each, in an order fixed by the seed, and the controls' changes to them.

Rows never mix documents: a document is cut into windows of `context` tokens and the last one is padded on the right.
Labels are -100 on padding. No attention mask is needed: in a causal model nothing on the right reaches what is left
of it, so padding there changes no loss.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from suite import Run
from vocabulary import Tokens

PADDING, IGNORED = 0, -100
SHORTEST = 2  # tokens: one has nothing to predict
EVALUATED = 64  # windows of held-out text, and as many of training text, whose loss stands in the log


@dataclass(frozen=True)
class Rows:
    """Windows as the model takes them: `ids` and `labels`, each of shape (windows, context), int64."""

    ids: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: np.ndarray) -> Rows:
        """The rows at `index`."""
        return Rows(self.ids[index], self.labels[index])

    @property
    def targets(self) -> torch.Tensor:
        """Predictions asked for in each row: all labels but the first, which nothing precedes."""
        return (self.labels[:, 1:] != IGNORED).sum(1)


class Fed(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """All rows of a run in the order in which they are fed, so that where a run stands tells what comes next.

    Each pass over the text has a permutation of its own; a run that goes on after a kill finds the same one.
    """

    def __init__(self, rows: Rows, count: int, seed: int) -> None:
        passes = -(-count // len(rows))
        draw = np.random.Generator(np.random.PCG64([seed, 1]))
        self.rows = rows
        self.order = np.concatenate([draw.permutation(len(rows)) for _ in range(passes)])[:count]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: Any) -> dict[str, torch.Tensor]:
        row = int(self.order[place])
        return {"input_ids": self.rows.ids[row], "labels": self.rows.labels[row]}

    def targets(self, batch: int) -> np.ndarray:
        """Predictions learned from up to and including each step: the tokens seen. Shape (steps + 1,), int64."""
        per_step = self.rows.targets.numpy()[self.order].reshape(-1, batch).sum(1)
        return np.concatenate([[0], np.cumsum(per_step)])


def training_rows(tokens: Tokens, run: Run) -> Rows:
    """The windows that a run trains on: all training documents, or the first of them by hash up to `text_tokens`."""
    chosen = _by_hash(tokens, heldout=False)
    if run.text_tokens is not None:
        lengths = np.array([tokens.starts[d + 1] - tokens.starts[d] for d in chosen])
        chosen = chosen[: int(np.searchsorted(np.cumsum(lengths), run.text_tokens)) + 1]
    return _rows(tokens, chosen, run)


def evaluation_rows(tokens: Tokens, run: Run, training: Rows) -> dict[str, Rows]:
    """Fixed windows of held-out text and of the text trained on, both treated as the run's training text is."""
    heldout = _rows(tokens, _by_hash(tokens, heldout=True), run)
    return {"heldout": _spread(heldout), "seen": _spread(training)}


def _by_hash(tokens: Tokens, heldout: bool) -> list[int]:
    """Documents in the order of a hash of their names: mixed, and the same whatever else there is."""
    wanted = [d for d in range(len(tokens.names)) if bool(tokens.heldout[d]) == heldout]
    return sorted(wanted, key=lambda d: hashlib.sha256(tokens.names[d].encode()).digest())


def _spread(rows: Rows) -> Rows:
    """Rows at equal distances, so that they come from as many documents as they can."""
    return rows.take(np.unique(np.linspace(0, len(rows) - 1, min(EVALUATED, len(rows))).astype(np.int64)))


def _rows(tokens: Tokens, documents: list[int], run: Run) -> Rows:
    ids, labels = [], []
    for document in documents:
        text = tokens.of(document).astype(np.int64)
        # Changes to a document hang on its name alone: every run and seed sees the same shuffled text.
        name = tokens.names[document].encode()
        draw = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name).digest()[:8], "big")))
        if run.treatment == "shuffled":
            text = draw.permutation(text)
        targets = text
        if run.treatment == "random-labels":
            # Fixed once, so they could be learned by heart; nothing else about them can be learned.
            targets = draw.integers(1, run.vocabulary, len(text))
        for start in range(0, len(text), run.context):
            length = min(run.context, len(text) - start)
            if length >= SHORTEST:
                ids.append(np.full(run.context, PADDING, np.int64))
                labels.append(np.full(run.context, IGNORED, np.int64))
                ids[-1][:length] = text[start : start + length]
                labels[-1][:length] = targets[start : start + length]
    return Rows(torch.from_numpy(np.stack(ids)), torch.from_numpy(np.stack(labels)))
