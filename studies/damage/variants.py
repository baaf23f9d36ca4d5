"""Variants of a model that were damaged on purpose, by kinds and amounts.

    noise   each weight w of a matrix becomes w + s r |W|, with r a standard normal number, |W| the root mean square
    prune   the smallest weights of each matrix are set to 0, a share of them
    round   each row of a matrix to a grid of 2^b - 1 levels up to its largest magnitude
    drop    a block adds nothing to the residual stream: what it writes is set to 0

Embedding, head and norms stay as they are. The files that are damaged are 4-bit already: "none" is such a file, run in
float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

import damage
from infoplane.models.decoder import Model

NONE = "none"
_WRITES = ("o_proj", "down_proj")  # matrices of a block whose output is added to the residual stream


@dataclass(frozen=True)
class Variant:
    """A kind of damage and its amount: a share, bits, or the depth of a block from 0 to 1."""

    kind: str
    amount: float

    def __str__(self) -> str:
        return f"{self.kind} {self.amount:g}"


NOISE = tuple(Variant("noise", s) for s in (0.02, 0.05, 0.1, 0.2))
PRUNE = tuple(Variant("prune", s) for s in (0.1, 0.2, 0.4))
ROUND = tuple(Variant("round", b) for b in (6, 5, 4, 3))
DROP = tuple(Variant("drop", depth) for depth in (0.1, 0.5, 0.9))
SCORED = (*NOISE, *PRUNE, *ROUND, *DROP)
# so little that no benchmark of 500 items can see it: measured, and not scored
SMALL = (
    *(Variant("noise", s) for s in (0.0001, 0.0003, 0.001, 0.003, 0.01)), *(Variant("round", b) for b in (12, 10, 8)),
)  # fmt: skip
ALL = (*SCORED, *SMALL)
HELD_OUT = (
    Variant("noise", 0.05), Variant("noise", 0.1), Variant("prune", 0.2), Variant("round", 5), Variant("round", 4),
    Variant("drop", 0.5),
)  # fmt: skip


def damaged(model: Model, variant: Variant) -> contextlib.AbstractContextManager[None]:
    """The model with its matrices changed, then as before."""
    return damage.damaged(model, _CHANGES[variant.kind](variant.amount), _matrices(model, variant))


def hurt_block(model: Model, variant: Variant) -> int | None:
    """Number of the block that was dropped."""
    if variant.kind != "drop":
        return None
    blocks = [layer for layer in model.layers if layer.name.startswith("block.")]
    return min(int(variant.amount * len(blocks)), len(blocks) - 1)


def _matrices(model: Model, variant: Variant) -> list[torch.nn.Parameter]:
    named = [(name, m.weight) for name, m in model.backbone.named_modules() if isinstance(m, torch.nn.Linear)]
    number = hurt_block(model, variant)
    if number is None:
        return [w for _, w in named]
    found = [w for name, w in named if f".{number}." in f".{name}." and name.rsplit(".", 1)[-1] in _WRITES]
    assert len(found) == len(_WRITES), f"block {number} has {len(found)} matrices that write"
    return found


def _nothing(_: float) -> damage.Change:
    return lambda w, _: torch.zeros_like(w)


_CHANGES: dict[str, Callable[[float], damage.Change]] = {
    "noise": damage.noise, "prune": damage.prune, "round": lambda bits: damage.rounded(int(bits)), "drop": _nothing,
}  # fmt: skip
