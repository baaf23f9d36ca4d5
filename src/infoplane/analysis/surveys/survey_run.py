"""One run of a survey: what is stored already, what is to be measured, and the record that grows."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.surveys.cost import memory_of
from infoplane.analysis.surveys.entries import (
    Device,
    decides,
    device_of,
    pairs_key,
    read_entry_pairs,
    read_entry_text,
    text_key,
)
from infoplane.analysis.surveys.lock import Hub, Lock, Locked, check_local, moved, resolve
from infoplane.analysis.surveys.record import JSON_NAME, Survey, Surveyed, listed
from infoplane.analysis.surveys.survey_file import Entry
from infoplane.analysis.surveys.worker import Devices, Measuring, Todo
from infoplane.engines import Engine, Held, Piece, Progress, WorkSettings, lasting
from infoplane.errors import InfoplaneError, ResultError, SettingError, spoken
from infoplane.measurement import JSON_NAME as MEASUREMENT_NAME
from infoplane.measurement import Measurement
from infoplane.storage import Json, check_free, check_kind, deciding_versions, differences
from infoplane.storage import atomic_files as files
from infoplane.text import Text

if TYPE_CHECKING:
    pass


class SurveyRun:
    """One run over a survey."""

    def __init__(
        self,
        out: Path,
        entries: tuple[Entry, ...],
        source: str,
        progress: Progress | None,
        say: Callable[[str], object] | None,
        work: WorkSettings,
    ) -> None:
        self.work = work
        self.out, self.entries, self.source, self.progress = out, entries, source, progress
        self.say = say or (lambda sentence: None)
        self.texts: dict[str, Text] = {}
        self.found: dict[str, Measurement] = {}
        self.keys: dict[str, dict[str, Json]] = {}
        self.failed: dict[str, tuple[str, str]] = {}
        self.engine: dict[str, Json] = {}
        self.devices: dict[str, Device] = {}
        self.pairs: dict[str, str | None] = {}

    # ------------------------------------------------------------------ before the first model

    def check_folder(self, force: bool) -> None:
        """Refuse a folder that holds another survey: its models would be gone from the index."""
        check_kind(self.out, JSON_NAME)
        self.lock = Lock(self.out)
        if not (self.out / JSON_NAME).exists():
            if not self.lock.path.exists():  # else a survey was begun there
                check_free(self.out, JSON_NAME, force)
            return
        try:
            measured, failed = listed(self.out)
        except ResultError:
            if not force:
                raise
            return
        ours = {entry.name for entry in self.entries}
        others = [name for name in measured if name not in ours]
        if others and not force:
            raise ResultError(
                f"{self.out / JSON_NAME} lists {len(others)} measured models that this survey does not "
                f"({', '.join(others[:3])}{', ...' if len(others) > 3 else ''}): choose another --out, or --force to "
                "leave them out of it (their folders stay)"
            )
        self.failed = {name: failure for name, failure in failed.items() if name in ours}

    def read_inputs(self, chosen: Sequence[Entry]) -> None:
        """Read each text, and each source of pairs, once."""
        for entry in chosen:
            key = text_key(entry)
            if key not in self.texts:
                if self.progress is not None:
                    self.progress("reading", len(self.texts), len(self.texts) + 1)
                self.texts[key] = read_entry_text(entry)
            self._pairs(entry)

    def resolve(self, chosen: Sequence[Entry]) -> None:
        """Lock what is not locked yet; say where the hub has moved on since; refuse local weights that changed."""
        hub = Hub()
        for number, entry in enumerate(chosen):
            if self.progress is not None:
                self.progress("resolving", number, len(chosen))
            self.failed.pop(entry.name, None)
            locked = self.lock.get(entry)
            try:
                if locked is None:
                    self.lock.add(resolve(entry, hub))
                    continue
                if entry.is_local and not (self.out / entry.name / MEASUREMENT_NAME).exists():
                    self.lock.add(resolve(entry, hub))  # nothing was measured of what was locked: it may be mended
                    continue
                check_local(entry, locked)
            except InfoplaneError as error:
                self._fail(entry, error)
                continue
            if change := moved(entry, locked, hub):
                self.say(change)
        if not hub.reachable:
            self.say("the hub cannot be reached: what is locked or in its cache here is used")

    def ask_devices(self, engine: Engine, chosen: Sequence[Entry]) -> None:
        """Learn what the devices named are where the models will run, which need not be here.

        Raises:
            SettingError: one of a chosen model cannot be used.
        """
        names = sorted({entry.settings.measuring.loading.device for entry in self.entries})
        if engine.sends:
            with engine.group(Held(None), name="the devices", gpus=True, fresh=True) as group:
                self.devices = dict(zip(names, group.ask(Devices(tuple(names)), "the devices"), strict=True))
        else:
            self.devices = {name: device_of(name) for name in names}
        for entry in chosen:
            if problem := self.devices[entry.settings.measuring.loading.device].problem:
                raise SettingError(f"{entry.name}: {problem}")

    def _pairs(self, entry: Entry) -> str | None:
        """What vouches for the pairs of an entry, read once."""
        s = entry.settings
        source = files.canonical_json([s.source.preferences, s.measuring.reading.flat()])
        if source not in self.pairs:
            self.pairs[source] = pairs_key(read_entry_pairs(entry))
        return self.pairs[source]

    def recall(self, chosen: Sequence[Entry]) -> None:
        """Find what is measured already, of all models of the survey, with what is asked for now."""
        chosen_names = {entry.name for entry in chosen}
        for entry in self.entries:
            locked = self.lock.get(entry)
            if locked is None or entry.name in self.failed:
                continue
            try:
                text = self.texts.get(text_key(entry))
                stored = self._stored(entry)
                sha = text.provenance["sha256"] if text is not None else _text_of(stored)
                device = self.devices[entry.settings.measuring.loading.device]
                key = self.keys[entry.name] = decides(entry, locked, sha, self._pairs(entry), device)
            except InfoplaneError as error:
                if entry.name in chosen_names:
                    self._fail(entry, error)
                continue
            if stored is None:
                continue
            differs = differences(_decided(stored), key)
            elsewhere = {"versions", "device", *(["dtype"] if entry.settings.measuring.loading.dtype == "auto" else [])}
            if not differs:
                self.found[entry.name] = stored
            elif entry.name not in chosen_names and set(differs) <= elsewhere:
                self.found[entry.name] = stored
                self.say(f"{entry.name}: stays in the table as it was measured (different: {', '.join(differs)})")

    def check_overwriting(self, chosen: Sequence[Entry], force: bool) -> None:
        """Refuse to measure over results that were made otherwise."""
        for entry in chosen:
            results = self.out / entry.name
            if force or entry.name in self.found or entry.name in self.failed:
                continue
            if not (results / MEASUREMENT_NAME).exists():
                continue
            stored = self._stored(entry)
            then = None if stored is None else _decided(stored)
            differs = differences(then, self.keys[entry.name])
            how = (
                f"made otherwise (different: {', '.join(differs)})"
                if then
                else "not of a survey, or of another version"
            )
            raise ResultError(
                f"{results / MEASUREMENT_NAME} is a measurement {how}: choose another --out, or --force to measure "
                "again"
            )

    # ------------------------------------------------------------------ the models

    def do(self, chosen: Sequence[Entry], engine: Engine, force: bool) -> None:
        """Measure those that are still to be done, and write what there is after each."""
        labels = {entry.name: f"{number + 1}/{len(chosen)} {entry.name}" for number, entry in enumerate(chosen)}
        todo = [entry for entry in chosen if entry.name not in self.found and entry.name not in self.failed]
        by_name, since = {entry.name: entry for entry in todo}, len(engine.retried)
        with engine.group(Held(None), name="the models", gpus=True, fresh=True) as group:
            measuring = Measuring(
                self.out.absolute(),
                {text_key(entry): self.texts[text_key(entry)] for entry in todo},
                group.threads,
                None if engine.sends else self.progress,
                self.work,
                force,
            )
            pieces = [Piece(entry.name, Todo(entry, self._locked(entry), self.keys[entry.name])) for entry in todo]
            pieces = [replace(piece, memory=memory_of(piece.what.entry)) for piece in pieces]
            results = group.outcomes(measuring, pieces)
            for number, entry in enumerate(chosen):
                if self.progress is not None:
                    self.progress("models", number, len(chosen))
                if entry.name in by_name:  # as many as are to be done come, in the order in which they get done
                    one, outcome = next(results)
                    entry = by_name[one.entry.name]
                    if isinstance(outcome, Measurement):
                        self.found[entry.name] = outcome
                        self.say(f"{labels[entry.name]}: measured")
                    else:
                        if lasting(outcome):
                            raise outcome
                        self._fail(entry, outcome)  # a model's own code may raise anything, and the others can go on
                        self.say(f"{labels[entry.name]}: failed: {self.failed[entry.name][1]}")
                    del one, outcome  # an error keeps its model alive, and the next is to be loaded
                    _free()
                elif entry.name in self.found:
                    self.say(f"{labels[entry.name]}: measured already")
                else:
                    self.say(f"{labels[entry.name]}: failed: {self.failed[entry.name][1]}")
                self.engine = engine.record(since)
                self.store()

    def _locked(self, entry: Entry) -> Locked:
        locked = self.lock.get(entry)
        assert locked is not None
        return locked

    def _fail(self, entry: Entry, error: Exception) -> None:
        kind = type(error).__name__
        self.failed[entry.name] = (kind, spoken(error).removeprefix(f"{kind}: "))

    # ------------------------------------------------------------------ what there is

    def _stored(self, entry: Entry) -> Measurement | None:
        try:
            return Measurement.load(self.out / entry.name)
        except ResultError:
            return None  # nothing there, of another version, or damaged

    def store(self) -> Survey:
        """Write what there is so far."""
        models = []
        for entry in self.entries:
            locked = self.lock.get(entry)
            measurement = self.found.get(entry.name)
            failure = (None, None) if measurement else self.failed.get(entry.name, (None, None))
            weights = {} if locked is None else locked.weights
            models.append(Surveyed(entry.name, entry.id, entry.revision, weights, entry.facts, measurement, *failure))
        texts = [text.provenance for text in self.texts.values()]
        made = Survey(
            tuple(models),
            {
                "source": self.source,
                "texts": [dict(t) for t in texts],
                "versions": deciding_versions(),
                "engine": self.engine,
            },
        )
        made.save(self.out)
        return made


def _text_of(stored: Measurement | None) -> str:
    return "" if stored is None else stored.origin.text.sha256 or ""


def _decided(stored: Measurement) -> Mapping[str, Json] | None:
    """What decided the numbers of a stored measurement; None where it is not of a survey."""
    record: Mapping[str, Mapping[str, Json]] = stored.provenance.get("survey") or {}
    return record.get("decides")


def _free() -> None:
    """Give back the memory of a model that nothing refers to any longer, cycles included."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
