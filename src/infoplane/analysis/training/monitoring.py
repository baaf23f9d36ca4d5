"""A live monitor of a model in training: a few windows, always the same, probed every so many steps.

`Monitor` works in any PyTorch loop; `infoplane.watch(trainer)` puts one into a Hugging Face `Trainer`. A probe runs the
decoder without its head, in evaluation mode and without gradients, and touches nothing that training goes on with:
modes, gradients, weights and random states are as before. What can be settled once, the labels of the fixed windows
among it, is settled at the start, so a probe costs little more than a forward pass over its tokens.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.training.monitor_settings import MonitorSettings
from infoplane.analysis.training.series import Series
from infoplane.analysis.training.trajectory import DISTANCES, Point, Trajectory
from infoplane.capture import hold_capture
from infoplane.errors import SettingError
from infoplane.measurement import Asker, codes_of, cut_text
from infoplane.models import find_structure, select_layers
from infoplane.settings import settings_or
from infoplane.storage import to_path
from infoplane.text import BUILT_IN, TextSource, Tokenizer, fitting_context, text_of

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from infoplane.analysis.training.monitor_keywords import MonitorKeywords
    from infoplane.models import Model

EVERY = 0.01
_LOGGED = ("complexity", "expressivity", "optimality", "ceiling", "loss")
_BACK = 0.5  # the present phase is the change over this part of the steps done, in logarithms


class Monitor:
    """Probes of one model while it trains.

    Args:
        model: a `transformers` module; compiled or distributed wrappers are looked through.
        tokenizer: its tokenizer.
        documents: text to probe with, as for `infoplane.measure`; best text that is not trained on.
        settings: what is measured at each probe; by default that of `MonitorSettings`: 4,096 tokens in windows of 128,
            order 1, by `corrected`, without controls. The lowest order is the one that is logged for the whole model.
        name: what to call the model in results.
        **flat: settings by keyword, in the place of those in `settings`.

    Raises:
        InfoplaneError: a model that is not a decoder, or text that is too short.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Tokenizer | None,
        documents: TextSource = BUILT_IN,
        settings: MonitorSettings | None = None,
        *,
        name: str | None = None,
        **flat: Unpack[MonitorKeywords],
    ) -> None:
        from infoplane.models import Model

        self.settings = chosen = settings_or(settings, MonitorSettings).but(flat)
        if tokenizer is None:
            raise SettingError("the monitor needs the model's tokenizer: give it, or Trainer(processing_class=...)")
        module = unwrapped(model)
        with _random_state_kept():
            self.model: Model = Model.from_module(module, tokenizer, name)
        context = fitting_context(chosen.windows.context, self.model.max_context)
        windows = dataclasses.replace(chosen.windows, context=context)
        text, code, q = text_of(documents, chosen.reading, windows), chosen.code, chosen.questions
        self.windows = cut_text(text, tokenizer, windows, code)
        self.model.check_tokens(self.windows)
        self.model.facts.check_loss(chosen.capturing.loss)
        self.layers = select_layers(self.model.layers, chosen.capturing.layers)
        names = [layer.name for layer in self.layers]
        self.codes = codes_of(self.model.facts, names, self.windows, code, q.capacity)
        self.order, self.loss = min(q.orders), chosen.capturing.loss
        self._asker = Asker(
            self.windows,
            q.orders,
            q.estimators,
            q.weights,
            unit=q.unit,
            controls=q.controls,
            text_labels=q.text_labels,
            parts=q.parts,
        )
        self._probes: list[Point] = []

    @property
    def trajectory(self) -> Trajectory:
        """All probes so far."""
        q = self.settings.questions
        settings = {"orders": sorted(set(q.orders)), "unit": q.unit, "loss": self.loss}
        shared = {
            "model": self.model.provenance["name"],
            "settings": settings,
            "windows_hash": self.windows.hash,
            "text": self.windows.provenance["text"],
            "checkpoints": len(self._probes),
            "gaps": [],
        }
        return Trajectory(tuple(self._probes), shared)

    def probe(self, step: int, *, tokens: int | None = None) -> dict[str, float]:
        """Measure the model as it is.

        Args:
            step: training steps done, more than at the last probe.
            tokens: training tokens seen.

        Returns:
            What a tracker logs: `infoplane/model/complexity` and so on, `*_se` their errors,
            `infoplane/model/phase` (see `present_phase`), and complexity and expressivity of each layer read.
        """
        if self._probes and step <= self._probes[-1].step:
            raise SettingError(f"probe of step {step} after that of {self._probes[-1].step}: steps must grow")
        with _random_state_kept():
            self._look_again()
            capture = hold_capture(self.model, self.windows, self.codes, self.layers, loss=self.loss)
        measurement = self._asker.measure(capture.at(self.settings.questions.capacity), threads=1)
        # the weights have moved on since they were hashed
        model = {k: v for k, v in measurement.provenance["model"].items() if k != "weights_sha256"}
        measurement = dataclasses.replace(measurement, provenance={**measurement.provenance, "model": model})
        self._probes.append(Point(f"step-{step}", step, tokens, measurement))
        logs = {}
        for row in measurement.select():
            own = row.position_set in (None, f"P_{self.order}") and row.order in (None, self.order)
            wanted = _LOGGED if row.layer == "model" else ("complexity", "expressivity")
            if own and row.quantity in wanted:
                key = f"infoplane/{row.layer}/{row.quantity}"
                logs[key] = row.value
                if row.total_error is not None and row.layer == "model":
                    logs[f"{key}_se"] = row.total_error
        with contextlib.suppress(KeyError):
            logs["infoplane/model/distance_to_ceiling"] = (
                logs["infoplane/model/ceiling"] - logs["infoplane/model/expressivity"]
            )
        logs["infoplane/model/phase"] = float(self.present_phase())
        return logs

    def _look_again(self) -> None:
        """Find the decoder and its layers anew where parts of the module were replaced since the last probe."""
        parts = {id(part) for part in self.model.module.modules()}
        used = [self.model.backbone, *(layer.module for layer in self.layers)]
        if not all(id(part) in parts for part in used):
            self.model = dataclasses.replace(self.model, structure=find_structure(self.model.module))
            self.layers = select_layers(self.model.layers, tuple(layer.name for layer in self.layers))

    def present_phase(self) -> int:
        """1 while complexity rises, -1 while it falls, 0 where its change is within the error of the text.

        Compared is the last probe with the one at half of its step, by their paired 95 % interval. It says what
        happens now, not whether it is more than an optimiser's jitter: for that, see
        `infoplane.analysis.training.phases`.
        """
        if len(self._probes) < 2:
            return 0
        last = self._probes[-1].step
        start = max(i for i, p in enumerate(self._probes[:-1]) if i == 0 or p.step <= _BACK * last)
        return _sign(self.trajectory.series("complexity", order=self.order), start)

    def stalled(self, patience: int, line: str = "distance_to_ceiling") -> bool:
        """Whether the distance to a line of the plane has not fallen over the last `patience` probes.

        Fallen is what the paired 95 % interval of the text says; `line` is one of `DISTANCES`.
        """
        if patience < 1 or line not in DISTANCES:
            raise SettingError(
                f"patience = {patience}, line {line!r}: expected 1 or more, and {' or '.join(DISTANCES)}"
            )
        if len(self._probes) <= patience:
            return False
        series = self.trajectory.series(line, order=self.order)
        return _sign(series, len(series) - 1 - patience) >= 0

    def save(self, folder: str | Path) -> Path:
        """Write the probes as a trajectory, for `infoplane report`."""
        folder = to_path(folder)
        places = {}
        for point in self._probes:
            places[point.name] = f"probes/{point.name}"
            assert point.measurement is not None
            if not (folder / places[point.name]).exists():
                point.measurement.save(folder / places[point.name])
        return self.trajectory.save(folder, places)


def _sign(series: Series, start: int) -> int:
    value, _, interval = series.difference(start, len(series) - 1)
    if interval is None:
        return 0
    return int(interval[0] > 0) - int(interval[1] < 0) if value else 0


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The module inside `torch.compile` and data-parallel wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if inner is None:
            return model
        model = inner


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """PyTorch's generators, those of all GPUs in use included, put back as they were."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
