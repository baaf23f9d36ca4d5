"""On which tasks the scored models differ, and rise above chance and above what shortcuts give.

python studies/forecast/spans.py [--scores runs/forecast/scores] [--items runs/forecast/items] [--steps 'llama-m-s0-*']

Accuracies are lm-eval's `acc` (`perplexity` for a task of one word), means over the last checkpoints of the runs of a
kind. The error of the difference between two kinds is of items, by document: items of one document are not independent,
and every model answers the same items, so it is of the items' differences and tighter than either mean's own.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from scored import results_in

ROOT = Path(__file__).resolve().parents[2]
RUN = re.compile(r"(?P<family>\w+)-(?P<size>xs|s|m|l)-s(?P<seed>\d+)-(?P<kind>.+)-[0-9a-f]{8}")
SIZES = ("xs", "s", "m", "l")


@dataclass(frozen=True)
class Answers:
    """One model on one task: lm-eval's value, and each item's (right or wrong; log-likelihood for a task of one word).

    `items` has the shape (items,), in the order of the task's file.
    """

    model: str
    step: int
    task: str
    value: float
    items: np.ndarray


def read(scores: Path) -> list[Answers]:
    """Everything scored, with lm-eval's figure held against the items' own mean.

    Raises:
        ValueError: the two differ, so one of the files is not what belongs to the other.
    """
    found = []
    for path, result in results_in(scores):
        table = pl.read_parquet(path.with_name(path.name.replace("results_", "items_")).with_suffix(".parquet"))
        step = re.search(r"\d+$", path.parent.name)
        for task, values in result["results"].items():
            rows = table.filter(pl.col("task") == task).sort("item")
            each = np.array(rows["loglikelihoods"].to_list(), dtype=object)
            if "perplexity,none" in values:
                value, items = values["perplexity,none"], np.array([one[0] for one in each])
                mean = float(np.exp(-items.mean()))
            else:
                items = np.array([np.argmax(one) == g for one, g in zip(each, rows["gold"], strict=True)], float)
                value, mean = values["acc,none"], float(items.mean())
            if not np.isclose(value, mean, rtol=1e-4):
                raise ValueError(f"{path}: {task} is {value} by lm-eval and {mean} by the items beside it")
            found.append(Answers(result["model_name"], int(step[0]) if step else 0, task, value, items))
    return found


def difference(more: np.ndarray, less: np.ndarray, documents: list[str]) -> tuple[float, float]:
    """Mean difference of two groups of models over the same items, and its standard error by document.

    Args:
        more, less: one row a model, shape (models, items).
        documents: of the items.
    """
    each = more.mean(0) - less.mean(0)
    centred = each - each.mean()
    _, index = np.unique(documents, return_inverse=True)
    sums = np.bincount(index, centred)
    groups = len(sums)
    return float(each.mean()), float(np.sqrt(groups / (groups - 1) * (sums**2).sum()) / len(each))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, default=ROOT / "runs" / "forecast" / "scores")
    parser.add_argument("--items", type=Path, default=ROOT / "runs" / "forecast" / "items")
    parser.add_argument("--steps", metavar="GLOB", help="instead: every scored checkpoint of the runs that fit")
    given = parser.parse_args()
    answers = read(given.scores)
    told = json.loads((given.items / "items.json").read_text("utf-8"))["tasks"]
    if given.steps:
        _by_step([a for a in answers if fnmatch.fnmatchcase(a.model, given.steps)], list(told))
        return 0
    last = {m: max(a.step for a in answers if a.model == m) for m in {a.model for a in answers}}
    answers = [a for a in answers if a.step == last[a.model]]
    kinds = set()  # columns: the two arms by size, the variants, and models outside the study
    for model in last:
        run = RUN.fullmatch(model)
        kind = run["kind"] if run else model
        kinds.add((f"{kind} {run['size']}" if run and kind in ("tokens", "ratio") else kind, model))
    names = sorted({name for name, _ in kinds}, key=_order)
    for task, of in told.items():
        documents = [json.loads(line)["document"] for line in (given.items / f"{task}.jsonl").open(encoding="utf-8")]
        if not any(a.task == task for a in answers):
            continue
        groups = {name: [a for a in answers if a.task == task and (name, a.model) in kinds] for name in names}
        shortcut = ", ".join(f"{k} {v:.3f}" for k, v in of["shortcuts"].items())
        print(f"\n{task}: {of['items']} items of {of['documents']} documents; {shortcut}")
        for name, group in groups.items():
            if group:
                values = np.array([a.value for a in group])
                spread = f" ± {values.std(ddof=1) / np.sqrt(len(values)):.4f} (of runs)" if len(values) > 1 else ""
                print(f"  {name:26} {len(values):3} runs {values.mean():.4f}{spread}")
        for arm in ("tokens", "ratio"):
            present = [s for s in SIZES if groups.get(f"{arm} {s}")]
            if len(present) > 1:
                ends = [np.stack([a.items for a in groups[f"{arm} {s}"]]) for s in (present[-1], present[0])]
                found, error = difference(*ends, documents)
                print(f"  {arm}: {present[-1]} - {present[0]} = {found:+.4f} ± {error:.4f} (of documents)")
    return 0


def _order(name: str) -> tuple[bool, bool, int, str]:
    arm, _, size = name.partition(" ")
    return arm != "tokens", arm != "ratio", SIZES.index(size) if size in SIZES else -1, name


def _by_step(answers: list[Answers], tasks: list[str]) -> None:
    for model in sorted({a.model for a in answers}):
        mine = [a for a in answers if a.model == model]
        present = [t for t in tasks if any(a.task == t for a in mine)]
        print(f"\n{model}\n{'step':>6} " + " ".join(f"{t.removeprefix('heldout_'):>10}" for t in present))
        for step in sorted({a.step for a in mine}):
            values = {a.task: a.value for a in mine if a.step == step}
            print(f"{step:6} " + " ".join(f"{values[t]:10.4f}" if t in values else f"{'':10}" for t in present))


if __name__ == "__main__":
    sys.exit(main())
