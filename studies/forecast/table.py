"""The finished runs of the pre-training study as a table of models: what was measured at the end, and lm-eval's scores.

    python studies/forecast/table.py --runs runs/pretraining --scores runs/forecast/scores --out cases.csv
    infoplane forecast cases.csv --score swap,word,new,recall,agreement --features optimality,complexity,expressivity \\
        --baselines log:parameters,loss --out forecast

Only last checkpoints of runs on plain text count. Figures are those of the trace: whole model, order 1, `corrected`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.errors import ResultError
from infoplane.score_files import read_scores
from infoplane.trajectory import Trajectory

QUANTITIES = ("complexity", "expressivity", "optimality", "context_gain", "gap", "loss")
TASKS = ("swap", "word", "new", "recall", "agreement")


def row_of(run: Path, scores: Path) -> dict[str, Any] | None:
    """One run, None where it is not traced, not scored, or not of plain text."""
    told = json.loads((run / "run.json").read_text("utf-8"))
    settings = told["run"]
    if settings["treatment"] != "text" or settings["variant"] != "base" or not (scores / run.name).is_dir():
        return None
    try:
        traced = Trajectory.load(run / "trace")
    except ResultError:
        return None
    row: dict[str, Any] = {
        "model": run.name, "family": settings["family"], "size": settings["size"], "seed": settings["seed"],
        "arm": settings["arm"], "parameters": told["parameters"],
    }  # fmt: skip
    for quantity in QUANTITIES:
        series = traced.series(quantity)
        row[quantity] = float(series.values[-1])
    last = scores / run.name / f"checkpoint-{settings['steps']}"
    if not last.is_dir():
        return None
    found = read_scores(last, latest=True).select(metric="acc").table
    for task in TASKS:
        some = found.filter(pl.col("task") == f"heldout_{task}")
        if not len(some):
            return None
        row[task], row[f"{task}_se"] = some["value"][0], some["standard_error"][0]
    return row


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("runs", "scores", "out"):
        asked.add_argument(f"--{name}", type=Path, required=True)
    given = asked.parse_args()
    runs = sorted(path.parent for path in given.runs.glob("*/run.json"))
    rows = [row for run in runs if (row := row_of(run, given.scores)) is not None]
    if not rows:
        raise SystemExit(f"no run of {given.runs} is both traced and scored in {given.scores}")
    pl.DataFrame(rows).write_csv(given.out)
    print(f"Wrote {given.out}: {len(rows)} models")


if __name__ == "__main__":
    main()
