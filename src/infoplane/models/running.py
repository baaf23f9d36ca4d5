"""Running a module that belongs to somebody else: what was changed for it is put back in every way out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_RAN_OUT = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed")
_MISSING = object()


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or here."""
    import torch

    message = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in message for words in _RAN_OUT)
    )


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Dropout off; each module's own mode is put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def replaced(module: torch.nn.Module, forward: Callable[..., object]) -> Iterator[None]:
    """Another forward for a module, as an attribute of the object, which hides the method of its class.

    An attribute of that name may stand there already: compiled forwards and the hooks of accelerate are such.
    """
    before = vars(module).get("forward", _MISSING)
    module.forward = forward
    try:
        yield
    finally:
        if before is _MISSING:
            del module.forward
        else:
            module.forward = before
