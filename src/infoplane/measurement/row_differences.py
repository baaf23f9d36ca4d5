"""Differences of two rows on the same text, with paired errors, and what to know of them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.measurement.estimate import Estimate
from infoplane.uncertainty import combined, errors_of

if TYPE_CHECKING:
    from infoplane.measurement.results import Measurement


def difference_of(row: Estimate, other: Estimate, same_points: bool, same_documents: bool = True) -> Estimate:
    """row - other.

    Where documents are shared, and both have replicates of the same blocks, those are subtracted one by one; elsewhere
    the errors of the text add up. So it is with reference points, set by set. The errors of the correction are
    subtracted in either case where documents are shared: it was learned from the same text, and is wrong in the same
    way.

    Args:
        row, other: of two measurements.
        same_points: whether layers of one name have the same reference points in both.
        same_documents: whether the blocks are of the same documents.
    """
    value = row.value - other.value
    points = None if row.points is None or other.points is None else row.points.minus(other.points, same_points)
    paired = same_documents and len(row.replicates) == len(other.replicates) > 0
    replicates: npt.NDArray[np.float64] = np.subtract(row.replicates, other.replicates) if paired else np.empty(0)
    shifts = [r.correction_error or 0.0 for r in (row, other)]
    none = row.correction_error is None and other.correction_error is None
    shift = None if none else (shifts[0] - shifts[1] if same_documents else math.hypot(*shifts))
    if paired or row.standard_error is None or other.standard_error is None:
        errors = errors_of(replicates, points)
    else:
        blocks = min(len(row.replicates), len(other.replicates)) or 2
        errors = combined(math.hypot(row.standard_error, other.standard_error), blocks - 1, points)
    difference = dataclasses.replace(
        row,
        value=value,
        correction_error=shift,
        control_permuted=_minus(row.control_permuted, other.control_permuted),
        control_permuted_error=None,
        control_shifted=_minus(row.control_shifted, other.control_shifted),
        control_shifted_error=None,
        control_halved=_minus(row.control_halved, other.control_halved),
        control_halved_error=None,
        warning=row.warning or other.warning,
        replicates=tuple(replicates.tolist()),
        points=points,
    )
    return difference.with_errors(errors, shift or 0.0)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def difference_warnings(a: Measurement, b: Measurement) -> list[str]:
    """What a reader of a difference must know."""
    warnings = []
    if a.origin.dtype != b.origin.dtype:
        warnings.append(f"the models ran in different dtypes: {a.origin.dtype} and {b.origin.dtype}")
    if single := [1 for each in (a, b) if (each.origin.points.sets or 1) < 2]:
        warnings.append(
            f"{'both were' if len(single) > 1 else 'one was'} measured with a single set of reference points, whose "
            "error is not known and not in these intervals: no significance can be claimed; leave --reference-sets out"
        )
    return warnings
