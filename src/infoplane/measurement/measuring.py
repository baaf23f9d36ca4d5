"""The whole way from a model and text to a measurement: read, load, cut, capture, ask."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.bottleneck import FitText, fit_hash, kept_bound, key_of, orders_with_bound
from infoplane.capture import (
    Capture,
    Probed,
    check_probe,
    forget_predictions,
    kept_predictions,
    open_capture,
    predictions_of,
    probe,
    teacher_hash,
)
from infoplane.engines import Engine, Group, Progress, WorkSettings, using
from infoplane.errors import SettingError
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.probe_rows import probe_rows
from infoplane.measurement.read_until import outcome, places, read_until
from infoplane.measurement.results import Measurement
from infoplane.measurement.steps import (
    Asking,
    all_of_the_text,
    capture_model,
    check_questions,
    cut,
    read_input,
    wanted_of,
)
from infoplane.models import AskFacts, ModelSource, Source, TokenizerSource, select_names
from infoplane.settings import apart, settings_or
from infoplane.storage import Json, is_address, reach_location, temporary, to_path
from infoplane.text import BUILT_IN, Text, TextSource, label_column
from infoplane.text.pairs import Pairs, PairSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from infoplane.bottleneck import Frontier
    from infoplane.measurement.measure_keywords import MeasureKeywords
    from infoplane.models import Facts, Model
    from infoplane.text import Column, Windows

MODEL = "smollm2-135m"


def measure(
    model: ModelSource | None = MODEL,
    documents: TextSource = BUILT_IN,
    settings: MeasureSettings | None = None,
    *,
    preferences: PairSource | None = None,
    tokenizer: TokenizerSource | None = None,
    labels: Mapping[str, Column] | None = None,
    capture: str | Path | None = None,
    force: bool = False,
    work: WorkSettings | None = None,
    engine: str | Engine | None = None,
    progress: Progress | None = None,
    **flat: Unpack[MeasureKeywords],
) -> Measurement:
    """Measure what each layer of a language model keeps about the text it has read, and carries about the text to come.

    Args:
        model: `smollm2-135m`, a hub id, a folder, a .gguf file, an adapter folder, a loaded `transformers` module, or
            an `infoplane.Model`; None to compute the figures of the capture in `capture`, without a model.
        documents: the text: `c4-sample`, a file or folder, a `datasets` id, strings, or a `Text`; see `read_text`.
        settings: what is measured, and how; by default `MeasureSettings()`.
        preferences: preference pairs instead of documents, as for `infoplane.read_pairs`. The token budget is then one
            of answer tokens, and the figures of `infoplane.measurement.preference_information` are added.
        tokenizer: the tokenizer of a loaded module, which needs one; for a named model, another tokenizer by its hub id
            or folder; not for a `Model`, which has its own. If it differs from the one stored with the weights, there
            is a warning; tokens that the model does not have are an error.
        labels: further label columns by name; see `infoplane.measure_capture`.
        capture: folder or address, such as s3://bucket/x, to keep the capture in; by default it is not kept.
        force: whether to replace the capture of another run in that folder.
        work: workers, memory and threads; by default `WorkSettings()`.
        engine: an engine that is running, or the name of one, instead of that in `work`.
        progress: called as `progress(stage, done, total)`.
        **flat: settings by keyword, which override those in `settings` and `work`.

    Returns:
        The figures of each layer and of the whole model, with their errors and provenance.

    Raises:
        InfoplaneError: bad input; its subclass says of which kind.
    """
    chosen, how = apart(flat, settings_or(settings, MeasureSettings), settings_or(work, WorkSettings, "work"))
    if isinstance(tokenizer, str | Path):
        chosen, tokenizer = chosen.but({"tokenizer": str(tokenizer)}), None
    check_questions(chosen, made=model is not None)
    _refuse_own_code(chosen.code.code_of, None if model is None else capture)
    if capture is not None:
        capture = reach_location(capture, "capture", writes=model is not None)
    if model is None:
        _refuse_making(chosen, how, documents=documents, preferences=preferences, tokenizer=tokenizer)
        kept = _kept(capture)
        with using(engine or how.engine, how.workers, how.gpus_per_worker) as running:
            return Asking(chosen, how, running, labels or {}, progress).ask(kept)
    read = read_input(documents, preferences, chosen, labels)
    with using(engine or how.engine, how.workers, how.gpus_per_worker) as running:
        asking = Asking(chosen, how, running, labels or {}, progress)
        if running.sends and not isinstance(model, str | Path):
            raise SettingError(
                f"a {type(model).__name__} that is loaded here cannot be sent to workers of the engine {running.name}: "
                "name its folder or hub id, or leave engine out"
            )
        return _measured(asking, model, tokenizer, read, capture, force)


def _refuse_own_code(code_of: str | None, capture: str | Path | None) -> None:
    """Refuse to write a capture where the one lies whose code it is to be read with: it would be gone."""
    if code_of is None or capture is None:
        return
    one, other = to_path(code_of), to_path(capture)
    if one == other or (not is_address(one) and not is_address(other) and one.resolve() == other.resolve()):
        raise SettingError(
            f"capture and code_of are both {capture}: the capture whose code is used would be written over; choose "
            "another folder for the capture",
            settings=("capture", "code_of"),
        )


def _refuse_making(
    chosen: MeasureSettings, how: WorkSettings, documents: TextSource, **others: PairSource | TokenizerSource | None
) -> None:
    """Refuse settings that matter only when a capture is made: this one exists already."""
    given = [name for name, value in others.items() if value is not None]
    if not (isinstance(documents, str) and documents == BUILT_IN):
        given.insert(0, "documents")
    given += [*chosen.of_captures(), *(["batch"] if how.batch is not None else [])]
    if given:
        raise SettingError(
            f"a capture has its own text, model and reference points, so {', '.join(given)} can say nothing more: "
            "leave that out, or name the model too",
            settings=given,
        )


def _kept(capture: str | Path | None) -> Capture:
    if capture is None:
        raise SettingError("without a model there must be a capture: name one of the two")
    return open_capture(capture)


def _measured(
    asking: Asking,
    model: ModelSource,
    tokenizer: TokenizerSource | None,
    read: Text | Pairs,
    capture: str | Path | None,
    force: bool,
) -> Measurement:
    """Load, cut, capture, ask; the model is given back before its capture is asked."""
    chosen, progress = asking.settings, asking.progress
    started, since = time.monotonic(), len(asking.engine.retried)
    with contextlib.ExitStack() as stack:
        if progress is not None:
            progress("loading", 0, 1)
        loading = chosen.loading.other_than_default()
        named = chosen.loading.tokenizer
        loading.pop("tokenizer", None)
        source = Source(model, tokenizer if named is None else named, loading)
        # the model stays with the workers until its captures are made; its facts come here
        with asking.engine.group(source, name="the model", gpus=True) as models:
            facts = models.ask(AskFacts(), "the model")
            facts.check_loss(chosen.capturing.loss)
            select_names(facts.layers, chosen.capturing.layers)  # refuses those that the model has not
            if progress is not None:
                progress("loading", 1, 1)
            loaded = time.monotonic()
            capturing = _Capturing(asking, models, facts, read, force)
            if chosen.precision.until_se is None:
                kept, stages, missed = capturing.once(capture, stack), None, None
            else:
                kept, stages, missed = capturing.until(capture, stack)
            probed, known = capturing.probed(kept), capturing.known_frontiers(kept)
            fit = capturing.fit_text() if known is None else None
        captured = time.monotonic()
        measurement = asking.ask(kept, known, fit)
        if fit is not None:  # from here on the bound itself is kept
            forget_predictions(fit.windows, capturing.vouched)
    if probed is not None:
        rows = probe_rows(probed, kept.windows.blocks, chosen.questions.unit, kept.m)
        measurement = dataclasses.replace(measurement, estimates=(*measurement.estimates, *rows))
    warnings = list(measurement.provenance["warnings"])
    limit, context = facts.max_context, chosen.windows.context
    if limit and limit < context:
        warnings.append(f"the model has positions for {limit} tokens: windows are that long, not {context}")
    warnings += [missed] if missed else []
    times = {
        "loading_s": round(loaded - started, 2),
        "capturing_s": round(captured - loaded, 2),
        **measurement.provenance["wall_time"],
        "total_s": round(time.monotonic() - started, 2),
    }
    more = {"wall_time": times, "warnings": warnings, "engine": asking.engine.record(since)}
    until = {} if stages is None else {"until_se": stages}
    return dataclasses.replace(measurement, provenance={**measurement.provenance, **more, **until})


@dataclass(frozen=True, eq=False)
class _Capturing:
    """A model that is held, and the text that it reads."""

    asking: Asking
    models: Group[Model]
    facts: Facts
    read: Text | Pairs
    force: bool

    def once(self, capture: str | Path | None, stack: contextlib.ExitStack) -> Capture:
        """The capture of the budget that was asked for; its folder is made after labels and tokens were checked."""
        read = self._cut(self.asking.settings)
        for name, values in self.asking.labels.items():
            label_column(values, read, name)  # refuses what does not fit
        return self._keep(stack.enter_context(_folder(capture)), read)

    def until(
        self, capture: str | Path | None, stack: contextlib.ExitStack
    ) -> tuple[Capture, dict[str, Json], str | None]:
        """The capture of the budget that the wanted error needs, what the record says of it, and a warning."""
        chosen, work = self.asking.settings, self.asking.work
        wanted = wanted_of(chosen)
        at = stack.enter_context(places(capture, self.force))
        kept, stages = read_until(
            wanted,
            lambda budget: self._cut(chosen.but({"tokens": budget})),
            lambda budget, read: self._keep(at.of(budget), read),
            lambda found: wanted.error_of(found, work.threads, work.memory),
        )
        kept = dataclasses.replace(kept, folder=at.settle(stages[-1].budget))
        return kept, *outcome(wanted, stages)

    def probed(self, kept: Capture) -> Probed | None:
        """What probes read of the windows of a capture, where they are asked for."""
        if not self.asking.settings.capturing.probe:
            return None
        return probe(self.models, self.facts, kept.windows, kept.layers, self.asking.progress)

    @cached_property
    def deep(self) -> Windows | None:
        """What the bound is fitted on, where it is asked for: all of the text."""
        s = self.asking.settings
        if not s.questions.bound or not isinstance(self.read, Text):
            return None
        assert self.facts.tokenizer is not None
        return all_of_the_text(self.read, self.facts.tokenizer, s, self.facts.max_context)

    @property
    def teaches(self) -> bool:
        """Whether the bound is fitted to what the model expects."""
        return self.asking.settings.capturing.teacher and self.facts.no_head is None

    @cached_property
    def vouched(self) -> str | None:
        """What vouches for the teacher's weights; None without one."""
        return teacher_hash(self.facts) if self.teaches else None

    def known_frontiers(self, kept: Capture) -> tuple[Frontier, ...] | None:
        """Those of the text of a capture if they were fitted before, with this teacher: it need not read then."""
        if self.deep is None or (self.teaches and self.vouched is None):
            return None
        orders = orders_with_bound(self.asking.settings.questions.orders)
        key = key_of(kept.windows, orders, kept.m, fit_hash(self.deep, self.vouched))
        known = None if key is None else kept_bound(key)
        return None if known is None else known.frontiers

    def fit_text(self) -> FitText | None:
        """What the bound is fitted on, where it is asked for: all of the text, with what the model expects there."""
        if self.deep is None:
            return None
        if not self.teaches:
            return FitText(self.deep)
        make = partial(predictions_of, self.models, self.facts, self.deep, self.asking.progress)
        return FitText(self.deep, kept_predictions(self.deep, self.vouched, make))

    def _cut(self, settings: MeasureSettings) -> Windows:
        assert self.facts.tokenizer is not None  # a source without one is refused when it is opened
        read = cut(self.read, self.facts.tokenizer, settings, self.facts.max_context)
        self.facts.check_tokens(read)  # before a folder is made
        if settings.capturing.probe:
            check_probe(read)
        return read

    def _keep(self, folder: Path, read: Windows) -> Capture:
        a = self.asking
        return capture_model(
            self.models, self.facts, read, a.settings, a.work, folder, force=self.force, progress=a.progress
        )


@contextlib.contextmanager
def _folder(capture: str | Path | None) -> Iterator[Path]:
    if capture is not None:
        yield to_path(capture)
        return
    with temporary() as folder:
        yield folder
