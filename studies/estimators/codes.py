"""Which states a fitted code should see, and how much it should hold: kinds of code on all layers of trained models.

Documents are told apart by a hash of their tokens: a seventh is for fitting, half of it for each of two codes; all
others are measured. A kind of code says what is done to states before directions are found in them:

    random        nothing; directions at random, and the temperature of the published code
    raw           centred
    gain          scaled by what the next norm multiplies, centred: what the model itself reads
    root          centred, each dimension divided by the root of its deviation
    root here     the same, fitted on documents that are measured
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
from typing import Any

import numpy as np
from scipy import linalg

from common import Setting, Table, spearman
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
from planted_labels import Planted, zipf

M = 100
KINDS = ("random", "raw", "gain", "root", "root here", "standard", "leading 8", "leading 32")
CAPACITIES = (0.25, 0.5)
RESERVED = 7  # one document of so many is for fitting
TOPS = (50, 200)
Map = Callable[[np.ndarray], np.ndarray]


def all_models(setting: Setting) -> Iterator[States]:
    """The trained models, each before its untrained twin."""
    own = [] if setting.own is None else [str(setting.own)]
    for name in [*setting.of((SMOLLM2, GEMMA, QWEN), (SMOLLM2,)), *own]:
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


def rows_of(states: States, windows: np.ndarray) -> np.ndarray:
    """The rows of some windows."""
    starts = states.windows.row_starts
    return np.concatenate([np.arange(starts[i], starts[i + 1]) for i in windows])


def mapped(kind: str, z: np.ndarray, gain: np.ndarray) -> tuple[Map, np.ndarray]:
    """What a kind does to states, and its (m, d) directions, from states (n, d) to fit on."""
    if kind == "gain":
        scale: Map = lambda x: gain * x / np.sqrt(np.square(x).mean(1, keepdims=True))  # noqa: E731
    elif kind == "raw":
        scale = lambda x: x  # noqa: E731
    else:
        deviation = np.sqrt(z.std(0)) if kind.startswith("root") else z.std(0)
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
    rows, measured = states.windows.row_starts, rows_of(states, windows)
    gains = np.load(states.folder / "gains.npz")
    if kind == "root here":  # as many rows, of some of the measured documents
        order = np.random.default_rng(0).permutation(len(windows))
        of_window = [np.arange(rows[i], rows[i + 1]) for i in windows[order]]
        fits = [np.concatenate(of_window[s::2])[: len(fit)] for s, fit in enumerate(fits)]
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


def codes(setting: Setting) -> list[Table]:
    """Every kind of code, asked about every layer of every model, beside what a probe reads of the same labels."""
    rows, probed = [], dict[tuple[object, object], list[float]]()
    for states in all_models(setting):
        _, windows = parts(states)
        columns = top_labels(states)
        measured = rows_of(states, windows)
        chosen = {name: column[measured] for name, column in columns.items()}
        for kind in KINDS:
            rows += kept(setting, f"{states.name} {kind}", lambda: of_kind(states, kind, windows, chosen))  # noqa: B023
        if not states.name.startswith(TWIN):
            print(states.name, flush=True)
            told = kept(setting, f"probes {states.name}", lambda: read_by_probes(states))  # noqa: B023
            probed |= {(row[0], row[1]): [float(str(v)) for v in row[2:]] for row in told}
    return [_agreement(rows, probed), _apart(rows), _elsewhere(rows), _by_layer(rows, probed)]


CHOSEN = ("root", 0.25)
COLUMNS = ("ceiling", "complexity", "expressivity", "optimality")


def _values(rows: list[list[Any]], what: str, part: int = 0) -> np.ndarray:
    """(layers,) of a quantity; of its error with part 1, and of fits with part 2."""
    return np.array([row[4 + 3 * COLUMNS.index(what) + part] for row in rows], float)


def _groups(rows: list[list[Any]]) -> dict[tuple[Any, ...], list[list[Any]]]:
    groups: dict[tuple[Any, ...], list[list[Any]]] = {}
    for row in rows:  # a random code has no capacity, and NaN is no key
        groups.setdefault((row[0], row[1], None if math.isnan(row[2]) else row[2]), []).append(row)
    return groups


def _agreement(rows: list[list[Any]], probed: dict[tuple[object, object], list[float]]) -> Table:
    out: list[list[Any]] = []
    for (name, kind, capacity), own in _groups(rows).items():
        if name.startswith(TWIN):
            continue
        read = np.array([probed[name, row[3]] for row in own])
        expressivity, optimality = _values(own, "expressivity"), _values(own, "optimality")
        information = np.array([row[16:20] for row in own], float)
        off = np.nan if capacity is None else np.abs(_values(own, "ceiling") / (capacity * math.log(M)) - 1).max()
        agree = [(optimality, read[:, 2]), (optimality, read[:, 2] / read[:, 0]), (expressivity, read[:, 2]),
                 (information[:, 2], read[:, 2]), (information[:, 3], read[:, 3])]  # fmt: skip
        fits = [float(np.nanmean(_values(own, what, 2))) for what in COLUMNS[1:]]
        correlations = [spearman(x.tolist(), y.tolist()) if np.isfinite(x).all() else math.nan for x, y in agree]
        out.append([name, kind, capacity or "", off, *correlations, *fits])
    says = (
        "Rank correlation, over all layers of a model, of what a code finds with what a probe reads; the largest "
        "deviation of the corrected ceiling from the capacity; the mean deviation over fits of a layer's mean, nats."
    )
    columns = [
        "model", "code", "capacity", "ceiling off by", "optimality: next token", "optimality: ratio",
        "expressivity: 50 labels", "information of 50: same", "information of 200: same",
        "fits: complexity", "expressivity", "optimality",
    ]  # fmt: skip
    return Table("Codes beside a probe", says, columns, _without_nan(out), digits=3)


def _apart(rows: list[list[Any]]) -> Table:
    groups, out = _groups(rows), []
    for (name, kind, capacity), own in groups.items():
        twin = groups.get((TWIN + name, kind, capacity))
        if twin is None:
            continue
        cells: list[Any] = [name, kind, capacity or ""]
        for what in COLUMNS[1:3]:
            mine, theirs = (_values(side[1:], what) for side in (own, twin))  # the embedding knows its token always
            errors = np.concatenate([_values(side[1:], what, 1) for side in (own, twin)])
            cells += [float(mine.mean()), float(theirs.mean()), float((mine - theirs).mean() / errors.mean())]
        out.append(cells)
    says = "Mean over blocks, nats; the last of three is the mean difference over the mean error of a layer."
    columns = ["model", "code", "capacity", "complexity", "untrained", "apart", "expressivity", "untrained", "apart"]
    return Table("Trained and untrained", says, columns, _without_nan(out), digits=3)


def _elsewhere(rows: list[list[Any]]) -> Table:
    groups, out = _groups(rows), []
    for (name, kind, capacity), own in groups.items():
        here = groups.get((name, "root here", capacity))
        if kind != "root" or here is None:
            continue
        cells: list[Any] = [name, capacity]
        for what in COLUMNS[1:]:
            one, other = (_values(side[1:], what) for side in (own, here))
            cells += [float(one.mean()), float(other.mean()), float(np.nanmean(_values(own[1:], what, 1)))]
        out.append(cells)
    says = (
        "Codes fitted on other documents than are measured, and on these; mean over blocks, and the error of a layer."
    )
    columns = [each for what in COLUMNS[1:] for each in (what, "fitted here", "error")]
    return Table("Fitted elsewhere and here", says, ["model", "capacity", *columns], _without_nan(out), digits=3)


def _by_layer(rows: list[list[Any]], probed: dict[tuple[object, object], list[float]]) -> Table:
    own, random = (
        {(r[0], r[3]): r for r in rows if (r[1], r[2]) == CHOSEN},
        {(r[0], r[3]): r for r in rows if r[1] == "random"},
    )
    out: list[list[Any]] = []
    for key, read in probed.items():
        cells: list[Any] = [*key]
        for of in (random, own):
            cells += [float(_values([of[key]], what)[0]) for what in COLUMNS[1:]]
        out.append([*cells, read[0], read[2]])
    says = f"The random code, the fitted one ({CHOSEN[0]}, {CHOSEN[1]} log m), and a probe of 50 labels; nats."
    columns = ["model", "layer", *(f"{code} {what}" for code in ("random", "fitted") for what in COLUMNS[1:])]
    return Table("By layer", says, [*columns, "probe, present", "probe, next"], _without_nan(out), digits=2)


def _without_nan(rows: list[list[Any]]) -> list[list[Any]]:
    """No value where there is none: JSON has no NaN."""
    return [["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows]


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
    path = setting.out / "codes" / f"{name.replace(' ', '-').replace('/', '-')}.json"
    if path.is_file():
        rows: list[list[object]] = json.loads(path.read_text("utf-8"))
        return rows
    rows = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")
    print(name, flush=True)
    return rows


def asked(told: Measurement, layer: str) -> list[float]:
    out: list[float] = []
    for quantity in COLUMNS:
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


def read_by_probes(states: States) -> list[list[object]]:
    """The rows of a model."""
    rows: list[list[object]] = []
    _, windows = parts(states)
    measured = rows_of(states, windows)
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
    return rows


PLANTED = ((300, 0.01), (300, 0.05), (3_000, 0.01), (3_000, 0.05), (1, 0.05), (2, 0.05))
"""Labels, or the order of the n-grams that they are as frequent as; and how wide they spread."""


def capacities(setting: Setting) -> list[Table]:
    """Labels of known information on codes of several capacities: is the correction right?"""
    rows: list[list[object]] = []
    for states in all_models(setting):
        if states.name.startswith(TWIN):
            continue
        last = len(states.layers) - 1
        for layer in [states.layers[i] for i in sorted({0, 1 + last // 6, 1 + last // 2, last})]:
            rows += kept(setting, f"capacities {states.name} {layer}", lambda: planted(setting, states, layer))  # noqa: B023
    says = f"{_draws(setting)[0]} draws each; bias in errors is that of one measurement."
    columns = ["model", "layer", "capacity", "labels", "width", "positions", *JUDGED]
    return [Table("Known labels on fitted codes", says, columns, rows)]


def planted(setting: Setting, states: States, layer: str) -> list[list[object]]:
    """The rows of a layer."""
    rows: list[list[object]] = []
    draws, n = _draws(setting)
    fits, windows = parts(states)
    measured = rows_of(states, windows)
    grams = NGrams(states.windows, 2)
    z = np.asarray(states.read(layer))
    cosine = steps_of(FittedCode.fit(z[fits[0]], M).cosines(z[measured]))
    for share in (0.25, 0.5, 0.75):
        a = assigned(cosine, inverse_temperature(cosine, share * math.log(M))).astype(np.float64)
        a /= a.sum(1, keepdims=True)
        for what, width in PLANTED:
            weight = zipf(what)
            if what <= 2:
                weight = np.sort(np.bincount(grams.input(what).codes).astype(float))[::-1]
            on = Planted.on(a[::4] if what <= 2 else a, weight, width)
            name = f"order {what}" if what <= 2 else f"{what:,}"
            rows.append([states.name, layer, share, name, width, n, *_judged(on, n, draws)])
    return rows


def _draws(setting: Setting) -> tuple[int, int]:
    """Draws, and positions of each."""
    return setting.of((24, 16_000), (4, 2_000))


JUDGED = ["truth", "bias", "bias in errors", "spread", "error", "coverage"]


def _judged(planted: Planted, positions: int, draws: int) -> list[float]:
    found = [judged(estimate(*planted.draw(positions, seed), thinned=True), planted.truth) for seed in range(draws)]
    x = np.array(found, float)
    bias, error = x[:, 0].mean() - planted.truth, float(x[:, 1].mean())
    return [planted.truth, bias / planted.truth, bias / error, x[:, 0].std(ddof=1), error, x[:, 2].mean()]


SECTIONS = {"codes": codes, "capacities": capacities}
