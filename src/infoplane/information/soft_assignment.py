r"""Soft assignment of hidden states to reference points, and its entropy.

    a_j(z) = exp(cos(z, w_j) / eps) / sum_i exp(cos(z, w_i) / eps),      j = 1..m

defines a discrete variable Z' with P(Z' = j | z) = a_j(z), and H(Z') is the entropy of the mean of a(z).
One definition, two front doors: NumPy arrays give NumPy arrays, torch tensors give torch tensors on their
own device, with gradients, so that `soft_entropy` can stand in a training loss. A state of zeros has no
direction and is assigned uniformly. Source: Conklin 2025, arXiv 2505.23960, section 3.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, TypeGuard, cast, overload

import numpy as np

from infoplane.errors import SettingError
from infoplane.information.reference_points import ReferencePoints

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


@overload
def soft_assign(z: npt.NDArray[np.generic], points: ReferencePoints) -> npt.NDArray[np.floating]: ...


@overload
def soft_assign(z: torch.Tensor, points: ReferencePoints) -> torch.Tensor: ...


def soft_assign(
    z: npt.NDArray[np.generic] | torch.Tensor, points: ReferencePoints
) -> npt.NDArray[np.floating] | torch.Tensor:
    """Assign hidden states softly to reference points: the probability of each point given each state.

    Args:
        z: (..., d) states, a NumPy array or a torch tensor. Half precision is computed in float32, float64 in float64.
        points: the reference points.

    Returns:
        (..., m) probabilities, which sum to 1 over the last axis; an array or a tensor, as `z` is.

    Raises:
        SettingError: the last axis of `z` is not the dimension of the points.
    """
    if z.shape[-1] != points.d:
        raise SettingError(f"states of width {z.shape[-1]}, reference points of width {points.d}: they must agree")
    if _is_tensor(z):
        return _assign_torch(z, points)
    x = np.asarray(z)
    x = x.astype(np.float64 if x.dtype.itemsize > 4 or x.dtype.kind in "iu" else np.float32, copy=False)
    norm = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.finfo(x.dtype).tiny)
    logits: npt.NDArray[np.floating] = (x @ points.directions.T.astype(x.dtype)) / (norm * x.dtype.type(points.eps))
    logits -= logits.max(axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=-1, keepdims=True)
    return logits


def unit_scale(unit: str, m: int) -> float:
    """What nats are multiplied by to be `efficiency` (of log m), `bits` or `nats`.

    Raises:
        SettingError: another unit.
    """
    scale = {"efficiency": 1 / math.log(m), "nats": 1.0, "bits": 1 / math.log(2)}.get(unit)
    if scale is None:
        raise SettingError(f"unit {unit!r} is not known; choose efficiency, nats or bits")
    return scale


@overload
def soft_entropy(z: npt.NDArray[np.generic], points: ReferencePoints, *, unit: str = "efficiency") -> float: ...


@overload
def soft_entropy(z: torch.Tensor, points: ReferencePoints, *, unit: str = "efficiency") -> torch.Tensor: ...


def soft_entropy(
    z: npt.NDArray[np.generic] | torch.Tensor, points: ReferencePoints, *, unit: str = "efficiency"
) -> float | torch.Tensor:
    """The entropy H(Z') of a batch of hidden states: that of their mean assignment (the `plugin` estimate).

    Args:
        z: (..., d) states; all leading axes together are one sample.
        points: the reference points.
        unit: `efficiency` (nats divided by log m), `nats` or `bits`.

    Returns:
        A float for arrays, a differentiable scalar tensor for tensors.

    Raises:
        SettingError: the last axis of `z` is not the dimension of the points, or an unknown unit.
    """
    scale = unit_scale(unit, points.m)
    if _is_tensor(z):
        import torch

        entropy: torch.Tensor = torch.special.entr(soft_assign(z, points).reshape(-1, points.m).mean(0)).sum()
        return entropy * scale
    from scipy.special import entr

    p = soft_assign(cast("npt.NDArray[np.generic]", z), points).reshape(-1, points.m).mean(0)
    return float(entr(p.astype(np.float64)).sum() * scale)


def _is_tensor(z: object) -> TypeGuard[torch.Tensor]:
    torch_module = sys.modules.get("torch")  # a tensor cannot come from a torch that was never imported
    return torch_module is not None and isinstance(z, torch_module.Tensor)


def _assign_torch(z: torch.Tensor, points: ReferencePoints) -> torch.Tensor:
    import torch

    x = z if z.dtype in (torch.float32, torch.float64) else z.float()
    scaled = scaled_directions(points, x.device, x.dtype)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return torch.softmax((x @ scaled) / norm, dim=-1)


@lru_cache(maxsize=16)
def scaled_directions(points: ReferencePoints, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """(d, m) tensor of the directions divided by eps on a device, kept for the next batch."""
    import torch

    # .copy() because torch refuses to share read-only memory
    return torch.from_numpy((points.directions / points.eps).T.copy()).to(device=device, dtype=dtype)
