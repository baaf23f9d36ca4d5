"""The named layers of a decoder: `embed`, `block.0`, `block.1`, ..., `final_norm`.

`embed` is what enters the first block, `block.N` what leaves block N, `final_norm` what leaves the
last norm. Blocks are read with hooks, not from `hidden_states`, whose last entry many models norm already.
Where they are is found by `infoplane.models.structure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from infoplane.errors import ModelError, SettingError

if TYPE_CHECKING:
    import torch

Passed: TypeAlias = "torch.Tensor | Sequence[torch.Tensor]"
"""What a module passes on: states, or states among other things."""
EMBED, FINAL_NORM = "embed", "final_norm"


@dataclass(frozen=True)
class Streams:
    """Parallel residual streams of one layer, and the rule that makes one state of them.

    Of AltUp (Gemma 3n) the state is the stream that the config names as active, the one that a block computes on. Of
    hyper-connections (DeepSeek V4) it is the mean over streams: their sum is what the original reads out (Zhu et al.
    2024, arXiv 2409.19606), and the code sees directions only.

    Attributes:
        axis: of the streams, in what the block passes on: 0 or 2; -1 where they stand side by side in the last axis.
        count: how many there are.
        active: number of the active stream; None for the mean.
    """

    axis: int
    count: int
    active: int | None = None


@dataclass(frozen=True)
class Layer:
    """A name, and where its states pass: the input of `module`, or its output.

    Attributes:
        streams: where several streams pass instead of one state (batch, tokens, d).
    """

    name: str
    module: torch.nn.Module
    is_input: bool = False
    streams: Streams | None = None

    def states(self, passed: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, d) states, or (batch * tokens, d), of what was passed."""
        if self.streams is None:
            return passed
        axis, active = self.streams.axis, self.streams.active
        if axis == -1:
            axis, passed = -2, passed.reshape(*passed.shape[:-1], self.streams.count, -1)
        return passed.mean(axis) if active is None else passed.select(axis, active)


def streams_of(shape: tuple[int, ...], batch: int, tokens: int, config: object) -> Streams | None:
    """How states of this shape are read; None where they are (batch, tokens, d), or flat (batch * tokens, d).

    Args:
        shape: of what a layer passed on for `batch` windows of `tokens` tokens each, two different numbers.
        batch, tokens: of the windows.
        config: of the decoder, which may name the number of streams, and the active one.

    Raises:
        ModelError: no rule for it.
    """
    active = getattr(config, "altup_active_idx", None)
    if shape[:-1] in ((batch, tokens), (batch * tokens,)):
        count = getattr(config, "hc_count", None) or getattr(config, "hc_mult", None) or 1
        beside = count > 1 and shape[-1] == count * getattr(config, "hidden_size", 0)
        return Streams(-1, count) if beside else None
    if len(shape) == 4 and shape[1:3] == (batch, tokens):
        return Streams(0, shape[0], active)
    if len(shape) == 4 and shape[:2] == (batch, tokens):
        return Streams(2, shape[2], active)
    raise ModelError(
        f"the states of {batch} windows of {tokens} tokens have the shape {shape}; expected ({batch}, {tokens}, "
        "width), "
        "or several streams of it: which rows are which tokens is not known, so this architecture is not supported"
    )


def select_layers(layers: tuple[Layer, ...], names: tuple[str, ...] | None) -> tuple[Layer, ...]:
    """The layers with these names, all of them for None."""
    chosen = select_names(tuple(layer.name for layer in layers), names)
    return tuple(layer for layer in layers if layer.name in chosen)


def select_names(layers: tuple[str, ...], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Of the names of all layers those that are wanted, in the order of the model; all of them for None."""
    if names is None:
        return layers
    for name in names:
        if name not in layers:
            last = sum(one.startswith("block.") for one in layers) - 1
            norm = ", final_norm" if FINAL_NORM in layers else " (its last norm is not a layer of its own)"
            raise SettingError(f"no layer {name!r}; the model has embed, block.0 to block.{last}{norm}")
    return tuple(layer for layer in layers if layer in names)
