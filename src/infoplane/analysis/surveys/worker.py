"""What a worker of a survey does: measure a model, and refuse where that would not be what the survey asks for."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infoplane.analysis.surveys.entries import Device, decides, device_of, pairs_key, read_entry_pairs, text_key
from infoplane.analysis.surveys.lock import LOCK_NAME, Locked, check_not_hidden
from infoplane.analysis.surveys.survey_file import Entry
from infoplane.engines import Advance, Progress, WorkSettings, unseen
from infoplane.errors import ModelError, ResultError
from infoplane.measurement import Measurement, measure
from infoplane.storage import Json, differences, working
from infoplane.text import BUILT_IN, ReadSettings, Text

_FOR_ALL = ("memory", "threads", "batch")
"""What the run says of all models, whatever the survey says."""


@dataclass(frozen=True)
class Todo:
    """A model to be measured: its weights, and what decides its numbers."""

    entry: Entry
    locked: Locked
    key: Mapping[str, Json]


@dataclass(frozen=True)
class Devices:
    """The work of saying what devices are where it is done."""

    names: tuple[str, ...]

    def open(self, _: None) -> Callable[[None, Advance], list[Device]]:
        return lambda _, advance: [device_of(name) for name in self.names]


@dataclass(frozen=True)
class Measuring:
    """The work of a survey: a piece is a model."""

    out: Path
    texts: Mapping[str, Text]
    threads: int | None
    progress: Progress | None
    work: WorkSettings
    force: bool = False

    def open(self, _: None) -> Callable[[Todo, Advance], Measurement]:
        if not (self.out / LOCK_NAME).exists():
            raise ResultError(unseen(self.out))
        return self._measure

    def _measure(self, todo: Todo, advance: Advance) -> Measurement:
        entry, locked = todo.entry, todo.locked
        check_not_hidden(entry)
        s, text = entry.settings, self.texts[text_key(entry)]
        loading = s.measuring.loading
        pairs = read_entry_pairs(entry)
        here = decides(entry, locked, text.provenance["sha256"], pairs_key(pairs), device_of(loading.device))
        if differs := differences(todo.key, here):
            raise ModelError(
                f"a worker on {platform.node()} would measure otherwise than this run asks for (different: "
                f"{', '.join(differs)}): all nodes need the same packages; name dtype and device in the survey"
            )
        results = self.out / entry.name
        settings = dataclasses.replace(
            s.measuring,
            reading=ReadSettings(),  # the text is read
            loading=dataclasses.replace(loading, revision=locked.commit),
        )
        of_run = {name: value for name, value in self.work.other_than_default().items() if name in _FOR_ALL}
        work = s.work.but({"threads": s.work.threads or self.threads, **of_run})
        documents = text if pairs is None else BUILT_IN  # pairs are read in place of the text
        kept = s.keep_captures
        with working(results / "capture", kept) as folder:
            measurement = measure(
                entry.path or entry.id,
                documents,
                settings,
                preferences=pairs,
                work=work,
                capture=folder,
                force=self.force or not kept,
                progress=self.progress,
            )
            model = measurement.provenance["model"]
            weights = "adapter_sha256" if "adapter_sha256" in model else "file_sha256"
            for key, want in (("commit", locked.commit), (weights, locked.sha256)):
                if want and model.get(key) not in (None, want):
                    raise ModelError(
                        f"{entry.id} was loaded as {key} {model[key]}, and {want} is locked: nothing is kept"
                    )
            record = {"name": entry.name, "id": entry.id, "revision": entry.revision, "decides": dict(todo.key)}
            measurement = dataclasses.replace(measurement, provenance={**measurement.provenance, "survey": record})
            measurement.save(results)
        return measurement
