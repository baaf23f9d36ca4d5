r"""Choosing a checkpoint of a run without a benchmark: what each way of choosing costs, in accuracy.

python studies/forecast/score.py --every --only 'llama-m-s0-tokens*' --tasks 'heldout_*'      first
python studies/forecast/within.py --runs runs/pretraining --scores runs/forecast/scores [--from-step 64]

With s_ct the accuracy of checkpoint c on task t, the score of a checkpoint is its mean over tasks, and a way of
choosing that takes c has the regret

    R(c) = max_c' s_c' - s_c,      s_c = mean_t s_ct,

0 for the best checkpoint. Its standard error is that of the paired difference of the two, over documents: with x_i the
difference on item i of task t, and I_t items,

    SE^2 = G / (G - 1) sum_g ( sum_t sum_(i in g, t) (x_i - mean_t) / (T I_t) )^2.

The best is the best on these very items, so a regret is on average a little too large, and that of a checkpoint as
good as the best is above 0. What is chosen by was measured on other passages of the documents that items are made of.
"""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infoplane.analysis.training.trajectory import Trajectory
from spans import ROOT, documents_of, read

Floats = npt.NDArray[np.float64]
# Name of a way, and the quantity whose largest (+) or least (-) value chooses; figures of the whole model, order 1.
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "least bits per byte": (-1, {"quantity": "bits_per_byte"}),
    "largest optimality": (+1, {"quantity": "optimality"}),
    "largest optimality, plug-in": (+1, {"quantity": "optimality", "estimator": "plugin"}),
    "least gap to the frontier": (-1, {"quantity": "gap"}),
    "largest context gain": (+1, {"quantity": "context_gain"}),
    "least complexity": (-1, {"quantity": "complexity"}),
    "largest expressivity": (+1, {"quantity": "expressivity"}),
}
LAST, ANY = "the last", "any, on average"


@dataclass(frozen=True)
class Scores:
    """One run's scored checkpoints.

    Attributes:
        steps: (C,)
        items: for each task, (C, I_t), right or wrong.
        documents: for each task, the documents of its items.
    """

    steps: list[int]
    items: Mapping[str, Floats]
    documents: Mapping[str, list[str]]

    @property
    def mean(self) -> Floats:
        """(C,) accuracy, mean over tasks."""
        return np.mean([x.mean(1) for x in self.items.values()], axis=0)

    def regret(self, chosen: int) -> tuple[float, float]:
        """Regret of the checkpoint at that index, and its standard error."""
        best = int(self.mean.argmax())
        names = sorted({d for of in self.documents.values() for d in of})
        place = {name: i for i, name in enumerate(names)}
        sums = np.zeros(len(names))
        for task, x in self.items.items():
            each = x[best] - x[chosen]
            index = [place[d] for d in self.documents[task]]
            np.add.at(sums, index, (each - each.mean()) / (len(self.items) * len(each)))
        used = len(names)
        return float(self.mean[best] - self.mean[chosen]), float(np.sqrt(used / (used - 1) * (sums**2).sum()))


def choices(run: Trajectory, steps: list[int]) -> dict[str, int]:
    """For each way, the index among `steps` that it chooses; ways whose quantity was not measured are left out."""
    found = {LAST: len(steps) - 1}
    measured = {p.step: p.measurement for p in run.measured if p.measurement is not None}
    for way, (sign, asked) in WAYS.items():
        fields = dict(asked) if asked["quantity"] == "bits_per_byte" else {**asked, "order": 1}
        values = [measured[step].get(**fields).value for step in steps]
        found[way] = int(np.argmax(sign * np.array(values)))
    return found


def regrets(runs: Path, scores: Path, items: Path, from_step: int, only: Sequence[str] = ("*",)) -> list[str]:
    """The table in Markdown: a row for each way, a column for each run with three scored checkpoints, their mean."""
    answers = [a for a in read(scores) if a.step >= from_step and a.task.startswith("heldout_")]
    columns: dict[str, list[str]] = {}
    costs: list[list[float]] = []
    for name in sorted({a.model for a in answers if any(fnmatch.fnmatchcase(a.model, glob) for glob in only)}):
        of = [a for a in answers if a.model == name]
        tasks = sorted({a.task for a in of})
        steps = sorted(s for s in {a.step for a in of} if {a.task for a in of if a.step == s} == set(tasks))
        if len(steps) < 3:
            continue
        held = {(a.task, a.step): a.items for a in of}
        found = Scores(steps, {t: np.stack([held[t, s] for s in steps]) for t in tasks}, documents_of(items, tasks))
        mean, chosen = found.mean, choices(Trajectory.load(runs / name / "trace"), steps)
        each = [found.regret(chosen[way]) for way in (LAST, *WAYS)]
        costs.append([*(regret for regret, _ in each), float(mean.max() - mean.mean())])
        columns[name] = [
            f"{mean.max():.3f} at {steps[int(mean.argmax())]} of {len(steps)}",
            *(
                f"{regret:.3f} ± {error:.3f} ({steps[chosen[way]]})"
                for way, (regret, error) in zip((LAST, *WAYS), each, strict=True)
            ),
            f"{costs[-1][-1]:.3f}",
        ]
    if not columns:
        return [f"No run has three scored checkpoints from step {from_step} on: score them with score.py --every."]
    rows = [["regret (step)", *(n.rsplit("-", 1)[0] for n in columns), "mean"], ["---"] * (len(columns) + 2)]
    means = ["", *(f"{value:.3f}" for value in np.mean(costs, axis=0))]
    for i, way in enumerate(("best accuracy", LAST, *WAYS, ANY)):
        rows.append([way, *(cells[i] for cells in columns.values()), means[i]])
    return [f"| {' | '.join(row)} |" for row in rows]


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=Path, default=ROOT / "runs" / "pretraining")
    asked.add_argument("--scores", type=Path, default=ROOT / "runs" / "forecast" / "scores")
    asked.add_argument("--items", type=Path, default=ROOT / "runs" / "forecast" / "items")
    asked.add_argument("--only", metavar="GLOB", nargs="+", default=["*"], help="runs")
    asked.add_argument("--from-step", type=int, default=64, help="checkpoints before are no candidates")
    given = asked.parse_args()
    print("\n".join(regrets(given.runs, given.scores, given.items, given.from_step, given.only)))


if __name__ == "__main__":
    main()
