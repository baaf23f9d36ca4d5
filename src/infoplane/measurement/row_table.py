"""Rows as a table: all that a record holds of them, and what paired differences need."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl

from infoplane.errors import ResultError
from infoplane.measurement.estimate import Estimate
from infoplane.storage import atomic_files as files
from infoplane.storage import read_parquet
from infoplane.uncertainty import PointsPart


def table_of(estimates: Iterable[Estimate]) -> pl.DataFrame:
    """One row an estimate; `interval` as two columns, what sets contribute as three."""
    records = []
    for row in estimates:
        record = {f.name: getattr(row, f.name) for f in dataclasses.fields(Estimate)}
        low, high = record.pop("interval") or (None, None)
        record["interval_low"], record["interval_high"] = low, high
        record["replicates"] = list(row.replicates)
        by_draw = {} if record.pop("points") is None or row.points is None else row.points.by_draw
        record["draws"], record["sets"] = list(by_draw), [list(u) for u in by_draw.values()]
        record["points_and_text"] = None if row.points is None else row.points.shared_with_text
        records.append(record)
    return pl.DataFrame(records, schema=_TABLE_SCHEMA)


Kept: TypeAlias = "tuple[tuple[float, ...], PointsPart | None]"


def read_table(path: Path, expected: int) -> list[Kept]:
    """Of each row the replicates, and what sets of reference points contribute."""
    if not path.exists():  # the JSON alone is a full record; only paired differences need more
        return [((), None)] * expected
    try:
        table = read_parquet(path, columns=["replicates", "draws", "sets", "points_and_text"])
        replicates = table["replicates"].cast(pl.List(pl.Float64)).to_list()
        draws = table["draws"].cast(pl.List(pl.String)).to_list()
        sets = table["sets"].cast(pl.List(pl.List(pl.Float64))).to_list()
        both = table["points_and_text"].cast(pl.Float64).to_list()
    except Exception as error:  # polars raises several families of exceptions for a bad file
        raise ResultError(f"{path} cannot be read: {files.reason(error)}; measure again, or remove the file") from None
    if len(replicates) != expected:
        raise ResultError(f"{path} holds {len(replicates)} rows, its measurement.json {expected}: measure again")
    return [_kept(path, *each) for each in zip(replicates, draws, sets, both, strict=True)]


def _kept(
    path: Path,
    replicates: list[float] | None,
    draws: list[str] | None,
    sets: list[list[float]] | None,
    both: float | None,
) -> Kept:
    numbers = [replicates, *(sets or ()), [] if both is None else [both]]
    if sets is None or draws is None or not all(v is not None and all(map(_is_finite, v)) for v in numbers):
        raise ResultError(f"{path} holds replicates that are no numbers: measure again")
    if len(draws) != len(sets) or None in draws or not all(sets):
        raise ResultError(f"{path} holds sets of reference points that are not those of its draws: measure again")
    by_draw = {name: tuple(u) for name, u in zip(draws, sets, strict=True)}
    points = PointsPart(by_draw, both or 0.0) if by_draw else None
    return tuple(replicates or ()), points


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


_FLOATS: Sequence[str] = (
    "value",
    "standard_error",
    "points_error",
    "total_error",
    "degrees_of_freedom",
    "correction_error",
    "interval_low",
    "interval_high",
    "control_permuted",
    "control_permuted_error",
    "control_shifted",
    "control_shifted_error",
    "control_halved",
    "control_halved_error",
    "repeated_mass",
)
_TABLE_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "quantity": pl.String,
    "layer": pl.String,
    "side": pl.String,
    "order": pl.Int64,
    "position_set": pl.String,
    "weight": pl.String,
    "code": pl.String,
    "estimator": pl.String,
    "unit": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(_FLOATS, pl.Float64),
    "warning": pl.String,
    "replicates": pl.List(pl.Float64),
    "draws": pl.List(pl.String),
    "sets": pl.List(pl.List(pl.Float64)),
    "points_and_text": pl.Float64,
}
