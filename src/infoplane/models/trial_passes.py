"""Small forward passes that show what the parts of a model do, and when two states are the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from infoplane.models.layers import Passed
from infoplane.models.module_config import text_config
from infoplane.models.running import out_of_memory

if TYPE_CHECKING:
    import torch

TOKENS = 8


SAME = 0.1
"""How far states, relative to their norm, may be from those within the whole model: a Trainer runs that in bfloat16
while the part alone runs in float32. Another decoder is not near."""


def trial_ids(module: torch.nn.Module) -> torch.Tensor:
    """(2, 8) token ids; the second row differs from the first in the last one only."""
    import torch

    size = int(text_config(module).vocab_size)
    first = torch.arange(2, 2 + TOKENS, device=next(module.parameters()).device) % size
    second = first.clone()
    second[-1] = (int(first[-1]) + 7) % size
    return torch.stack((first, second))


def run_decoder(backbone: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Last hidden states (batch, width, d) of token ids (batch, width); no head, no cache."""
    states: torch.Tensor = backbone(**arguments(ids))[0]
    return states


def arguments(ids: torch.Tensor) -> dict[str, torch.Tensor | bool]:
    return {"input_ids": ids, "use_cache": False, "return_dict": True}


def first_states(output: Passed | None) -> torch.Tensor | None:
    import torch

    with contextlib.suppress(KeyError, IndexError, TypeError):
        return _floats(output if output is None or isinstance(output, torch.Tensor) else output[0])
    return None


def _floats(value: Passed | None) -> torch.Tensor | None:
    """A tensor of floats; None for anything else."""
    import torch

    return value if isinstance(value, torch.Tensor) and value.is_floating_point() else None


def state_in(args: tuple[Passed, ...], kwargs: dict[str, Passed]) -> torch.Tensor | None:
    """The hidden states among the arguments of a block: the first that may be."""
    named = [kwargs[name] for name in ("hidden_states", "hidden_state", "x") if name in kwargs]
    for value in (*args, *named, *kwargs.values()):
        if (states := _floats(value)) is not None and states.ndim >= 3:
            return states
    return None


def same(a: torch.Tensor, b: torch.Tensor, slack: float) -> bool:
    """Whether two tensors are the same but for rounding."""
    if a.shape != b.shape:
        return False
    a, b = a.float(), b.float().to(a.device)
    return bool((a - b).norm() <= slack * a.norm()) or not bool(a.isfinite().all())


def slack_of(states: torch.Tensor) -> float:
    """Rounding alone may differ, since a mixture of experts batches its tokens anew."""
    import torch

    return 1e-4 if states.dtype in (torch.float32, torch.float64) else 0.02


def raise_memory(error: Exception) -> None:
    if out_of_memory(error):
        raise error
