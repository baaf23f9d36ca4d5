"""On which tasks the scored models differ, and rise above chance and above what shortcuts give: tables in Markdown.

python studies/forecast/spans.py [--into studies/forecast/results.md]      a row for each kind of model
python studies/forecast/spans.py --steps 'llama-m-s0-tokens-*'             a row for each scored checkpoint

Figures are lm-eval's `acc`, or for a task of one word its log-likelihood in nats (perplexity = exp of minus that):
means over the last checkpoints of the runs of a kind, with the standard error over runs. The error of the difference
between sizes is of items, by document: items of one document are not independent, and every model answers the same
ones, so it is of the items' differences and tighter than that of a mean.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infoplane.storage import atomic_files as files
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


def documents_of(items: Path, tasks: Sequence[str]) -> dict[str, list[str]]:
    """The document of each item of each task, in the order of the task's file."""
    found = {}
    for task in tasks:
        lines = (items / f"{task}.jsonl").read_text("utf-8").splitlines()
        found[task] = [json.loads(line)["document"] for line in lines]
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
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, default=ROOT / "runs" / "forecast" / "scores")
    parser.add_argument("--items", type=Path, default=ROOT / "runs" / "forecast" / "items")
    parser.add_argument("--into", type=Path, help="file to write; printed otherwise")
    parser.add_argument("--steps", metavar="GLOB", help="instead: every scored checkpoint of the runs that fit")
    given = parser.parse_args()
    answers = read(given.scores)
    told = json.loads((given.items / "items.json").read_text("utf-8"))["tasks"]
    if given.steps:
        lines = _by_step([a for a in answers if fnmatch.fnmatchcase(a.model, given.steps)], list(told))
    else:
        lines = by_kind(answers, told, documents_of(given.items, list(told)))
    text = "\n".join(lines) + "\n"
    if given.into is None:
        print(text, end="")
    else:
        files.write_text(given.into, text)
    return 0


def by_kind(answers: list[Answers], told: dict[str, Any], documents: dict[str, list[str]]) -> list[str]:
    """A row for each kind of model: the two arms by size, the variants, and models outside the study."""
    last = {m: max(a.step for a in answers if a.model == m) for m in {a.model for a in answers}}
    tasks = [t for t in told if any(a.task == t for a in answers)]
    groups: dict[str, dict[str, list[np.ndarray]]] = {}
    for a in answers:
        if a.step == last[a.model]:
            run = RUN.fullmatch(a.model)
            kind = run["kind"] if run else a.model
            name = f"{kind} {run['size']}" if run and kind in ("tokens", "ratio") else kind
            groups.setdefault(name, {}).setdefault(a.task, []).append(a.items)
    rows = [["models", "runs", *(t.removeprefix("heldout_") for t in tasks)], ["---"] * (len(tasks) + 2)]
    for shortcut in ("chance", "unigram", "repeated"):
        values = (told[t]["shortcuts"].get(shortcut) for t in tasks)
        rows.append([shortcut, "", *("" if v is None else f"{v:.3f}" for v in values)])
    for name in sorted(groups, key=_order):
        of = groups[name]
        rows.append([name, str(max(map(len, of.values()))), *(_mean(of.get(t, [])) for t in tasks)])
    for arm in ("tokens", "ratio"):
        cells = []
        for task in tasks:
            ends = [np.stack(groups[n][task]) for s in SIZES if task in groups.get(n := f"{arm} {s}", {})]
            found, error = difference(ends[-1], ends[0], documents[task]) if len(ends) > 1 else (np.nan, np.nan)
            cells.append("" if np.isnan(found) else f"{found:+.3f} ± {error:.3f}")
        rows.append([f"{arm}: largest less smallest", "", *cells])
    return [f"| {' | '.join(row)} |" for row in rows]


def _mean(values: list[np.ndarray]) -> str:
    """Mean over models, with its standard error where there are several."""
    means = np.array([v.mean() for v in values])
    if not len(means):
        return ""
    error = f" ± {means.std(ddof=1) / np.sqrt(len(means)):.3f}" if len(means) > 1 else ""
    return f"{means.mean():.3f}{error}"


def _order(name: str) -> tuple[bool, bool, int, str]:
    arm, _, size = name.partition(" ")
    return arm != "tokens", arm != "ratio", SIZES.index(size) if size in SIZES else -1, name


def _by_step(answers: list[Answers], tasks: list[str]) -> list[str]:
    """A row for each scored checkpoint."""
    present = [t for t in tasks if any(a.task == t for a in answers)]
    rows = [["run", "step", *(t.removeprefix("heldout_") for t in present)], ["---"] * (len(present) + 2)]
    for model, step in sorted({(a.model, a.step) for a in answers}):
        values = {a.task: a.items.mean() for a in answers if (a.model, a.step) == (model, step)}
        rows.append([model, str(step), *(f"{values[t]:.3f}" if t in values else "" for t in present)])
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    sys.exit(main())
