"""One figure with all that must travel with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict

from infoplane.information import PLUGIN, Floats
from infoplane.uncertainty import Errors, PointsPart, borrowing, combined, errors_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Controls(TypedDict, total=False):
    """The controls of an estimate; see `Estimate`."""

    control_permuted: float | None
    control_permuted_error: float | None
    control_shifted: float | None
    control_shifted_error: float | None
    control_halved: float | None
    control_halved_error: float | None


class _Described(Controls, total=False):
    side: str | None
    weight: str | None
    n: int | None
    code: str | None
    position_set: str | None
    repeated_mass: float | None
    warning: str | None


class Described(_Described, total=False):
    """What an estimate is of: its fields but what the estimator itself gives."""

    order: int | None


class MadeFields(Described, total=False):
    """The same, and the estimator."""

    estimator: str | None


class OtherFields(_Described, total=False):
    """Fields of an estimate but its quantity, layer, order and value."""

    unit: str
    estimator: str | None
    standard_error: float | None
    points_error: float | None
    total_error: float | None
    degrees_of_freedom: float | None
    interval: tuple[float, float] | None
    correction_error: float | None


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
        quantity: `entropy`, `ceiling`, `complexity`, `expressivity`, `optimality`, `share`, `ceiling_part` and
            `expressivity_part` (see `side`), `information` (of a label column), `probe` (what states tell at least),
            `loss`, `bits_per_byte`, `mean_ratio_optimality`; of pairs `preference`, `preference_given_token`,
            `token_preference` and each of these with `_swapped`.
        layer: `embed`, `block.N`, `final_norm`, or `model`, the mean over blocks.
        side: `input`, `output`, `label:NAME`. A share of one without an order is the residual: what no order explains.
            Parts of the ceiling are `token`, `document` (what it adds to the token) and `rest`; that of expressivity is
            `document`: what documents tell of next tokens, whatever place these have in them.
        order: width of the n-gram labels, 1 to 4.
        weight: `frequency` or `uniform`, how labels are weighted.
        code: kind of the code that states were read with: `random`, `fitted` or `given`; in a trace also `refitted`,
            where the fitted one is of other states; None of what hangs on none.
        estimator: resolved id, such as `plugin`; rows of different ids are not comparable.
        value: the estimate, in `unit`: the mean over sets of reference points, and of ratios the ratio of the means.
        standard_error: of the text, from the replicates, by the jackknife over blocks of documents; None where there
            are too few of these.
        points_error: of the reference points: the standard deviation that other points would give the value, on this
            text; None where there is a single set, so that it is not known.
        total_error, degrees_of_freedom: of both together (`infoplane.uncertainty.drawn_points`), and from how many
            degrees of freedom it is known; of the text alone where `points_error` is None.
        correction_error: how far the value would move if labels that are rare were not quite like those that are
            frequent, which the correction takes for granted (docs/findings/estimator.md). The sign is kept, because
            that of a difference is the difference; None: the estimator takes nothing for granted.
        interval: 95 %, of `total_error`, `correction_error`, and of `control_halved` where a correction left more than
            twice its error; None where there is no standard error.
        control_permuted, control_shifted: the same estimate with labels permuted over positions, and
            with another document's labels; 0 is expected. `*_error` are their standard errors.
        control_halved: the mean of the estimates from two halves of the documents, less that from all; 0 is expected
            where no bias is left, and about the bias where some is: also where information is not 0. Its standard
            error counts that the halves are parts of the whole.
        unit: `efficiency` (nats divided by log m), `bits`, `ratio`, `nats/token`, `bits/byte`.
        n: positions that the estimate stands on.
        position_set: `P_k`, positions whose input and output n-grams of order k both exist; of pairs `answers`
            and `matched` (see `infoplane.measurement.preference_information`).
        repeated_mass: share of those positions whose label occurs more than once.
        warning: why the value should not be trusted, where it should not.
        replicates: B values, each with the share of one block of documents withdrawn; empty where there are too few
            documents.
        points: what each set of reference points contributes; None of what hangs on no points.
    """

    quantity: str
    layer: str
    value: float
    unit: str
    side: str | None = None
    order: int | None = None
    weight: str | None = None
    code: str | None = None
    estimator: str | None = None
    standard_error: float | None = None
    points_error: float | None = None
    total_error: float | None = None
    degrees_of_freedom: float | None = None
    interval: tuple[float, float] | None = None
    correction_error: float | None = None
    control_permuted: float | None = None
    control_permuted_error: float | None = None
    control_shifted: float | None = None
    control_shifted_error: float | None = None
    control_halved: float | None = None
    control_halved_error: float | None = None
    n: int | None = None
    position_set: str | None = None
    repeated_mass: float | None = None
    warning: str | None = None
    replicates: tuple[float, ...] = field(default=(), repr=False)
    points: PointsPart | None = field(default=None, repr=False, hash=False)

    @classmethod
    def made(
        cls,
        quantity: str,
        layer: str,
        columns: Floats,
        unit: str,
        points: PointsPart | None = None,
        **fields: Unpack[MadeFields],
    ) -> Estimate:
        """A row with its errors.

        Args:
            quantity, layer, unit: of it.
            columns: (1 + B,) value and replicates; (1,) without.
            points: what each set of reference points contributes.
            **fields: more of it.
        """
        value, replicates = float(columns[0]), columns[1:]
        return cls(
            quantity, layer, value, unit, replicates=tuple(replicates.tolist()), points=points, **fields
        ).with_errors(errors_of(replicates, points))

    def with_errors(self, errors: Errors, *more: float) -> Estimate:
        """The same with these errors, and further ones in its interval."""
        return replace(
            self,
            standard_error=errors.text,
            points_error=errors.points,
            total_error=errors.total,
            degrees_of_freedom=errors.degrees,
            interval=errors.interval(self.value, *more),
        )

    @property
    def left_by_halves(self) -> float:
        """What the halved control shows, where that is more than noise and the estimator is a correction."""
        halved, error = self.control_halved or 0.0, self.control_halved_error or 0.0
        return halved if abs(halved) > 2 * error and self.estimator != PLUGIN else 0.0

    @property
    def errors(self) -> Errors:
        """Those of text and points."""
        return Errors(self.standard_error, self.points_error, self.total_error, self.degrees_of_freedom)

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
            self.code,
            self.estimator,
            self.unit,
        )


def with_correction_error(rows: Sequence[Estimate], moved: Sequence[Estimate] | None = None) -> list[Estimate]:
    """The rows, with all that a correction may have left in their intervals.

    Args:
        rows: of one correction.
        moved: the same without what the correction takes for granted; None where it takes nothing.
    """
    others = {replace(row, estimator=None).key: row.value for row in moved or ()}
    told = []
    for row in rows:
        shift = None if moved is None else others.get(replace(row, estimator=None).key, row.value) - row.value
        interval = row.errors.interval(row.value, shift or 0.0, row.left_by_halves)
        told.append(replace(row, correction_error=shift, interval=interval))
    return told


def with_layers_borrowing(rows: Sequence[Estimate]) -> list[Estimate]:
    """The rows, those of single layers with an error of the points that borrows from the other layers.

    Rows of layers that share their points, or have no error, stay as they are; so do those of the mean.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for i, row in enumerate(rows):
        part = row.points
        if (
            row.layer != "model"
            and part is not None
            and part.known
            and [*part.by_draw] == [row.layer]
            and part.variance
        ):
            alike.setdefault(replace(row, layer="").key, []).append(i)
    told = list(rows)
    for places in alike.values():
        parts = [points for i in places if (points := rows[i].points) is not None]
        for i, borrowed in zip(places, borrowing(parts), strict=True):
            row = rows[i]
            errors = combined(row.standard_error, len(row.replicates) - 1, row.points, borrowed)
            told[i] = row.with_errors(errors, row.correction_error or 0.0, row.left_by_halves)
    return told
