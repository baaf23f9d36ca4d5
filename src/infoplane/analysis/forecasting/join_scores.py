"""Measurements joined to scores: the table of models that a forecast is made from.

One row for each measured model: its family, what was measured of the whole model under the names that the table of a
survey has (`optimality_1`, `complexity_1`, `bits_per_byte`, ...; `NAME_se` is a standard error, with that of the
reference points where it is known), parameters and what is published of its training, and a column `TASK:METRIC` for
each score. Models are matched by `infoplane.analysis.scores.model_matching.match_models`; those without scores are told
with near names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from infoplane.analysis.scores import Measured, Scores, Unmatched, family_of, match_models, model_facts
from infoplane.errors import ScoreError
from infoplane.measurement import Measurement, figures_by_column, refuse_other_estimators

FACTS = ("training_tokens_t", "flops_1e21")


@dataclass(frozen=True)
class Joined:
    """Measured models and their scores.

    Attributes:
        table: one row a model, to be read by `infoplane.analysis.forecasting.case_table.Cases.read`.
        unmatched: measured models without scores.
        notes: what was chosen where there was a choice.
    """

    table: pl.DataFrame
    unmatched: tuple[Unmatched, ...]
    notes: tuple[str, ...]


def join(measurements: Sequence[Measurement], scores: Scores, *, told: Sequence[Mapping[str, Any]] = ()) -> Joined:
    """Join measurements with the benchmark scores of their models.

    Args:
        measurements: the measurements, one per model.
        scores: scores, of any models.
        told: for each measurement what else is known about its model. Of this `model` (a name to look up), `revision`,
            `family`, `training_tokens_t` and `flops_1e21` are used; by default nothing is known.

    Returns:
        A table with one row per model, the models without scores, and notes on the choices that were made.

    Raises:
        ScoreError: no model has scores; two measurements are of one model; or a measurement is a difference, or of an
            untrained twin.
        ResultError: the measurements are by different estimators.
    """
    known = list(told) or [{}] * len(measurements)
    models = [_measured(m, t) for m, t in zip(measurements, known, strict=True)]
    names = [_spoken(m) for m in models]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ScoreError(f"{twice[0]} was measured twice: name one of its measurements")
    refuse_other_estimators(dict(zip(names, measurements, strict=True)))
    matching = match_models(models, scores).refuse_none()
    published = model_facts()
    rows, notes = [], []
    for match in matching.matched:
        i = models.index(match.measured)
        of_tables = published.get(match.model) or {}
        parameters = measurements[i].origin.model.parameters
        rows.append(
            {
                "model": names[i],
                "family": known[i].get("family")
                or of_tables.get("family")
                or family_of(match.measured.model)
                or names[i],
                "parameters": parameters,
                **{name: known[i].get(name) or of_tables.get(name) for name in FACTS},
                **_figures(measurements[i]),
                **{k: v for k, v in match.scores.wide().row(0, named=True).items() if k != "model"},
            }
        )
        notes += [f"{names[i]}: {note}" for note in match.notes]
    return Joined(pl.DataFrame(rows, infer_schema_length=None), matching.unmatched, tuple(notes))


def _measured(measurement: Measurement, facts: Mapping[str, Any]) -> Measured:
    plain = Measured.of(measurement.provenance)
    name = facts.get("model")
    return plain if name is None else Measured(str(name), facts.get("revision") or plain.revision, plain.dtype)


def _spoken(model: Measured) -> str:
    return model.model + (f"@{model.revision}" if model.revision else "")


def _figures(measurement: Measurement) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, estimate in figures_by_column(measurement).items():
        row[name] = estimate.value
        errors = [e for e in (estimate.total_error, estimate.correction_error) if e is not None]
        if errors:
            row[f"{name}_se"] = math.hypot(*errors)
    return row
