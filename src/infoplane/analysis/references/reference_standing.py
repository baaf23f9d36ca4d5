"""Which reference models stand beside a measurement, and, where they are many, how many have more and fewer.

Fewer than ten models say nothing of what is high or low: they are marks on the plane, with names. The untrained are
never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infoplane.analysis.references.reference import Reference
from infoplane.measurement import Estimate, Measurement

MANY = 10
"""Trained models from which on a figure is placed among them."""


@dataclass(frozen=True)
class Standing:
    """A figure among those of the trained reference models.

    Attributes:
        quantity: which.
        models: that have the figure, this one not counted.
        below, above: how many of them are lower, or higher, with intervals that do not overlap.
    """

    quantity: str
    models: int
    below: int
    above: int

    @property
    def like(self) -> int:
        """How many cannot be told from it."""
        return self.models - self.below - self.above


def comparable(
    measurement: Measurement, references: Sequence[Reference]
) -> tuple[list[Reference], list[tuple[Reference, str]]]:
    """Those that stand beside a measurement, and the others, each with why not; the model itself is in neither."""
    beside, apart = list[Reference](), list[tuple[Reference, str]]()
    for reference in references:
        if reference.is_of(measurement):
            continue
        why = reference.why_apart(measurement)
        if why is None:
            beside.append(reference)
        else:
            apart.append((reference, why))
    return beside, apart


def standing(measurement: Measurement, row: Estimate, references: Sequence[Reference]) -> Standing | None:
    """How a figure of a measurement stands among trained reference models; None where these are fewer than `MANY`.

    Args:
        measurement: of one model.
        row: one of its figures, of the whole model.
        references: that stand beside it (`comparable`).
    """
    found = [other.row(row, measurement.origin) for other in references if not other.untrained]
    others = [other for other in found if other is not None]
    if len(others) < MANY:
        return None
    low, high = row.interval or (row.value, row.value)
    ends = [other.interval or (other.value, other.value) for other in others]
    return Standing(
        row.quantity, len(others), sum(top < low for _, top in ends), sum(bottom > high for bottom, _ in ends)
    )
