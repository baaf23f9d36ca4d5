"""How often intervals hold the truth when reference points are drawn anew, and documents too.

    python bench/points.py states [tokens]      one text, a real model: the part of the points alone
    python bench/points.py drawn [draws]        states drawn with known labels: documents and points together

First: the states of SmolLM2's blocks on 4,096 tokens are read with many sets of points. Sets are dealt to models of 30,
7 and 2 blocks, in as many sets each as the default has; the truth of a text is the mean over all sets. Second: three
layers see one latent state of Gaussian labels, documents and noise through maps of their own; the truth is integrated
over many sets of points.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binom

from infoplane.capture.writer import hold_capture
from infoplane.information.assignments import Rows
from infoplane.information.estimators import information
from infoplane.information.label_groups import Grouping
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.information.reference_points import PointSets, ReferencePoints, sets_for
from infoplane.measurement.set_means import SetMean
from infoplane.models.loading import load_model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.ngram_labels import Labels, NGrams
from infoplane.uncertainty.document_blocks import assign_blocks
from infoplane.uncertainty.drawn_points import Errors, errors_of

QUANTITIES = ("ceiling", "complexity", "expressivity", "optimality")
Floats = np.ndarray


def of_set(
    a: Floats, input_: Labels, output: Labels, rows: Floats, document: Floats, block: Floats
) -> dict[str, Floats]:
    """(1 + B,) of each quantity but the ratio, of one layer and set."""
    layer = Rows.of(a)
    marginal, curve = Marginal.of(layer, rows, document, block), NullCurve.of(layer, rows)
    told = {"ceiling": marginal.ceiling_corrected}
    for name, labels in (("complexity", input_), ("expressivity", output)):
        value = information(layer, Grouping.of(labels, document, block), marginal, curve, thinned=True).thinned
        assert value is not None
        told[name] = value
    return told


def figures(sets: Mapping[str, list[dict[str, Floats]]]) -> dict[str, SetMean]:
    """The mean over layers of each quantity, from the sets of every layer."""
    means = {
        name: SetMean.over([SetMean.of_layer(layer, [s[name] for s in each]) for layer, each in sets.items()])
        for name in QUANTITIES[:3]
    }
    return {**means, "optimality": means["expressivity"] / means["complexity"]}


def band(held: int, of: int) -> str:
    low, high = binom.ppf([0.005, 0.995], of, 0.95) / of
    return f"{held / of:.1%} of {of} ({'inside' if low <= held / of <= high else 'OUTSIDE'} {low:.0%} to {high:.0%})"


def of_states(tokens: int) -> None:
    model = load_model()
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=tokens)
    grams = NGrams(windows, 1)
    document, rows = windows.position_document, grams.positions(1)
    blocks = [layer for layer in model.layers if layer.name.startswith("block.")]
    chosen = {30: blocks, 7: blocks[2::4][:7], 2: [blocks[9], blocks[20]]}
    needed = {layer.name: 60 * max(sets_for(n) for n, some in chosen.items() if layer in some) for layer in blocks}
    pool: dict[str, list[dict[str, Floats]]] = {layer.name: [] for layer in blocks}
    step = 12
    for first in range(0, max(needed.values()), step):
        some = [layer for layer in blocks if needed[layer.name] > first]
        # sets of one seed: as independent as any
        points = PointSets.make(model.width, 100, 1000 + first, sets=step)
        capture = hold_capture(model, windows, points, some)
        for layer in some:
            for s in range(step):
                a = capture.read(layer.name, s)
                pool[layer.name].append(of_set(a, grams.input(1), grams.output(1), rows, document, windows.blocks))
        print(f"{first + step} sets of {len(some)} blocks", file=sys.stderr, flush=True)
    print("| blocks | sets | quantity | mean | sd of one set, one layer | SE of the text | SE of the points | held |")
    print("|---|---|---|---|---|---|---|---|")
    for n, some in chosen.items():
        names, r = [layer.name for layer in some], sets_for(n)
        truth = figures({name: pool[name] for name in names})
        held = dict.fromkeys(QUANTITIES, 0)
        spread: dict[str, list[float]] = {name: [] for name in QUANTITIES}
        count = len(pool[names[0]]) // r
        count = min(count, 60)
        for i in range(count):
            drawn = figures({name: pool[name][i * r : (i + 1) * r] for name in names})
            for quantity, figure in drawn.items():
                part = figure.points
                assert part.variance is not None and part.degrees is not None
                errors = Errors(0.0, None, math.sqrt(part.variance), part.degrees)
                low, high = errors.interval(figure.columns[0]) or (0, 0)
                held[quantity] += int(low <= truth[quantity].columns[0] <= high)
                spread[quantity].append(part.variance)
        for quantity in QUANTITIES:
            whole = truth[quantity]
            single = np.mean([np.var(u[:, 0], ddof=1) for u in whole.by_draw.values()]) ** 0.5 * n
            text = errors_of(whole.columns[1:], None).text or 0
            print(
                f"| {n} | {r} | {quantity} | {whole.columns[0]:.4f} | {single:.4f} | {text:.4f} "
                f"| {np.mean(spread[quantity]) ** 0.5:.4f} | {band(held[quantity], count)} |",
                flush=True,
            )


class Drawn:
    """Three layers that see one latent state through maps of their own."""

    def __init__(self, labels: int = 80, d: int = 16, m: int = 20, layers: int = 3, document: float = 0.5) -> None:
        fixed = np.random.default_rng(5)
        self.mu = 0.9 * fixed.standard_normal((labels, d))
        self.maps = [np.eye(d) * 0.4 + fixed.standard_normal((d, d)) / d**0.5 for _ in range(layers)]
        self.next_of = fixed.integers(12, size=labels)  # the next label is this one, in two cases of three
        self.frequency = 1 / (np.arange(labels) + 2.7)
        self.frequency /= self.frequency.sum()
        self.d, self.m, self.document = d, m, document

    def draw(self, r: Any, n: int) -> tuple[list[Floats], Floats, Floats, Floats]:
        """States of each layer (n, d), labels of both sides and documents (n,)."""
        lengths = r.integers(10, 71, n // 10 + 1)
        document = np.repeat(np.arange(len(lengths)), lengths)[:n].astype(np.int32)
        x = r.choice(len(self.frequency), n, p=self.frequency)
        y = np.where(r.random(n) < 0.66, self.next_of[x], r.integers(12, size=n))
        effect = self.document * r.standard_normal((int(document[-1]) + 1, self.d))[document]
        latent = self.mu[x] + 0.4 * self.mu[y] + effect + 0.8 * r.standard_normal((n, self.d))
        return [latent @ a + 0.3 * r.standard_normal((n, self.d)) for a in self.maps], x, y, document

    def assigned(self, z: Floats, points: ReferencePoints) -> Floats:
        logits = z @ points.directions.T / (np.linalg.norm(z, axis=1, keepdims=True) * points.eps)
        a = np.exp(logits - logits.max(1, keepdims=True))
        return a / a.sum(1, keepdims=True)

    def truth(self, sets: int = 400, n: int = 60_000) -> dict[str, float]:
        """The means over points, from as many sets and one long text: 750 rows a label and more."""
        r = np.random.default_rng(99)
        states, x, y, _ = self.draw(r, n)
        total = {name: np.zeros(len(states)) for name in QUANTITIES[:3]}

        def entropy(p: Floats) -> Floats:
            return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)

        for layer, z in enumerate(states):
            for s in range(sets):
                points = PointSets.make(self.d, self.m, 50_000 + s).at(f"block.{layer}", 0)
                a = self.assigned(z, points)
                p = a.mean(0)
                total["ceiling"][layer] += entropy(p) - entropy(a).mean()
                for name, label in (("complexity", x), ("expressivity", y)):
                    n_x = np.bincount(label)
                    mean, square = (
                        np.stack([np.bincount(label, v[:, j]) for j in range(self.m)], 1) / n_x[:, None]
                        for v in (a, a * a)
                    )
                    lacks = ((square - mean**2) / np.maximum(mean, 1e-300)).sum(1) / (2 * np.maximum(n_x - 1, 1))
                    total[name][layer] += entropy(p) - (n_x / n) @ (entropy(mean) + lacks)
        means = {name: float(values.mean()) / sets for name, values in total.items()}
        return {**means, "optimality": means["expressivity"] / means["complexity"]}


def of_drawn(draws: int) -> None:
    channel = Drawn()
    truth, n = channel.truth(), 6_000
    layers, r = [f"block.{i}" for i in range(len(channel.maps))], sets_for(len(channel.maps))
    rows = np.arange(n, dtype=np.int32)
    held = dict.fromkeys(QUANTITIES, 0)
    values: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    parts: dict[str, list[Errors]] = {name: [] for name in QUANTITIES}
    for seed in range(draws):
        states, x, y, document = channel.draw(np.random.default_rng([1, seed]), n)
        block = assign_blocks(np.bincount(document))
        x_labels, y_labels = (
            Labels(rows, np.unique(v, return_inverse=True)[1].reshape(-1).astype(np.int32)) for v in (x, y)
        )
        points = PointSets.make(channel.d, channel.m, seed, sets=r)
        sets = {
            layer: [
                of_set(
                    channel.assigned(z, points.at(layer, s)).astype(np.float16),
                    x_labels,
                    y_labels,
                    rows,
                    document,
                    block,
                )
                for s in range(r)
            ]
            for layer, z in zip(layers, states, strict=True)
        }
        for quantity, figure in figures(sets).items():
            errors = errors_of(figure.columns[1:], figure.points)
            low, high = errors.interval(figure.columns[0]) or (0, 0)
            held[quantity] += int(low <= truth[quantity] <= high)
            values[quantity].append(float(figure.columns[0]))
            parts[quantity].append(errors)
    print("| quantity | truth | bias | spread | SE: text, points, both | intervals that hold the truth |")
    print("|---|---|---|---|---|---|")
    for quantity in QUANTITIES:
        x = np.array(values[quantity])
        text, of_points, total = (
            np.mean([getattr(e, name) ** 2 for e in parts[quantity]]) ** 0.5 for name in ("text", "points", "total")
        )
        print(
            f"| {quantity} | {truth[quantity]:.4f} | {x.mean() / truth[quantity] - 1:+.1%} | {x.std(ddof=1):.4f} "
            f"| {text:.4f}, {of_points:.4f}, {total:.4f} | {band(held[quantity], draws)} |",
            flush=True,
        )


if __name__ == "__main__":
    what, size = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
    of_states(size or 4_096) if what == "states" else of_drawn(size or 200)
