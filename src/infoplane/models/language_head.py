"""How the head of a language model is reached without its decoder: a stand-in for the decoder hands it the states.

The head is reached if the logits of the model's own forward come out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from infoplane.errors import spoken
from infoplane.models.running import replaced
from infoplane.models.sharding import whole
from infoplane.models.trial_passes import SAME, arguments, reraise_out_of_memory, same

if TYPE_CHECKING:
    import torch

    from infoplane.models.structure import Whole


class Head(TypedDict, total=False):
    """Fields of a Structure that say how the head is reached."""

    head: torch.nn.Module
    no_head: str
    no_loss: str


def find_head(
    module: torch.nn.Module, backbone: torch.nn.Module, ids: torch.Tensor, whole: Whole, states: torch.Tensor
) -> Head:
    """How the head is reached.

    Returns:
        `head` where it was found, `no_head` where the model gives no logits, `no_loss` where its head cannot be given
        states; the last two say why.
    """
    name = type(module).__name__
    if whole.error is not None:
        return {"no_loss": f"the forward of {name} does not run on token ids alone ({whole.error})"}
    if whole.logits is None or whole.logits.shape[:2] != ids.shape:
        return {"no_head": f"{name} gives no logits of the next token"}
    why = f"{name} gives other logits by its head than by its own forward"
    for part in _between(module, backbone):
        try:
            logits = logits_by(module, part, states)
        except Exception as error:  # a model's own code may raise anything
            reraise_out_of_memory(error)
            why = f"the head of {name} is not reached without its decoder ({spoken(error)})"
            continue
        if same(whole.logits, logits, SAME):
            return {"head": part}
    return {"no_loss": why}


def _between(module: torch.nn.Module, backbone: torch.nn.Module) -> list[torch.nn.Module]:
    """The backbone and the modules around it, innermost first: a stand-in for any of them may reach the head."""
    around = [part for part in module.modules() if part is not module and any(p is backbone for p in part.modules())]
    return around[::-1]


def logits_by(module: torch.nn.Module, part: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
    """The head on states (n, tokens, d), with whatever scaling or capping the model puts around it."""
    import torch

    def stand_in(*args: object, **kwargs: object) -> _States:
        return _States(states)

    ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
    with replaced(part, stand_in):
        return whole(module(**arguments(ids)).logits)


class _States:
    """The output of a decoder that holds only hidden states; every other attribute is None."""

    def __init__(self, states: torch.Tensor) -> None:
        self.last_hidden_state = states

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, index: int) -> torch.Tensor:
        return (self.last_hidden_state,)[index]
