"""Measuring: a capture and questions in, a `Measurement` out. No model is needed here.

Whole-number work is done once per set of labels and used for every layer; layers are read from the capture one at a
time and worked on by a few threads, so memory does not grow with their number. Each figure carries its values
without each block of documents, from which all errors, those of ratios and differences included, are made.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from infoplane import files
from infoplane.capture import Capture, Progress, versions
from infoplane.errors import SettingError
from infoplane.estimators import ESTIMATORS, PLUGIN, Information, information
from infoplane.grouping import Grouping
from infoplane.jackknife import MIN_DOCUMENTS, assign_blocks, error_and_interval, standard_error_of
from infoplane.labels import MAX_ORDER, Labels, NGrams, column, permuted, shifted
from infoplane.marginal import Marginal, NullCurve, Rows
from infoplane.measurement import Estimate, Measurement

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
T = TypeVar("T")
UNITS = ("efficiency", "bits", "nats")
WEIGHTS = ("frequency", "uniform")
_LAYER_BYTES = 64 << 20  # assignments held at once by all threads together
_PASS = ("input", "output")
_QUANTITY = {"input": "complexity", "output": "expressivity"}


@dataclass(frozen=True)
class Question:
    """One set of labels on one set of positions.

    Attributes:
        side: `input`, `output` or `label:NAME`.
        order: of the n-gram, None for a column.
        position_set: `P_k`, or `label:NAME`.
        controls: whether permuted and shifted labels are measured too.
    """

    side: str
    order: int | None
    position_set: str
    controls: bool


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is kept of a layer between questions; its assignments are not, they are read again."""

    rows: Rows
    curve: NullCurve
    marginals: Mapping[str, Marginal]


def measure_capture(
    capture: Capture,
    *,
    orders: Sequence[int] = (1, 2, 3, 4),
    estimators: Sequence[str] = ("corrected", "plugin"),
    weights: Sequence[str] = ("frequency",),
    labels: Mapping[str, npt.ArrayLike] | None = None,
    unit: str = "efficiency",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Ask a capture.

    Args:
        capture: from `write_capture` or `open_capture`.
        orders: n-gram orders, of 1 to 4.
        estimators: of `corrected` and `plugin`; the first named comes first in the record.
        weights: of `frequency` and `uniform`.
        labels: further columns of whole numbers by name, one a position or one a document.
        unit: `efficiency` (divided by log m), `bits` or `nats`.
        threads: layers worked on at once; by default as many as there are cores.

    Raises:
        SettingError: an order, estimator, weight or unit that is not known.
        LabelError: a column that does not fit.
    """
    started = time.monotonic()
    orders = _checked(orders, estimators, weights, unit)
    return _Run(capture, orders, tuple(estimators), tuple(weights), labels or {}, unit, threads, progress).go(started)


def _checked(orders: Sequence[int], estimators: Sequence[str], weights: Sequence[str], unit: str) -> tuple[int, ...]:
    found = tuple(sorted(set(orders)))
    if not found or found[0] < 1 or found[-1] > MAX_ORDER:
        raise SettingError(f"orders {list(orders)}: expected some of 1 to {MAX_ORDER}")
    for what, values, known in (("estimator", estimators, tuple(ESTIMATORS)), ("weight", weights, WEIGHTS)):
        for value in values:
            if value not in known:
                raise SettingError(f"{what} {value!r} is not known; choose of {', '.join(known)}")
        if not values:
            raise SettingError(f"name at least one {what} of {', '.join(known)}")
    if unit not in UNITS:
        raise SettingError(f"unit {unit!r} is not known; choose one of {', '.join(UNITS)}")
    return found


class _Run:
    """One measurement in the making."""

    def __init__(
        self,
        capture: Capture,
        orders: tuple[int, ...],
        estimators: tuple[str, ...],
        weights: tuple[str, ...],
        columns: Mapping[str, npt.ArrayLike],
        unit: str,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        self.capture, self.orders, self.weights, self.unit = capture, orders, weights, unit
        self.estimators = tuple(dict.fromkeys(ESTIMATORS[name] for name in estimators))
        self.progress = progress
        w = capture.windows
        self.documents = len(w.documents)
        self.document = w.position_document
        per_document = np.bincount(self.document, minlength=self.documents)
        self.blocks = assign_blocks(per_document) if np.count_nonzero(per_document) >= MIN_DOCUMENTS else None
        self.grams = NGrams(w, max(orders))
        self.columns = {name: column(values, w, name) for name, values in columns.items()}
        self.scale = {"efficiency": 1 / math.log(capture.m), "bits": 1 / math.log(2), "nats": 1.0}[unit]
        held = max(1, w.n_positions * capture.m * 2)
        self.threads = max(1, min(threads or os.cpu_count() or 1, _LAYER_BYTES // held))
        self.warnings: list[str] = []
        self.results: dict[tuple[str, int, Question, str, str], Information] = {}
        self.repeated: dict[Question, float] = {}

    def go(self, started: float) -> Measurement:
        everything = [(layer, s) for s in range(self.capture.sets) for layer in self.capture.layers]
        questions = list(self._questions())
        steps = len(everything) * (1 + len(questions))
        self._tick(0, steps)
        position_sets = self._position_sets()

        def profile(target: tuple[str, int]) -> _Layer:
            return self._profile(target[0], target[1], position_sets)

        self.kept = dict(zip(everything, self._each(profile, everything), strict=True))
        done = len(everything)
        self._tick(done, steps)
        for question in questions:
            self._ask(question, everything)
            done += len(everything)
            self._tick(done, steps)
        return self._measurement(time.monotonic() - started)

    # ------------------------------------------------------------------ questions

    def _questions(self) -> Iterator[Question]:
        asked = set()
        widest = max(self.orders)
        for k in self.orders:
            for side in _PASS:
                asked.add((side, k, k))
                yield Question(side, k, f"P_{k}", controls=True)
        # the next token alone at every order's positions, and every order at the common ones, for shares
        more = [("output", 1, k) for k in self.orders]
        more += [(side, j, widest) for j in range(1, widest + 1) for side in _PASS]
        for side, j, k in more:
            if (side, j, k) not in asked:
                asked.add((side, j, k))
                yield Question(side, j, f"P_{k}", controls=False)
        for name in self.columns:
            yield Question(f"label:{name}", None, f"label:{name}", controls=True)

    def _labels(self, q: Question) -> Labels:
        if q.order is None:
            return self.columns[q.side.removeprefix("label:")]
        positions = int(q.position_set.removeprefix("P_"))
        return (self.grams.input if q.side == "input" else self.grams.output)(q.order, positions)

    def _position_sets(self) -> dict[str, Ints]:
        sets = {f"P_{k}": self.grams.positions(k) for k in sorted({1, *self.orders})}
        sets |= {f"label:{name}": labels.rows for name, labels in self.columns.items()}
        for name, rows in sets.items():
            if not len(rows):
                raise SettingError(
                    f"no position of the text is in {name}: the windows are too short for that order; "
                    "use a longer context or lower orders"
                )
        return sets

    # ------------------------------------------------------------------ work

    def _each(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        if self.threads == 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, items))

    def _tick(self, done: int, steps: int) -> None:
        if self.progress is not None:
            self.progress("measuring", done, steps)

    def _profile(self, layer: str, s: int, sets: Mapping[str, Ints]) -> _Layer:
        rows = Rows.of(self.capture.read(layer, s))
        blocks = self.blocks if s == 0 else None  # one set carries the error bars of the text
        marginals = {
            name: Marginal.of(rows, positions, self.document, blocks, self.documents)
            for name, positions in sets.items()
        }
        empty = np.empty((0, rows.m), np.float16)  # a slice would keep the whole layer alive
        return _Layer(replace(rows, a=empty), NullCurve.of(rows, sets["P_1"]), marginals)

    def _ask(self, q: Question, everything: Sequence[tuple[str, int]]) -> None:
        labels = self._labels(q)
        variants: list[tuple[str, Labels | None]] = [("value", labels)]
        if q.controls:
            variants += [("permuted", permuted(labels, 0)), ("shifted", shifted(labels, self.document))]
        for kind, these in variants:
            if these is None:
                continue
            for s_blocks, sets in ((self.blocks, {0}), (None, set(range(1, self.capture.sets)))):
                targets = [(layer, s) for layer, s in everything if s in sets]
                if not targets or (kind != "value" and 0 not in sets):
                    continue
                grouping = Grouping.of(these, self.document, s_blocks)
                grouping.warm()
                if kind == "value":
                    self.repeated[q] = grouping.repeated_mass
                for weight in self.weights:
                    if weight == "uniform" and not q.controls:
                        continue
                    self._run_layers(q, kind, weight, grouping, targets)

    def _run_layers(
        self, q: Question, kind: str, weight: str, grouping: Grouping, targets: Sequence[tuple[str, int]]
    ) -> None:
        def work(target: tuple[str, int]) -> Information:
            kept = self.kept[target]
            rows = replace(kept.rows, a=self.capture.read(*target))
            return information(rows, grouping, kept.marginals[q.position_set], kept.curve, weight)

        for (layer, s), found in zip(targets, self._each(work, targets), strict=True):
            self.results[layer, s, q, kind, weight] = found

    # ------------------------------------------------------------------ rows

    def _measurement(self, seconds: float) -> Measurement:
        rows = self._rows(0)
        if self.capture.sets > 1:
            values: dict[tuple[Any, ...], list[float]] = {}
            for s in range(self.capture.sets):
                for row in rows if s == 0 else self._rows(s):
                    values.setdefault(row.key, []).append(row.value)
            spread = {key: float(np.std(v, ddof=1)) for key, v in values.items() if len(v) == self.capture.sets}
            rows = [replace(row, reference_error=spread.get(row.key)) for row in rows]
        rows += self._loss_rows()
        return Measurement(tuple(rows), self._provenance(seconds))

    def _rows(self, s: int) -> list[Estimate]:
        layers = list(self.capture.layers)
        rows: list[Estimate] = []
        for layer in [*layers, "model"]:
            for estimator in self.estimators:
                for k in self.orders:
                    rows += self._marginal_rows(layer, s, estimator, f"P_{k}")
                for weight in self.weights:
                    for k in self.orders:
                        rows += self._order_rows(layer, s, estimator, weight, k)
                    for name in self.columns:
                        q = Question(f"label:{name}", None, f"label:{name}", True)
                        rows += self._information_rows("information", layer, s, estimator, weight, q)
                rows += self._share_rows(layer, s, estimator)
        return rows

    def _mean_over(self, layer: str) -> list[str]:
        """The layers that a row is the mean of: itself, or all blocks for `model`."""
        if layer != "model":
            return [layer]
        return [name for name in self.capture.layers if name.startswith("block.")]

    def _mean(self, layer: str, of: Callable[[str], Floats | None]) -> Floats | None:
        found = [of(name) for name in self._mean_over(layer)]
        some = [f for f in found if f is not None]
        return np.mean(some, axis=0) if found and len(some) == len(found) else None

    def _marginal(self, layer: str, s: int, estimator: str, position_set: str, what: str) -> Floats | None:
        name = what if estimator == PLUGIN else f"{what}_corrected"
        return self._mean(layer, lambda one: getattr(self.kept[one, s].marginals[position_set], name))

    def _information(
        self, layer: str, s: int, estimator: str, weight: str, q: Question, kind: str = "value"
    ) -> Floats | None:
        def of(one: str) -> Floats | None:
            found = self.results.get((one, s, q, kind, weight))
            return None if found is None else found.plugin if estimator == PLUGIN else found.corrected

        return self._mean(layer, of)

    def _marginal_rows(self, layer: str, s: int, estimator: str, position_set: str) -> list[Estimate]:
        rows = []
        n = self.kept[self.capture.layers[0], s].marginals[position_set].n[0]
        for what in ("entropy", "ceiling"):
            value = self._marginal(layer, s, estimator, position_set, what)
            if value is not None:
                more = {"estimator": estimator, "position_set": position_set, "n": int(n)}
                rows.append(self._estimate(what, layer, value * self.scale, self.unit, **more))
        return rows

    def _information_rows(
        self, quantity: str, layer: str, s: int, estimator: str, weight: str, q: Question
    ) -> list[Estimate]:
        value = self._information(layer, s, estimator, weight, q)
        if value is None:
            if s == 0 and layer == "model" and self._mean_over("model"):
                self.warnings.append(
                    f"{quantity} of {q.side}{'' if q.order is None else f', order {q.order}'}: no label occurs in two "
                    f"documents, so {estimator} says nothing"
                )
            return []
        controls: dict[str, float | None] = {}
        for kind in ("permuted", "shifted"):
            found = self._information(layer, s, estimator, weight, q, kind) if s == 0 else None
            if found is not None:
                controls[f"control_{kind}"] = float(found[0] * self.scale)
                controls[f"control_{kind}_error"] = (
                    standard_error_of(found[1:] * self.scale) if len(found) > 1 else None
                )
        row = self._estimate(
            quantity, layer, value * self.scale, self.unit, side=q.side, order=q.order, weight=weight,
            estimator=estimator, position_set=q.position_set, repeated_mass=self.repeated[q],
            n=len(self._labels_n(q)), **controls,
        )  # fmt: skip
        return [replace(row, warning=_doubt(row, self.capture.m, self.scale))]

    def _labels_n(self, q: Question) -> Ints:
        if q.order is None:
            return self.columns[q.side.removeprefix("label:")].rows
        return self.grams.positions(int(q.position_set.removeprefix("P_")))

    def _order_rows(self, layer: str, s: int, estimator: str, weight: str, k: int) -> list[Estimate]:
        rows: list[Estimate] = []
        found: dict[str, Floats | None] = {}
        for side in _PASS:
            q = Question(side, k, f"P_{k}", True)
            rows += self._information_rows(_QUANTITY[side], layer, s, estimator, weight, q)
            found[side] = self._information(layer, s, estimator, weight, q)
        if k > 1 and weight == "frequency":
            next_token = Question("output", 1, f"P_{k}", False)
            rows += self._information_rows("expressivity", layer, s, estimator, weight, next_token)
        x, y = found["input"], found["output"]
        if x is not None and y is not None and bool((x != 0).all()):
            more = {"order": k, "weight": weight, "estimator": estimator, "position_set": f"P_{k}", "n": rows[0].n}
            doubt = next((r.warning for r in rows if r.warning), None)
            ratio = self._estimate("optimality", layer, y / x, "ratio", **more, repeated_mass=rows[0].repeated_mass)
            rows.append(replace(ratio, warning=doubt))
            if layer == "model":
                each = self._mean(layer, lambda one: self._ratio(one, s, estimator, weight, k))
                if each is not None:
                    rows.append(self._estimate("mean_ratio_optimality", layer, each, "ratio", **more))
        return rows

    def _ratio(self, layer: str, s: int, estimator: str, weight: str, k: int) -> Floats | None:
        x, y = (self._information(layer, s, estimator, weight, Question(side, k, f"P_{k}", True)) for side in _PASS)
        return None if x is None or y is None or not (x != 0).all() else y / x

    def _share_rows(self, layer: str, s: int, estimator: str) -> list[Estimate]:
        """What each order adds to the one before, on the common positions; then what no order explains."""
        widest = max(self.orders)
        position_set = f"P_{widest}"
        ceiling = self._marginal(layer, s, estimator, position_set, "ceiling")
        n = int(self.kept[self.capture.layers[0], s].marginals[position_set].n[0])
        if ceiling is None:
            return []
        rows = []
        for side in _PASS:
            before = np.zeros_like(ceiling)
            more = {"side": side, "weight": "frequency", "estimator": estimator, "position_set": position_set, "n": n}
            if "frequency" not in self.weights:
                return []
            for j in range(1, widest + 1):
                own = j == widest
                value = self._information(layer, s, estimator, "frequency", Question(side, j, position_set, own))
                if value is None:
                    break
                rows.append(self._estimate("share", layer, (value - before) * self.scale, self.unit, order=j, **more))
                before = value
            else:
                rows.append(self._estimate("share", layer, (ceiling - before) * self.scale, self.unit, **more))
        return rows

    def _loss_rows(self) -> list[Estimate]:
        loss = self.capture.loss()
        if loss is None:
            return []
        from infoplane.marginal import without

        w = self.capture.windows
        sums, counts, sizes = (
            without(np.bincount(w.document, x, minlength=self.documents).astype(np.float64), self.blocks)
            for x in (*loss, w.byte_count)
        )
        n = int(counts[0])
        rows = [self._estimate("loss", "model", sums / counts, "nats/token", n=n)]
        if (sizes > 0).all():
            rows.append(self._estimate("bits_per_byte", "model", sums / math.log(2) / sizes, "bits/byte", n=n))
        return rows

    def _estimate(self, quantity: str, layer: str, columns: Floats, unit: str, **fields: Any) -> Estimate:
        value, replicates = float(columns[0]), columns[1:]
        error, interval = error_and_interval(value, replicates)
        return Estimate(
            quantity, layer, value, unit, standard_error=error, interval=interval,
            replicates=tuple(replicates.tolist()), **fields,
        )  # fmt: skip

    # ------------------------------------------------------------------ provenance

    def _provenance(self, seconds: float) -> dict[str, Any]:
        manifest, w = self.capture.manifest, self.capture.windows
        if self.blocks is None:
            self.warnings.insert(
                0,
                f"{self.documents} documents: no interval is given with fewer than {MIN_DOCUMENTS}; read more",
            )
        blocks = self.blocks if self.blocks is not None else np.zeros(0, np.int32)
        points = manifest["points"]
        return {
            "model": manifest["model"],
            "dtype": manifest["model"].get("dtype"),
            "text": w.provenance.get("text"),
            "windows": {k: v for k, v in w.provenance.items() if k != "text"},
            "windows_hash": manifest["windows_hash"],
            "blocks_hash": files.hash_of([self.documents, blocks.tolist()]),
            "points": {**{k: points[0][k] for k in ("m", "d", "seed", "calibration", "eps")}, "sets": len(points)},
            "points_hash": files.hash_of([p["hash"] for p in points]),
            "run_id": manifest["run_id"],
            "tokens": int(np.count_nonzero(w.is_text)),
            "positions": w.n_positions,
            "documents": self.documents,
            "settings": {
                "orders": list(self.orders),
                "estimators": list(self.estimators),
                "corrected": ESTIMATORS["corrected"],
                "weights": list(self.weights),
                "labels": sorted(self.columns),
                "unit": self.unit,
                "blocks": int(blocks.max()) + 1 if len(blocks) else 0,
            },
            "versions": {**manifest["versions"], **versions("scipy", "polars")},
            "wall_time": {"measuring_s": round(seconds, 2)},
            "warnings": list(dict.fromkeys(self.warnings)),
        }


def _doubt(row: Estimate, m: int, scale: float) -> str | None:
    """Why a value should not be trusted, from its controls and from how few labels recur."""
    if row.estimator == PLUGIN:
        return (
            "plugin is biased upward for rare labels: see its controls" if (row.control_permuted or 0) > 0.01 else None
        )
    said = []
    for kind in ("permuted", "shifted"):
        value, error = getattr(row, f"control_{kind}"), getattr(row, f"control_{kind}_error")
        floor = 0.01 * math.log(m) * scale  # one percent of log m
        if value is not None and abs(value) > max(floor, 3 * (error or 0.0)):
            said.append(f"its {kind} control is {value:.3f}, not 0")
    if row.repeated_mass is not None and row.repeated_mass < 0.25 and row.order is not None:
        said.append(f"only {row.repeated_mass:.0%} of the positions have a label that recurs")
    return "; ".join(said) or None
