"""Modules whose weights lie in parts on several processes, and how their parts are run.

Weights of `fully_shard` (FSDP2) and of tensor parallelism are distributed tensors. A forward pass of such a module is a
collective: all its processes run it together. A module of `fully_shard` gathers its own weights when its forward is
called, and only then. A decoder that is run without the module around it needs the weights that the module around it
holds for it (the embedding, the last norm), so these are gathered for the pass, as they are in training, and dropped
after it. The blocks gather and drop theirs one after the other, so the whole model is never in one place.

Source: PyTorch, `torch.distributed.fsdp.fully_shard` and `torch.distributed.tensor`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from infoplane.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch.distributed.fsdp import FSDPModule


@dataclass(frozen=True)
class Sharding:
    """How the weights of a module are spread.

    Attributes:
        kind: `fully_shard` or `tensor parallelism`.
        ranks: the processes that run it together, by their rank among all.
        shares: whether each of them may run windows of its own.
    """

    kind: str
    ranks: tuple[int, ...]
    shares: bool


def refuse_what_cannot_be_run(module: torch.nn.Module) -> None:
    """Refuse a module that no process, or not all of them together, can run.

    Raises:
        ModelError: FSDP1, DeepSpeed ZeRO-3, or parameters on the meta device.
    """
    kind = "FSDP1" if any(type(part).__name__ == "FullyShardedDataParallel" for part in module.modules()) else None
    for name, parameter in module.named_parameters():
        if hasattr(parameter, "ds_id"):
            kind = "DeepSpeed ZeRO-3"
        elif parameter.is_meta:
            raise ModelError(
                f"{name} of this {type(module).__name__} is on the meta device, so it has no values: load or "
                "initialise the weights first (module.to_empty(device=...), then its weights)"
            )
    if kind is not None:
        raise ModelError(
            f"the weights of this {type(module).__name__} lie in parts on several processes ({kind}), which cannot be "
            "measured while they do. Shard it with fully_shard (FSDP2; in a Trainer fsdp_version 2) or train with DDP, "
            "ZeRO-1 or ZeRO-2; or measure the checkpoints that it saves (infoplane trace)"
        )


def sharding_of(module: torch.nn.Module) -> Sharding | None:
    """How the weights of a module are spread; None where each process has them whole."""
    _spread(_gathering(module))  # gathered weights would not be seen to be spread
    found = [getattr(parameter, "device_mesh", None) for parameter in module.parameters()]
    if (getattr(module, "_tp_size", None) or 1) > 1:  # transformers before its weights were distributed tensors
        found.append(getattr(module, "_device_mesh", None))
    meshes = [mesh for mesh in found if mesh is not None]
    if not meshes:
        return None
    kind = "fully_shard" if _gathering(module) else "tensor parallelism"
    ranks = sorted({rank for mesh in meshes for rank in mesh.mesh.flatten().tolist()})
    # of several dimensions some may be those of tensor parallelism, whose processes must see the same windows
    alike = all(mesh.ndim == 1 and sorted(mesh.mesh.flatten().tolist()) == ranks for mesh in meshes)
    return Sharding(kind, tuple(ranks), kind == "fully_shard" and alike)


def _gathering(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Parts that gather weights of their own when they run."""
    import torch.distributed as dist

    if not dist.is_available():
        return []
    from torch.distributed.fsdp import FSDPModule

    return [part for part in module.modules() if isinstance(part, FSDPModule)]


@contextlib.contextmanager
def gathered_around(part: torch.nn.Module, module: torch.nn.Module) -> Iterator[None]:
    """The weights that modules around a part hold for it, gathered while it is run without them."""
    around = [one for one in _gathering(module) if one is not part and any(inside is part for inside in one.modules())]
    for one in around:
        cast("FSDPModule", one).unshard()
    try:
        yield
    finally:
        _spread(around)


@contextlib.contextmanager
def spread_again(module: torch.nn.Module) -> Iterator[None]:
    """Afterwards no part keeps gathered weights: a pass without gradients may leave those of the outermost."""
    try:
        yield
    finally:
        _spread(_gathering(module))


def _spread(parts: Sequence[torch.nn.Module]) -> None:
    for part in parts:
        cast("FSDPModule", part).reshard()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A distributed tensor as an ordinary one, on every process; any other as it is."""
    full = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()
