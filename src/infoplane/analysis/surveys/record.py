"""The record of a survey: which models were measured, which failed and why, and one table of them all.

`survey.json` names the models and points to their measurements; `survey.parquet` has one row for each measured model,
with the figures of the whole model as columns (`infoplane.measurement.columns`), to be compared, joined with scores and
forecast from. `_error` is a column's error, of text and reference points together, `_points_error` that of the points
alone. Reading either needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.measurement import Measurement, Member, figures_by_column
from infoplane.showing import Shown
from infoplane.storage import OBJECT, OBJECTS, Hint, ResultFiles, check_schema, path_inside

SCHEMA = "infoplane/survey/2"
JSON_NAME, TABLE_NAME = "survey.json", "survey.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "survey", "survey", sealed=False)
_DECIDE = ("infoplane", "torch", "transformers")
_MODEL: Mapping[str, Hint] = {
    "name": str,
    "id": str,
    "revision": str,
    "commit": str,
    "sha256": str,
    "words_sha256": str,
    "measurement": str,
    "facts": {"family": str, "kind": str, "parameters_b": float, "training_tokens_t": float},
}
_RECORD: Mapping[str, Hint] = {
    "models": OBJECTS,
    "failures": list[dict[str, str | None]],
    "provenance": OBJECT,
}
_FACTS = pl.Schema(
    {
        "model": pl.String,
        "name": pl.String,
        "revision": pl.String,
        "commit": pl.String,
        "sha256": pl.String,
        "family": pl.String,
        "kind": pl.String,
        "parameters": pl.Int64,
        "parameters_b": pl.Float64,
        "training_tokens_t": pl.Float64,
        "architecture": pl.String,
        "width": pl.Int64,
        "blocks": pl.Int64,
        "dtype": pl.String,
        "device": pl.String,
        "versions": pl.String,
        "tokens": pl.Int64,
        "bytes": pl.Int64,
        "documents": pl.Int64,
        "positions": pl.Int64,
        "text_sha256": pl.String,
        "windows_hash": pl.String,
        "points_hash": pl.String,
        "unit": pl.String,
        "estimator": pl.String,
    }
)


@dataclass(frozen=True)
class Surveyed:
    """One model of a survey.

    Attributes:
        name: of its folder.
        id: hub id, or what a local model is called.
        revision: as asked.
        weights: what vouches for them: `commit`, or `sha256`; empty where they were never resolved.
        facts: family, kind, parameters_b, training_tokens_t, where the survey tells them.
        measurement: None where there is none (yet).
        error, message: why not, where it failed: the class of the error, and what it says.
    """

    name: str
    id: str
    revision: str | None
    weights: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    measurement: Measurement | None = None
    error: str | None = None
    message: str | None = None

    @property
    def status(self) -> str:
        """`measured`, `failed` or `pending`."""
        return "measured" if self.measurement else "failed" if self.error else "pending"


@dataclass(frozen=True)
class Survey(Shown):
    """The models of a survey, with the measurements made so far.

    Attributes:
        models: the models, in the order of the survey file.
        provenance: the survey file, the texts and versions, as JSON values.
    """

    models: tuple[Surveyed, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Survey of {len(self.models)} models: {len(self.measured)} measured, {len(self.failures)} failed>"

    @property
    def measured(self) -> tuple[Surveyed, ...]:
        """The models that were measured."""
        return tuple(model for model in self.models if model.measurement is not None)

    @property
    def failures(self) -> tuple[Surveyed, ...]:
        """The models that could not be measured."""
        return tuple(model for model in self.models if model.status == "failed")

    def members(self) -> list[Member]:
        """The models that were measured, as `infoplane.compare` takes them."""
        return [
            Member(model.name, model.facts.get("family"), model.measurement)
            for model in self.models
            if model.measurement is not None
        ]

    def table(self) -> pl.DataFrame:
        """One row per measured model: facts about it, then figures of the whole model.

        `NAME_error` is the error of a figure, of text and reference points together, and `NAME_points_error` that of
        the reference points alone. `infoplane.measurement.columns` says how figures are named.
        """
        rows = [_row(model, model.measurement) for model in self.measured if model.measurement is not None]
        names = dict.fromkeys(name for row in rows for name in row if name not in _FACTS)
        return pl.DataFrame(rows, schema={**_FACTS, **dict.fromkeys(names, pl.Float64)})

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `survey.parquet`, the table, then `survey.json`, each completely or not at all.

        The measurements are not written; they must be stored beside them.

        Args:
            folder: a folder or an address such as s3://bucket/run.

        Returns:
            The paths of the JSON file and of the Parquet file.
        """
        record = {
            "provenance": dict(self.provenance),
            "models": [
                {
                    "name": model.name,
                    "id": model.id,
                    "revision": model.revision,
                    **model.weights,
                    "facts": dict(model.facts),
                    "status": model.status,
                    "measurement": model.name if model.measurement else None,
                }
                for model in self.models
            ],
            "failures": [
                {"name": model.name, "id": model.id, "error": model.error, "message": model.message}
                for model in self.failures
            ],
        }
        return FILES.write(folder, record, self.table())

    @classmethod
    def load(cls, path: str | Path) -> Survey:
        """Read a stored survey and the measurements that belong to it.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (source, content):
            record, failed = _checked(content)
            models = []
            for entry in record["models"]:
                folder = entry["measurement"]
                measurement = None if folder is None else Measurement.load(path_inside(source.parent, folder))
                weights = {k: entry[k] for k in ("commit", "sha256", "words_sha256") if k in entry}
                failure = failed.get(entry["name"], (None, None))
                models.append(
                    Surveyed(
                        entry["name"], entry["id"], entry["revision"], weights, entry["facts"], measurement, *failure
                    )
                )
            return cls(tuple(models), record["provenance"])


def listed(folder: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Names of the models that a record says were measured, and of those that failed with why; they are not opened.

    Raises:
        ResultError: as for `Survey.load`.
    """
    with FILES.read(folder) as (_, content):
        record, failed = _checked(content)
        return [entry["name"] for entry in record["models"] if entry["measurement"] is not None], failed


def _checked(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """A record that holds what it promises, and of each model that failed the kind of its error and the message."""
    record = check_schema(content, _RECORD)
    for entry in record["models"]:
        check_schema([entry["name"], entry["id"]], tuple[str, str], "a model")
        check_schema(entry, _MODEL, "a model")
    return record, {entry["name"]: (entry["error"] or "", entry["message"] or "") for entry in record["failures"]}


def _row(model: Surveyed, measurement: Measurement) -> dict[str, str | int | float | None]:
    origin, versions = measurement.origin, measurement.provenance.get("versions", {})
    row: dict[str, str | int | float | None] = {
        "model": model.id,
        "name": model.name,
        "revision": model.revision,
        **{k: model.weights.get(k) for k in ("commit", "sha256")},
        **{k: model.facts.get(k) for k in ("family", "kind", "parameters_b", "training_tokens_t")},
        **{k: getattr(origin.model, k) for k in ("architecture", "parameters", "width", "blocks", "device")},
        **{k: getattr(origin, k) for k in ("dtype", "tokens", "documents", "positions", "windows_hash", "points_hash")},
        "bytes": origin.text.bytes.read,
        "text_sha256": origin.text.sha256,
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if k in _DECIDE),
        "unit": origin.settings.unit,
        "estimator": next(iter(origin.settings.estimators), None),
    }
    for name, estimate in figures_by_column(measurement).items():
        row[name] = estimate.value
        row[f"{name}_error"] = estimate.total_error
        if estimate.points_error is not None:
            row[f"{name}_points_error"] = estimate.points_error
    return row
