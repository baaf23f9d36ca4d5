"""Is a variant of a model different from it, how sure is that, and where in depth?

Of two models with the same layers, measured on the same windows with the same reference points, each layer has a paired
difference of each quantity of `ASKED`. One that is an estimate d with half a 95 % interval h has, under no difference,

    p = P(|t_v| > |d| t_v(0.975) / h),

t_v with the degrees of freedom of its error; h counts text, reference points and what a correction takes for granted.
Of the many tests, Holm's procedure (Scandinavian Journal of Statistics 6, 1979) keeps those that differ, so that the
chance of one false claim among all of them is at most 5 %, however they hang together. The next-token loss is a test by
itself, beside them and not among them: it asks whether the output is worse, the layers whether anything changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from infoplane.errors import ResultError
from infoplane.measurement import Estimate, Measurement, Member
from infoplane.storage import Json

ASKED = ("ceiling", "complexity", "expressivity")
LEVEL = 0.05
DIFFERENT, ALIKE, UNKNOWN = "different", "no difference seen", "not compared"


@dataclass(frozen=True)
class Change:
    """The paired difference of one figure.

    Attributes:
        layer, quantity, code, order: of the figure.
        before: its value in the base.
        difference, low, high: variant less base, with the 95 % interval, of this figure by itself.
        p: adjusted for the number of tests; of the loss its own.
        unit: of all of these but `p`.
    """

    layer: str
    quantity: str
    code: str | None
    order: int | None
    before: float
    difference: float
    low: float
    high: float
    p: float
    unit: str

    @property
    def claimed(self) -> bool:
        """Whether it differs from 0."""
        return self.p < LEVEL


@dataclass(frozen=True)
class Verdict:
    """What is known of a variant against its base.

    Attributes:
        base, variant: names of the models.
        verdict: `different`, `no difference seen` or `not compared`.
        why: that it is not compared.
        loss: the change of the next-token loss; None where it was not measured.
        layers: how many layers were asked about.
        tests: how many figures of these.
        changed: the layers that differ, in the order of the model.
        strongest: the change with the least chance of being an accident.
        detectable: for each quantity the smallest change of a layer that would have been claimed, the median over
            layers, as a part of the base's value; None where layers differ, or where all figures are the same.
    """

    base: str
    variant: str
    verdict: str
    why: str | None = None
    loss: Change | None = None
    layers: int = 0
    tests: int = 0
    changed: tuple[str, ...] = ()
    strongest: Change | None = None
    detectable: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Json]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Verdict:
        """Read back."""
        changes = {name: None if record[name] is None else Change(**record[name]) for name in ("loss", "strongest")}
        return cls(**{**record, **changes, "changed": tuple(record["changed"])})


def verdict_of(base: Member, variant: Member) -> Verdict:
    """The verdict on a variant."""
    try:
        difference = variant.measurement.minus(base.measurement)
    except ResultError as error:
        return Verdict(base.name, variant.name, UNKNOWN, str(error))
    if base.measurement.origin.model.width != variant.measurement.origin.model.width:
        return Verdict(base.name, variant.name, UNKNOWN, "layers of other width have other reference points")
    return _judged(base, variant, difference)


def _judged(base: Member, variant: Member, difference: Measurement) -> Verdict:
    before = {row.key: row.value for row in base.measurement}
    loss = next((row for row in difference.select(quantity="loss", layer="model")), None)
    changed_loss = None if loss is None or loss.interval is None else _change(loss, before[loss.key], _p(loss))
    lowest = min((row.order for row in difference if row.order is not None), default=1)
    rows = [row for row in difference if _is_asked(row, lowest) and row.interval is not None]
    layers = list(dict.fromkeys(row.layer for row in difference if row.layer != "model" and row.quantity in ASKED))
    if layers and all(row.value == 0 for row in difference if row.quantity in ASKED):
        return Verdict(base.name, variant.name, ALIKE, None, changed_loss, len(layers))  # the same figures
    if not rows:
        why = "no difference of a layer has an error: that takes 40 documents and two sets of reference points"
        return Verdict(base.name, variant.name, UNKNOWN, why, changed_loss)
    adjusted = holm([_p(row) for row in rows])
    changes = [_change(row, before[row.key], p) for row, p in zip(rows, adjusted, strict=True)]
    there = {change.layer for change in changes if change.claimed}
    strongest = min(
        changes, key=lambda change: (change.p, -abs(change.difference) / (change.high - change.low or 1e-300))
    )
    return Verdict(
        base.name,
        variant.name,
        DIFFERENT if there else ALIKE,
        None,
        changed_loss,
        len(layers),
        len(rows),
        tuple(layer for layer in layers if layer in there),
        strongest if there else None,
        None if there or not any(change.difference for change in changes) else _detectable(changes),
    )


def _is_asked(row: Estimate, order: int) -> bool:
    """Whether it is a figure of a layer on the positions of an order, whose error is known."""
    return (
        row.layer != "model"
        and row.quantity in ASKED
        and row.weight in (None, "frequency")
        and row.order in (None, order)
        and row.position_set in (None, f"P_{order}")
        and row.points_error is not None
    )


def _p(row: Estimate) -> float:
    """The probability of so large a difference where there is none."""
    assert row.interval is not None
    half = (row.interval[1] - row.interval[0]) / 2
    if half == 0:
        return 1.0 if row.value == 0 else 0.0
    freedom = row.degrees_of_freedom or np.inf
    return float(2 * student.sf(abs(row.value) / half * student.ppf(0.975, freedom), freedom))


def _change(row: Estimate, before: float, p: float) -> Change:
    assert row.interval is not None
    return Change(
        row.layer, row.quantity, row.code, row.order, before, row.value, row.interval[0], row.interval[1], p, row.unit
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p: the k-th smallest of n times n - k + 1, made ascending.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)), 1.0)
    found = np.empty(len(p))
    found[order] = adjusted
    return [float(x) for x in found]


def _detectable(changes: Sequence[Change]) -> dict[str, float]:
    """By quantity the part of the base's value that a change of a layer needs to be claimed, the median over layers."""
    need = float(student.isf(LEVEL / len(changes) / 2, 31) / student.ppf(0.975, 31))
    found = {}
    for quantity in ASKED:
        parts = [need * (c.high - c.low) / 2 / c.before for c in changes if c.quantity == quantity and c.before > 0]
        if parts:
            found[quantity] = float(np.median(parts))
    return found
