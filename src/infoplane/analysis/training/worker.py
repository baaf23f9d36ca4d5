"""What a worker of a trace does: measure a checkpoint, if its measurement is not stored already.

The first model that loads cuts the windows of all, and says what all have in common.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.training.code_of_run import code_of_run, with_own_code
from infoplane.bottleneck import Bound, FitText, Frontier, orders_with_bound, stored_or_fitted
from infoplane.capture import KeptCode
from infoplane.engines import Advance, Held, Local, Progress, WorkSettings, lasting, unseen
from infoplane.errors import ModelError, ResultError, SettingError, spoken
from infoplane.information import PointSets
from infoplane.measurement import (
    JSON_NAME,
    SCHEMA,
    Asking,
    Measurement,
    MeasureSettings,
    all_of_the_text,
    capture_model,
    codes_of,
    cut,
)
from infoplane.models import Checkpoint, gaps, select_names
from infoplane.storage import Json, is_address, is_damaged, versions, working
from infoplane.storage import atomic_files as files
from infoplane.text import tokenizer_hash

if TYPE_CHECKING:
    from infoplane.models import Model
    from infoplane.text import Text, Windows
    from infoplane.text.pairs import Pairs

_SAME = ("architecture", "width", "blocks", "vocabulary", "dtype")
DECIDING = ("infoplane", "torch", "transformers")
"""Packages whose version decides numbers."""


_ALWAYS = ("orders", "estimators", "unit", "loss", "layers", "m", "points_seed", "calibration")
_CUTTING = ("tokens", "context", "seed", "add_bos")
"""Settings that keys have held whatever their value; others enter where they differ from what they are declared as."""


def asked_of(settings: MeasureSettings) -> dict[str, Json]:
    """What decides the numbers of given windows, by keyword."""
    windows = {*settings.reading.settings(), *settings.windows.settings(), *settings.loading.settings()}
    return {name: value for name, value in _deciding(settings, _ALWAYS).items() if name not in windows}


def deciding(settings: MeasureSettings) -> dict[str, Json]:
    """What decides the numbers of a trace beside model and text, by keyword."""
    loading = settings.loading.settings()
    reading = settings.reading.settings()
    decided = {
        name: value
        for name, value in _deciding(settings, (*_ALWAYS, *_CUTTING)).items()
        if name not in loading and name not in reading
    }
    return {**decided, **loaded_with(settings)}


def _deciding(settings: MeasureSettings, always: Sequence[str]) -> dict[str, Json]:
    declared = MeasureSettings.settings()
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.flat().items()
        if declared[name].declared.decides and (name in always or value != declared[name].default)
    }


def loaded_with(settings: MeasureSettings) -> dict[str, str]:
    """What is not left to its default in loading models; not device and dtype, which are settled when one loads."""
    loading = settings.loading.other_than_default()
    return {name: str(value) for name, value in loading.items() if name not in ("device", "dtype")}


@dataclass(frozen=True, eq=False)
class Learned:
    """What the first model that loads says of all: the windows, what they have in common, their tokenizer and points.

    `points` is the hash of the reference points, or of the kept code, `kept` the fitted code that all are read with.
    `deep` are the windows that the bound is fitted on, where there is one.
    """

    windows: Windows
    like: dict[str, Json]
    words: str
    points: str
    kept: KeptCode | None = None
    deep: Windows | None = None


@dataclass(frozen=True, eq=False)
class Tracing:
    """The work of a trace: a piece is a checkpoint."""

    run: Run
    read: Text | Pairs

    def open(self, _: None) -> Callable[[Checkpoint, Advance], tuple[Measurement | None, str | None, Learned | None]]:
        if self.run.sent and not is_address(self.run.out) and not self.run.out.is_dir():
            raise ResultError(unseen(self.run.out))

        def do(checkpoint: Checkpoint, advance: Advance) -> tuple[Measurement | None, str | None, Learned | None]:
            try:
                measurement, problem = self.run.measurement(checkpoint, self.read), None
            except (SettingError, ResultError):
                raise  # of all checkpoints alike; or one would be measured over
            except Exception as error:  # a model's own code may raise anything, and the others can go on
                if isinstance(error, OSError) and (self.run.sent or lasting(error)):
                    raise  # of the storage: the engine does the checkpoint again, where that can help
                measurement, problem = None, spoken(error)
            return measurement, problem, self.run.learned

        return do


@dataclass(eq=False)
class Run:
    """What all checkpoints of a trace share."""

    out: Path
    settings: MeasureSettings
    keep: bool
    progress: Progress | None
    work: WorkSettings
    sent: bool = False
    learned: Learned | None = None
    engine: Mapping[str, Json] = field(default_factory=dict)
    bound: Bound | None = None
    decides: Mapping[str, Json] = field(default_factory=dict)
    force: bool = False

    def place(self, name: str) -> Path:
        """Folder of a checkpoint's measurement; names may hold what a folder's may not."""
        safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:60] or "_"
        if safe != name:
            safe += "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.out / "checkpoints" / safe

    def shared(self, model: str | Path, checkpoints: Sequence[Checkpoint]) -> dict[str, Json]:
        """Provenance of the trajectory."""
        w = None if self.learned is None else self.learned.windows
        like = {} if self.learned is None else self.learned.like
        return {
            "model": str(model),
            "like": dict(like),
            "settings": asked_of(self.settings),
            "text": None if w is None else w.provenance.get("text"),
            "windows_hash": None if w is None else w.hash,
            "checkpoints": len(checkpoints),
            "gaps": [list(g) for g in gaps([c.step for c in checkpoints])],
            "versions": versions("infoplane", "torch", "transformers", "numpy"),
            "engine": dict(self.engine),
            "decides": dict(self.decides),
        }

    def measurement(self, checkpoint: Checkpoint, read: Text | Pairs) -> Measurement:
        """The checkpoint's measurement, stored or new; the first model loaded cuts the windows."""
        model = self._load(checkpoint, read) if self.learned is None else None
        key = self._key(checkpoint)  # once: it reads all the weights
        stored = self._stored(checkpoint, key)
        if stored is not None:
            return stored
        return self._measure(checkpoint, model or self._load(checkpoint, read), key)

    def _load(self, checkpoint: Checkpoint, read: Text | Pairs) -> Model:
        """The model, known to be of the same run as the first."""
        from infoplane.models import load_model

        s, revision = self.settings.loading, checkpoint.commit or checkpoint.revision
        model = load_model(
            checkpoint.source,
            revision=revision,
            tokenizer=s.tokenizer,
            dtype=s.dtype,
            device=s.device,
            device_map=s.device_map,
            trust_remote_code=s.trust_remote_code,
            allow_pickle=s.allow_pickle,
        )
        like = {name: model.provenance[name] for name in _SAME}
        assert model.tokenizer is not None  # it was loaded by its name
        words = tokenizer_hash(model.tokenizer)
        if self.learned is None:
            # refuses layers that no checkpoint has
            layers = select_names(model.facts.layers, self.settings.capturing.layers)
            windows = cut(read, model.tokenizer, self.settings, model.max_context)
            kept = code_of_run(
                self.out, self.settings, self.work, model, windows, checkpoint.name, self.progress, self.force
            )
            code, capacity = self.settings.code, self.settings.questions.capacity
            codes = codes_of(model.facts, layers, windows, code, capacity, self.work.memory, kept)
            hashes = [code.hash(layers) if isinstance(code, PointSets) else code.hash for code in codes]
            deep = None
            if self.settings.questions.bound:
                deep = all_of_the_text(read, model.tokenizer, self.settings, model.max_context)
            self.learned = Learned(windows, like, words, ",".join(hashes), kept, deep)
        for name in _SAME:
            if like[name] != self.learned.like[name]:
                raise ModelError(
                    f"{checkpoint.name} is another model: its {name} is {like[name]}, that of the first checkpoint "
                    f"{self.learned.like[name]}; a trace is of one run"
                )
        self._refuse_tokenizer(checkpoint, words)
        return model

    def _refuse_tokenizer(self, checkpoint: Checkpoint, words: str) -> None:
        assert self.learned is not None
        if words != self.learned.words:
            raise ModelError(
                f"{checkpoint.name} has another tokenizer than the first checkpoint: their windows cannot be the same"
            )

    def _check_tokenizer(self, checkpoint: Checkpoint) -> None:
        """Refuse the stored measurement of a checkpoint whose tokenizer was changed: its weights' hash is the same."""
        from infoplane.models import tokenizer_folder, words_of

        if checkpoint.revision or self.settings.loading.tokenizer or tokenizer_folder(Path(checkpoint.source)) is None:
            return  # a commit vouches for both; another tokenizer is the same for all; a .gguf holds its own
        words = words_of(checkpoint.source, None, None)
        assert words is not None  # of a folder
        self._refuse_tokenizer(checkpoint, tokenizer_hash(words))

    def _measure(self, checkpoint: Checkpoint, model: Model, key: str) -> Measurement:
        assert self.learned is not None
        windows, results = self.learned.windows, self.place(checkpoint.name)
        with working(results / "capture", self.keep) as folder, Local().group(Held(model), name="the model") as models:
            kept = capture_model(
                models,
                model.facts,
                windows,
                self.settings,
                self.work,
                folder,
                force=self.force or not self.keep,
                progress=self.progress,
                kept=self.learned.kept,
            )
            asking = Asking(self.settings, self.work, Local(), {}, self.progress)
            measurement = asking.ask(kept, self._frontiers(windows))
            measurement = with_own_code(measurement, asking, model, windows, results / "own-code")
            where = {"name": checkpoint.name, "step": checkpoint.step, "training_tokens": checkpoint.tokens}
            more = {"trace_key": key, "checkpoint": where}
            measurement = dataclasses.replace(measurement, provenance={**measurement.provenance, **more})
        measurement.save(results)  # once the capture is gone: a trace that is stopped in between leaves none behind
        return measurement

    def _frontiers(self, windows: Windows) -> tuple[Frontier, ...] | None:
        """The bound of the text, fitted once and stored; None where nobody asks for it."""
        questions = self.settings.questions
        if questions.bound and self.bound is None:
            self.bound = stored_or_fitted(
                self.out / "bound",
                windows,
                orders_with_bound(questions.orders),
                m=self.settings.code.m,
                fit=None if self.learned is None or self.learned.deep is None else FitText(self.learned.deep),
                threads=self.work.threads,
                progress=self.progress,
            )
        return None if self.bound is None else self.bound.frontiers

    def _stored(self, checkpoint: Checkpoint, key: str) -> Measurement | None:
        results = self.place(checkpoint.name)
        if not (results / JSON_NAME).is_file():
            return None
        try:
            measurement = Measurement.load(results)
        except ResultError as error:
            if self.force or is_damaged(results / JSON_NAME, SCHEMA):
                return None  # it is made anew
            raise ResultError(f"{error}; choose another --out, or --force to write over it") from None
        if measurement.provenance.get("trace_key") == key:
            self._check_tokenizer(checkpoint)
            return measurement
        if self.force:
            return None
        raise ResultError(
            f"{results / JSON_NAME} was measured of other weights, on another device, with another code or with other "
            "settings than asked for now: choose another --out, or --force to measure it again"
        )

    def _key(self, checkpoint: Checkpoint) -> str:
        """Hash of everything that decides the numbers of a checkpoint."""
        from infoplane.models import find_device, weights_of

        assert self.learned is not None
        loading = self.settings.loading
        device = find_device(loading.device).type
        local = None if checkpoint.revision else weights_of(checkpoint.source, allow_pickle=loading.allow_pickle)
        weights = local or checkpoint.commit
        return files.hash_of(
            {
                "weights": weights,
                "source": checkpoint.source if checkpoint.revision else None,
                "windows": self.learned.windows.hash,
                "settings": asked_of(self.settings),
                "step": checkpoint.step,
                "loading": {**loaded_with(self.settings), "dtype": self.learned.like["dtype"]},
                "device": device,
                "versions": versions(*DECIDING),
                "points": self.learned.points,
            }
        )
