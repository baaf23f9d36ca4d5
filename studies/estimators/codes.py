"""Which states a fitted code should see, and how much it should hold: kinds of code on all layers of trained models.

Documents are told apart by a hash of their tokens: a seventh is for fitting, half of it for each of two codes; all
others are measured. A kind of code says what is done to states before directions are found in them:

    random        nothing; directions at random, and the temperature of the published code
    raw           centred
    gain          scaled by what the next norm multiplies, centred: what the model itself reads
    standard      centred, each dimension at deviation 1
    leading 8     centred, at deviation 1, its 8 principal components; directions at random
    leading 32    centred, at deviation 1, its 32 principal components

All but the first are calibrated to a capacity on the states that are measured, and directions are those of spherical
k-means unless they are random.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import linalg

from common import Setting, Table
from infoplane.information.capacity import assigned, inverse_temperature, steps_of
from infoplane.information.fitted_code import FittedCode, spherical_centres, unit
from infoplane.information.reference_points import ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.text.ngram_labels import NGrams
from others import Probe, Sample
from states import GEMMA, QWEN, SMOLLM2, TWIN, Missing, States, capture_of, part_of, states_of

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from channels import estimate, judged
from planted import Planted, zipf

M = 100
KINDS = ("random", "raw", "gain", "standard", "leading 8", "leading 32")
CAPACITIES = (0.25, 0.5)
RESERVED = 7  # one document of so many is for fitting
TOPS = (50, 200)
Map = Callable[[np.ndarray], np.ndarray]


def all_models(setting: Setting) -> Iterator[States]:
    """The trained models, each before its untrained twin."""
    for name in setting.of((SMOLLM2, GEMMA, QWEN), (SMOLLM2,)):
        for each in (name, TWIN + name):
            try:
                yield states_of(each, setting.cache, tokens=setting.of(20_000, 4_096), layers=setting.of(99, 4))
            except Missing as missing:
                print(f"without {missing}", flush=True)


def parts(states: States) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows of the documents to fit two codes on, and the windows that are measured."""
    w = states.windows
    number = np.empty(len(w.documents), np.int64)
    for d in range(len(w.documents)):
        tokens = np.concatenate([w.tokens[w.starts[i] : w.starts[i + 1]] for i in np.flatnonzero(w.document == d)])
        number[d] = int.from_bytes(hashlib.sha256(tokens.astype("<i8").tobytes()).digest()[:6], "little")
    kept = number % RESERVED == 0
    half = number // RESERVED % 2
    document = w.position_document
    fits = [np.flatnonzero(kept[document] & (half[document] == s)) for s in (0, 1)]
    return fits, np.flatnonzero(~kept[w.document])


def mapped(kind: str, z: np.ndarray, gain: np.ndarray) -> tuple[Map, np.ndarray]:
    """What a kind does to states, and its (m, d) directions, from states (n, d) to fit on."""
    if kind == "gain":
        scale: Map = lambda x: gain * x / np.sqrt(np.square(x).mean(1, keepdims=True))  # noqa: E731
    elif kind == "raw":
        scale = lambda x: x  # noqa: E731
    else:
        deviation = z.std(0)
        inverse = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * np.abs(z).max(0))
        scale = lambda x: x * inverse  # noqa: E731
    centre = scale(z).mean(0)
    if not kind.startswith("leading"):
        centred: Map = lambda x: unit(scale(x) - centre)  # noqa: E731
        return centred, spherical_centres(centred(z), M, 0)
    count = int(kind.split()[1])
    _, vectors = linalg.eigh(np.cov((scale(z) - centre).T), subset_by_index=(z.shape[1] - count, z.shape[1] - 1))
    projected: Map = lambda x: unit((scale(x) - centre) @ vectors.astype(np.float32))  # noqa: E731
    if count == 8:
        return projected, ReferencePoints.make(count, M).directions
    return projected, spherical_centres(projected(z), M, 0)


def coded(states: States, kind: str) -> dict[float, dict[str, np.ndarray]]:
    """Assignments of all rows by capacity, then `LAYER/FIT`."""
    fits, windows = parts(states)
    rows = states.windows.row_starts
    measured = np.concatenate([np.arange(rows[i], rows[i + 1]) for i in windows])
    gains = np.load(states.folder / "gains.npz")
    capacities = (math.nan,) if kind == "random" else CAPACITIES
    out: dict[float, dict[str, np.ndarray]] = {c: {} for c in capacities}
    for number, layer in enumerate(states.layers):
        z = np.asarray(states.read(layer))
        for s, fit in enumerate(fits):
            if kind == "random":
                points = ReferencePoints.make(states.width, M, 1000 * s + number)
                out[math.nan][f"{layer}/{s}"] = soft_assign(z, points).astype(np.float16)
                continue
            to, directions = mapped(kind, z[fit], gains[layer])
            cosine = steps_of(to(z) @ directions.T.astype(np.float32))
            for capacity in capacities:
                k = inverse_temperature(cosine[measured], capacity * math.log(M))
                out[capacity][f"{layer}/{s}"] = assigned(cosine, k)
    return out


def top_labels(states: States) -> dict[str, np.ndarray]:
    """(N,) columns by name: the most frequent present and next tokens, -1 for all others."""
    grams, columns = NGrams(states.windows, 1), {}
    for side, labels in (("input", grams.input(1)), ("output", grams.output(1))):
        count = np.bincount(labels.codes)
        for most in TOPS:
            top = np.sort(np.argsort(-count, kind="stable")[:most])
            keep = np.isin(labels.codes, top)
            column = np.full(states.windows.n_positions, -1)
            column[labels.rows[keep]] = np.searchsorted(top, labels.codes[keep])
            columns[f"{side}{most}"] = column
    return columns


def metric(setting: Setting) -> list[Table]:
    """Every kind of code, asked about every layer."""
    rows = []
    for states in all_models(setting):
        _, windows = parts(states)
        columns = top_labels(states)
        starts = states.windows.row_starts
        measured = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in windows])
        chosen = {name: column[measured] for name, column in columns.items()}
        for kind in KINDS:
            rows += kept(setting, f"{states.name} {kind}", lambda: of_kind(states, kind, windows, chosen))  # noqa: B023
    says = "nats; errors of the text, and the deviation of one fit from the other divided by the square root of 2."
    return [Table("Codes by layer", says, ["model", "code", "capacity", "layer", *COLUMNS], rows)]


def of_kind(states: States, kind: str, windows: np.ndarray, columns: dict[str, np.ndarray]) -> list[list[object]]:
    """The rows of a model and a kind of code."""
    rows: list[list[object]] = []
    for capacity, held in coded(states, kind).items():
        sets = [ReferencePoints.make(states.width, M, s) for s in (0, 1)]  # stand for the fits: names alone
        capture = part_of(capture_of(held, states.windows, states.layers, sets), windows)
        told = measure_capture(capture, orders=(1,), unit="nats", controls=False, threads=1, labels=columns)
        rows += [[states.name, kind, capacity, layer, *asked(told, layer)] for layer in states.layers]
    return rows


def kept(setting: Setting, name: str, make: Callable[[], list[list[object]]]) -> list[list[object]]:
    """Rows that were made before, or are made now and kept."""
    path = setting.out / "codes" / f"{name.replace(' ', '-')}.json"
    if path.is_file():
        rows: list[list[object]] = json.loads(path.read_text("utf-8"))
        return rows
    rows = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")
    print(name, flush=True)
    return rows


QUANTITIES = ("ceiling", "complexity", "expressivity", "optimality")
COLUMNS = [
    *(f"{q}{part}" for q in QUANTITIES for part in ("", " error", " of fits")),
    *(f"{side}{most}" for side in ("input", "output") for most in TOPS),
]


def asked(told: Measurement, layer: str) -> list[float]:
    out: list[float] = []
    for quantity in QUANTITIES:
        found = told.select(quantity=quantity, layer=layer)
        if not found:  # an optimality of no complexity
            out += [math.nan] * 3
            continue
        row = found[0]
        out += [row.value, row.standard_error or math.nan, math.nan if row.points_error is None else row.points_error]
    return out + [
        float(told.get("information", layer=layer, side=f"label:{side}{most}").value)
        for side in ("input", "output") for most in TOPS
    ]  # fmt: skip


def probes(setting: Setting) -> list[Table]:
    """What a linear probe reads of the most frequent labels, learned on two thirds of the measured documents."""
    rows = []
    for states in all_models(setting):
        if states.name.startswith(TWIN):
            continue
        rows += kept(setting, f"probes {states.name}", lambda: probed(states))  # noqa: B023
    return [Table("A probe by layer", "nats, lower bounds.", ["model", "layer", *top_names()], rows)]


def probed(states: States) -> list[list[object]]:
    """The rows of a model."""
    rows: list[list[object]] = []
    _, windows = parts(states)
    starts = states.windows.row_starts
    measured = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in windows])
    columns = top_labels(states)
    test = states.windows.position_document % 3 == 0
    for layer in states.layers:
        z, read = np.asarray(states.read(layer)), []
        for name, column in columns.items():
            at = measured[column[measured] >= 0]
            learn, judge = at[~test[at]], at[test[at]]
            count = int(name.removeprefix("input").removeprefix("output"))
            s = Sample(z[learn], column[learn], z[judge], column[judge], count)
            read.append(Probe(s).bound)
        rows.append([states.name, layer, *read])
        print(*rows[-1], flush=True)
    return rows


def top_names() -> list[str]:
    return [f"{side}{most}" for side in ("input", "output") for most in TOPS]


PLANTED = ((300, 0.01), (300, 0.05), (3_000, 0.01), (3_000, 0.05), (1, 0.05), (2, 0.05))
"""Labels, or the order of the n-grams that they are as frequent as; and how wide they spread."""


def capacities(setting: Setting) -> list[Table]:
    """Labels of known information on codes of several capacities: is the correction right?"""
    rows: list[list[object]] = []
    draws, positions = setting.of(40, 4), setting.of((4_000, 16_000), (2_000,))
    for states in all_models(setting):
        if states.name.startswith(TWIN):
            continue
        fits, windows = parts(states)
        starts = states.windows.row_starts
        measured = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in windows])
        grams = NGrams(states.windows, 2)
        last = len(states.layers) - 1
        for layer in [states.layers[i] for i in sorted({0, 1 + last // 6, 1 + last // 2, last})]:
            z = np.asarray(states.read(layer))
            code = FittedCode.fit(z[fits[0]], M)
            cosine = steps_of(code.cosines(z[measured]))
            for share in (0.25, 0.375, 0.5, 0.75):
                k = inverse_temperature(cosine, share * math.log(M))
                a = assigned(cosine, k).astype(np.float64)
                a /= a.sum(1, keepdims=True)
                for what, width in PLANTED:
                    weight = zipf(what)
                    if what <= 2:
                        weight = np.sort(np.bincount(grams.input(what).codes).astype(float))[::-1]
                    planted = Planted.on(a[::4] if what <= 2 else a, weight, width)
                    for n in positions:
                        name = f"order {what}" if what <= 2 else f"{what:,}"
                        rows.append([states.name, layer, share, name, width, n, *_judged(planted, n, draws)])
                print(states.name, layer, share, flush=True)
    says = f"{draws} draws each; bias in errors is that of one measurement."
    columns = ["model", "layer", "capacity", "labels", "width", "positions", *JUDGED]
    return [Table("Known labels on fitted codes", says, columns, rows)]


JUDGED = ["truth", "bias", "bias in errors", "spread", "error", "coverage"]


def _judged(planted: Planted, positions: int, draws: int) -> list[float]:
    found = [judged(estimate(*planted.draw(positions, seed), thinned=True), planted.truth) for seed in range(draws)]
    x = np.array(found, float)
    bias, error = x[:, 0].mean() - planted.truth, float(x[:, 1].mean())
    return [planted.truth, bias / planted.truth, bias / error, x[:, 0].std(ddof=1), error, x[:, 2].mean()]


SECTIONS = {"codes": metric, "probes": probes, "capacities": capacities}
