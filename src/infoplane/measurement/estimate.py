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
    """One figure with its errors and controls: a row of a measurement. Fields that do not apply are None.

    The words are explained in docs/reference/glossary.md.

    Attributes:
        quantity: `entropy`, `ceiling`, `complexity`, `expressivity`, `optimality`, `mean_ratio_optimality`, `share`,
            `ceiling_part` and `expressivity_part` (see `side`), `information` (about a label column), `probe` (a lower
            bound of what the states tell), `loss`, `bits_per_byte`; with a bound `projection_complexity`, `projection`,
            `frontier`, `gap`, `context_gain`, `placebo_gain`, `noise_gain`, `frontier_moved`, `frontier_upper` and
            `gap_at_most`; for preference pairs `preference`, `preference_given_token`, `token_preference`, and each of
            these with `_swapped`.
        layer: `embed`, `block.N`, `final_norm` or `model`, the mean over blocks; for the loss, the model itself.
        side: `input`, `output` or `label:NAME`. A `share` without an order is the residual, which no order explains.
            The parts of the ceiling are `token`, `document` (what the document adds to the token) and `rest`; the part
            of expressivity is `document`, what documents tell about next tokens wherever these occur in them.
        order: number of tokens in the n-gram labels, 1 to 4; for labels of the text, their number of words, characters
            or bytes.
        weight: how labels are weighted, `frequency` or `uniform`.
        code: kind of code that the states were read with: `random`, `fitted` or `given`; in a trace also `refitted`,
            where the fitted code no longer suits a checkpoint. None if the figure does not depend on a code.
        estimator: id of the estimator, such as `plugin`; rows with different ids are not comparable.
        value: the estimate, in `unit`: the mean over sets of reference points, or for ratios the ratio of the means.
        standard_error: the error of the text, by the jackknife over blocks of documents; None with too few documents.
            For `_swapped` rows it is the standard deviation over swaps.
        points_error: the error of the reference points: the standard deviation of the value over draws of points, on
            this text; None with a single set, where it is unknown.
        total_error, degrees_of_freedom: the error of text and reference points together, and its degrees of freedom
            (`infoplane.uncertainty.drawn_points`); that of the text alone if `points_error` is None.
        correction_error: how far the value would move if rare labels were not quite like frequent ones, which the
            correction assumes (docs/findings/estimator.md). It has a sign, so that those of two figures can be
            subtracted; None if the estimator does not assume this.
        interval: 95 % interval, from `total_error`, `correction_error` and, if it is more than twice its error and the
            estimator is not `plugin`, `control_halved`; None if `total_error` is None.
        control_permuted, control_shifted: the same estimate with labels permuted over positions, and with labels from
            another document; 0 is expected. `*_error` are their standard errors.
        control_halved: the mean of the estimates from two halves of the documents, minus that from all of them. At any
            level of information, 0 is expected if no bias is left, and otherwise about the bias. Its standard error
            takes into account that the halves are parts of the whole.
        unit: `efficiency` (nats divided by log m), `bits`, `nats`, `ratio`, `nats/token` or `bits/byte`.
        n: number of positions that the estimate is made from.
        position_set: these positions: `P_k`, where the input and the output n-gram of order k both exist; `P_k seen`
            for the bound; `word:K`, `char:K`, `byte:K` and `label:NAME`; for preference pairs `answers` and `matched`
            (see `infoplane.measurement.preference_information`).
        repeated_mass: share of these positions whose label occurs more than once; for `P_k seen`, their share of P_k.
        warning: why the value should not be trusted, where it should not.
        replicates: (B,) values, each with the share of one block of documents withdrawn; empty with too few documents.
        points: what each set of reference points contributes; None if the figure uses none.
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
        """Make a row and compute its errors.

        Args:
            quantity, layer, unit: fields of the row.
            columns: (1 + B,) the value and its replicates; (1,) without replicates.
            points: what each set of reference points contributes.
            **fields: further fields of the row.
        """
        value, replicates = float(columns[0]), columns[1:]
        return cls(
            quantity, layer, value, unit, replicates=tuple(replicates.tolist()), points=points, **fields
        ).with_errors(errors_of(replicates, points))

    def with_errors(self, errors: Errors, *more: float) -> Estimate:
        """The same row with these errors; `more` are further errors that its interval includes."""
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
        """`control_halved` where it exceeds twice its error and the estimator is not `plugin`; otherwise 0."""
        halved, error = self.control_halved or 0.0, self.control_halved_error or 0.0
        return halved if abs(halved) > 2 * error and self.estimator != PLUGIN else 0.0

    @property
    def errors(self) -> Errors:
        """The errors of text and reference points."""
        return Errors(self.standard_error, self.points_error, self.total_error, self.degrees_of_freedom)

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What the row is about: two rows with the same key measure the same thing."""
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
