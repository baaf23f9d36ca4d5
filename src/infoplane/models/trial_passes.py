"""Small forward passes that show what the parts of a model do, and when two states are the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from infoplane.models.layers import Passed
from infoplane.models.module_config import text_config
from infoplane.models.running import out_of_memory
from infoplane.models.sharding import gathered_around, whole

if TYPE_CHECKING:
    import torch

TRIAL_TOKENS = 8
"""Tokens of a window of a trial pass."""
SAME = 0.1
"""How far states may be, relative to their norm, from those within the whole model, which a Trainer runs in bfloat16
while the part alone runs in float32. Another decoder is much farther away."""


def trial_ids(module: torch.nn.Module) -> torch.Tensor:
    """(2, 8) token ids; the second row differs from the first in the last one only."""
    import torch

    size = int(text_config(module).vocab_size)
    first = torch.arange(2, 2 + TRIAL_TOKENS, device=next(module.parameters()).device) % size
    second = first.clone()
    second[-1] = (int(first[-1]) + 7) % size
    return torch.stack((first, second))


def run_decoder(backbone: torch.nn.Module, module: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Last hidden states (batch, width, d) of token ids (batch, width) in a module; no head, no cache."""
    with gathered_around(backbone, module):
        states: torch.Tensor = backbone(**arguments(ids))[0]
    return whole(states)


def arguments(ids: torch.Tensor) -> dict[str, torch.Tensor | bool]:
    """Arguments of a pass over token ids that keeps no cache."""
    return {"input_ids": ids, "use_cache": False, "return_dict": True}


def first_states(output: Passed | None) -> torch.Tensor | None:
    """The float tensor that a module returned, or that its output begins with; None for anything else."""
    import torch

    with contextlib.suppress(KeyError, IndexError, TypeError):
        return _floats(output if output is None or isinstance(output, torch.Tensor) else output[0])
    return None


def _floats(value: Passed | None) -> torch.Tensor | None:
    """A tensor of floats; None for anything else."""
    import torch

    return whole(value) if isinstance(value, torch.Tensor) and value.is_floating_point() else None


def state_in(args: tuple[Passed, ...], kwargs: dict[str, Passed]) -> torch.Tensor | None:
    """The hidden states among the arguments of a block: the first float tensor of three dimensions or more."""
    named = [kwargs[name] for name in ("hidden_states", "hidden_state", "x") if name in kwargs]
    for value in (*args, *named, *kwargs.values()):
        if (states := _floats(value)) is not None and states.ndim >= 3:
            return states
    return None


def same(a: torch.Tensor, b: torch.Tensor, slack: float) -> bool:
    """Whether two tensors agree to within `slack` of the norm of `a`.

    Where `a` holds NaN or infinity nothing can be told, and they count as agreeing: broken weights are told elsewhere.
    """
    if a.shape != b.shape:
        return False
    a, b = a.float(), b.float().to(a.device)
    return bool((a - b).norm() <= slack * a.norm()) or not bool(a.isfinite().all())


def slack_of(states: torch.Tensor) -> float:
    """The difference to allow between two passes: mixtures of experts group tokens anew, so rounding differs."""
    import torch

    return 1e-4 if states.dtype in (torch.float32, torch.float64) else 0.02


def reraise_out_of_memory(error: Exception) -> None:
    """Raise the error again if it says that memory ran out."""
    if out_of_memory(error):
        raise error
