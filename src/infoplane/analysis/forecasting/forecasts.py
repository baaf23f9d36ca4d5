"""Forecast: what features of models tell of their scores, as one stored thing.

From a table of models (`infoplane.analysis.forecasting.case_table`): correlations, partial correlations given the
baselines, validation on families left out, predictions for new models, power, and what they say in words. A pure
function of the table, the names and the seed; stored as `forecast.json`, and the models predicted without their
families as `forecast.parquet`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import polars as pl

from infoplane.analysis.forecasting.correlations import Correlation
from infoplane.analysis.forecasting.partial_correlations import Partial
from infoplane.analysis.forecasting.power import Power
from infoplane.analysis.forecasting.validation import HeldOut, Prediction, Validation
from infoplane.showing import Shown
from infoplane.storage import Hint, Json, ResultFiles, check_schema, fields_of, read_parquet

SCHEMA = "infoplane/forecast/1"
JSON_NAME, TABLE_NAME = "forecast.json", "forecast.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "forecast", "forecast")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Forecast(Shown):
    """What features of a table of models tell about their benchmark scores.

    Attributes:
        correlations: the correlation of each feature with each score.
        partials: the partial correlations given the baselines.
        validations: how well each set of features predicts each score on families left out.
        held_out: the reference models, each predicted without its family.
        predictions: the predicted scores of new models.
        power: how many models it takes to find each correlation.
        verdicts: the findings in sentences.
        provenance: models, families, ranges of the features, settings, versions and warnings, as JSON values.
    """

    correlations: tuple[Correlation, ...]
    partials: tuple[Partial, ...]
    validations: tuple[Validation, ...]
    held_out: tuple[HeldOut, ...]
    predictions: tuple[Prediction, ...]
    power: tuple[Power, ...]
    verdicts: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        scores = dict.fromkeys(row.score for row in self.correlations)
        return (
            f"<Forecast of {', '.join(scores) or '?'}: {len(self.provenance.get('models', ()))} models, "
            f"{len(self.predictions)} predictions>"
        )

    def to_dict(self) -> dict[str, Json]:
        """The forecast as plain JSON values, without `held_out`, which is in the table."""
        rows = {name: [dataclasses.asdict(row) for row in getattr(self, name)] for name in _ROWS if name != "held_out"}
        record = {"schema": SCHEMA, "provenance": dict(self.provenance), "verdicts": list(self.verdicts), **rows}
        return dict(_plain(record))

    def table(self) -> pl.DataFrame:
        """Predicted and actual scores of the reference models, each predicted without its family."""
        table = [
            {
                **dataclasses.asdict(row),
                "low": (row.interval or (None, None))[0],
                "high": (row.interval or (None, None))[1],
            }
            for row in self.held_out
        ]
        return pl.DataFrame([{name: row[name] for name in _TABLE} for row in table], schema=_TABLE)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `forecast.parquet`, the table, then `forecast.json`, each completely or not at all.

        Args:
            folder: a folder or an address such as s3://bucket/run.

        Returns:
            The paths of the JSON file and of the Parquet file.
        """
        return FILES.write(folder, self.to_dict(), self.table())

    @classmethod
    def load(cls, path: str | Path) -> Forecast:
        """Read a stored forecast.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (source, record):
            held = [
                HeldOut(
                    **{k: v for k, v in row.items() if k not in ("low", "high")},
                    interval=_pair(row["low"], row["high"]),
                )
                for row in read_parquet(source.parent / TABLE_NAME).rows(named=True)
            ]
            rows = {
                name: tuple(_row(kind, r) for r in record[name]) for name, kind in _ROWS.items() if name != "held_out"
            }
            p = record["provenance"]
            promised = [p["models"], p["families"], p["warnings"], p["settings"], p["reference"], record["verdicts"]]
            check_schema(promised, _PROMISED, "what is said of it")
            check_schema(
                [p["settings"]["structure"], p["settings"]["baselines"]], tuple[list[str], list[str]], "settings"
            )
            return cls(**rows, held_out=tuple(held), verdicts=tuple(record["verdicts"]), provenance=p)


_PROMISED: Hint = tuple[list[str], list[str], list[str], dict[str, Any], dict[str, tuple[float, float]], list[str]]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _row(kind: type[Row], record: Mapping[str, Json]) -> Row:
    return kind(**{k: _tuples(v) for k, v in check_schema(record, fields_of(cast("Any", kind)), "a row").items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


_ROWS: dict[str, type[Any]] = {
    "correlations": Correlation,
    "partials": Partial,
    "validations": Validation,
    "held_out": HeldOut,
    "predictions": Prediction,
    "power": Power,
}
_TABLE = pl.Schema(
    {
        "model": pl.String,
        "family": pl.String,
        "score": pl.String,
        "predictor": pl.String,
        "actual": pl.Float64,
        "predicted": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)
