"""What the figures hang on besides the model: tokens, reference points, temperature, context, precision, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from common import Setting, Table, asked, both, entropy, spearman
from infoplane.capture.stored_capture import Capture
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.results import Measurement
from infoplane.text.ngram_labels import NGrams
from states import GEMMA, SMOLLM2, Missing, States, assign, part_of, states_of

QUANTITIES = (("complexity", 1), ("expressivity", 1), ("optimality", 1), ("complexity", 2), ("expressivity", 2))


def models(setting: Setting, names: tuple[str, ...] = (SMOLLM2, GEMMA)) -> Iterator[States]:
    """Those of the models that this machine has; the short version has no Gemma."""
    for name in names:
        if setting.quick and name.endswith(GEMMA):
            continue
        try:
            yield states_of(name, setting.cache, tokens=setting.tokens, layers=setting.of(5, 2))
        except Missing as missing:
            print(f"without {missing}", flush=True)


def drift(setting: Setting) -> list[Table]:
    """Parts of one sample of windows: what changes is the number of positions alone, not how deep they lie."""
    rows = []
    for states in models(setting):
        capture = states.capture()
        deal = np.random.default_rng(0).permutation(len(capture.windows))
        for parts in setting.of((16, 8, 4, 2, 1), (2, 1)):
            found = []
            for part in np.array_split(deal, parts):
                some = part_of(capture, part)
                found.append((some.windows.n_positions, asked(some, (1, 2), controls=False)))
            n = round(float(np.mean([f[0] for f in found])))
            for quantity, order in QUANTITIES:
                pairs = [both(f[1], quantity, order) for f in found]
                values = np.array([[plugin.value, row.value] for plugin, row in pairs])
                errors = [row.standard_error for _, row in pairs if row.standard_error is not None]
                error = float(np.mean(errors)) if errors else None
                rows.append([states.name, n, parts, quantity, order, *values.mean(0), error])
    names = ["model", "positions", "parts", "quantity", "order", "plugin", "corrected", "standard error of one part"]
    says = (
        "Windows of one text dealt to parts, efficiency (optimality: a ratio), mean over the parts. The last line of a "
        "model is the whole; what the smaller parts differ by is bias and chance."
    )
    return [Table("Drift with the number of positions", says, names, rows)]


def points(setting: Setting) -> list[Table]:
    """Spread over independent reference sets, by their number, rule and temperature."""
    states = next(models(setting))
    tokens = setting.of(16_384, 2_048)
    seeds = setting.of(8, 2)
    spread, truths = [], {}
    captures: dict[int, Measurement] = {}
    for m in setting.of((25, 50, 100, 200, 400, 800), (25, 100)):
        found = _sets(states, tokens, [ReferencePoints.make(states.width, m, seed) for seed in range(seeds)])
        captures[m] = found[0]
        truths[m] = found
        spread.append(_spread_row(f"{m}", found))
    for name, rule in (("100, orthogonal", orthogonal), ("100, in pairs w and -w", paired)):
        spread.append(_spread_row(name, _sets(states, tokens, [rule(states.width, 100, s) for s in range(seeds)])))
    best = truths[max(truths)]
    agree = [
        [m, *(
            float(np.mean([
                spearman(_layers(one, states, quantity), np.mean([_layers(b, states, quantity) for b in best], axis=0))
                for one in found
            ]))
            for quantity in ("complexity", "expressivity", "ceiling")
        )]
        for m, found in truths.items()
    ]  # fmt: skip
    rules = []
    for rule in ("exact", "leading-order", "amos-lower"):
        sets = [ReferencePoints.make(states.width, 100, seed, rule) for seed in range(seeds)]
        rules.append([rule, sets[0].eps, *_means(_sets(states, tokens, sets))])
    says = (
        f"{states.name}, {tokens:,} tokens, {seeds} independent sets of m points, efficiency, order 1, mean over "
        f"{len(states.layers) - 1} blocks: mean and standard deviation over the sets; last the standard error over "
        "documents."
    )
    names = [
        "points", "complexity", "sd", "expressivity", "sd", "optimality", "sd", "ceiling", "sd",
        "standard error of expressivity",
    ]  # fmt: skip
    return [
        Table("Reference points: how many, and how much they matter", says, names, spread),
        Table(
            "Do fewer points rank the layers alike?",
            f"Rank correlation of the layers' values (one set) with the mean over the sets of {max(truths)} points.",
            ["m", "complexity", "expressivity", "ceiling"], agree, digits=3,
        ),
        Table(
            "Temperature rules", f"{states.name}, m = 100, mean over {seeds} sets, efficiency, order 1.",
            ["rule", "eps", "complexity", "expressivity", "optimality", "entropy", "ceiling"], rules,
        ),
    ]  # fmt: skip


def orthogonal(d: int, m: int, seed: int) -> ReferencePoints:
    """m directions at right angles (m at most d): uniform one by one, and spread better together."""
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal((m, d))
    return ReferencePoints.given(np.linalg.qr(normal.T)[0].T)


def paired(d: int, m: int, seed: int) -> ReferencePoints:
    """m / 2 directions and their opposites."""
    half = ReferencePoints.make(d, m // 2, seed).directions
    return ReferencePoints.given(np.concatenate((half, -half)))


def _sets(states: States, tokens: int, sets: list[ReferencePoints]) -> list[Measurement]:
    windows = _first(states, tokens)
    return [asked(part_of(states.capture([p]), windows), (1,), controls=False) for p in sets]


def _first(states: States, tokens: int) -> np.ndarray:
    """Windows of documents at random up to a budget of tokens."""
    w = states.windows
    order = np.random.default_rng(1).permutation(len(w))
    return order[: int(np.searchsorted(np.cumsum(w.lengths[order]), tokens)) + 1]


def _spread_row(name: str, found: list[Measurement]) -> list[object]:
    row: list[object] = [name]
    for quantity in ("complexity", "expressivity", "optimality", "ceiling"):
        values = [_value(f, quantity) for f in found]
        row += [float(np.mean(values)), float(np.std(values, ddof=1))]
    return [*row, both(found[0], "expressivity")[1].standard_error]


def _value(found: Measurement, quantity: str, **more: str) -> float:
    own = {} if quantity in ("ceiling", "entropy") else {"order": 1}
    return float(found.get(quantity, position_set="P_1", **own, **more).value)


def _layers(found: Measurement, states: States, quantity: str) -> list[float]:
    return [_value(found, quantity, layer=layer) for layer in states.layers]


def _means(found: list[Measurement]) -> list[float]:
    names = ("complexity", "expressivity", "optimality", "entropy", "ceiling")
    return [float(np.mean([_value(f, q) for f in found])) for q in names]


def context(setting: Setting) -> list[Table]:
    """The same documents, read about 500 tokens deep, cut to windows of other lengths."""
    documents, tokens = setting.of((48, 24_576), (8, 4_096))
    rows = []
    for length in setting.of((32, 64, 128, 256, 512), (32, 512)):
        states = states_of(
            SMOLLM2, setting.cache, tokens=tokens, context=length, layers=setting.of(5, 2), long=documents
        )
        capture = states.capture()
        found = asked(capture, (1,), controls=False)
        rows.append([length, capture.windows.n_positions, *_with_errors(found)])
    says = (
        f"{SMOLLM2}, {documents} long documents, nearly the same tokens, cut to windows of this length; efficiency ± "
        "standard error, order 1, mean over blocks."
    )
    return [
        Table("Context", says, ["context", "positions", "complexity", "expressivity", "optimality", "ceiling"], rows)
    ]


def _with_errors(found: Measurement) -> list[str]:
    cells = []
    for quantity in ("complexity", "expressivity", "optimality", "ceiling"):
        own = {} if quantity == "ceiling" else {"order": 1}
        row = found.get(quantity, position_set="P_1", **own)
        cells.append(f"{row.value:.4f} ± {row.standard_error:.4f}" if row.standard_error else f"{row.value:.4f}")
    return cells


def precision(setting: Setting) -> list[Table]:
    """What half precision costs: of the assignments as stored, and of the model."""
    states = next(models(setting))
    stored = []
    for layer in states.layers:
        exact = assign(states.read(layer), ReferencePoints.make(states.width))
        half = exact.astype(np.float16).astype(np.float64)
        half /= half.sum(1, keepdims=True)
        labels = NGrams(states.windows, 1).input(1)
        values = [_plugin(a[labels.rows], labels.codes) / np.log(100) for a in (exact, half)]
        stored.append([layer, float(np.abs(exact - half).max()), *values, values[1] - values[0]])
    dtypes, first = [], None
    for dtype in setting.of(("float32", "bfloat16", "float16"), ("float32", "bfloat16")):
        capture = states_of(
            SMOLLM2, setting.cache, tokens=setting.of(16_384, 4_096), dtype=dtype, layers=setting.of(5, 2)
        ).capture()
        found = asked(capture, (1,), controls=False)
        first = first or (capture, found)
        difference = found.minus(first[1])
        dtypes.append([dtype, _distance(capture, first[0]), *_with_errors(found)[:3], *_with_errors(difference)[:2]])
    return [
        Table(
            "Assignments as float16", f"{states.name}: largest change of an assignment, and complexity by `plugin`.",
            ["layer", "largest change", "float64", "float16", "difference"], stored, digits=7,
        ),
        Table(
            "Precision of the model",
            f"{SMOLLM2}, same windows. Mean total variation distance of a position's assignment from float32, values "
            "and paired differences from float32 with their standard errors.",
            ["dtype", "distance", "complexity", "expressivity", "optimality", "its change", "of expressivity"],
            dtypes,
        ),
    ]  # fmt: skip


def _plugin(a: np.ndarray, codes: np.ndarray) -> float:
    n = np.bincount(codes)
    sums = np.stack([np.bincount(codes, a[:, j], minlength=len(n)) for j in range(a.shape[1])], 1)[n > 0]
    return float(entropy(a.mean(0)) - np.average(entropy(sums / n[n > 0, None]), weights=n[n > 0]))


def _distance(capture: Capture, other: Capture) -> float:
    each = [
        np.abs(capture.read(layer).astype(np.float32) - other.read(layer).astype(np.float32)).sum(1).mean() / 2
        for layer in capture.layers
    ]
    return float(np.mean(each))


def weights(setting: Setting) -> list[Table]:
    """Labels by their frequency, or each once."""
    rows = []
    for states in models(setting):
        capture = states.capture()
        deal = np.random.default_rng(0).permutation(len(capture.windows))
        for parts in setting.of((8, 4, 2, 1), (2, 1)):
            found = [
                asked(part_of(capture, part), (1,), weights=("frequency", "uniform"), controls=False)
                for part in np.array_split(deal, parts)
            ]
            for weight in ("frequency", "uniform"):
                cells: list[object] = []
                for quantity in ("complexity", "expressivity", "optimality"):
                    pairs = [both(f, quantity, weight=weight) for f in found]
                    errors = [row.standard_error for _, row in pairs if row.standard_error is not None]
                    cells += [float(np.mean([p[i].value for p in pairs])) for i in (0, 1)]
                    cells.append(float(np.mean(errors)) if errors else None)
                n = round(sum(f.get("complexity", order=1).n for f in found) / parts)
                rows.append([states.name, n, weight, *cells])
    names = [
        "model", "positions", "weight", "complexity plugin", "corrected", "se", "expressivity plugin",
        "corrected", "se", "optimality plugin", "corrected", "se",
    ]  # fmt: skip
    says = (
        "Frequency weights and uniform ones (labels of at least 5 occurrences, each once), efficiency, order 1, mean "
        "over the parts of the text and over blocks."
    )
    return [Table("Weights", says, names, rows)]


SECTIONS: dict[str, Callable[[Setting], list[Table]]] = {
    "drift": drift, "points": points, "context": context, "precision": precision, "weights": weights,
}  # fmt: skip
