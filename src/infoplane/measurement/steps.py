"""The steps of a measurement, each by itself: read the input, cut windows, capture a model, ask a capture.

`measure` takes them one after the other; the worker of a trace takes those that it needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.bottleneck import FitText, Frontier, deep, kept_or_fitted, orders_with_bound
from infoplane.capture import (
    FIT_TOKENS,
    Capture,
    KeptCode,
    capture_sizes,
    capture_with,
)
from infoplane.engines import Engine, Group, Progress, WorkSettings
from infoplane.errors import SettingError
from infoplane.information import CAPACITY, FITS, FITTED, CodeSettings
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.codes_to_read_with import code_identity_of, codes_of
from infoplane.measurement.frontier_gap import with_bound
from infoplane.measurement.measure_settings import MeasureSettings, refuse_with_pairs, refuse_without_pairs
from infoplane.measurement.preference_information import with_preferences
from infoplane.measurement.protocols import protocol_of
from infoplane.measurement.read_until import MOST, Wanted, enough_documents
from infoplane.measurement.results import Measurement
from infoplane.models import select_names
from infoplane.storage import working_folders
from infoplane.text import (
    BUILT_IN,
    Text,
    TextSource,
    Tokenizer,
    Unit,
    WindowSettings,
    fitting_context,
    reserve,
    text_of,
    windows_of,
)
from infoplane.text.pairs import Pairs, PairSource, is_of_pairs, make_pair_windows, read_pairs

if TYPE_CHECKING:
    from infoplane.models import Facts, Model
    from infoplane.text import Column, Windows


def check_questions(settings: MeasureSettings, made: bool = True) -> None:
    """Refuse what cannot be asked of any capture: known before there is one.

    Args:
        settings: of the measurement.
        made: whether the capture is made by these settings, or there already.

    Raises:
        SettingError: a label of the text that is not known, a standard error that no budget reaches, or the capacity
            of a code that is not asked for.
        CaptureError: the capture whose code is to be used is not there.
    """
    code_identity_of(settings)
    for name in settings.questions.text_labels:
        Unit.parse(name)
    if made and FITTED not in settings.code.code and settings.questions.capacity != CAPACITY:
        raise SettingError(
            "capacity is what a fitted code holds, and none is asked for: leave capacity out, or add fitted to code",
            settings=("capacity", "code"),
        )
    if settings.precision.until_se is not None:
        wanted_of(settings)


def wanted_of(settings: MeasureSettings) -> Wanted:
    """The standard error that is wanted."""
    p, q, most = settings.precision, settings.questions, settings.windows.tokens
    return Wanted.of(p.until_se, p.until_order, q.orders, q.weights, q.unit, MOST if most is None else most)


def read_input(
    documents: TextSource,
    preferences: PairSource | None,
    settings: MeasureSettings,
    labels: Mapping[str, Column] | None = None,
) -> Text | Pairs:
    """The text or the pairs that settings ask for.

    Raises:
        SettingError: what cannot be asked of pairs, or of a text that is read until an error is reached.
        TextError: it cannot be read, or has too few documents for an error.
    """
    until = settings.precision.until_se
    if until is not None and labels:
        raise SettingError(
            "labels fit the positions of one budget: find it with until_se, then name it in tokens",
            settings=("until_se", "tokens"),
        )
    if preferences is not None:
        refuse_with_pairs(settings, bool(labels), "" if _is_usual(documents) else "documents")
        r = settings.reading
        return read_pairs(preferences, split=r.split, config=r.config, revision=r.text_revision, limit=r.limit)
    refuse_without_pairs(settings)
    text = text_of(documents, settings.reading, settings.windows)
    if until is not None:
        enough_documents(len(text))
    return text


def _is_usual(documents: TextSource) -> bool:
    return isinstance(documents, str) and documents == BUILT_IN


def cut(read: Text | Pairs, tokenizer: Tokenizer, settings: MeasureSettings, limit: int | None = None) -> Windows:
    """Windows of a text or of pairs.

    Args:
        read: from `read_input`.
        tokenizer: of the model.
        settings: budget, context, seed, and what is a position.
        limit: positions that the model has, where it has so many only.

    Raises:
        TextError, SettingError: as for `make_windows` and `make_pair_windows`.
    """
    windows = dataclasses.replace(settings.windows, context=fitting_context(settings.windows.context, limit))
    if isinstance(read, Text):
        return cut_text(read, tokenizer, windows, settings.code)
    w, p = windows, settings.pairs
    budget = {} if w.tokens is None else {"tokens": w.tokens}
    return make_pair_windows(
        read,
        tokenizer,
        context=w.context,
        seed=w.seed,
        add_bos=w.add_bos,
        include_special=w.include_special,
        chat_template=p.chat_template,
        prompt_truncate=p.prompt_truncate,
        **budget,
    )


def all_of_the_text(
    read: Text | Pairs, tokenizer: Tokenizer, settings: MeasureSettings, limit: int | None = None
) -> Windows:
    """Windows of all documents, as deep as they go: what the bound is fitted on."""
    assert isinstance(read, Text)  # pairs have no bound
    windows = dataclasses.replace(settings.windows, context=fitting_context(settings.windows.context, limit))
    return windows_of(read, tokenizer, deep(windows))


def cut_text(text: Text, tokenizer: Tokenizer, windows: WindowSettings, code: CodeSettings) -> Windows:
    """Windows of a text; where a code is fitted, some documents are reserved for it.

    Raises:
        TextError: too few documents, or too short ones.
    """
    if FITTED not in code.code:
        return windows_of(text, tokenizer, windows)
    measured, kept = reserve(text, code.reference_sets or FITS)
    shallow = dataclasses.replace(windows, tokens=FIT_TOKENS, bytes=None)
    fitting = tuple(windows_of(part, tokenizer, shallow) for part in kept)
    whole = windows_of(measured, tokenizer, windows)
    told = {**whole.provenance, "reserved": sum(map(len, kept))}
    return dataclasses.replace(whole, provenance=told, fitting=fitting)


def capture_model(
    models: Group[Model],
    facts: Facts,
    windows: Windows,
    settings: MeasureSettings,
    work: WorkSettings,
    folder: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
    kept: KeptCode | None = None,
) -> Capture:
    """The capture of a model that workers hold, in a folder; what is there of it is gone on with.

    Raises:
        CaptureError, ModelError, SettingError: as for `write_capture`.
    """
    layers, loss = select_names(facts.layers, settings.capturing.layers), settings.capturing.loss
    codes = codes_of(facts, layers, windows, settings.code, settings.questions.capacity, work.memory, kept)
    sizes = capture_sizes(facts, windows, codes, len(layers), loss, work.memory, work.batch)
    if working_folders.is_beside(folder):
        working_folders.make(folder)  # now that nothing is refused any more
    return capture_with(
        models, folder, facts, windows, codes, layers, loss=loss, force=force, progress=progress, **sizes
    )


@dataclass(frozen=True, eq=False)
class Asking:
    """What is asked of captures, and where."""

    settings: MeasureSettings
    work: WorkSettings
    engine: Engine
    labels: Mapping[str, Column]
    progress: Progress | None

    def ask(
        self, capture: Capture, frontiers: Sequence[Frontier] | None = None, fit: FitText | None = None
    ) -> Measurement:
        """The measurement of a capture.

        Args:
            capture: of a text, or of pairs.
            frontiers: of its text, where they are fitted already.
            fit: the text to fit them on, where they are not; by default that of the capture.

        Raises:
            SettingError, LabelError: as for `measure_capture`.
        """
        q, of_pairs = self.settings.questions, is_of_pairs(capture.windows)
        protocol = protocol_of(self.settings, capture)
        if of_pairs:
            refuse_with_pairs(self.settings, bool(self.labels))
        measurement = measure_capture(
            capture,
            orders=q.orders,
            estimators=q.estimators,
            weights=q.weights,
            labels=self.labels,
            text_labels=q.text_labels,
            unit=q.unit,
            capacity=q.capacity,
            controls=q.controls,
            parts=q.parts,
            threads=self.work.threads,
            engine=self.engine,
            memory=self.work.memory,
            progress=self.progress,
        )
        if of_pairs:
            measurement = with_preferences(measurement, capture, progress=self.progress)
        elif q.bound:
            measurement = self._placed(measurement, capture, frontiers, fit)
        more = {"protocol": protocol, "asked": self.settings.record()}
        return dataclasses.replace(measurement, provenance={**measurement.provenance, **more})

    def _placed(
        self,
        measurement: Measurement,
        capture: Capture,
        frontiers: Sequence[Frontier] | None,
        fit: FitText | None,
    ) -> Measurement:
        """The same with the place of the model against the bound of its text."""
        orders = self.settings.questions.orders
        bounded = orders_with_bound(orders)
        if frontiers is None:
            text_bound = kept_or_fitted(
                capture.windows, bounded, m=capture.m, fit=fit, threads=self.work.threads, progress=self.progress
            )
            frontiers = text_bound.frontiers
        placed = measurement
        for code in capture.codes:
            placed = with_bound(placed, capture.of(code), frontiers, threads=self.work.threads, progress=self.progress)
        if not (without := sorted(set(orders) - set(bounded))):
            return placed
        warning = (
            "the bound is there for orders 1 to 3: the model is placed against it at order "
            f"{', '.join(map(str, bounded))}, not at {', '.join(map(str, without))}"
        )
        warnings = [*placed.provenance["warnings"], warning]
        return dataclasses.replace(placed, provenance={**placed.provenance, "warnings": warnings})
