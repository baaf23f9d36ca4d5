"""Measuring: a capture and questions in, a `Measurement` out. No model is needed here."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infoplane.capture import Capture
from infoplane.engines import Advance, Engine, Local, Piece, Progress, advancing
from infoplane.errors import SettingError
from infoplane.information import CAPACITY, ESTIMATORS, THINNED
from infoplane.measurement.estimate_rows import Record
from infoplane.measurement.measure_settings import UNITS, WEIGHTS
from infoplane.measurement.plan import Plan
from infoplane.measurement.questions import Question, Questions, check_orders
from infoplane.measurement.recording import measurement_of
from infoplane.measurement.reduction import Answers, Target, answer, settings, targets_of
from infoplane.measurement.results import Measurement
from infoplane.text import Column, Unit, Windows


def measure_capture(
    capture: Capture,
    *,
    orders: Sequence[int] = (1, 2),
    estimators: Sequence[str] = ("corrected",),
    weights: Sequence[str] = ("frequency",),
    labels: Mapping[str, Column] | None = None,
    text_labels: Sequence[str] = (),
    unit: str = "efficiency",
    capacity: float = CAPACITY,
    controls: bool = True,
    parts: bool = True,
    threads: int | None = None,
    engine: Engine | None = None,
    memory: int | str | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Compute the figures of a capture, without the model.

    Args:
        capture: from `infoplane.open_capture` or `infoplane.capture.write_capture`.
        orders: orders of the n-grams, from 1 to 4.
        estimators: one or more of `corrected`, `plugin` and `null-curve`; the first is the main one.
        weights: one or both of `frequency` and `uniform`.
        labels: further label columns by name. A column is whole numbers or words, one per measured position or one per
            document; categories by document name; or `@position` or `@folder`
            (`infoplane.text.ngram_labels.label_column`).
        text_labels: labels that do not depend on the tokenizer, such as `word`, `char:4` and `byte:4`; each has its own
            position set, the ends of words (`infoplane.text.word_labels`).
        unit: `efficiency` (nats divided by log m), `bits` or `nats`.
        capacity: what a fitted code holds, as a share of log m.
        controls: whether to compute the controls: permuted labels, shifted labels and halves of the documents.
        parts: whether to compute the parts of the ceiling, and what documents alone contribute to expressivity.
        threads: number of threads; by default one per core.
        engine: engine whose workers share the layers; by default this process does all.
        memory: what each worker may hold, in bytes or as `4GB`, `4GiB` or `512MB`; by default half of the free memory.
            It affects no number (`infoplane.capture.memory_plan`).
        device: device of PyTorch, such as `cuda`, on which sums are computed; by default the GPU on which the states
            were computed, if this process uses it, otherwise the CPU. Results agree to rounding.
        progress: called as `progress(stage, done, total)`.

    Raises:
        SettingError: an unknown order, estimator, weight, unit or label of the text; or too little memory.
        LabelError: a column that does not fit, or no text to make labels of.
        CaptureError: the fitted code was taken from another capture, where it holds a different capacity.
    """
    if memory is not None:  # refused before anything is made, as far as can be said by then
        settings(capture, 1, threads, memory)
    capture = capture.at(capacity)
    asker = Asker(capture.windows, orders, estimators, weights, labels or {}, unit, controls, text_labels, parts)
    return asker.measure(capture, threads, progress, engine, memory, device)


def check_asked(
    orders: Sequence[int],
    estimators: Sequence[str],
    weights: Sequence[str] = ("frequency",),
    unit: str = "efficiency",
    text_labels: Sequence[str] = (),
) -> None:
    """Refuse what cannot be asked of any capture: known before there is one.

    Raises:
        SettingError: an order, estimator, weight, unit or label of the text that is not known.
    """
    for what, values, known in (("estimator", estimators, tuple(ESTIMATORS)), ("weight", weights, WEIGHTS)):
        for value in values:
            if value not in known:
                raise SettingError(f"{what} {value!r} is not known; choose of {', '.join(known)}")
        if not values:
            raise SettingError(f"name at least one {what} of {', '.join(known)}")
    if unit not in UNITS:
        raise SettingError(f"unit {unit!r} is not known; choose one of {', '.join(UNITS)}")
    check_orders(orders)
    for text in text_labels:
        Unit.parse(text)


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
        parts: bool = True,
    ) -> None:
        check_asked(orders, estimators, weights, unit, text_labels)
        self.estimators = tuple(dict.fromkeys(ESTIMATORS[name] for name in estimators))
        self.weights, self.unit = tuple(weights), unit
        self.blocks = windows.blocks
        self.questions = Questions(windows, orders, labels or {}, controls, text_labels, parts)
        self.plan = Plan(self.questions, self.blocks, weights, THINNED in self.estimators)
        self.settings = (orders, estimators, weights, labels, unit, controls, text_labels, parts)

    def measure(
        self,
        capture: Capture,
        threads: int | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
        memory: int | str | None = None,
        device: str | None = None,
    ) -> Measurement:
        """Ask a capture of these windows."""
        started = time.monotonic()
        views = [capture.of(code) for code in capture.codes]
        steps = sum(map(len, map(targets_of, views))) * len(self.plan)

        advance = advancing(progress, "measuring", steps)
        advance(0)
        records = [
            Record(
                view, self._answers(view, threads, memory, engine, advance, device), self.questions, self.plan.repeated,
                self.blocks, self.estimators, self.weights, self.unit,
            )
            for view in views
        ]  # fmt: skip
        if progress is not None:  # controls that could not be made are done with, too
            progress("measuring", steps, steps)
        return measurement_of(records, started)

    def _answers(
        self,
        capture: Capture,
        threads: int | None,
        memory: int | str | None,
        engine: Engine | None,
        advance: Advance,
        device: str | None,
    ) -> Answers:
        """What all layers of a capture answer, read with one of its codes."""
        targets, answers = targets_of(capture), Answers()
        if engine is None or not engine.sends:
            device = device or _device_of(capture)
        with (engine or Local()).group(_Asking(capture, self), name="the capture") as group:
            parts = _parts(targets, 1 if group.threads is None else _PARTS * group.workers)
            pieces = [
                Piece(f"layers {part[0][0]} to {part[-1][0]}", part, len(part) * len(self.plan)) for part in parts
            ]
            for _, (some, repeated) in group.each(
                _Answering(threads or group.threads, memory, device), pieces, advance
            ):
                answers.marginals.update(some.marginals)
                answers.informations.update(some.informations)
                answers.temperatures.update(some.temperatures)
                self.plan.repeated.update(repeated)
        return answers


def _device_of(capture: Capture) -> str | None:
    """The GPU, where states were computed on one and this process uses it; sums of them are made there too."""
    torch = sys.modules.get("torch")  # a stored capture is measured without it
    on_gpu = capture.manifest["model"].get("device") == "cuda" and torch is not None and torch.cuda.is_available()
    return "cuda" if on_gpu else None


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

    def __reduce__(self) -> tuple[Callable[..., _Asking], tuple[object, ...]]:
        folder = None if self.capture.folder is None else self.capture.folder.absolute()
        return _asked_anew, (replace(self.capture, folder=folder), self.asker.settings)


def _asked_anew(capture: Capture, settings: tuple[Any, ...]) -> _Asking:
    return _Asking(capture, Asker(capture.windows, *settings))


@dataclass(frozen=True)
class _Answering:
    """The work of measuring: a piece is some targets."""

    threads: int | None
    memory: int | str | None = None
    device: str | None = None

    def open(self, asking: _Asking) -> Callable[[list[Target], Advance], tuple[Answers, dict[Question, float]]]:
        capture, plan = asking.capture, asking.asker.plan

        def do(targets: list[Target], advance: Advance) -> tuple[Answers, dict[Question, float]]:
            return answer(capture, plan, self.threads, advance, targets, self.memory, self.device), plan.repeated

        return do
