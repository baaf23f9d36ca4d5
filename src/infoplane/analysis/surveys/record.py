"""The record of a survey: which models were measured, which failed and why, and one table of them all.

`survey.json` names the models and points to their measurements; `survey.parquet` has one row for each measured model,
with the figures of the whole model as columns (`infoplane.measurement.columns`), to be compared, joined with scores and
forecast from. `_error` is a column's standard error, `_reference_error` that of the reference points. Reading either
needs no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.errors import ResultError
from infoplane.measurement import Measurement, Member, figures_by_column
from infoplane.storage import atomic_files as files
from infoplane.storage import check_schema, path_inside, read_record, record_in, to_path, write_parquet

SCHEMA = "infoplane/survey/1"
JSON_NAME, TABLE_NAME = "survey.json", "survey.parquet"
_DECIDE = ("infoplane", "torch", "transformers")
_MODEL = {
    "name": str,
    "id": str,
    "revision": str,
    "commit": str,
    "sha256": str,
    "words_sha256": str,
    "measurement": str,
    "facts": {"family": str, "kind": str, "parameters_b": float, "training_tokens_t": float},
}
_RECORD = {"models": list[dict[str, Any]], "failures": list[dict[str, str | None]], "provenance": dict[str, Any]}
_FACTS: Mapping[str, Any] = {
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
class Survey:
    """A survey, as far as it is.

    Attributes:
        models: in the order of the survey file.
        provenance: the survey file, the texts and versions; JSON values only.
    """

    models: tuple[Surveyed, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Survey of {len(self.models)} models: {len(self.measured)} measured, {len(self.failures)} failed>"

    @property
    def measured(self) -> tuple[Surveyed, ...]:
        """Those that were measured."""
        return tuple(one for one in self.models if one.measurement is not None)

    @property
    def failures(self) -> tuple[Surveyed, ...]:
        """Those that could not be measured."""
        return tuple(one for one in self.models if one.status == "failed")

    def members(self) -> list[Member]:
        """Those that were measured, as `infoplane.analysis.comparison.comparing.compare` takes them."""
        return [
            Member(one.name, one.facts.get("family"), one.measurement)
            for one in self.models
            if one.measurement is not None
        ]

    def table(self) -> pl.DataFrame:
        """One row for each measured model: facts, then figures of the whole model (see above)."""
        rows = [_row(one, one.measurement) for one in self.measured if one.measurement is not None]
        names = dict.fromkeys(name for row in rows for name in row if name not in _FACTS)
        return pl.DataFrame(rows, schema={**_FACTS, **dict.fromkeys(names, pl.Float64)})

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `survey.parquet`, then `survey.json`, each whole or not at all; measurements stand beside them."""
        folder = to_path(folder)
        write_parquet(folder / TABLE_NAME, self.table())
        record = {
            "schema": SCHEMA,
            "provenance": dict(self.provenance),
            "models": [
                {
                    "name": one.name,
                    "id": one.id,
                    "revision": one.revision,
                    **one.weights,
                    "facts": dict(one.facts),
                    "status": one.status,
                    "measurement": one.name if one.measurement else None,
                }
                for one in self.models
            ],
            "failures": [
                {"name": one.name, "id": one.id, "error": one.error, "message": one.message} for one in self.failures
            ],
        }
        files.write_record(folder / JSON_NAME, record)
        return folder / JSON_NAME, folder / TABLE_NAME

    @classmethod
    def load(cls, path: str | Path) -> Survey:
        """Read a survey from its folder, with the measurements it points to.

        Raises:
            ResultError: nothing there, unreadable, or a schema that this version does not know.
        """
        source = record_in(path, JSON_NAME)
        content = read_record(source, SCHEMA, "survey", "survey")
        with _promised(source):
            record, failed = _checked(content)
            models = []
            for one in record["models"]:
                at = one["measurement"]
                found = None if at is None else Measurement.load(path_inside(source.parent, at))
                weights = {k: one[k] for k in ("commit", "sha256", "words_sha256") if k in one}
                told = failed.get(one["name"], (None, None))
                models.append(Surveyed(one["name"], one["id"], one["revision"], weights, one["facts"], found, *told))
            return cls(tuple(models), record["provenance"])


def listed(folder: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Names of the models that a record says were measured, and of those that failed with why; they are not opened.

    Raises:
        ResultError: as for `Survey.load`.
    """
    content = read_record(folder / JSON_NAME, SCHEMA, "survey", "survey")
    with _promised(folder / JSON_NAME):
        record, failed = _checked(content)
        return [one["name"] for one in record["models"] if one["measurement"] is not None], failed


def _checked(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """A record that holds what it promises, and of each model that failed the kind of its error and the message."""
    record = check_schema(content, _RECORD)
    for one in record["models"]:
        check_schema([one["name"], one["id"]], tuple[str, str], "a model")
        check_schema(one, _MODEL, "a model")
    return record, {one["name"]: (one["error"] or "", one["message"] or "") for one in record["failures"]}


@contextmanager
def _promised(source: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{source} does not hold what schema {SCHEMA!r} promises: {error!r}") from None


def _row(one: Surveyed, found: Measurement) -> dict[str, Any]:
    p = found.provenance
    model, text, settings = p.get("model") or {}, p.get("text") or {}, p.get("settings") or {}
    row: dict[str, Any] = {
        "model": one.id,
        "name": one.name,
        "revision": one.revision,
        **{k: one.weights.get(k) for k in ("commit", "sha256")},
        **{k: one.facts.get(k) for k in ("family", "kind", "parameters_b", "training_tokens_t")},
        **{k: model.get(k) for k in ("architecture", "parameters", "width", "blocks", "device")},
        **{k: p.get(k) for k in ("dtype", "tokens", "documents", "positions", "windows_hash", "points_hash")},
        "bytes": (text.get("bytes") or {}).get("read"),
        "text_sha256": text.get("sha256"),
        "versions": ", ".join(f"{k} {v}" for k, v in (p.get("versions") or {}).items() if k in _DECIDE),
        "unit": settings.get("unit"),
        "estimator": next(iter(settings.get("estimators", ())), None),
    }
    for name, estimate in figures_by_column(found).items():
        row[name] = estimate.value
        row[f"{name}_error"] = estimate.standard_error
        if estimate.reference_error is not None:
            row[f"{name}_reference_error"] = estimate.reference_error
    return row
