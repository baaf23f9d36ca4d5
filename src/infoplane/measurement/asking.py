"""Measuring: a capture and questions in, a `Measurement` out. No model is needed here."""

from __future__ import annotations

import itertools
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
    progress: Progress | None = None,
) -> Measurement:
    """Ask a capture.

    Args:
        capture: from `write_capture` or `open_capture`.
        orders: n-gram orders, of 1 to 4.
        estimators: of `corrected`, `plugin` and `null-curve`; the first named comes first in the record.
        weights: of `frequency` and `uniform`.
        labels: further columns by name: numbers or words, one a position or one a document; categories by document
            name; `@position` or `@folder` (`infoplane.text.ngram_labels.label_column`).
        text_labels: labels that do not depend on the tokenizer, such as `word`, `char:4`, `byte:4`; they stand at the
            ends of words, in position sets of these names (`infoplane.text.word_labels`).
        unit: `efficiency` (divided by log m), `bits` or `nats`.
        capacity: what a fitted code is to hold, as a share of log m.
        controls: whether the estimates are made with permuted and shifted labels too.
        parts: whether the parts of the ceiling and of expressivity that documents have are asked for.
        threads: to work with; by default as many as there are cores.
        engine: whose workers ask the layers, in parts; this process by default.
        memory: what each may hold, in bytes or as `4GB`, `4GiB`, `512MB`; half of what is free by default. No number
            hangs on it (`infoplane.capture.memory_plan`).
        progress: called with a stage, what is done and what there is to do.

    Raises:
        SettingError: an order, estimator, weight or unit that is not known; less memory than is needed.
        LabelError: a column that does not fit, or no text to make labels of.
        CaptureError: another capacity than that of a kept code.
    """
    if memory is not None:  # refused before anything is made, as far as can be said by then
        settings(capture, 1, threads, memory)
    capture = capture.at(capacity)
    asker = Asker(capture.windows, orders, estimators, weights, labels or {}, unit, controls, text_labels, parts)
    return asker.measure(capture, threads, progress, engine, memory)


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
    ) -> Measurement:
        """Ask a capture of these windows."""
        started = time.monotonic()
        views = [capture.of(code) for code in capture.codes]
        steps = sum(map(len, map(targets_of, views))) * len(self.plan)

        advance = advancing(progress, "measuring", steps)
        advance(0)
        records = [
            Record(
                view, self._answers(view, threads, memory, engine, advance), self.questions, self.plan.repeated,
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
    ) -> Answers:
        """What all layers of a capture answer, read with one of its codes."""
        targets, answers = targets_of(capture), Answers()
        with (engine or Local()).group(_Asking(capture, self), name="the capture") as group:
            parts = _parts(targets, 1 if group.threads is None else _PARTS * group.workers)
            pieces = [
                Piece(f"layers {part[0][0]} to {part[-1][0]}", part, len(part) * len(self.plan)) for part in parts
            ]
            for _, (some, repeated) in group.each(_Answering(threads or group.threads, memory), pieces, advance):
                answers.marginals.update(some.marginals)
                answers.informations.update(some.informations)
                answers.temperatures.update(some.temperatures)
                self.plan.repeated.update(repeated)
        return answers


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

    def open(self, asking: _Asking) -> Callable[[list[Target], Advance], tuple[Answers, dict[Question, float]]]:
        capture, plan = asking.capture, asking.asker.plan

        def do(targets: list[Target], advance: Advance) -> tuple[Answers, dict[Question, float]]:
            return answer(capture, plan, self.threads, advance, targets, self.memory), plan.repeated

        return do
