"""A module that somebody else trains: what is wrapped around it, who has it, and the random state it draws from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The module inside `torch.compile` and data-parallel wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if inner is None:
            return model
        model = inner


def ranks_of(model: torch.nn.Module) -> tuple[int, ...]:
    """The processes that have a copy of a model; those of its data-parallel wrapper, or all that were started."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return ()
    group = getattr(model, "process_group", None)
    return tuple(range(dist.get_world_size()) if group is None else dist.get_process_group_ranks(group))


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """PyTorch's generators, those of all GPUs in use included, put back as they were."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
