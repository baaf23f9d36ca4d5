"""Trajectories: the measurements of one training run, checkpoint by checkpoint.

All checkpoints are measured on the same windows with the same reference points, so their differences are paired
(`infoplane.analysis.training.series`). Lines of the plane to which a distance is taken are named: `diagonal` is
complexity - expressivity, `ceiling` is ceiling - expressivity.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from infoplane.analysis.training.series import Series
from infoplane.errors import ResultError, SettingError
from infoplane.measurement import Estimate, Measurement, OtherFields, RowFields
from infoplane.showing import Shown
from infoplane.storage import OBJECT, OBJECTS, Hint, ResultFiles, check_schema, path_inside

if TYPE_CHECKING:
    from typing_extensions import Unpack


SCHEMA = "infoplane/trajectory/2"
JSON_NAME, TABLE_NAME = "trajectory.json", "trajectory.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "trajectory", "trace", sealed=False)
DISTANCES = {"distance_to_diagonal": "complexity", "distance_to_ceiling": "ceiling"}
"""Distances to lines of the plane, and what expressivity is subtracted from."""
_POINT = {"name": str, "step": int, "tokens": int, "measurement": str, "problem": str}
_RECORD: Mapping[str, Hint] = {
    "points": OBJECTS,
    "provenance": {
        "model": str,
        "settings": {"orders": list[int], "unit": str},
        "gaps": list[tuple[int, int]],
        "like": OBJECT,
        "text": OBJECT,
        "windows_hash": str,
        "checkpoints": int,
    },
}


@dataclass(frozen=True)
class Point:
    """One checkpoint of a training run.

    Attributes:
        name: name of its revision or folder.
        step: training steps done.
        tokens: training tokens seen; None if unknown.
        measurement: its measurement; None if it could not be measured.
        problem: why it could not be measured, or why its measurement should not be trusted.
    """

    name: str
    step: int
    tokens: int | None
    measurement: Measurement | None
    problem: str | None = None


@dataclass(frozen=True)
class Trajectory(Shown):
    """The measured checkpoints of a training run.

    Attributes:
        points: the checkpoints, in the order of training.
        provenance: text, reference points, settings and versions that all of them share.

    Raises:
        SettingError: the steps of the checkpoints do not increase.
    """

    points: tuple[Point, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        steps = f", steps {self.points[0].step:,} to {self.points[-1].step:,}" if self.points else ""
        return (
            f"<Trajectory of {self.provenance.get('model', '?')}: {len(self.measured)} of {len(self.points)} "
            f"checkpoints measured{steps}>"
        )

    def __post_init__(self) -> None:
        steps = [p.step for p in self.points]
        if any(b <= a for a, b in itertools.pairwise(steps)):
            raise SettingError(f"steps {steps}: expected them to grow, each once")

    @property
    def measured(self) -> tuple[Point, ...]:
        """The checkpoints that were measured."""
        return tuple(p for p in self.points if p.measurement is not None)

    def series(
        self, quantity: str, layer: str = "model", order: int | None = 1, **fields: Unpack[OtherFields]
    ) -> Series:
        """Get a quantity over training.

        Args:
            quantity: any quantity of a measurement, such as `complexity`, or `distance_to_diagonal` (complexity minus
                expressivity) or `distance_to_ceiling` (ceiling minus expressivity).
            layer: `model` or the name of a layer.
            order: order of the n-gram labels; for entropy and ceiling that of the position set, `P_<order>`. It is
                ignored for the loss and bits per byte.
            **fields: further fields of the rows, such as `estimator`.

        Raises:
            ResultError: no checkpoint has the quantity; one has more than one row that fits; or the two parts of a
                distance were measured at different checkpoints.
        """
        if quantity in DISTANCES:
            a, b = (self.series(q, layer, order, **fields) for q in (DISTANCES[quantity], "expressivity"))
            if not np.array_equal(a.steps, b.steps):
                raise ResultError(f"{quantity}: its two parts were measured at different checkpoints")
            return Series(
                quantity, a.unit, a.steps, a.values - b.values, a.replicates - b.replicates,
                a.corrections - b.corrections,
                tuple(
                    None if x is None or y is None else x.minus(y, same_points=True)
                    for x, y in zip(a.points, b.points, strict=True)
                ),
            )  # fmt: skip
        steps, values, replicates, corrections, points, unit = [], [], [], [], [], ""
        for point in self.measured:
            assert point.measurement is not None
            row = _row(point.measurement, quantity, layer, order, fields)
            if row is not None:
                steps.append(point.step)
                values.append(row.value)
                replicates.append(row.replicates)
                corrections.append(row.correction_error or 0.0)
                points.append(row.points)
                unit = row.unit
        if not steps:
            raise ResultError(f"no checkpoint has {quantity} of {layer}, order {order}")
        blocks = len(replicates[0]) if len({len(r) for r in replicates}) == 1 else 0
        held = np.array(replicates, dtype=np.float64) if blocks else np.empty((len(steps), 0))
        return Series(quantity, unit, np.array(steps), np.array(values), held, np.array(corrections), tuple(points))

    # ------------------------------------------------------------------ tables and files

    def table(self) -> pl.DataFrame:
        """The rows of all measured checkpoints; checkpoint, step and training tokens are the first columns."""
        parts = []
        for p in self.measured:
            assert p.measurement is not None
            head = [pl.lit(p.name).alias("checkpoint"), pl.lit(p.step).alias("step")]
            head.append(pl.lit(p.tokens, dtype=pl.Int64).alias("training_tokens"))
            parts.append(p.measurement.table().select(*head, pl.all()))
        return pl.concat(parts) if parts else pl.DataFrame()

    def save(self, folder: str | Path, places: Mapping[str, str]) -> Path:
        """Write `trajectory.parquet`, the table, then `trajectory.json`, each completely or not at all.

        The measurements are not written; they must be stored separately.

        Args:
            folder: a folder or an address such as s3://bucket/run.
            places: for each measured checkpoint, the folder of its measurement, relative to `folder`.

        Returns:
            The path of `trajectory.json`.
        """
        record = {
            "provenance": dict(self.provenance),
            "points": [
                {
                    "name": p.name,
                    "step": p.step,
                    "tokens": p.tokens,
                    "problem": p.problem,
                    "measurement": places[p.name] if p.measurement is not None else None,
                }
                for p in self.points
            ],
        }
        return FILES.write(folder, record, self.table().drop("replicates", "draws", "sets") if self.measured else None)[
            0
        ]

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read a stored trajectory and the measurements that belong to it.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (source, record):
            points = []
            for p in check_schema(record, _RECORD)["points"]:
                check_schema([p["name"], p["step"]], tuple[str, int], "a point")
                folder = check_schema(p, _POINT, "a point")["measurement"]
                measurement = None if folder is None else Measurement.load(path_inside(source.parent, folder))
                points.append(Point(p["name"], p["step"], p["tokens"], measurement, p["problem"]))
            return cls(tuple(points), record["provenance"])


def _row(
    measurement: Measurement, quantity: str, layer: str, order: int | None, fields: OtherFields
) -> Estimate | None:
    """The row of a measurement; None where it has none."""
    want = cast("RowFields", dict(fields))
    if quantity not in ("loss", "bits_per_byte", "entropy", "ceiling") and order is not None:
        want["order"] = order
    if quantity in ("entropy", "ceiling"):
        want.setdefault("position_set", f"P_{order or 1}")
    if quantity in ("loss", "bits_per_byte"):
        want.pop("estimator", None)
    of_any_positions = want.copy()
    of_any_positions.pop("position_set", None)
    if not measurement.select(quantity=quantity, layer=layer, **of_any_positions):
        return None
    return measurement.get(quantity, layer, **want)


def twins(trajectory: Trajectory) -> dict[str, str]:
    """Checkpoints whose numbers are all those of an earlier one, by name, with the name of that: the same weights."""
    first: dict[tuple[tuple[float, tuple[float, ...]], ...], str] = {}
    pairs = {}
    for point in trajectory.measured:
        assert point.measurement is not None
        numbers = tuple((row.value, row.replicates) for row in point.measurement)
        if first.setdefault(numbers, point.name) != point.name:
            pairs[point.name] = first[numbers]
    return pairs


def outliers(trajectory: Trajectory, factor: float = 6.0) -> tuple[str, ...]:
    """Checkpoints that look like another one: wrongly uploaded, say.

    Such a checkpoint is far from what its neighbours say of it (`factor` times as far as is usual in the run, on a line
    between them), and it is nearer to a checkpoint elsewhere in training than to either of them. Compared are all
    layers' entropies, complexities and expressivities.
    """
    points = trajectory.measured
    if len(points) < 6:
        return ()
    profiles = np.array([_profile(p) for p in points])
    x = np.log1p([p.step for p in points])
    off = np.full(len(points), np.nan)
    for t in range(1, len(points) - 1):
        part = (x[t] - x[t - 1]) / (x[t + 1] - x[t - 1])
        off[t] = np.linalg.norm(profiles[t] - (1 - part) * profiles[t - 1] - part * profiles[t + 1])
    names = []
    for t in range(1, len(points) - 1):
        elsewhere = np.delete(off, [t - 1, t, t + 1])  # a strange one makes its neighbours look strange too
        usual = float(np.median(elsewhere[np.isfinite(elsewhere)]))
        distance = np.linalg.norm(profiles - profiles[t], axis=1)
        beside = min(distance[t - 1], distance[t + 1])
        if off[t] > factor * usual and np.delete(distance, [t - 1, t, t + 1]).min() < 0.5 * beside:
            names.append(points[t].name)
    return tuple(names)


def _profile(point: Point) -> list[float]:
    assert point.measurement is not None
    rows = point.measurement.select()  # of the primary code: another may be there at some checkpoints alone
    first = next((r.estimator for r in rows if r.estimator), None)
    return [
        r.value
        for r in rows
        if r.quantity in ("entropy", "complexity", "expressivity")
        and r.layer != "model"
        and r.estimator == first
        and r.position_set == "P_1"
        and r.weight in (None, "frequency")
    ]
