r"""A code that is fitted to a layer: its directions lie where the states lie.

    x = (z - c) / sqrt(s),    t_j(z) = <x, w_j> / |x|,    a_j(z) = exp(k t_j(z)) / sum_i exp(k t_i(z)),    j = 1..m

c and s are the mean and the standard deviation of each dimension. Divided by the root of s, a few dimensions whose
numbers are a hundred times larger weigh ten times as much, and neither drown the others nor are made as small as they.
That was chosen by measurement among other scales (docs/findings/fitted-code.md). The directions w_j are the
centres that spherical k-means finds for the vectors x / |x|: unit vectors that maximise the sum over rows of the
largest cosine. All of these are fitted on rows of documents that are not measured. The inverse temperature k is
calibrated on the rows that are measured, see `infoplane.information.capacity`.

Sources: Dhillon and Modha, Machine Learning 42 (2001) 143, for spherical k-means; Arthur and Vassilvitskii, SODA 2007,
for the first centres (of several that are drawn the best is taken, as they propose at the end).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError, check_whole

_ROUNDS = 25
_FEW = 4096  # rows whose products with each other are held, at most
_SAME = 1e-3  # of the mean cosine: less gain in a round, and the centres are left as they are


@dataclass(frozen=True, eq=False)
class FittedCode:
    """Centre, scale and directions of one layer.

    Attributes:
        centre: (d,) float32, the mean of the rows that were fitted.
        gain: (d,) float32, one over the root of their standard deviation; 0 where a dimension does not vary.
        directions: (m, d) float32 unit vectors.
        rows: how many rows were fitted.
    """

    centre: npt.NDArray[np.float32]
    gain: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]
    rows: int

    def __repr__(self) -> str:
        return f"<FittedCode: {self.m} directions in {self.d} dimensions, fitted on {self.rows} rows>"

    @property
    def m(self) -> int:
        """Number of directions."""
        return len(self.directions)

    @property
    def d(self) -> int:
        """Width of the layer."""
        return len(self.centre)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over centre, gain and directions (float32, little endian)."""
        digest = hashlib.sha256()
        for part in (self.centre, self.gain, self.directions):
            digest.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
        return digest.hexdigest()

    @classmethod
    def fit(cls, z: npt.ArrayLike, m: int = 100, seed: int = 0) -> FittedCode:
        """Fit the code to rows of states.

        Args:
            z: (n, d) states of documents that are not measured.
            m: number of directions.
            seed: of the first centres.

        A layer whose states do not vary has no code: its gain is 0, and so are all cosines.

        Raises:
            SettingError: fewer rows than directions, or states that are not finite.
        """
        x = np.asarray(z, dtype=np.float32)
        if x.ndim != 2 or len(x) < check_whole("m", m, 2):
            raise SettingError(f"states of shape {x.shape} for {m} directions: expected (n, d) with n = {m} or more")
        if not np.isfinite(x).all():
            raise SettingError("states hold NaN or infinity: no code can be fitted to them")
        centre, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        gain = np.zeros_like(deviation)
        np.divide(1.0, np.sqrt(deviation), out=gain, where=varies(centre, deviation))
        centre, gain = centre.astype(np.float32), gain.astype(np.float32)
        return cls(centre, gain, spherical_centres(unit((x - centre) * gain), m, seed), len(x))

    def cosines(self, z: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """(n, m) cosines of (n, d) states with the directions, -1 to 1; 0 for a state that equals the centre."""
        return unit((np.asarray(z, np.float32) - self.centre) * self.gain) @ self.directions.T


@dataclass(frozen=True, eq=False)
class FittedCodes:
    """The fitted codes of some layers, several fits of each, on other documents.

    Attributes:
        of: by layer, one code a fit.
    """

    of: Mapping[str, tuple[FittedCode, ...]]

    @property
    def m(self) -> int:
        """Number of directions of a code."""
        return next(iter(self.of.values()))[0].m

    @property
    def sets(self) -> int:
        """Number of fits."""
        return len(next(iter(self.of.values())))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All of it, `LAYER/FIT/PART`, to be stored."""
        found: dict[str, npt.NDArray[np.generic]] = {}
        for layer, codes in self.of.items():
            for number, code in enumerate(codes):
                at = f"{layer}/{number}"
                found |= {f"{at}/centre": code.centre, f"{at}/gain": code.gain, f"{at}/directions": code.directions}
                found[f"{at}/rows"] = np.array(code.rows, np.int64)
        return found

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[np.generic]], layers: Sequence[str], sets: int
    ) -> FittedCodes:
        """What `arrays` gave.

        Raises:
            KeyError: a part is missing.
        """

        def one(at: str) -> FittedCode:
            centre, gain, directions = (arrays[f"{at}/{part}"].astype(np.float32) for part in _PARTS)
            return FittedCode(centre, gain, directions, int(arrays[f"{at}/rows"].astype(np.int64)))

        return cls({layer: tuple(one(f"{layer}/{s}") for s in range(sets)) for layer in layers})


_PARTS = ("centre", "gain", "directions")
_LEAST = 1e-6


def varies(centre: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(d,) which dimensions vary by more than float32 and the rounding of states leave of a constant."""
    return deviation > _LEAST * np.maximum(np.abs(centre), np.finfo(np.float32).tiny)


def unit(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows brought to length 1; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    rows: npt.NDArray[np.float32] = x / np.maximum(length, np.finfo(np.float32).tiny)
    return rows


def spherical_centres(u: npt.NDArray[np.float32], m: int, seed: int, rounds: int = _ROUNDS) -> npt.NDArray[np.float32]:
    """(m, d) unit vectors: spherical k-means of the unit vectors u (n, d), n of them at least m.

    A centre that loses all of its rows moves to the row that lies farthest from its own.
    """
    draw = np.random.Generator(np.random.PCG64([seed, m, u.shape[1]]))
    w = _first_centres(u, m, draw)
    before = -np.inf
    for _ in range(rounds):
        cosine = u @ w.T
        nearest = cosine.argmax(1)
        best = cosine[np.arange(len(u)), nearest]
        mean = float(best.mean(dtype=np.float64))
        if mean - before < _SAME * abs(mean):
            break
        before = mean
        counts = np.bincount(nearest, minlength=m)
        lonely = np.flatnonzero(counts == 0)
        nearest[np.argsort(best, kind="stable")[: len(lonely)]] = lonely
        order = np.argsort(nearest, kind="stable")
        starts = np.searchsorted(nearest[order], np.arange(m))
        w = _moved(np.add.reduceat(u[order], np.minimum(starts, len(u) - 1), axis=0), w)
    return w


def _moved(sums: npt.NDArray[np.float32], before: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centres from the sums of their rows; where these cancel, the centre stays."""
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(length > _LEAST, sums / np.maximum(length, _LEAST), before).astype(np.float32)


def _first_centres(u: npt.NDArray[np.float32], m: int, draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """(m, d) rows of u, one after the other.

    Some are drawn with a probability in proportion to 1 - (largest cosine so far), and the one that leaves the least of
    that sum is taken.
    """
    every = u @ u.T if len(u) <= _FEW else None  # one product is faster than many narrow ones

    def distance(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(k, n) 1 - cosine of some rows with all, not below 0."""
        cosine = u[rows] @ u.T if every is None else every[rows]
        apart: npt.NDArray[np.float32] = np.maximum(np.float32(1.0) - cosine, np.float32(0.0))
        return apart

    first = int(draw.integers(len(u)))
    chosen, far = [first], distance(np.array([first]))[0]
    tries = 2 + int(np.log(m))
    for _ in range(m - 1):
        far[chosen] = 0.0
        total = far.cumsum(dtype=np.float64)
        if total[-1] > 0:
            drawn = np.searchsorted(total, draw.random(tries) * total[-1], side="right").clip(0, len(u) - 1)
        else:  # fewer different rows than centres
            drawn = draw.integers(len(u), size=1)
        left = np.minimum(far, distance(drawn))
        best = int(left.sum(1, dtype=np.float64).argmin())
        chosen.append(int(drawn[best]))
        far = left[best].copy()
    return u[chosen]
