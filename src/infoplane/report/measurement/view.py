"""View: the rows of a measurement that a report draws, found by what they are about.

A record may hold several estimators, weights and units. Pictures and sentences show one of each, the
first recorded; the tables show all. Everything here tolerates absence: a row that was not measured is
None, and the page leaves out what it would have said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infoplane.analysis.references import Reference, comparable
from infoplane.measurement import Estimate, Measurement

MODEL = "model"
EMBED = "embed"
FINAL_NORM = "final_norm"

INFORMATIONS = ("entropy", "ceiling", "complexity", "expressivity")
SIDES: Mapping[str, str | None] = {"complexity": "input", "expressivity": "output"}
ANY_SIDE = "any"


@dataclass(frozen=True)
class Layer:
    """A layer and where it is drawn: blocks at their number, the others just outside the blocks."""

    name: str
    depth: int
    kind: str
    """`block`, `embedding` or `final norm`."""


@dataclass(frozen=True)
class View:
    """One code, estimator, weight and unit of a measurement.

    Attributes:
        measurement: of the primary code.
        others: of the other codes.
        beside: the reference models that stand beside it.
        apart: those that do not, each with why.
        unreadable: why other reference models cannot be read.
        twin: the measurement of the untrained twin on the same windows, where it was asked for.
    """

    measurement: Measurement
    others: tuple[Measurement, ...] = ()
    beside: tuple[Reference, ...] = ()
    apart: tuple[tuple[Reference, str], ...] = ()
    unreadable: tuple[str, ...] = ()
    twin: Measurement | None = None

    @classmethod
    def of(
        cls,
        measurement: Measurement,
        references: Sequence[Reference] = (),
        twin: Measurement | None = None,
        unreadable: Sequence[str] = (),
    ) -> View:
        """That of all that was measured, beside its twin and those of the reference models that compare."""
        primary, *others = measurement.by_code()
        beside, apart = comparable(measurement, references)
        if twin is not None:
            own = Reference.of(twin, "untrained twin")
            beside = [own, *(other for other in beside if not other.is_of(twin))]
        return cls(primary, tuple(others), tuple(beside), tuple(apart), tuple(unreadable), twin)

    # ------------------------------------------------------------------ what the record holds

    @cached_property
    def estimators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.estimator for row in self.measurement if row.estimator))

    @cached_property
    def weights(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.weight for row in self.measurement if row.weight))

    @cached_property
    def estimator(self) -> str | None:
        return self.estimators[0] if self.estimators else None

    def spoken(self, estimator: str | None) -> str | None:
        """How an estimator is called."""
        return self.measurement.origin.settings.spoken(estimator)

    @cached_property
    def weight(self) -> str | None:
        """`frequency`, the primary one, where it was measured; else the first recorded."""
        return "frequency" if "frequency" in self.weights else next(iter(self.weights), None)

    @cached_property
    def unit(self) -> str:
        """Unit of the informations: `efficiency` or `bits`."""
        units = (row.unit for row in self.measurement if row.quantity in INFORMATIONS)
        return next(units, "efficiency")

    @cached_property
    def orders(self) -> tuple[int, ...]:
        """Orders measured on their own positions; next-token expressivity on wider sets does not count."""
        orders = {
            row.order
            for row in self.measurement
            if row.quantity in SIDES and row.order and row.position_set in (None, f"P_{row.order}")
        }
        return tuple(sorted(orders))

    @cached_property
    def first_order(self) -> int:
        return self.orders[0] if self.orders else 1

    @cached_property
    def widest(self) -> int:
        """The widest order that shares were computed for, which names their common position set."""
        shares = [r.order for r in self.measurement if r.quantity == "share" and r.order is not None]
        return max(shares, default=max(self.orders, default=1))

    @cached_property
    def share_parts(self) -> tuple[int | None, ...]:
        """Orders that shares were computed for, then None for the residual."""
        found = {row.order for row in self.measurement if row.quantity == "share"}
        orders = sorted(order for order in found if order is not None)
        return (*orders, *([None] if None in found else []))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Sides of the form `label:NAME`."""
        rows = (row.side for row in self.measurement if row.quantity == "information" and row.side)
        return tuple(dict.fromkeys(rows))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        names = self.measurement.layers
        numbers = [n for n in map(_block_number, names) if n is not None]
        first, last = min(numbers, default=0), max(numbers, default=len(names) - 1)
        layers = []
        for place, name in enumerate(names):
            number = _block_number(name)
            if name == EMBED:
                layers.append(Layer(name, first - 1, "embedding"))
            elif name == FINAL_NORM:
                layers.append(Layer(name, last + 1, "final norm"))
            else:
                layers.append(Layer(name, place if number is None else number, "block"))
        return tuple(sorted(layers, key=lambda layer: layer.depth))

    @cached_property
    def blocks(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind == "block")

    @cached_property
    def frontiers(self) -> Sequence[Mapping[str, Any]]:
        """Summaries of the text's frontiers, where they were fitted."""
        summaries: Sequence[Mapping[str, Any]] = self.measurement.provenance.get("bound") or ()
        return summaries

    def _of_first_order(self) -> Mapping[str, Any]:
        """That of the first order and all positions; nothing where it was not fitted."""
        wanted = (self.first_order, 1, "all")
        return next((f for f in self.frontiers if (f["order"], f["target"], f["positions"]) == wanted), {})

    @cached_property
    def frontier(self) -> list[dict[str, float]]:
        """Corners of the text's frontier of the first order, where it was fitted, in the unit of the view."""
        return [{"x": x, "y": y} for x, y in self._of_first_order().get("hull", ())]

    @cached_property
    def saturation(self) -> tuple[float, float] | None:
        """Lower and upper estimate of what the first order's tokens tell of the next one, in the unit of the view."""
        if ends := self._of_first_order().get("saturation"):
            low, high = ends
            return low, high
        return None

    @property
    def is_difference(self) -> bool:
        """Whether the values are one model minus another, so that no bound applies to them."""
        return bool(self.measurement.provenance.get("difference"))

    # ------------------------------------------------------------------ rows

    @cached_property
    def _index(self) -> dict[tuple[str | int | None, ...], list[Estimate]]:
        index: dict[tuple[str | int | None, ...], list[Estimate]] = {}
        for row in self.measurement:
            index.setdefault((row.quantity, row.layer, row.order), []).append(row)
        return index

    def row(
        self,
        quantity: str,
        layer: str = MODEL,
        order: int | None = None,
        side: str | None = ANY_SIDE,
        position_set: str | None = None,
        estimator: str | None = None,
        weight: str | None = None,
    ) -> Estimate | None:
        """The row of this view that fits, or None.

        Entropy, ceiling and residual have no order. The position set that is not named is the label's
        own, `P_<order>`, and for entropy and ceiling that of the first order measured; the positions of a
        label column are whatever they were.
        """
        wanted = position_set or f"P_{order or self.first_order}"
        estimator, weight = estimator or self.estimator, weight or self.weight
        side = SIDES.get(quantity, side) if side == ANY_SIDE else side
        fits = [
            row
            for row in self._index.get((quantity, layer, order), ())
            if row.estimator in (estimator, None)
            and row.weight in (weight, None)
            and side in (ANY_SIDE, row.side)
            and (row.position_set in (wanted, None) or quantity == "information")
        ]
        return next((row for row in fits if row.unit == self.unit), fits[0] if fits else None)

    def share(self, layer: str, side: str, order: int | None, estimator: str | None = None) -> Estimate | None:
        """Part of the ceiling that order `order` adds on one side; the residual where order is None."""
        return self.row("share", layer, order, side=side, position_set=f"P_{self.widest}", estimator=estimator)

    def has(self, quantity: str) -> bool:
        return any(row.quantity == quantity for row in self.measurement)

    @cached_property
    def differences_from_twin(self) -> Measurement | None:
        """Paired, of the primary code; None where there is no twin."""
        return None if self.twin is None else self.measurement.minus(self.twin)

    def from_twin(self, quantity: str) -> Estimate | None:
        """The difference of the whole model from its untrained twin, of the first order; None where it is not there."""
        if self.differences_from_twin is None:
            return None
        row = self.row(quantity, order=None if quantity in ("ceiling", "loss") else self.first_order)
        return None if row is None else next((d for d in self.differences_from_twin if d.key == row.key), None)

    # ------------------------------------------------------------------ what it is about

    @cached_property
    def model_name(self) -> str:
        return model_name(self.measurement.provenance)

    @cached_property
    def m(self) -> int | None:
        """Number of reference points, where the provenance says it."""
        points = self.measurement.provenance.get("points")
        m = points.get("m") if isinstance(points, Mapping) else None
        return m if isinstance(m, int) else None


def model_name(provenance: Mapping[str, Any]) -> str:
    """A name for titles: a hub id as it is, the last part of a path, `A minus B` for a difference."""
    if provenance.get("difference"):
        ends = (provenance.get("minuend"), provenance.get("subtrahend"))
        a, b = (model_name(end) if isinstance(end, Mapping) else "a model" for end in ends)
        return f"{a} minus {b}"
    model = provenance.get("model")
    if isinstance(model, Mapping):
        model = next((model[key] for key in ("name", "source", "id", "architecture") if model.get(key)), None)
    if not model:
        return "a model"
    name = str(model).rstrip("/")
    parts = name.replace("\\", "/").split("/")
    is_path = len(parts) > 2 or name.startswith((".", "~", "/")) or name.lower().endswith(".gguf")
    return parts[-1] if is_path else name


def _block_number(name: str) -> int | None:
    stem, _, number = name.partition(".")
    return int(number) if stem == "block" and number.isdecimal() else None
