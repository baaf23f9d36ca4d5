"""What is made of states on the device: assignments to random directions, or cosines with fitted ones.

A fitted code is kept as cosines, since its temperature is calibrated later. With c_0 the centre of the first fit,
y = z - c_0 and e_s = c_s - c_0, the cosine of fit s is (y g_s w - e_s g_s w) / |y g_s - e_s g_s|, so all fits of a
layer are one product. The centres of two fits are near each other, so nothing is lost where a mean is far larger than
a spread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from infoplane.capture.manifest import array_name
from infoplane.errors import ModelError
from infoplane.information import FITTED, RANDOM, STEPS, FittedCodes, PointSets, ReferencePoints

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


class Coder(ABC):
    """Makes of the states of a layer what is kept of them.

    Attributes:
        kind: of its code.
        dtype: of what is kept.
        sets, m: how many sets there are, and directions in each.
    """

    kind: ClassVar[str]
    dtype: ClassVar[type[np.generic]]

    def __init__(self, code: PointSets | FittedCodes) -> None:
        self.sets, self.m = code.sets, code.m

    def names(self, layer: str) -> list[str]:
        """What the arrays of a layer are called."""
        return [array_name(layer, self.kind, s) for s in range(self.sets)]

    def prepare(self, layer: str) -> None:  # noqa: B027 (a fitted code needs nothing)
        """Make what needs no device: not in a hook, which torch.compile may trace."""

    @abstractmethod
    def __call__(self, layer: str, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of states (n, d) in float32 or float64, (sets, n, m) and (n,) whether all numbers of a row are finite."""


Codes: TypeAlias = "PointSets | FittedCodes | Sequence[PointSets | FittedCodes] | Sequence[ReferencePoints]"
"""A code or several, the primary one first; or sets of reference points, which are one."""


def coder_of(code: PointSets | FittedCodes) -> Coder:
    """That of a code."""
    return RandomCoder(code) if isinstance(code, PointSets) else FittedCoder(code)


class RandomCoder(Coder):
    """Assignments to the reference points of a layer, all sets in one product."""

    kind, dtype = RANDOM, np.float16

    def __init__(self, points: PointSets) -> None:
        super().__init__(points)
        self.points = points
        self._directions: dict[tuple[str, torch.device], torch.Tensor] = {}

    def prepare(self, layer: str) -> None:
        """Draw the points."""
        self.points.scaled(layer)

    def __call__(self, layer: str, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sets, n, m) assignments in float16."""
        import torch

        directions = self._on(flat, layer)
        norm = torch.linalg.vector_norm(flat, dim=-1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)
        logits = (flat @ directions).div_(norm).view(len(flat), self.sets, -1)
        assigned = torch.softmax(logits, dim=-1).half().transpose(0, 1)
        return assigned, assigned.sum((0, 2)).isfinite()

    def _on(self, flat: torch.Tensor, layer: str) -> torch.Tensor:
        import torch

        _check_width(layer, flat.shape[-1], self.points.d)
        key = self.points.draw(layer), flat.device
        if key not in self._directions:
            scaled = torch.from_numpy(self.points.scaled(layer).T)
            self._directions[key] = scaled.to(flat.device, flat.dtype).contiguous()
        return self._directions[key]


class FittedCoder(Coder):
    """Cosines with the directions of a layer, in steps of 1 / 32767."""

    kind, dtype = FITTED, np.int16

    def __init__(self, codes: FittedCodes) -> None:
        super().__init__(codes)
        self.codes = codes
        self._parts: dict[tuple[str, torch.device], tuple[torch.Tensor, ...]] = {}

    def __call__(self, layer: str, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sets, n, m) cosines in int16."""
        import torch

        centre, linear, square, moved, moved_square = self._on(flat, layer)
        y = flat - centre
        product = (y @ linear).sub_(moved)
        along = product[:, : self.sets * self.m].view(len(flat), self.sets, self.m)
        across = product[:, self.sets * self.m :]
        length = (y.square_() @ square).sub_(across, alpha=2).sub_(moved_square).clamp_min_(0).sqrt_()
        cosine = along / length.unsqueeze(-1).clamp_min(torch.finfo(flat.dtype).tiny)
        finite = cosine.sum((1, 2)).isfinite() & length.sum(1).isfinite()
        return cosine.clamp_(-1, 1).mul_(STEPS).round_().to(torch.int16).transpose(0, 1), finite

    def _on(self, flat: torch.Tensor, layer: str) -> tuple[torch.Tensor, ...]:
        """On the device: the first centre (d,); what y is multiplied by (d, sets m + sets), and its square (d, sets);
        what is taken off these products (sets m + sets,), and off the squared length (sets,)."""
        import torch

        codes = self.codes.of[layer]
        _check_width(layer, flat.shape[-1], codes[0].d)
        key = layer, flat.device
        if key not in self._parts:
            first = codes[0].centre.astype(np.float64)
            along, across, squares = [], [], []
            moved, moved_squares = [], []
            for code in codes:
                gain, delta = code.gain.astype(np.float64), code.centre - first
                weight = (code.directions * gain).T
                along.append(weight)
                moved.append(delta @ weight)
                across.append(delta * gain**2)
                squares.append(gain**2)
                moved_squares.append(-float(delta**2 @ gain**2))
            linear = np.concatenate([*along, np.stack(across, 1)], axis=1)
            taken = np.concatenate([*moved, np.zeros(len(codes))])
            parts: list[npt.NDArray[np.float64]] = [
                first, linear, np.stack(squares, 1), taken, np.array(moved_squares),
            ]  # fmt: skip
            self._parts[key] = tuple(torch.from_numpy(part).to(flat.device, flat.dtype) for part in parts)
        return self._parts[key]


def _check_width(layer: str, width: int, d: int) -> None:
    if width != d:
        raise ModelError(
            f"layer {layer} is {width} wide, the reference points {d}: they must agree; leave that layer out of layers",
            settings=("layers",),
        )
