"""The models of the study as a table: what was measured of each at the end, and lm-eval's scores.

    python studies/forecast/table.py --runs runs/pretraining --scores runs/forecast/scores \\
        --measured runs/forecast/measured --out cases.csv
    infoplane forecast cases.csv --score swap,word,new,recall,agreement --features optimality,preference \\
        --baselines log:parameters,bits_per_byte --out forecast

Of the suite the last checkpoints of runs on plain text count, as they were traced; models outside it as `measure.py`
measured them. Figures are of the whole model, order 1, `corrected`, or `plugin` where the name says so. `preference`
is of the matched positions of pairs, `preference_plugin` the published figure, of all tokens of all answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.analysis.scores.score_files import read_scores
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.errors import ResultError
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement

STRUCTURE = ("complexity", "expressivity", "optimality", "context_gain", "gap")
PREFERENCES = {
    "preference": {"quantity": "preference", "position_set": "matched"},
    "preference_plugin": {"quantity": "preference", "position_set": "answers", "estimator": "plugin"},
    "preference_given_token": {"quantity": "preference_given_token", "position_set": "matched"},
}
TASKS = ("swap", "word", "new", "recall", "agreement")
# Tokens that models outside the suite were trained on, as their makers say (model cards of SmolLM2-135M and Gemma 3).
TOKENS = {"smollm2-135m": 2e12, "gemma3-270m": 6e12}


def row_of(run: Path, scores: Path, measured: Path) -> dict[str, Any] | None:
    """One run, None where it is not traced, not scored, or not of plain text."""
    told = json.loads((run / "run.json").read_text("utf-8"))
    settings = told["run"]
    if settings["treatment"] != "text" or settings["variant"] != "base":
        return None
    try:
        traced = Trajectory.load(run / "trace")
    except ResultError:
        return None
    last = traced.measured[-1]
    found = scores_of(scores / run.name / f"checkpoint-{settings['steps']}")
    if last.step != settings["steps"] or last.measurement is None or found is None:
        return None
    return {
        "model": run.name, "family": settings["family"], "size": settings["size"], "seed": settings["seed"],
        "arm": settings["arm"], "parameters": told["parameters"], "tokens": last.tokens,
        **_structure(last.measurement), **_preferences(measured / run.name), **found,
    }  # fmt: skip


def other_row(name: str, scores: Path, measured: Path) -> dict[str, Any] | None:
    """A model outside the suite, None where it is not measured or not scored."""
    found = scores_of(scores / name / "main")
    try:
        measurement = Measurement.load(measured / name / "text")
    except ResultError:
        return None
    if found is None:
        return None
    return {
        "model": name, "family": name, "size": "", "seed": None, "arm": "other",
        "parameters": measurement.provenance["model"]["parameters"], "tokens": TOKENS.get(name),
        **_structure(measurement), **_preferences(measured / name), **found,
    }  # fmt: skip


def scores_of(folder: Path) -> dict[str, float] | None:
    """Accuracies on the held-out tasks, with lm-eval's errors; None unless all are there."""
    if not folder.is_dir():
        return None
    table = read_scores(folder, latest=True).select(metric="acc").table
    row: dict[str, float] = {}
    for task in TASKS:
        some = table.filter(pl.col("task") == f"heldout_{task}")
        if not len(some):
            return None
        row[task], row[f"{task}_se"] = some["value"][0], some["standard_error"][0]
    return row


def _structure(found: Measurement) -> dict[str, float | None]:
    estimates = {q: found.get(q, order=1) for q in STRUCTURE}
    estimates["bits_per_byte"] = found.get("bits_per_byte")
    estimates["optimality_plugin"] = found.get("optimality", order=1, estimator="plugin")
    return _with_errors(estimates)


def _preferences(folder: Path) -> dict[str, float | None]:
    try:
        found = Measurement.load(folder / "preferences")
    except ResultError:
        return {}
    return _with_errors({name: found.get(**fields) for name, fields in PREFERENCES.items()})


def _with_errors(estimates: Mapping[str, Estimate]) -> dict[str, float | None]:
    row: dict[str, float | None] = {}
    for name, estimate in estimates.items():
        row[name], row[f"{name}_se"] = estimate.value, estimate.total_error
    return row


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("runs", "scores", "measured", "out"):
        asked.add_argument(f"--{name}", type=Path, required=True)
    given = asked.parse_args()
    runs = sorted(path.parent for path in given.runs.glob("*/run.json"))
    others = sorted(path.parent.name for path in given.measured.glob("*/text"))
    rows = [row_of(run, given.scores, given.measured) for run in runs]
    rows += [other_row(name, given.scores, given.measured) for name in others]
    kept = [row for row in rows if row is not None]
    if not kept:
        raise SystemExit(f"no run of {given.runs} is both traced and scored in {given.scores}")
    pl.DataFrame(kept, infer_schema_length=None).write_csv(given.out)
    print(f"Wrote {given.out}: {len(kept)} models")


if __name__ == "__main__":
    main()
