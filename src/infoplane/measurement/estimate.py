"""One figure with all that must travel with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict


class Controls(TypedDict, total=False):
    """The controls of an estimate; see `Estimate`."""

    control_permuted: float | None
    control_permuted_error: float | None
    control_shifted: float | None
    control_shifted_error: float | None


class _Described(Controls, total=False):
    side: str | None
    weight: str | None
    n: int | None
    position_set: str | None
    repeated_mass: float | None
    warning: str | None
    reference_error: float | None


class Described(_Described, total=False):
    """What an estimate is of: its fields but what the estimator itself gives."""

    order: int | None


class OtherFields(_Described, total=False):
    """Fields of an estimate but its quantity, layer, order and value."""

    unit: str
    estimator: str | None
    standard_error: float | None
    interval: tuple[float, float] | None


class RowFields(OtherFields, total=False):
    """Fields of an estimate but its quantity, layer and value."""

    order: int | None


class EstimateFields(RowFields, total=False):
    """Fields of an estimate, to select rows by."""

    quantity: str
    layer: str
    value: float


@dataclass(frozen=True)
class Estimate:
    """One row. Fields that do not apply are None.

    Attributes:
        quantity: `entropy`, `ceiling`, `complexity`, `expressivity`, `optimality`, `share`,
            `information` (of a label column), `loss`, `bits_per_byte`, `mean_ratio_optimality`; of pairs
            `preference`, `preference_given_token`, `token_preference` and each of these with `_swapped`.
        layer: `embed`, `block.N`, `final_norm`, or `model`, the mean over blocks.
        side: `input`, `output`, `label:NAME`. A share of one without an order is the residual: what no order explains.
        order: width of the n-gram labels, 1 to 4.
        weight: `frequency` or `uniform`, how labels are weighted.
        estimator: resolved id, such as `plugin`; rows of different ids are not comparable.
        value: the estimate, in `unit`.
        standard_error, interval: infinitesimal jackknife over blocks of documents (see
            `infoplane.uncertainty.document_jackknife`); the interval is 95 %. None where there are too few documents.
        control_permuted, control_shifted: the same estimate with labels permuted over positions, and
            with another document's labels; 0 is expected. `*_error` are their standard errors.
        reference_error: standard deviation over independent sets of reference points; None: unknown.
        unit: `efficiency` (nats divided by log m), `bits`, `ratio`, `nats/token`, `bits/byte`.
        n: positions that the estimate stands on.
        position_set: `P_k`, positions whose input and output n-grams of order k both exist; of pairs `answers`
            and `matched` (see `infoplane.measurement.preference_information`).
        repeated_mass: share of those positions whose label occurs more than once.
        warning: why the value should not be trusted, where it should not.
        replicates: B values, each with the share of one block of documents withdrawn; empty where there are too few
            documents.
    """

    quantity: str
    layer: str
    value: float
    unit: str
    side: str | None = None
    order: int | None = None
    weight: str | None = None
    estimator: str | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    control_permuted: float | None = None
    control_permuted_error: float | None = None
    control_shifted: float | None = None
    control_shifted_error: float | None = None
    reference_error: float | None = None
    n: int | None = None
    position_set: str | None = None
    repeated_mass: float | None = None
    warning: str | None = None
    replicates: tuple[float, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What the row is about: two rows with one key measure the same thing."""
        return (
            self.quantity,
            self.layer,
            self.side,
            self.order,
            self.position_set,
            self.weight,
            self.estimator,
            self.unit,
        )
