"""A made-up training run."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoplane.analysis.training.trajectory import Point, Trajectory
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.uncertainty.document_jackknife import error_and_interval


def made_run(
    checkpoints: int = 16, name: str = "a-made_run", replicates: int = 32, seed: int = 0, **provenance: Any
) -> Trajectory:
    """A rise and a plateau, with documents that all checkpoints share."""
    draw = np.random.default_rng(seed)
    steps = np.unique(np.geomspace(1, 5_000, checkpoints).astype(int))
    shared = 0.002 * draw.standard_normal(replicates)
    points = []
    for step in steps:
        rise = 0.3 / (1 + np.exp(4 - np.log(step)))
        rows = []
        for layer in ("embed", "block.0", "block.1", "model"):
            for quantity, part in (("complexity", 1.0), ("expressivity", 0.4), ("ceiling", 1.5), ("optimality", 0.0)):
                value = 0.4 if quantity == "optimality" else part * rise + 0.001 * draw.standard_normal()
                values = value + part * shared + 1e-4 * draw.standard_normal(replicates)
                error, interval = error_and_interval(value, values)
                own: dict[str, Any] = {} if quantity == "ceiling" else {"order": 1, "weight": "frequency"}
                unit = "ratio" if quantity == "optimality" else "efficiency"
                rows.append(
                    Estimate(quantity, layer, value, unit, estimator="null-curve", position_set="P_1",
                             interval=interval, standard_error=error, replicates=tuple(values), **own)
                )  # fmt: skip
        rows.append(Estimate("loss", "model", 8 - np.log(step) / 3, "nats/token"))
        points.append(Point(f"{name}-{step}", int(step), int(step) * 1000, Measurement(tuple(rows), {})))
    shared_provenance = {"model": name, "settings": {"orders": [1]}, "gaps": [], **provenance}
    return Trajectory(tuple(points), shared_provenance)
