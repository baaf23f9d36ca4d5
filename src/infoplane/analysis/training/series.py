r"""A quantity over training, with the errors of its values and of their differences.

With `r_tb` the value of checkpoint t with the share of block b withdrawn (see
`infoplane.uncertainty.document_jackknife`),

    SE(v_s - v_t)^2 = (B - 1) / B * sum_b (r_sb - r_tb - mean)^2,

in which what the text does to all checkpoints alike cancels. What sets of reference points contribute is subtracted set
by set (`infoplane.uncertainty.drawn_points`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from infoplane.measurement import RowFields
from infoplane.uncertainty import PointsPart, errors_of

Floats = npt.NDArray[np.float64]


class SeriesFields(RowFields, total=False):
    """Fields of the rows of a series, and their layer."""

    layer: str


@dataclass(frozen=True, eq=False)
class Series:
    """One quantity over training, at the T checkpoints that have it.

    Attributes:
        name: name of the quantity.
        unit: unit of the values.
        steps: (T,) training steps.
        values: (T,) estimates.
        replicates: (T, B) their replicates over B blocks of documents; (T, 0) without replicates.
        corrections: (T,) `Estimate.correction_error`, which intervals include; 0 where there is none.
        points: for each value what each set of reference points contributes; None if it uses none.
    """

    name: str
    unit: str
    steps: npt.NDArray[np.int64]
    values: Floats
    replicates: Floats
    corrections: Floats
    points: tuple[PointsPart | None, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, steps: Sequence[int]) -> Series:
        """The same series at some of its steps."""
        index = np.searchsorted(self.steps, steps)
        return replace(
            self, steps=self.steps[index], values=self.values[index], replicates=self.replicates[index],
            corrections=self.corrections[index], points=tuple(self.points[i] for i in index),
        )  # fmt: skip

    @property
    def standard_errors(self) -> Floats | None:
        """(T,) the total error of each value; None without replicates."""
        if not self.replicates.shape[1]:
            return None
        return np.array([errors_of(*each).total for each in zip(self.replicates, self.points, strict=True)])

    @property
    def intervals(self) -> Floats | None:
        """(T, 2) 95 % intervals of the values; None without replicates."""
        if not self.replicates.shape[1]:
            return None
        every = zip(self.values, self.replicates, self.corrections, self.points, strict=True)
        return np.array([errors_of(rows, points).interval(v, shift) for v, rows, shift, points in every])

    def difference(self, first: int, last: int) -> tuple[float, float | None, tuple[float, float] | None]:
        """The value at index `last` minus that at index `first`, with its paired total error and 95 % interval."""
        value = float(self.values[last] - self.values[first])
        correction = float(self.corrections[last] - self.corrections[first])
        ours, theirs = self.points[last], self.points[first]
        points = None if ours is None or theirs is None else ours.minus(theirs, same_points=True)
        errors = errors_of(self.replicates[last] - self.replicates[first], points)
        return value, errors.total, errors.interval(value, correction)

    @property
    def of_points(self) -> Floats:
        """(T, K) columns whose outer product is the covariance of the values due to the reference points.

        With u_tr what set r of a draw contributes to value t, they are `(u_tr - mean over r) / sqrt((R - 1) R)`. K is 0
        if the covariance is not known.
        """
        known = [p.by_draw for p in self.points if p is not None and p.known]
        if len(known) < len(self.points):
            return np.empty((len(self), 0))
        columns = []
        for draw in known[0]:
            u = np.array([by_draw[draw] for by_draw in known])
            sets = u.shape[1]
            columns.append((u - u.mean(1, keepdims=True)) / math.sqrt((sets - 1) * sets))
        return np.hstack(columns)
