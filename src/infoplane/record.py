"""Measuring: a capture and questions in, a `Measurement` out. No model is needed here.

The answers of the layers become tidy rows: values with their errors, controls and doubts. Each figure carries its
replicates, one a block of documents, from which all errors, those of ratios and differences included, are made.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infoplane import files
from infoplane.answers import Answers, Plan, Target, answer, settings, targets_of
from infoplane.assign import unit_scale
from infoplane.capture import Capture, Progress, versions
from infoplane.engine import Advance, Engine, Local, Piece
from infoplane.errors import SettingError
from infoplane.estimators import ESTIMATORS, PLUGIN
from infoplane.jackknife import MIN_DOCUMENTS, error_and_interval, standard_error_of
from infoplane.labels import Column
from infoplane.marginal import without
from infoplane.measurement import Estimate, Measurement
from infoplane.questions import SIDES, Question, Questions
from infoplane.rows import Floats
from infoplane.windows import Windows

UNITS = ("efficiency", "bits", "nats")
WEIGHTS = ("frequency", "uniform")


def measure_capture(
    capture: Capture,
    *,
    orders: Sequence[int] = (1, 2, 3, 4),
    estimators: Sequence[str] = ("corrected", "plugin"),
    weights: Sequence[str] = ("frequency",),
    labels: Mapping[str, Column] | None = None,
    text_labels: Sequence[str] = (),
    unit: str = "efficiency",
    controls: bool = True,
    threads: int | None = None,
    engine: Engine | None = None,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Ask a capture.

    Args:
        capture: from `write_capture` or `open_capture`.
        orders: n-gram orders, of 1 to 4.
        estimators: of `corrected` and `plugin`; the first named comes first in the record.
        weights: of `frequency` and `uniform`.
        labels: further columns by name: numbers or words, one a position or one a document; categories by document
            name; `@position` or `@folder` (`infoplane.labels.column`).
        text_labels: labels that do not depend on the tokenizer, such as `word`, `char:4`, `byte:4`; they stand at the
            ends of words, in position sets of these names (`infoplane.text_labels`).
        unit: `efficiency` (divided by log m), `bits` or `nats`.
        controls: whether the estimates are made with permuted and shifted labels too.
        threads: to work with; by default as many as there are cores.
        engine: whose workers ask the layers, in parts; this process by default.
        memory: what each may hold, in bytes or as `4GB`, `4GiB`, `512MB`; half of what is free by default. No number
            hangs on it (`infoplane.memory`).
        progress: called with a stage, what is done and what there is to do.

    Raises:
        SettingError: an order, estimator, weight or unit that is not known; less memory than is needed.
        LabelError: a column that does not fit, or no text to make labels of.
    """
    if memory is not None:  # refused before anything is made, as far as can be said by then
        settings(capture, 1, threads, memory)
    asker = Asker(capture.windows, orders, estimators, weights, labels or {}, unit, controls, text_labels)
    return asker.measure(capture, threads, progress, engine, memory)


class Asker:
    """The questions of `measure_capture`, settled once for all captures of the same windows."""

    def __init__(
        self,
        windows: Windows,
        orders: Sequence[int],
        estimators: Sequence[str],
        weights: Sequence[str] = ("frequency",),
        labels: Mapping[str, Column] | None = None,
        unit: str = "efficiency",
        controls: bool = True,
        text_labels: Sequence[str] = (),
    ) -> None:
        for what, values, known in (("estimator", estimators, tuple(ESTIMATORS)), ("weight", weights, WEIGHTS)):
            for value in values:
                if value not in known:
                    raise SettingError(f"{what} {value!r} is not known; choose of {', '.join(known)}")
            if not values:
                raise SettingError(f"name at least one {what} of {', '.join(known)}")
        if unit not in UNITS:
            raise SettingError(f"unit {unit!r} is not known; choose one of {', '.join(UNITS)}")
        self.estimators = tuple(dict.fromkeys(ESTIMATORS[name] for name in estimators))
        self.weights, self.unit = tuple(weights), unit
        self.blocks = windows.blocks
        self.questions = Questions(windows, orders, labels or {}, controls, text_labels)
        self.plan = Plan(self.questions, self.blocks, weights)
        self.settings = (orders, estimators, weights, labels, unit, controls, text_labels)

    def measure(
        self,
        capture: Capture,
        threads: int | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
        memory: int | str | None = None,
    ) -> Measurement:
        """Ask a capture of these windows."""
        started = time.monotonic()
        targets, done = targets_of(capture), 0
        steps = len(targets) * len(self.plan)

        def advance(sets: int) -> None:
            nonlocal done
            done += sets
            if progress is not None:
                progress("measuring", done, steps)

        advance(0)
        answers = Answers()
        with (engine or Local()).group(_Asking(capture, self), name="the capture") as group:
            parts = _parts(targets, 1 if group.threads is None else _PARTS * group.workers)
            pieces = [
                Piece(f"layers {part[0][0]} to {part[-1][0]}", part, len(part) * len(self.plan)) for part in parts
            ]
            for _, (some, repeated) in group.each(_Answering(threads or group.threads, memory), pieces, advance):
                answers.marginals.update(some.marginals)
                answers.informations.update(some.informations)
                self.plan.repeated.update(repeated)
        advance(steps - done)  # controls that could not be made
        return _Record(self, capture, answers).measurement(started)


_PARTS = 2  # pieces a worker, so that they end at about the same time; labels are sorted anew for each piece


def _parts(targets: Sequence[Target], most: int) -> list[list[Target]]:
    """Neighbouring targets together, in at most so many parts of about one size."""
    ends = np.linspace(0, len(targets), min(most, len(targets)) + 1).astype(int)
    return [list(targets[a:b]) for a, b in itertools.pairwise(ends)]


class _Asking:
    """A capture and its asker; where it is sent, the asker is made anew."""

    def __init__(self, capture: Capture, asker: Asker) -> None:
        self.capture, self.asker = capture, asker

    def open(self) -> _Asking:
        return self

    def __reduce__(self) -> Any:
        folder = None if self.capture.folder is None else self.capture.folder.absolute()
        return _asked_anew, (replace(self.capture, folder=folder), self.asker.settings)


def _asked_anew(capture: Capture, settings: tuple[Any, ...]) -> _Asking:
    return _Asking(capture, Asker(capture.windows, *settings))


@dataclass(frozen=True)
class _Answering:
    """The work of measuring: a piece is some targets."""

    threads: int | None
    memory: int | str | None = None

    def open(self, asking: _Asking) -> Callable[[list[Target], Advance], tuple[Answers, dict[Question, float]]]:
        capture, plan = asking.capture, asking.asker.plan

        def do(targets: list[Target], advance: Advance) -> tuple[Answers, dict[Question, float]]:
            return answer(capture, plan, self.threads, advance, targets, self.memory), plan.repeated

        return do


class _Record:
    """Answers as rows."""

    def __init__(self, asker: Asker, capture: Capture, answers: Answers) -> None:
        self.capture, self.answers = capture, answers
        self.questions, self.repeated, self.blocks = asker.questions, asker.plan.repeated, asker.blocks
        self.estimators, self.weights, self.unit = asker.estimators, asker.weights, asker.unit
        self.documents = len(capture.windows.documents)
        self.scale = unit_scale(asker.unit, capture.m)
        self.warnings: list[str] = []

    def measurement(self, started: float) -> Measurement:
        rows = self._rows(0)
        if self.capture.sets > 1:
            values: dict[tuple[Any, ...], list[float]] = {}
            for s in range(self.capture.sets):
                for row in rows if s == 0 else self._rows(s):
                    values.setdefault(row.key, []).append(row.value)
            spread = {key: float(np.std(v, ddof=1)) for key, v in values.items() if len(v) == self.capture.sets}
            rows = [replace(row, reference_error=spread.get(row.key)) for row in rows]
        rows += self._loss_rows()
        return Measurement(tuple(rows), self._provenance(time.monotonic() - started))

    def _rows(self, s: int) -> list[Estimate]:
        layers = list(self.capture.layers)
        rows: list[Estimate] = []
        for layer in [*layers, "model"]:
            for estimator in self.estimators:
                sets = {f"P_{k}": k for k in self.questions.orders} | self.questions.of_texts
                for name in sets:
                    rows += self._marginal_rows(layer, s, estimator, name)
                for weight in self.weights:
                    for name, k in sets.items():
                        rows += self._order_rows(layer, s, estimator, weight, k, name)
                    for q in self.questions.of_columns:
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
        return self._mean(layer, lambda one: getattr(self.answers.marginals[one, s, position_set], name))

    def _information(
        self, layer: str, s: int, estimator: str, weight: str, q: Question, kind: str = "value"
    ) -> Floats | None:
        def of(one: str) -> Floats | None:
            found = self.answers.informations.get((one, s, q, kind, weight))
            return None if found is None else found.plugin if estimator == PLUGIN else found.corrected

        return self._mean(layer, of)

    def _marginal_rows(self, layer: str, s: int, estimator: str, position_set: str) -> list[Estimate]:
        rows = []
        n = len(self.questions.position_sets[position_set])
        for what in ("entropy", "ceiling"):
            value = self._marginal(layer, s, estimator, position_set, what)
            if value is not None:
                more = {"estimator": estimator, "position_set": position_set, "n": n}
                rows.append(self._estimate(what, layer, value * self.scale, self.unit, **more))
        return rows

    def _information_rows(
        self, quantity: str, layer: str, s: int, estimator: str, weight: str, q: Question
    ) -> list[Estimate]:
        value = self._information(layer, s, estimator, weight, q)
        if value is None:
            if s == 0 and layer == "model" and self._mean_over("model"):
                self.warnings.append(
                    f"{quantity} of {q.side}{'' if q.order is None else f', {q.position_set}'}: no label occurs in two "
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
            n=len(self.questions.position_sets[q.position_set]), **controls,
        )  # fmt: skip
        return [replace(row, warning=_doubt(row, self.capture.m, self.scale))]

    def _order_rows(self, layer: str, s: int, estimator: str, weight: str, k: int, name: str) -> list[Estimate]:
        rows: list[Estimate] = []
        found: dict[str, Floats | None] = {}
        for side, quantity in SIDES.items():
            q = Question(side, k, name, own=True)
            rows += self._information_rows(quantity, layer, s, estimator, weight, q)
            found[side] = self._information(layer, s, estimator, weight, q)
        if k > 1 and weight == "frequency" and name == f"P_{k}":
            next_token = self.questions.of("output", 1, k)
            rows += self._information_rows("expressivity", layer, s, estimator, weight, next_token)
        x, y = found["input"], found["output"]
        if x is not None and y is not None and bool((x != 0).all()):
            more = {"order": k, "weight": weight, "estimator": estimator, "position_set": name, "n": rows[0].n}
            doubt = next((r.warning for r in rows if r.warning), None)
            ratio = self._estimate("optimality", layer, y / x, "ratio", **more, repeated_mass=rows[0].repeated_mass)
            rows.append(replace(ratio, warning=doubt))
            if layer == "model":
                each = self._mean(layer, lambda one: self._ratio(one, s, estimator, weight, k, name))
                if each is not None:
                    rows.append(self._estimate("mean_ratio_optimality", layer, each, "ratio", **more))
        return rows

    def _ratio(self, layer: str, s: int, estimator: str, weight: str, k: int, name: str) -> Floats | None:
        x, y = (self._information(layer, s, estimator, weight, Question(side, k, name, True)) for side in SIDES)
        return None if x is None or y is None or not (x != 0).all() else y / x

    def _share_rows(self, layer: str, s: int, estimator: str) -> list[Estimate]:
        """What each order adds to the one before, on the common positions; then what no order explains."""
        widest = self.questions.orders[-1]
        position_set = f"P_{widest}"
        ceiling = self._marginal(layer, s, estimator, position_set, "ceiling")
        n = len(self.questions.position_sets[position_set])
        if ceiling is None:
            return []
        rows = []
        for side in SIDES:
            before = np.zeros_like(ceiling)
            more = {"side": side, "weight": "frequency", "estimator": estimator, "position_set": position_set, "n": n}
            if "frequency" not in self.weights:
                return []
            for j in range(1, widest + 1):
                value = self._information(layer, s, estimator, "frequency", self.questions.of(side, j, widest))
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
        w = self.capture.windows
        count = 0 if self.blocks is None else int(self.blocks.max()) + 1
        sums, counts, sizes = (
            without(np.bincount(w.document, x, minlength=self.documents).astype(np.float64), self.blocks, count)
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
            "batch_tokens": manifest.get("batch_tokens"),
            "tokens": int(np.count_nonzero(w.is_text)),
            "positions": w.n_positions,
            "documents": self.documents,
            "settings": {
                "orders": list(self.questions.orders),
                "estimators": list(self.estimators),
                "corrected": ESTIMATORS["corrected"],
                "weights": list(self.weights),
                "labels": sorted(q.side.removeprefix("label:") for q in self.questions.of_columns),
                "text_labels": list(self.questions.of_texts),
                "unit": self.unit,
                "blocks": int(blocks.max()) + 1 if len(blocks) else 0,
            },
            "versions": {**manifest["versions"], **versions("scipy", "polars")},
            "wall_time": {"measuring_s": round(seconds, 2)},
            # captures of before they kept the model's have none
            "warnings": list(dict.fromkeys([*manifest.get("warnings", ()), *self.warnings])),
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
