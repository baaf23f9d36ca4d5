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
from typing import TYPE_CHECKING, Any

from infoplane.bottleneck import Bound, stored_or_fitted, with_a_bound
from infoplane.capture import capture_sizes, draw_points, write_capture
from infoplane.engines import Advance, Progress, lasting, unseen
from infoplane.errors import ModelError, ResultError, SettingError, spoken
from infoplane.measurement import JSON_NAME, SCHEMA, Measurement, measure_capture, with_bound
from infoplane.models import Checkpoint, gaps, select_layers
from infoplane.storage import atomic_files as files
from infoplane.storage import is_address, is_damaged, versions, working
from infoplane.text import fitting_context, make_windows, tokenizer_hash

if TYPE_CHECKING:
    from infoplane.models import Model
    from infoplane.text import Text, Windows

_SAME = ("architecture", "width", "blocks", "vocabulary", "dtype")
DECIDING = ("infoplane", "torch", "transformers")
"""Packages whose version decides numbers."""


def asked(loading: Mapping[str, Any]) -> dict[str, str]:
    """What is not left to its default in loading models; not device and dtype, which are settled when one loads."""
    return {
        name: str(value) for name, value in loading.items()
        if name not in ("device", "dtype") and value not in (None, False, "auto")
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learned:
    """What the first model that loads says of all: the windows, what they have in common, and their tokenizer."""

    windows: Windows
    like: dict[str, Any]
    words: str


@dataclass(frozen=True, eq=False)
class Tracing:
    """The work of a trace: a piece is a checkpoint."""

    run: Run
    text: Text
    cutting: Mapping[str, Any]

    def open(self, _: None) -> Callable[[Checkpoint, Advance], tuple[Measurement | None, str | None, Learned | None]]:
        if self.run.sent and not is_address(self.run.out) and not self.run.out.is_dir():
            raise ResultError(unseen(self.run.out))

        def do(checkpoint: Checkpoint, advance: Advance) -> tuple[Measurement | None, str | None, Learned | None]:
            try:
                found, problem = self.run.measurement(checkpoint, self.text, self.cutting), None
            except (SettingError, ResultError):
                raise  # of all checkpoints alike; or one would be measured over
            except Exception as error:  # a model's own code may raise anything, and the others can go on
                if isinstance(error, OSError) and (self.run.sent or lasting(error)):
                    raise  # of the storage: the engine does the checkpoint again, where that can help
                found, problem = None, spoken(error)
            return found, problem, self.run.learned

        return do


@dataclass(eq=False)
class Run:
    """What all checkpoints of a trace share."""

    out: Path
    loading: Mapping[str, Any]
    settings: dict[str, Any]
    keep: bool
    progress: Progress | None
    sent: bool = False
    threads: int | None = None
    learned: Learned | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    bound: Bound | None = None
    memory: int | str | None = None
    batch: int | None = None
    decides: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False

    def place(self, name: str) -> Path:
        """Folder of a checkpoint's measurement; names may hold what a folder's may not."""
        safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:60] or "_"
        if safe != name:
            safe += "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.out / "checkpoints" / safe

    def shared(self, model: str | Path, found: Sequence[Checkpoint]) -> dict[str, Any]:
        """Provenance of the trajectory."""
        w = None if self.learned is None else self.learned.windows
        like = {} if self.learned is None else self.learned.like
        return {
            "model": str(model), "like": dict(like), "settings": dict(self.settings),
            "text": None if w is None else w.provenance.get("text"),
            "windows_hash": None if w is None else w.hash,
            "checkpoints": len(found), "gaps": [list(g) for g in gaps([c.step for c in found])],
            "versions": versions("infoplane", "torch", "transformers", "numpy"), "engine": dict(self.engine),
            "decides": dict(self.decides),
        }  # fmt: skip

    def measurement(self, checkpoint: Checkpoint, text: Any, cutting: Mapping[str, Any]) -> Measurement:
        """The checkpoint's measurement, stored or new; the first model loaded cuts the windows."""
        model = self._load(checkpoint, text, cutting) if self.learned is None else None
        key = self._key(checkpoint)  # once: it reads all the weights
        stored = self._stored(checkpoint, key)
        if stored is not None:
            return stored
        return self._measure(checkpoint, model or self._load(checkpoint, text, cutting), key)

    def _load(self, checkpoint: Checkpoint, text: Any, cutting: Mapping[str, Any]) -> Model:
        """The model, known to be of the same run as the first."""
        from infoplane.models import load_model

        model = load_model(checkpoint.source, revision=checkpoint.commit or checkpoint.revision, **self.loading)
        like = {name: model.provenance[name] for name in _SAME}
        words = tokenizer_hash(model.tokenizer)
        if self.learned is None:
            limit = model.max_context
            context = fitting_context(cutting["context"], limit)
            windows = make_windows(text, model.tokenizer, **{**cutting, "context": context})
            self.learned = Learned(windows, like, words)
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

        if checkpoint.revision or self.loading.get("tokenizer") or tokenizer_folder(Path(checkpoint.source)) is None:
            return  # a commit vouches for both; another tokenizer is the same for all; a .gguf holds its own
        self._refuse_tokenizer(checkpoint, tokenizer_hash(words_of(checkpoint.source, None, None)))

    def _measure(self, checkpoint: Checkpoint, model: Model, key: str) -> Measurement:
        assert self.learned is not None
        windows, s, place = self.learned.windows, self.settings, self.place(checkpoint.name)
        layers = select_layers(model.layers, None if s["layers"] is None else tuple(s["layers"]))
        points = draw_points(model.width, s["m"], s["points_seed"], s["calibration"], memory=self.memory)
        sizes = capture_sizes(model.facts, windows, points, len(layers), s["loss"], self.memory, self.batch)
        with working(place / "capture", self.keep) as folder:
            kept = write_capture(
                folder, model, windows, points, layers, loss=s["loss"], force=self.force or not self.keep,
                progress=self.progress, **sizes,
            )  # fmt: skip
            found = measure_capture(
                kept, orders=s["orders"], estimators=s["estimators"], unit=s["unit"], threads=self.threads,
                memory=self.memory, progress=self.progress,
            )  # fmt: skip
            if s.get("bound"):
                if self.bound is None:
                    self.bound = stored_or_fitted(
                        self.out / "bound", windows, with_a_bound(s["orders"]), m=s["m"], progress=self.progress
                    )
                found = with_bound(found, kept, self.bound.frontiers)
            where = {"name": checkpoint.name, "step": checkpoint.step, "training_tokens": checkpoint.tokens}
            more = {"trace_key": key, "checkpoint": where}
            found = dataclasses.replace(found, provenance={**found.provenance, **more})
        found.save(place)  # once the capture is gone: a trace that is stopped in between leaves none behind
        return found

    def _stored(self, checkpoint: Checkpoint, key: str) -> Measurement | None:
        place = self.place(checkpoint.name)
        if not (place / JSON_NAME).is_file():
            return None
        try:
            found = Measurement.load(place)
        except ResultError as error:
            if self.force or is_damaged(place / JSON_NAME, SCHEMA):
                return None  # it is made anew
            raise ResultError(f"{error}; choose another --out, or --force to write over it") from None
        if found.provenance.get("trace_key") == key:
            self._check_tokenizer(checkpoint)
            return found
        if self.force:
            return None
        raise ResultError(
            f"{place / JSON_NAME} was measured of other weights, on another device or with other settings than asked "
            "for now: choose another --out, or --force to measure it again"
        )

    def _key(self, checkpoint: Checkpoint) -> str:
        """Hash of everything that decides the numbers of a checkpoint."""
        from infoplane.models import find_device, weights_of

        assert self.learned is not None
        device = find_device(str(self.loading.get("device") or "auto")).type
        allowed = bool(self.loading.get("allow_pickle"))
        weights = checkpoint.commit if checkpoint.revision else weights_of(checkpoint.source, allow_pickle=allowed)
        return files.hash_of({
            "weights": weights, "source": checkpoint.source if checkpoint.revision else None,
            "windows": self.learned.windows.hash, "settings": self.settings, "step": checkpoint.step,
            "loading": {**asked(self.loading), "dtype": self.learned.like["dtype"]},
            "device": device,
            "versions": versions(*DECIDING),
        })  # fmt: skip
