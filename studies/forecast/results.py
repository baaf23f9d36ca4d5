"""All that the study finds, as tables in Markdown: what spans, what goes with scores, what is left of it, regret.

    python studies/forecast/results.py --runs runs/pretraining --scores runs/forecast/scores \\
        --items runs/forecast/items --table cases.csv --into studies/forecast/results.md

`cases.csv` is made by `table.py`. Correlations are of the suite alone: models outside it (another tokenizer, 45 times
the size, a million times the tokens) would decide every one of them. They are asked as new models instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.correlations import correlations
from infoplane.analysis.forecasting.partial_correlations import partials
from infoplane.analysis.forecasting.validation import BASELINES, BOTH, MEAN, predict, validate
from infoplane.storage import atomic_files as files
from spans import ROOT, by_kind, documents_of, read
from table import TASKS
from within import regrets

BASE = ("log:parameters", "log:tokens", "bits_per_byte")
# Accuracy bends in the loss: from chance, which it cannot fall below, to where it saturates.
BENT = (*BASE, "square:bits_per_byte", "cube:bits_per_byte")
FEATURES = (
    "optimality", "optimality_plugin", "complexity", "expressivity", "context_gain", "gap",
    "preference", "preference_plugin", "preference_given_token",
)  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=Path, default=ROOT / "runs" / "pretraining")
    asked.add_argument("--scores", type=Path, default=ROOT / "runs" / "forecast" / "scores")
    asked.add_argument("--items", type=Path, default=ROOT / "runs" / "forecast" / "items")
    asked.add_argument("--table", type=Path, required=True, help="made by table.py")
    asked.add_argument("--into", type=Path, help="file to write; printed otherwise")
    given = asked.parse_args()
    answers = read(given.scores)
    told = json.loads((given.items / "items.json").read_text("utf-8"))["tasks"]
    everything = Cases.read(given.table, features=(*BENT, *FEATURES), scores=TASKS)
    arms = pl.read_csv(given.table)["arm"].to_list()
    suite, others = (_subset(everything, [i for i, a in enumerate(arms) if (a == "other") is o]) for o in (False, True))
    lines = [
        "# Scores of small models: all tables", "",
        "Made by `results.py`; what they say is in [docs/findings/forecast.md](../../docs/findings/forecast.md).",
        f"{len(suite.models)} runs of {suite.family_count} families; {', '.join(TASKS)}: accuracy.",
        "Intervals are 95 %, of these families only.", "",
        "## What spans", "", *by_kind(answers, told, documents_of(given.items, list(told))), "",
        "## Correlations", "", *_correlations(suite), "",
        "r (interval); q by Benjamini and Hochberg over all features and tasks. Of families left out, the RMSE of the",
        "mean and of the baselines, and that of more features as a multiple of the baselines'.", "",
        *(line for base in (BASE, BENT) for line in _given(suite, base)),
        "## Models outside the suite", "", *_new(suite, others), "",
        "## Choosing a checkpoint", "", *regrets(given.runs, given.scores, given.items, 64), "",
    ]  # fmt: skip
    text = "\n".join(lines)
    if given.into is None:
        print(text, end="")
    else:
        files.write_text(given.into, text)


def _subset(cases: Cases, rows: list[int]) -> Cases:
    def kept(frame: pl.DataFrame | None) -> pl.DataFrame | None:
        return None if frame is None else frame[rows]

    features, scores = cases.features[rows], cases.scores[rows]
    models, families = ([values[i] for i in rows] for values in (cases.models, cases.families))
    errors = kept(cases.feature_errors), kept(cases.score_errors)
    return Cases(tuple(models), tuple(families), features, scores, *errors)


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(rows[0])} |"
    yield f"|{'---|' * len(rows[0])}"
    yield from (f"| {' | '.join(row)} |" for row in rows[1:])


def _ends(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{value:+.2f}" + ("" if interval is None else f" ({interval[0]:+.2f} to {interval[1]:+.2f})")


def _correlations(suite: Cases) -> Iterator[str]:
    """Pearson's r, and the share of a feature's variance that is not error of measurement."""
    found = {(c.feature, c.score): c for c in correlations(suite, (*BASE, *FEATURES), TASKS) if c.method == "pearson"}
    rows = [["feature", "reliability", *TASKS]]
    for feature in (*BASE, *FEATURES):
        share = suite.reliability(feature)
        cells = [found[feature, t] for t in TASKS]
        rows.append([feature, "" if share is None else f"{share:.2f}", *(_ends(c.value, c.interval) for c in cells)])
    yield from _rows(rows)


def _given(suite: Cases, base: Sequence[str]) -> Iterator[str]:
    """What is left of each feature once the baselines are known."""
    yield from (f"### Given {', '.join(base)}", "", *_partials(suite, base), "")
    yield from ("Families left out:", "", *_validations(suite, base), "")


def _partials(suite: Cases, base: Sequence[str]) -> Iterator[str]:
    found = {(p.feature, p.score): p for p in partials(suite, FEATURES, TASKS, base) if p.baselines == tuple(base)}
    rows = [["feature", *TASKS]]
    for feature in FEATURES:
        cells = [found[feature, t] for t in TASKS]
        rows.append([feature, *(f"{_ends(p.value, p.interval)}; {p.q:.2f}" for p in cells if p.q is not None)])
    yield from _rows(rows)


def _validations(suite: Cases, base: Sequence[str]) -> Iterator[str]:
    rows = [["from", *TASKS]]
    found = {task: {v.predictor: v for v in validate(suite, task, base, FEATURES)[0]} for task in TASKS}
    for name in (MEAN, BASELINES):
        rows.append([name, *(f"{found[t][name].rmse:.4f}" for t in TASKS)])
    for feature in FEATURES:
        more = [{v.predictor: v for v in validate(suite, t, base, (feature,))[0]} for t in TASKS]
        rows.append([f"baselines and {feature}", *(f"{m[BOTH].rmse / m[BASELINES].rmse:.2f}" for m in more)])
    rows.append(["baselines and all", *(f"{found[t][BOTH].rmse / found[t][BASELINES].rmse:.2f}" for t in TASKS)])
    rows.append(["structure alone, all", *(f"{f['structure'].rmse / f[BASELINES].rmse:.2f}" for f in found.values())])
    yield from _rows(rows)


def _new(suite: Cases, others: Cases) -> Iterator[str]:
    """What the suite says of them, which is that it cannot say anything."""
    rows = [["model", *(f"{t}: score" for t in TASKS), "forecast from the suite"]]
    for i, model in enumerate(others.models):
        one = _subset(others, [i])
        said = {p.refused or f"{p.value:.3f}" for p in predict(suite, one, TASKS[0], BASE, ("optimality",))}
        scores = [others.scores[t][i] for t in TASKS]
        shown = ["" if s is None or not np.isfinite(s) else f"{s:.3f}" for s in scores]
        rows.append([model, *shown, f"refused: {max(said, key=len)}"])
    yield from _rows(rows) if len(rows) > 1 else ["None was scored."]


if __name__ == "__main__":
    main()
