"""Differences of two rows on the same text, with paired errors, and what to know of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from infoplane.measurement.estimate import Estimate
from infoplane.storage import Json
from infoplane.uncertainty import error_and_interval


def difference_of(row: Estimate, other: Estimate) -> Estimate:
    """row - other; where both have replicates of the same blocks, those are subtracted one by one.

    So are the errors of the correction: it was learned from the same text, and is wrong in the same way.
    """
    value = row.value - other.value
    paired = len(row.replicates) == len(other.replicates)
    replicates: npt.NDArray[np.float64] = np.subtract(row.replicates, other.replicates) if paired else np.empty(0)
    shifts = [r.correction_error for r in (row, other)]
    shift = None if shifts == [None, None] else (shifts[0] or 0.0) - (shifts[1] or 0.0)
    error, interval = error_and_interval(value, replicates, shift or 0.0)
    return dataclasses.replace(
        row,
        value=value,
        standard_error=error,
        interval=interval,
        correction_error=shift,
        control_permuted=_minus(row.control_permuted, other.control_permuted),
        control_permuted_error=None,
        control_shifted=_minus(row.control_shifted, other.control_shifted),
        control_shifted_error=None,
        control_halved=_minus(row.control_halved, other.control_halved),
        control_halved_error=None,
        reference_error=None,
        n=row.n,
        warning=row.warning or other.warning,
        replicates=tuple(replicates.tolist()),
    )


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def difference_warnings(a: Mapping[str, Json], b: Mapping[str, Json], same_points: bool) -> list[str]:
    """What a reader of a difference must know, from the provenance of both."""
    warnings = []
    if a.get("dtype") != b.get("dtype"):
        warnings.append(f"the models ran in different dtypes: {a.get('dtype')} and {b.get('dtype')}")
    if not same_points:
        warnings.append(
            "the reference points differ (other width, seed or number), and their error is not in these "
            "intervals: no significance can be claimed; measure with --reference-sets 5 or more"
        )
    return warnings
