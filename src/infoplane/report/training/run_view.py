"""What the report of a training run draws: series over its steps, and the phases found in them.

Pictures show the first estimator recorded and the lowest order; everything tolerates absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from infoplane.analysis.training import MIN_CHECKPOINTS, Phases, Series, Trajectory, find_phases
from infoplane.errors import ResultError, SettingError
from infoplane.measurement import Estimate

QUANTITIES = (
    "complexity",
    "expressivity",
    "optimality",
    "distance_to_ceiling",
    "distance_to_diagonal",
    "gap",
    "context_gain",
    "loss",
)
PHASED = ("complexity", "expressivity", "optimality", "distance_to_ceiling", "gap")
"""Quantities whose phases are looked for; those of the first are shaded."""


@dataclass(frozen=True)
class RunView:
    """A trajectory, looked at."""

    trajectory: Trajectory

    @cached_property
    def order(self) -> int:
        """The lowest order measured."""
        orders = self.trajectory.provenance.get("settings", {}).get("orders") or [1]
        return int(min(orders))

    @cached_property
    def series(self) -> Mapping[str, Series]:
        """Of the whole model, by quantity; what was not measured is left out."""
        by_quantity = {}
        for quantity in QUANTITIES:
            try:
                by_quantity[quantity] = self.trajectory.series(quantity, order=self.order)
            except ResultError:
                continue
        return by_quantity

    @cached_property
    def phases(self) -> Mapping[str, Phases]:
        """Of each quantity that has enough checkpoints."""
        loss = self.series.get("loss")
        by_quantity = {}
        for quantity in PHASED:
            series = self.series.get(quantity)
            if series is None or len(series) < MIN_CHECKPOINTS:
                continue
            same = loss is not None and loss.steps.tolist() == series.steps.tolist()
            try:
                by_quantity[quantity] = find_phases(
                    series.steps,
                    series.values,
                    series.replicates if series.replicates.shape[1] else None,
                    points=series.of_points,
                    loss=loss.values if same and loss is not None else None,
                )
            except SettingError:
                continue
        return by_quantity

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the model."""
        measured = self.trajectory.measured
        return measured[0].measurement.layers if measured and measured[0].measurement else ()

    @property
    def unit(self) -> str:
        """Unit of the informations."""
        first = self.series.get("complexity")
        return first.unit if first is not None else "efficiency"

    def row(self, index: int, quantity: str, layer: str) -> Estimate | None:
        """A row of one measured checkpoint, on the order's own positions."""
        measurement = self.trajectory.measured[index].measurement
        if measurement is None:
            return None
        rows = [
            r
            for r in measurement.select(quantity=quantity, layer=layer, order=self.order)
            if r.position_set == f"P_{self.order}" and r.weight in (None, "frequency")
        ]
        return rows[0] if rows else None
