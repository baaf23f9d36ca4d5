"""The same states asked by other estimators, and what order-k optimality means under each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from common import Setting, Table, asked, both, spearman
from infoplane.information.estimator_names import ESTIMATORS
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.text.ngram_labels import NGrams
from others import FEW, PLENTY, Probe, Sample, clusters, critic, ksg, renyi
from settings import models
from states import GEMMA, SMOLLM2, TWIN, States, assign, capture_of
from truth import Mixture, estimate

TOP = 50
NAMES = (
    "soft plugin", "soft corrected", "k-means plugin", "k-means corrected",
    "probe", "infonce", "mine", "club", "ksg", "renyi",
)  # fmt: skip
BOUNDS = {"probe": "lower", "infonce": "lower", "mine": "lower", "club": "upper"}


def _others(setting: Setting, s: Sample, seed: int = 0) -> tuple[dict[str, float], dict[str, float]]:
    """What each says of a sample, and the seconds it took."""
    steps, few = setting.of(300, 60), setting.of(FEW, 500)
    found: dict[str, float] = {}
    seconds: dict[str, float] = {}
    z, x = np.concatenate((s.z, s.z_test)), np.concatenate((s.x, s.x_test))
    some = np.random.default_rng(seed).permutation(len(z))
    probe: list[Probe] = []

    def fitted() -> float:
        probe.append(Probe(s, seed))
        return probe[0].bound

    asks: dict[str, Callable[[], float]] = {
        "probe": fitted,
        "club": lambda: probe[0].club,
        "infonce": lambda: critic(s, "infonce", seed, steps),
        "mine": lambda: critic(s, "mine", seed, steps),
        "ksg": lambda: ksg(z[some[:PLENTY]], x[some[:PLENTY]]),
        "renyi": lambda: renyi(z[some[:few]], x[some[:few]]),
    }
    for name, ask in asks.items():
        began = time.perf_counter()
        found[name] = ask()
        seconds[name] = time.perf_counter() - began
    seconds["club"] += seconds["probe"]
    return found, seconds


def known(setting: Setting) -> list[Table]:
    """Each estimator where the truth is known: its bias, spread and cost."""
    d, inside, labels = 576, 16, TOP
    n, documents = setting.of((8_000, 200), (2_000, 50))
    rows: list[list[Any]] = [[name] for name in NAMES]
    cost: dict[str, list[float]] = {name: [] for name in NAMES}
    columns = ["estimator"]
    for told, attracted in setting.of((("nothing", 25), ("little", 3), ("much", 25)), (("nothing", 25), ("much", 25))):
        mixture, points = Mixture(d, labels, inside, attracted), ReferencePoints.make(d)
        coded, truth = (0.0, 0.0) if told == "nothing" else mixture.truth(points, setting.of(2_000, 500))
        found: dict[str, list[float]] = {name: [] for name in NAMES}
        for seed in range(setting.of(4, 2)):
            random = np.random.default_rng([seed, 5])
            x = random.choice(labels, n, p=mixture.frequency)
            z = mixture.draw(x, random)
            x = random.permutation(x) if told == "nothing" else x
            test = np.arange(n) >= 2 * n // 3
            sample = Sample(z[~test], x[~test], z[test], x[test], labels)
            values, seconds = _others(setting, sample, seed)
            document = np.repeat(np.arange(documents), n // documents).astype(np.int32)
            for kind in ("soft", "k-means"):
                began = time.perf_counter()
                pair = _coded(assign(z, points) if kind == "soft" else _hard(sample, z), x, document)
                for name, value in zip((f"{kind} plugin", f"{kind} corrected"), pair, strict=True):
                    values[name] = value
                    seconds[name] = time.perf_counter() - began
            for name in NAMES:
                found[name].append(values[name])
                cost[name].append(seconds[name])
        columns += [f"{told}: truth", "mean", "sd"]
        for row in rows:
            name = str(row[0])
            aim: Any = truth if not name.startswith(("soft", "k-means")) else coded if name.startswith("soft") else None
            row += [aim, float(np.mean(found[name])), float(np.std(found[name], ddof=1))]
    for row in rows:
        row += [BOUNDS.get(str(row[0]), ""), float(np.mean(cost[str(row[0])]))]
    says = (
        f"Mixtures of {labels} von Mises-Fisher densities that fill {inside} of {d} dimensions, {n:,} states, nats; "
        "the labels of `nothing` are permuted. Truth: I(X;Z) of the states; for `soft`, I(X;Z') of its code; for "
        "clusters, unknown."
    )
    return [Table("Other estimators where the truth is known", says, [*columns, "bound", "seconds"], rows, digits=3)]


def _hard(s: Sample, z: np.ndarray) -> np.ndarray:
    return np.eye(100)[clusters(s.z, z)]


def _coded(a: np.ndarray, x: np.ndarray, document: np.ndarray) -> tuple[float, float]:
    told = estimate(a.astype(np.float16), x, document, thinned=True)
    return float(told.plugin[0]), float(told.thinned[0])


def layers(setting: Setting) -> list[Table]:
    """Layers of real models, the same labels and states for all estimators."""
    names = (SMOLLM2, TWIN + SMOLLM2, GEMMA, TWIN + GEMMA)
    rows: list[list[Any]] = []
    for states in models(setting, names):
        grams = NGrams(states.windows, 1)
        for side, labels in (("input", grams.input(1)), ("output", grams.output(1))):
            count = np.bincount(labels.codes)
            top = np.sort(np.argsort(-count, kind="stable")[:TOP])
            keep = np.isin(labels.codes, top)
            at, x = labels.rows[keep], np.searchsorted(top, labels.codes[keep])
            column = np.full(states.windows.n_positions, -1)
            column[at] = x
            soft = _ask_columns(states, column)
            test = states.windows.position_document[at] % 3 == 0
            for layer in states.layers:
                z = np.asarray(states.read(layer)[at])
                sample = Sample(z[~test], x[~test], z[test], x[test], TOP)
                values, _ = _others(setting, sample)
                hard = np.eye(100, dtype=np.float16)[clusters(sample.z, np.asarray(states.read(layer)))]
                coded = capture_of({f"{layer}/0": hard}, states.windows, [layer], [ReferencePoints.make(states.width)])
                values |= _soft_values("k-means", measure_capture(coded, orders=(1,), **_like(column)), layer)
                values |= _soft_values("soft", soft, layer)
                rows.append([states.name, side, layer, len(at), *(values[name] for name in NAMES)])
                print(states.name, side, layer, flush=True)
    says = (
        f"The {TOP} most frequent labels of each model's text (present token; next token), and their states, "
        "nats. Probe, infonce, mine, club are judged on a third of the documents; ksg sees 4,000 states, renyi 1,500."
    )
    values = Table("Other estimators on real layers", says, ["model", "side", "layer", "n", *NAMES], rows, digits=3)
    return [values, *derived(rows)]


def derived(rows: list[list[Any]]) -> list[Table]:
    """What the values by layer say: agreement of layers, of optimality with prediction, of models."""
    return [_agreement(rows), _optimality(rows), _of_models(rows)]


def _like(column: np.ndarray) -> dict[str, Any]:
    asked = {"labels": {"top": column}, "estimators": ("corrected", "plugin")}
    return {**asked, "unit": "nats", "controls": False, "threads": 1}


def _ask_columns(states: States, column: np.ndarray) -> Measurement:
    return measure_capture(states.capture(), orders=(1,), **_like(column))


def _soft_values(kind: str, found: Measurement, layer: str) -> dict[str, float]:
    return {
        f"{kind} {name}": float(found.get("information", layer=layer, side="label:top", estimator=resolved).value)
        for name, resolved in ESTIMATORS.items()
        if name != "null-curve"
    }


def _agreement(rows: list[list[Any]]) -> Table:
    """Mean rank correlation of layers between each two estimators, over models and sides."""
    groups = list(dict.fromkeys((r[0], r[1]) for r in rows))
    values = {g: np.array([r[4:] for r in rows if (r[0], r[1]) == g], dtype=float) for g in groups}
    out = []
    for i, name in enumerate(NAMES):
        mean = [
            float(np.nanmean([spearman(v[:, i], v[:, j]) for v in values.values()])) if j != i else 1.0
            for j in range(len(NAMES))
        ]
        out.append([name, *mean])
    says = f"Rank correlation of a model's layers between two estimators, mean over {len(groups)} models and sides."
    return Table("Do they rank layers alike?", says, ["", *NAMES], out, digits=2)


def _optimality(rows: list[list[Any]]) -> Table:
    """How the quantities of the plane order a model's layers, beside what a probe reads of the next token."""
    out = []
    for name in dict.fromkeys(r[0] for r in rows if not r[0].startswith(TWIN)):
        x, y = (np.array([r[4:] for r in rows if r[:2] == [name, side]], dtype=float) for side in ("input", "output"))
        at, told = NAMES.index("soft corrected"), y[:, NAMES.index("probe")]
        plugin = NAMES.index("soft plugin")
        ratios = [y[:, at], -x[:, at], y[:, at] / x[:, at], y[:, plugin] / x[:, plugin]]
        out.append([name, *(spearman(r, told) for r in ratios)])
    says = (
        "Rank correlation, over the layers of a trained model, with what a probe finds of the next token (lower "
        "bound): of expressivity, of complexity turned around, and of their ratio."
    )
    names = ["model", "expressivity", "- complexity", "optimality", "optimality by plugin"]
    return Table("Which of them follows what a probe can predict?", says, names, out, digits=2)


def _of_models(rows: list[list[Any]]) -> Table:
    out = []
    for side in ("input", "output"):
        for name in dict.fromkeys(r[0] for r in rows):
            mine = np.array([r[4:] for r in rows if r[0] == name and r[1] == side and r[2] != "embed"], dtype=float)
            out.append([side, name, *mean_of(mine)])
    says = "Mean over blocks, nats. Two tokenizers mean two sets of labels: compare a model with its own twin."
    return Table("Do they rank models alike?", says, ["side", "model", *NAMES], out, digits=3)


def mean_of(values: np.ndarray) -> list[float]:
    """Mean of each column."""
    return [float(v) for v in values.mean(0)]


def orders(setting: Setting) -> list[Table]:
    """What optimality of wide n-grams says, of models and of noise."""
    captures: list[tuple[str, Any]] = [(s.name, s.capture()) for s in models(setting, (SMOLLM2, TWIN + SMOLLM2, GEMMA))]
    first = captures[0][1]
    noise = np.random.default_rng(3).standard_normal((first.windows.n_positions, 576)).astype(np.float32)
    points = ReferencePoints.make(576)
    named = [name for name in first.layers if name != "embed"]
    held = {f"{name}/0": assign(noise, points).astype(np.float16) for name in named}
    captures.append(("noise, no model at all", capture_of(held, first.windows, named, [points])))
    rows = []
    for name, capture in captures:
        found = asked(capture, (1, 2, 3, 4), controls=False)
        for k in (1, 2, 3, 4):
            plugin, corrected = both(found, "optimality", k)
            x = both(found, "complexity", k)[0]
            ceiling = found.get("ceiling", estimator="plugin", position_set=f"P_{k}").value
            error = f" ± {corrected.standard_error:.3f}" if corrected.standard_error is not None else ""
            rows.append([
                name, k, f"{1 - x.repeated_mass:.0%}", x.value / ceiling, plugin.value,
                f"{corrected.value:.3f}{error}", both(found, "complexity", k)[1].value,
                both(found, "expressivity", k)[1].value,
            ])  # fmt: skip
    says = (
        "A label seen once has `H(Z'|x) = H(a)`: by `plugin` it tells all that the code holds. The wider the n-gram, "
        "the more of them, on both sides, and the ratio goes to ceiling / ceiling = 1 whatever stands in the states. "
        "Noise makes it plain."
    )
    names = [
        "states", "order", "labels seen once", "plugin complexity / ceiling", "plugin optimality",
        "corrected optimality", "corrected complexity", "corrected expressivity",
    ]  # fmt: skip
    return [Table("Optimality by order", says, names, rows, digits=3)]
