"""The tables of the study, from what is in data/: `python studies/damage/results.py`, a few seconds, no torch.

What sees a variant, at 5 % false alarms: next-token loss and the paired figures of layers, by their intervals; each
benchmark by McNemar's exact test on the same items; the entropy of states by the jackknife. Where several figures are
tested (layers and quantities), by Holm's procedure. WeightWatcher gives one number for a model and no error, so it
ranks and does not test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm, spearmanr
from scipy.stats import t as student

from infoplane.analysis.comparison.verdicts import ASKED, LEVEL, holm

HERE = Path(__file__).resolve().parent
TASKS = ("lambada", "hellaswag", "arc_easy")
HELD_OUT = "qwen2.5-0.5b"
CODES = ("random", "fitted")
DRAWS = 2_000


@dataclass(frozen=True)
class Case:
    """One variant, and the model before."""

    record: dict[str, Any]
    before: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.record["model"])

    @property
    def variant(self) -> str:
        return str(self.record["variant"])

    @property
    def kind(self) -> str:
        return self.variant.split()[0]

    @property
    def amount(self) -> float:
        return float(self.variant.split()[1])

    def rows(self, quantity: str, code: str | None, order: int | None) -> dict[str, list[float]]:
        """By layer: value, difference, total error, half of the interval, degrees of freedom."""
        found = {}
        for q, c, k, layer, estimator, *values in self.record["measured" if quantity != "loss" else "loss"]:
            if (q, c) == (quantity, code) and k in (None, order) and estimator != "plugin" and values[1] is not None:
                found.setdefault(layer, values)
        return found

    def right(self, task: str, record: dict[str, Any] | None = None) -> np.ndarray:
        """(items,) 0 or 1."""
        return np.array(list((record or self.record)["scores"][task]["right"])).astype(int)

    @property
    def scored(self) -> bool:
        """The smallest damages are measured and not scored."""
        return bool(self.record["scores"])

    @property
    def drop(self) -> float:
        """By how much the mean accuracy of the three benchmarks fell."""
        return float(np.mean([self.right(task, self.before).mean() - self.right(task).mean() for task in TASKS]))


def cases(data: Path) -> list[Case]:
    """All variants that were measured whole."""
    found = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        base = folder / "none.json"
        if not base.is_file():
            continue
        before = json.loads(base.read_text("utf-8"))
        for path in sorted(folder.glob("*.json")):
            record = json.loads(path.read_text("utf-8"))
            if path != base and "failed" not in record:
                found.append(Case(record, before))
    return sorted(found, key=lambda c: (c.model, c.kind, c.amount))


def by_model(found: Sequence[Case]) -> Iterator[tuple[str, list[Case]]]:
    """Each model, and its variants."""
    for model in dict.fromkeys(case.model for case in found):
        yield model, [case for case in found if case.model == model]


# ---------------------------------------------------------------------- what sees it


def p_of(values: Sequence[float]) -> float:
    """Two-sided, of a difference with half of its 95 % interval."""
    _, difference, _, half, freedom = values
    if not half:
        return 1.0 if difference == 0 else 0.0
    v = freedom or np.inf
    return float(2 * student.sf(abs(difference) / half * student.ppf(0.975, v), v))


def of_loss(case: Case) -> float:
    return p_of(case.rows("loss", None, None)["model"])


def of_layers(case: Case, code: str) -> dict[str, float]:
    """By layer the smallest adjusted p of its figures."""
    tested = [(layer, p_of(v)) for q in ASKED for layer, v in case.rows(q, code, 1).items() if layer != "model"]
    found: dict[str, float] = {}
    for (layer, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
        found[layer] = min(p, found.get(layer, 1.0))
    return found


def of_benchmark(case: Case, task: str) -> float:
    """McNemar's exact test."""
    before, after = case.right(task, case.before), case.right(task)
    lost, won = int((before > after).sum()), int((before < after).sum())
    return 1.0 if lost + won == 0 else float(binomtest(lost, lost + won).pvalue)


def of_benchmarks(case: Case) -> float:
    return min(holm([of_benchmark(case, task) for task in TASKS]))


def of_entropy(case: Case) -> float:
    z = [abs(d) / e if e else (0.0 if d == 0 else np.inf) for d, e in case.record["entropy"].values()]
    return min(holm([float(2 * norm.sf(x)) for x in z]))


DETECTORS: dict[str, Callable[[Case], float]] = {
    "loss": of_loss,
    "layers, random code": lambda case: min(of_layers(case, "random").values()),
    "layers, fitted code": lambda case: min(of_layers(case, "fitted").values()),
    "entropy of states": of_entropy,
    "hellaswag": lambda case: of_benchmark(case, "hellaswag"),
    "all three benchmarks": of_benchmarks,
}
BENCHMARKS = ("hellaswag", "all three benchmarks")


def seconds(case: Case) -> dict[str, float]:
    s = case.record["seconds"]
    of = {task: float(case.record["scores"][task]["seconds"]) if case.scored else np.nan for task in TASKS}
    return {
        "loss": s.get("wall_time", {}).get("capturing_s", np.nan),  # of the forward pass alone
        "layers, random code": s["measured"], "layers, fitted code": s["measured"],
        "entropy of states": s["entropy"], "hellaswag": of["hellaswag"], "all three benchmarks": sum(of.values()),
        "weights": s["weights"],
    }  # fmt: skip


def seen(found: list[Case]) -> Iterator[str]:
    yield "## What sees each variant"
    yield (
        "p of the difference from the model before; of layers the smallest, adjusted for all of them. In bold where it "
        "is below 0.05. The loss is the change in nats a token, accuracy the change in points of the mean of three "
        "benchmarks; the smallest damages were not scored."
    )
    header = ["model", "variant", "loss", "accuracy", *(f"p: {name}" for name in DETECTORS)]
    rows = []
    for case in found:
        loss = case.rows("loss", None, None)["model"][1]
        ps = [_p(detect(case)) if case.scored or name not in BENCHMARKS else "" for name, detect in DETECTORS.items()]
        accuracy = f"{-100 * case.drop:+.1f}" if case.scored else ""
        rows.append([case.model, case.variant, f"{loss:+.4f}", accuracy, *ps])
    yield table(header, rows)


def smallest(found: list[Case]) -> Iterator[str]:
    yield "## The smallest damage that is seen"
    yield (
        "Of each kind the least amount from which on all larger ones are seen at p < 0.05 (of rounding the most bits), "
        "and the seconds that it takes, the median over variants. A dash: the largest is not seen."
    )
    kinds = ("noise", "prune", "round")
    rows = []
    for model, mine in by_model(found):
        for name, detect in DETECTORS.items():
            cells = []
            for kind in kinds:
                of_kind = [case for case in mine if case.kind == kind and (case.scored or name not in BENCHMARKS)]
                of_kind.sort(key=lambda case: case.amount, reverse=kind != "round")
                least = "–"
                for case in of_kind:  # from the worst on
                    if detect(case) >= LEVEL:
                        break
                    least = f"{case.amount:g}"
                cells.append(least)
            costs = [cost for case in mine if np.isfinite(cost := seconds(case)[name])]
            rows.append([model, name, *cells, f"{np.median(costs):.0f}" if costs else ""])
    yield table(["model", "what looks", *kinds, "seconds"], rows)


def depth(found: list[Case]) -> Iterator[str]:
    yield "## Is the layer that was hurt the layer that shows it?"
    yield "Variants that lack a block: the first layer that differs, and the one of which that is surest."
    rows = []
    for case in found:
        if case.record["hurt_block"] is None:
            continue
        for code in ("random", "fitted"):
            layers = of_layers(case, code)
            changed = [layer for layer, p in layers.items() if p < LEVEL]
            surest = min(layers, key=lambda layer: layers[layer]) if changed else "–"
            first = changed[0] if changed else "–"
            hurt, share = f"block.{case.record['hurt_block']}", f"{len(changed)} of {len(layers)}"
            rows.append([case.model, hurt, code, first, surest, share])
    yield table(["model", "hurt", "code", "first that differs", "surest", "layers that differ"], rows)


# ---------------------------------------------------------------------- ranks


def change(quantity: str, code: str) -> Callable[[Case], float]:
    """The relative change of a figure of the whole model, as a size."""

    def of(case: Case) -> float:
        value, difference, *_ = case.rows(quantity, code, 1)["model"]
        return abs(difference / (value - difference))

    return of


def _entropy(case: Case) -> float:
    return float(np.mean([abs(d) for d, _ in case.record["entropy"].values()]))


def _alpha(case: Case) -> float:
    return abs(case.record["weights"]["alpha"] - case.before["weights"]["alpha"])


PREDICTORS: dict[str, Callable[[Case], float]] = {
    "loss": lambda case: case.rows("loss", None, None)["model"][1],
    **{
        f"{q}, {c} code": change(q, c)
        for c in ("random", "fitted")
        for q in ("complexity", "expressivity", "optimality")
    },
    "entropy of states": _entropy,
    "WeightWatcher alpha": _alpha,
}


def _drawn_drops(found: list[Case]) -> np.ndarray:
    """(DRAWS, cases) drops of accuracy by items drawn anew, the same for all variants of a model."""
    draw, drops = np.random.default_rng(0), np.zeros((DRAWS, len(found)))
    for model in dict.fromkeys(case.model for case in found):
        for task in TASKS:
            places = [i for i, case in enumerate(found) if case.model == model]
            lost = np.stack([found[i].right(task, found[i].before) - found[i].right(task) for i in places])
            items = draw.integers(lost.shape[1], size=(DRAWS, lost.shape[1]))
            drops[:, places] += lost[:, items].mean(2).T / len(TASKS)
    return drops


def _rank(x: Sequence[float], y: Sequence[float]) -> float:
    return float(spearmanr(x, y).statistic)


def ranks(found: list[Case]) -> Iterator[str]:
    yield "## Does it rank variants as benchmarks do?"
    yield (
        "Spearman's correlation of the size of a change with the drop of mean accuracy, within a model; in brackets "
        "95 % of 2,000 draws of the items. Without the loss: of what is left of both after a line on the loss in ranks."
    )
    rows = []
    for model, mine in by_model([case for case in found if case.scored]):
        if len(mine) < 5:
            continue
        drops, drawn = [case.drop for case in mine], _drawn_drops(mine)
        loss = [PREDICTORS["loss"](case) for case in mine]
        for name, predict in PREDICTORS.items():
            x = [predict(case) for case in mine]
            low, high = np.percentile([_rank(x, d) for d in drawn[:500]], [2.5, 97.5])
            beyond = "" if name == "loss" else f"{_partial(x, drops, loss):+.2f}"
            rows.append([model, len(mine), name, f"{_rank(x, drops):.2f} ({low:.2f} to {high:.2f})", beyond])
    yield table(["model", "variants", "size of the change of", "Spearman", "beyond the loss"], rows)


def _partial(x: Sequence[float], y: Sequence[float], z: Sequence[float]) -> float:
    xy, xz, yz = _rank(x, y), _rank(x, z), _rank(y, z)
    below = np.sqrt((1 - xz**2) * (1 - yz**2))
    return float((xy - xz * yz) / below) if below > 1e-9 else 0.0


STRUCTURE = (
    "complexity, random code",
    "expressivity, random code",
    "complexity, fitted code",
    "expressivity, fitted code",
)
SETS = {"structure": STRUCTURE, "loss": ("loss",), "both": (*STRUCTURE, "loss")}


def _features(found: Sequence[Case], names: Sequence[str]) -> np.ndarray:
    x = np.array([[PREDICTORS[name](case) for name in names] for case in found])
    return np.log(np.maximum(x, 1e-5))  # amounts of damage span orders of magnitude


def _predicted(train: Sequence[Case], test: Sequence[Case], names: Sequence[str]) -> np.ndarray:
    """By ridge regression of the drop on standardised logarithms of the changes."""
    x, y = _features(train, names), np.array([case.drop for case in train])
    mean, scale = x.mean(0), x.std(0) + 1e-9
    x, z = (x - mean) / scale, (_features(test, names) - mean) / scale
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return np.asarray(z @ weights + y.mean())


def kinds_left_out(found: list[Case]) -> Iterator[str]:
    yield "## Across kinds of damage"
    yield (
        "The drop of accuracy of the variants of one kind, predicted from the others of both models; over all kinds, "
        "Spearman's correlation with the drop, and the mean absolute error in points."
    )
    mine = [case for case in found if case.model != HELD_OUT and case.scored]
    if len({case.kind for case in mine}) < 2:
        yield "Variants of one kind only are there yet."
        return
    rows = []
    for name, names in SETS.items():
        predicted = np.zeros(len(mine))
        for kind in dict.fromkeys(case.kind for case in mine):
            out = [i for i, case in enumerate(mine) if case.kind == kind]
            train = [case for case in mine if case.kind != kind]
            predicted[out] = _predicted(train, [mine[i] for i in out], names)
        drops = np.array([case.drop for case in mine])
        low, high = np.percentile([_rank(predicted.tolist(), d) for d in _drawn_drops(mine)[:500]], [2.5, 97.5])
        told = f"{_rank(predicted.tolist(), drops.tolist()):.2f} ({low:.2f} to {high:.2f})"
        rows.append([name, len(mine), told, f"{100 * np.abs(predicted - drops).mean():.1f}"])
    yield table(["predicted from", "variants", "Spearman", "error, points"], rows)


def held_out(found: list[Case]) -> Iterator[str]:
    yield "## A model that was held out"
    test, train = ([c for c in found if c.scored and (c.model == HELD_OUT) == is_out] for is_out in (True, False))
    if len(test) < 3:
        yield f"{HELD_OUT} has {len(test)} variants yet; expected 3 or more."
        return
    yield f"The drops of the {len(test)} variants of {HELD_OUT}, predicted from the {len(train)} of the others."
    drops, drawn, rows = [case.drop for case in test], _drawn_drops(test), []
    for name, names in SETS.items():
        predicted = _predicted(train, test, names).tolist()
        low, high = np.percentile([_rank(predicted, d) for d in drawn], [2.5, 97.5])
        error = 100 * float(np.abs(np.array(predicted) - drops).mean())
        rows.append([name, f"{_rank(predicted, drops):.2f} ({low:.2f} to {high:.2f})", f"{error:.1f}"])
    yield table(["predicted from", "Spearman", "error, points"], rows)


# ---------------------------------------------------------------------- how well accuracy is known


def accuracy(found: list[Case]) -> Iterator[str]:
    yield "## How well accuracy is known"
    yield (
        "The models before, 500 items each, with binomial standard errors; half of the 95 % interval of a paired drop, "
        "the median over variants."
    )
    rows = []
    for model, mine in by_model([case for case in found if case.scored]):
        for task in TASKS:
            right = mine[0].right(task, mine[0].before)
            error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
            halves = [1.96 * (c.right(task, c.before) - c.right(task)).std() / np.sqrt(len(right)) for c in mine]
            cells = [f"{right.mean():.3f} ± {error:.3f}", f"{100 * float(np.median(halves)):.1f} points"]
            rows.append(
                [model, task, *cells, f"{float(np.median([c.record['scores'][task]['seconds'] for c in mine])):.0f}"]
            )
    yield table(["model", "task", "accuracy", "a drop is known to", "seconds"], rows)


def _p(p: float) -> str:
    text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return f"**{text}**" if p < LEVEL else text


def table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def main() -> None:
    """Write results.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("--into", type=Path, default=HERE / "results.md")
    given = parser.parse_args()
    found = cases(given.data)
    parts = ["# Damage: results", "Made by `python studies/damage/results.py` from `data/`."]
    for section in (seen, smallest, depth, accuracy, ranks, kinds_left_out, held_out):
        try:
            parts += section(found)
        except (ValueError, IndexError, np.linalg.LinAlgError) as error:
            parts.append(f"Too few variants yet: {error}.")
    given.into.write_text("\n\n".join(parts) + "\n", "utf-8")
    print(f"Wrote {given.into}")


if __name__ == "__main__":
    main()
