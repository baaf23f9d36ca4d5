"""Devices, and the number types that are fast on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoplane.errors import SettingError
from infoplane.models.loader_errors import needed_package

if TYPE_CHECKING:
    import torch


def fast_dtype(device: str) -> str:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "mps":
        return "bfloat16"
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bfloat16" if any(getattr(torch.cpu, probe, lambda: False)() for probe in probes) else "float32"


def find_device(device: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one.

    Raises:
        SettingError: there is no such device, or it holds no numbers.
        ModelError: torch is not installed.
    """
    needed_package("torch")
    import torch

    if device == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        named = torch.device(device)
        if named.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(0, device=named)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        why = "there is none of that name" if why.startswith("Expected one of") else why  # all that torch knows of
        raise SettingError(
            f"device {device!r} cannot be used: {why}; expected auto, cpu, or what is here of cuda, cuda:1 and mps"
        ) from None
    return named
