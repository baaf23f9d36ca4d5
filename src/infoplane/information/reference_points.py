"""Reference points: m directions on the unit sphere and the temperature that goes with them.

The directions are rows of standard normals divided by their norms, which is the uniform distribution on the sphere.
They come from NumPy's PCG64 on the CPU in float64, from `(seed, m, d)` alone, and are only then moved and cast: these
three give one set of points on every device and backend. All three seed the generator, so sets that differ in any of
them are independent: points of one seed would else be the first of more.
PyTorch's generator is not used, because a model initialised after `torch.manual_seed(0)` draws the same numbers first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError, check_whole
from infoplane.information.vmf_temperature import temperature

_DRAWS, _SHARED = 16, 5

Code = TypeVar("Code")


@dataclass(frozen=True, eq=False)
class ReferencePoints:
    """m unit vectors in d dimensions, with the temperature of the soft assignment to them.

    Attributes:
        d, m: dimension and number of the points.
        seed: seed that the directions were drawn from; None for given directions.
        calibration: how `eps` was found, as for `temperature`; `given` if it was given.
        eps: temperature of the softmax over cosines.
        directions: (m, d) float64 unit vectors.
    """

    d: int
    m: int
    seed: int | None
    calibration: str
    eps: float
    directions: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<ReferencePoints: {self.m} in {self.d} dimensions, seed {self.seed}, eps {self.eps:.4g}>"

    @classmethod
    def make(cls, d: int, m: int = 100, seed: int = 0, calibration: str = "exact") -> ReferencePoints:
        """Draw the points that `seed`, `m` and `d` determine, and calibrate their temperature.

        Args:
            d: dimension of the points, the width of the hidden states.
            m: number of points.
            seed: seed of the draw.
            calibration: how the temperature is found; see `temperature`.

        Raises:
            SettingError: m or d below 2 (3 for d with `amos-lower`), a negative seed, or an unknown calibration.
        """
        seed = check_whole("seed", seed, 0)
        eps = temperature(m, d, calibration)
        normal = np.random.Generator(np.random.PCG64([seed, m, d])).standard_normal((m, d))
        return cls(d, m, seed, calibration, eps, _frozen(normal))

    @classmethod
    def given(cls, directions: npt.ArrayLike, eps: float | None = None) -> ReferencePoints:
        """Make reference points from directions of your own.

        Args:
            directions: (m, d) vectors, which are scaled to unit length.
            eps: temperature; by default it is calibrated (`exact`).

        Raises:
            SettingError: directions of another shape, not finite or with a row of zeros, or an `eps` that is not
                positive and finite.
        """
        w = np.asarray(directions, dtype=np.float64)
        if w.ndim != 2 or not np.all(np.isfinite(w)) or not np.all(np.linalg.norm(w, axis=1) > 0):
            raise SettingError(f"directions of shape {w.shape}: expected (m, d), finite, no row of zeros")
        if eps is not None and not (np.isfinite(eps) and eps > 0):
            raise SettingError(f"eps = {eps}: a temperature is positive and finite")
        m, d = w.shape
        return cls(d, m, None, "exact" if eps is None else "given", eps or temperature(m, d), _frozen(w))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferencePoints) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the directions (float64, little endian) and `eps`."""
        digest = hashlib.sha256(np.ascontiguousarray(self.directions, dtype="<f8").tobytes())
        digest.update(np.float64(self.eps).astype("<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PointSets:
    """The reference points of all layers of a model: several sets, each layer's its own unless they are shared.

    Attributes:
        d, m: dimension and number of the points of a set.
        seed: what they are drawn from; None for points that were given.
        calibration, eps: as of `ReferencePoints`.
        sets: R, how many sets each layer has.
        shared: whether all layers have the same.
        given: those that were given, one a set; empty for points that are drawn.
    """

    d: int
    m: int
    seed: int | None
    calibration: str
    eps: float
    sets: int
    shared: bool = False
    given: tuple[ReferencePoints, ...] = ()
    _scaled: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _hashes: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[type[PointSets], tuple[object, ...]]:
        """Without what was drawn: it is drawn again where it is sent."""
        return PointSets, (
            self.d, self.m, self.seed, self.calibration, self.eps, self.sets, self.shared, self.given,
        )  # fmt: skip

    @classmethod
    def make(
        cls, d: int, m: int = 100, seed: int = 0, calibration: str = "exact", sets: int = 1, shared: bool = False
    ) -> PointSets:
        """Sets to be drawn.

        Raises:
            SettingError: as for `ReferencePoints.make`, or no set.
        """
        seed, sets = check_whole("seed", seed, 0), check_whole("sets", sets, 1)
        return cls(d, m, seed, calibration, temperature(m, d, calibration), sets, shared)

    @classmethod
    def of(cls, points: Sequence[ReferencePoints]) -> PointSets:
        """Points that are there, one set after the other, shared by all layers."""
        first, seed = points[0], points[0].seed if len(points) == 1 else None
        return cls(first.d, first.m, seed, first.calibration, first.eps, len(points), True, tuple(points))

    def at(self, layer: str, number: int) -> ReferencePoints:
        """The points of a layer and a set; drawn anew each time."""
        if self.given:
            return self.given[number]
        assert self.seed is not None
        if self.shared and number == 0:
            return ReferencePoints.make(self.d, self.m, self.seed, self.calibration)
        entropy = [self.seed, number, 0 if self.shared else _number_of(layer), self.m, self.d]
        normal = np.random.Generator(np.random.PCG64(entropy)).standard_normal((self.m, self.d))
        return ReferencePoints(self.d, self.m, self.seed, self.calibration, self.eps, _frozen(normal))

    def scaled(self, layer: str) -> npt.NDArray[np.float64]:
        """(R m, d) directions of all sets of a layer, divided by their temperature; drawn once."""
        draw = self.draw(layer)
        if draw not in self._scaled:
            sets = [self.at(layer, number) for number in range(self.sets)]
            self._scaled[draw] = np.concatenate([p.directions / p.eps for p in sets])
        return self._scaled[draw]

    def draw(self, layer: str) -> str:
        """The name of a layer's draw: layers of one name have the same points."""
        return "" if self.shared else layer

    def hash(self, layers: Iterable[str]) -> str:
        """SHA-256 over the hashes of all points of the layers named, in order; of the sets themselves, if shared."""
        names = ("",) if self.shared else tuple(layers)
        if names not in self._hashes:  # a monitor asks at every probe, and points are drawn for it
            digest = hashlib.sha256()
            for name in names:
                for number in range(self.sets):
                    digest.update(f"{name}/{number}:{self.at(name, number).hash};".encode())
            self._hashes[names] = digest.hexdigest()
        return self._hashes[names]


def sets_for(blocks: int, shared: bool = False) -> int:
    """How many sets of reference points a model of so many blocks is read with, where nobody says.

    16 in all blocks together, and at least 2 of each layer: the error of the mean falls with their number, however they
    are spread over layers and sets (docs/findings/reference-points.md). Where layers share their points, 5: the
    error then has 4 degrees of freedom.
    """
    return _SHARED if shared else max(2, -(-_DRAWS // max(blocks, 1)))


def as_codes(
    codes: Code | PointSets | Sequence[Code | PointSets] | Sequence[ReferencePoints],
) -> list[Code | PointSets]:
    """One code or several as a list; sets of reference points that are there make one code, shared by all layers."""
    if not isinstance(codes, Sequence):
        return [codes]
    points = [each for each in codes if isinstance(each, ReferencePoints)]
    return [PointSets.of(points)] if points else [each for each in codes if not isinstance(each, ReferencePoints)]


def _number_of(layer: str) -> int:
    """A name as a whole number: its bytes."""
    return int.from_bytes(layer.encode(), "little")


def _frozen(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    unit.setflags(write=False)
    return unit
