"""What a model expects after each position of a text: a teacher for the bound (`infoplane.bottleneck.fit_text`).

Kept of a distribution q over the vocabulary are its `TOP` likeliest words, each with its weight, and `TAIL` words that
stand for the rest, each with an equal part of its weight: those at which the rest, in the order of the vocabulary, has
reached evenly spaced shares. Where these begin moves from position to position by the golden section, so that sums over
positions come near those of q, the words of the rest included. Nothing is drawn at random.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoplane.engines import Group, Piece, Progress, advancing
from infoplane.errors import ModelError
from infoplane.text import Predictions, Windows

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from infoplane.models import Facts, Model

TOP, TAIL = 32, 8
"""Words of a position that are kept by themselves, and that stand for all others."""
_VOUCHES, _CHANGES = ("file_sha256", "weights_sha256", "commit"), ("adapter_sha256", "random_init", "init_seed")
_GOLDEN = 0.6180339887498949
_LOGITS = 1 << 24  # numbers of logits held at once
_TOKENS = 8192  # of a piece, about


def predictions_of(
    models: Group[Model], facts: Facts, windows: Windows, progress: Progress | None = None
) -> Predictions:
    """What a model that workers hold expects after each measured position.

    Args:
        models: the workers.
        facts: of their model.
        windows: of the text.
        progress: called with how many tokens were read.

    Raises:
        ModelError: it has no head; a prediction is NaN; or memory runs out.
    """
    if facts.no_head is not None:
        raise ModelError(f"the model cannot teach a bound: {facts.no_head}")
    facts.check_tokens(windows)
    ends = np.searchsorted(windows.starts, np.arange(_TOKENS, int(windows.starts[-1]), _TOKENS))
    cuts = np.unique([0, *ends.tolist(), len(windows)])
    pieces = [
        Piece(f"windows {a} to {b - 1}", (a, b), int(windows.starts[b] - windows.starts[a]))
        for a, b in itertools.pairwise(cuts.tolist())
    ]
    advance = advancing(progress, "teaching", int(windows.starts[-1]))
    advance(0)
    found = dict(models.each(_Teaching(windows), pieces, advance))
    told = [found[piece.what] for piece in pieces]
    words, weights = (np.concatenate([part[i] for part in told]) for i in (0, 1))
    p = facts.provenance
    return Predictions(words, weights, str(p.get("name") or p["source"]), windows.hash, teacher_hash(facts))


def teacher_hash(facts: Facts) -> str | None:
    """What vouches for the weights of a teacher, as one word; None where nothing does."""
    p = facts.provenance
    said = [
        f"{TOP} and {TAIL} words",
        *(f"{name} {p[name]}" for name in (*_VOUCHES, *_CHANGES) if p.get(name) is not None),
    ]
    vouched = any(p.get(name) for name in _VOUCHES)
    return hashlib.sha256("; ".join(said).encode()).hexdigest() if vouched else None


@dataclass(frozen=True, eq=False)
class _Teaching:
    """The work of teaching: a piece is some windows."""

    windows: Windows

    def open(
        self, model: Model
    ) -> Callable[[tuple[int, int], Callable[[int], object]], tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]:
        def read(
            piece: tuple[int, int], advance: Callable[[int], object]
        ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
            return _read(model, self.windows, *piece, advance)

        return read


def _read(
    model: Model, windows: Windows, first: int, last: int, advance: Callable[[int], object]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """(rows, TOP + TAIL) words and weights at the measured positions of windows `first` to `last - 1`."""
    import torch

    from infoplane.capture.batch_sizes import BatchSize, batches
    from infoplane.capture.forward_pass import _padded
    from infoplane.models import evaluating

    parts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]] = []
    row, a, size = int(windows.row_starts[first]), first, BatchSize()
    with torch.no_grad(), evaluating(model.module):
        while a < last:
            b = a + next(batches(windows.lengths[a:last], size.tokens))[1]
            ids, keep = _padded(windows, a, b)
            states = model.run(torch.from_numpy(ids).to(model.device))
            hidden = states.reshape(-1, states.shape[-1])[torch.from_numpy(keep).to(states.device)]
            step = max(1, _LOGITS // model.vocabulary)
            for i in range(0, len(hidden), step):
                logits = model.logits(hidden[None, i : i + step])[0].float()
                parts.append(_kept(torch.softmax(logits, -1), row))
                row += len(logits)
            advance(int(windows.starts[b] - windows.starts[a]))
            a = b
    return np.concatenate([p for p, _ in parts]), np.concatenate([p for _, p in parts])


def _kept(q: torch.Tensor, row: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Words and weights of distributions (n, V), of positions that begin at a row."""
    import torch

    if not bool(q.isfinite().all()):
        raise ModelError(
            "a prediction of the model is NaN: check the weights, or try dtype float32", settings=("dtype",)
        )
    top = min(TOP, q.shape[1])
    weights, words = q.topk(top, dim=1)
    rest = q.scatter(1, words, 0.0).cumsum(1, dtype=torch.float64)
    whole = rest[:, -1:]
    begin = torch.remainder(torch.arange(row, row + len(q), device=q.device, dtype=torch.float64) * _GOLDEN, 1.0)
    share = (torch.arange(TAIL, device=q.device, dtype=torch.float64)[None] + begin[:, None]) / TAIL
    others = torch.searchsorted(rest, share * whole, right=True).clamp_(max=q.shape[1] - 1)
    both = torch.cat((weights.double(), (whole / TAIL).expand(-1, TAIL)), dim=1)
    both /= both.sum(1, keepdim=True)
    return torch.cat((words, others), dim=1).int().cpu().numpy(), both.float().cpu().numpy()
