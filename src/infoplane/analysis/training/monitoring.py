"""A live monitor of a model in training: a few windows, always the same, probed every so many steps.

`Monitor` works in any PyTorch loop; `infoplane.watch(trainer)` puts one into a Hugging Face `Trainer`. A probe runs the
decoder without its head, in evaluation mode and without gradients, and touches nothing that training goes on with:
modes, gradients, weights and random states are as before. What can be settled once, the labels of the fixed windows
among it, is settled at the start, so a probe costs little more than a forward pass over its tokens.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.training.monitor_settings import MonitorSettings
from infoplane.analysis.training.series import Series
from infoplane.analysis.training.trained_module import random_state_kept, ranks_of, unwrapped
from infoplane.analysis.training.trajectory import DISTANCES, JSON_NAME, Point, Trajectory
from infoplane.capture import dealt, hold_capture
from infoplane.engines import WAIT, Processes
from infoplane.errors import ResultError, SettingError
from infoplane.measurement import Asker, codes_of, cut_text
from infoplane.models import find_structure, max_context, refuse_what_cannot_be_run, select_layers, sharding_of
from infoplane.settings import settings_or
from infoplane.storage import atomic_files as files
from infoplane.storage import to_path
from infoplane.text import BUILT_IN, TextSource, Tokenizer, fitting_context, text_of

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from infoplane.analysis.training.monitor_keywords import MonitorKeywords
    from infoplane.capture import Capture
    from infoplane.models import Model

EVERY = 0.01
_LOGGED = ("complexity", "expressivity", "optimality", "ceiling", "loss")
_BACK = 0.5  # the present phase is the change over this part of the steps done, in logarithms


class Monitor:
    """Measures one model again and again while it trains; each measurement is a probe.

    If the weights are spread over several processes (`fully_shard`, tensor parallelism), each process makes a monitor
    and calls `probe` at the same steps. The first process has the results; on the others `probe` returns an empty
    dictionary, and there is nothing to save.

    Args:
        model: a `transformers` module, which may be wrapped by `torch.compile` or for data parallelism.
        tokenizer: the tokenizer of the model. It must be given.
        documents: text to probe with, as for `infoplane.measure`; preferably text that is not trained on.
        settings: what each probe measures; by default `MonitorSettings()`: 4,096 tokens in windows of 128, two sets of
            reference points, order 1, `corrected`, no controls and no parts. Only the lowest order is logged.
        name: name of the model in results; by default the name of its class.
        together: whether, of a model that each process holds whole (DDP), each process makes a monitor too and runs a
            share of the windows. By default the process that makes the monitor runs all of them on its own.
        wait: seconds to wait for the other processes.
        **flat: settings by keyword, which override those in `settings`.

    Raises:
        InfoplaneError: a model that is not a decoder, no tokenizer, or text that is too short.
        EngineError: another process failed, is missing, or has another text, tokenizer or settings.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Tokenizer | None,
        documents: TextSource = BUILT_IN,
        settings: MonitorSettings | None = None,
        *,
        name: str | None = None,
        together: bool = False,
        wait: float = WAIT,
        **flat: Unpack[MonitorKeywords],
    ) -> None:
        self.settings = chosen = settings_or(settings, MonitorSettings).but(flat)
        module = unwrapped(model)
        refuse_what_cannot_be_run(module)
        sharding = sharding_of(module)
        if sharding is not None:
            self._shares, ranks = sharding.shares, sharding.ranks
        else:
            self._shares, ranks = together, ranks_of(model) if together else ()
        self._processes = Processes(ranks, wait) if len(ranks) > 1 else None
        with self.on_all():
            if tokenizer is None:
                raise SettingError("the monitor needs the model's tokenizer: give it, or Trainer(processing_class=...)")
            context = fitting_context(chosen.windows.context, max_context(module))
            windows = dataclasses.replace(chosen.windows, context=context)
            self.windows = cut_text(text_of(documents, chosen.reading, windows), tokenizer, windows, chosen.code)
        if self._processes is not None:
            self._processes.agree({"text or tokenizer": self.windows.hash, "setting": str(chosen.flat())})
        with self.on_all():
            if self._processes is not None and self._shares:
                dealt(self.windows, self._processes.size)
            self._find(module, tokenizer, name, sharded=sharding is not None)
        self.last_step: int | None = None
        self._probes: list[Point] = []
        self._stored: set[Path] = set()

    def on_all(self) -> contextlib.AbstractContextManager[None]:
        """What fails on one process is an error on all of them."""
        return contextlib.nullcontext() if self._processes is None else self._processes.together()

    @property
    def keeps(self) -> bool:
        """Whether this process has the results: it is the first process, or the only one."""
        return self._processes is None or self._processes.is_first

    def _find(self, module: torch.nn.Module, tokenizer: Tokenizer, name: str | None, sharded: bool) -> None:
        """The parts of the model, what states are read with, and the questions."""
        from infoplane.models import Model

        q, capturing = self.settings.questions, self.settings.capturing
        with random_state_kept():
            self.model: Model = Model.from_module(module, tokenizer, name, together=sharded)
        self.model.check_tokens(self.windows)
        self.model.facts.check_loss(capturing.loss)
        self.layers = select_layers(self.model.layers, capturing.layers)
        names = [layer.name for layer in self.layers]
        self.codes = codes_of(self.model.facts, names, self.windows, self.settings.code, q.capacity)
        self.order, self.loss = min(q.orders), capturing.loss
        if not self.keeps:
            return
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

    @property
    def trajectory(self) -> Trajectory:
        """All probes so far, as a trajectory."""
        q = self.settings.questions
        settings = {"orders": sorted(set(q.orders)), "unit": q.unit, "loss": self.loss}
        shared = {
            "model": self.model.provenance["name"],
            "settings": settings,
            "windows_hash": self.windows.hash,
            "text": self.windows.provenance["text"],
            "probed": {
                "settings": files.hash_of({name: str(value) for name, value in self.settings.flat().items()}),
                "layers": [layer.name for layer in self.layers],
                **{name: self.model.provenance[name] for name in ("architecture", "width", "parameters")},
            },
            "checkpoints": len(self._probes),
            "gaps": [],
        }
        return Trajectory(tuple(self._probes), shared)

    def probe(self, step: int, *, tokens: int | None = None) -> dict[str, float]:
        """Measure the model with its present weights.

        Args:
            step: training steps done, more than at the last probe.
            tokens: training tokens seen.

        Returns:
            Values to log: `infoplane/model/NAME` for complexity, expressivity, optimality, ceiling and, if measured,
            the loss, with their errors as `NAME_se`; the same for `distance_to_ceiling` and `phase` (see
            `present_phase`), without errors; and `infoplane/LAYER/NAME` for complexity and expressivity.

        Raises:
            SettingError: `step` is not above that of the last probe.
            EngineError: another process failed, is missing, or is at another step.
        """
        if self._processes is not None:
            self._processes.agree({"step": step})
        with self.on_all():
            if self.last_step is not None and step <= self.last_step:
                raise SettingError(f"probe of step {step} after that of {self.last_step}: steps must grow")
        with random_state_kept():
            with self.on_all():
                self._look_again()
            capture = hold_capture(
                self.model,
                self.windows,
                self.codes,
                self.layers,
                loss=self.loss,
                processes=self._processes,
                shares=self._shares,
            )
        with self.on_all():
            found = {} if capture is None else self._measured(capture, step, tokens)
        self.last_step = step
        return found

    def _measured(self, capture: Capture, step: int, tokens: int | None) -> dict[str, float]:
        """Keep the measurement of a capture as the probe of a step; what of it is logged."""
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
                if key in logs:  # the main estimator and weight come first
                    continue
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
        """1 if complexity is rising, -1 if it is falling, 0 if neither is certain by the 95 % interval of the change.

        The last probe is compared with the latest one at or before half of its step, or else the first. Such a change
        may be no more than the noise of the optimiser: `infoplane.find_phases` tests that.
        """
        if len(self._probes) < 2:
            return 0
        last = self._probes[-1].step
        start = max(i for i, p in enumerate(self._probes[:-1]) if i == 0 or p.step <= _BACK * last)
        return _sign(self.trajectory.series("complexity", order=self.order), start)

    def stalled(self, patience: int, line: str = "distance_to_ceiling") -> bool:
        """Whether the distance to a line of the plane has not fallen over the last `patience` probes.

        It has fallen if the 95 % interval of its change is below 0. Without an interval (fewer than 40 documents) that
        is not known, and the answer is False. If there are several processes, all must call this, and all get the same
        answer.

        Args:
            patience: number of probes; before there are more of them than this the answer is False.
            line: `distance_to_ceiling` or `distance_to_diagonal`.

        Raises:
            SettingError: another line, or a `patience` below 1.
        """
        if patience < 1 or line not in DISTANCES:
            raise SettingError(
                f"patience = {patience}, line {line!r}: expected 1 or more, and {' or '.join(DISTANCES)}"
            )
        found = False
        if len(self._probes) > patience:
            series = self.trajectory.series(line, order=self.order)
            start = len(series) - 1 - patience
            found = series.difference(start, len(series) - 1)[2] is not None and _sign(series, start) >= 0
        return found if self._processes is None else self._processes.of_first(found)

    def resume(self, folder: str | Path, step: int) -> None:
        """Continue from the probes up to a step that an earlier monitor of the run saved in a folder, if there are any.

        If there are several processes, all must call this.

        Raises:
            ResultError: they were made of another architecture, with another text or other settings.
        """
        with self.on_all():
            if self.keeps:
                self._take(to_path(folder), step)
        last = self._probes[-1].step if self._probes else None
        self.last_step = last if self._processes is None else self._processes.of_first(last)

    def _take(self, folder: Path, step: int) -> None:
        if not (folder / JSON_NAME).exists():
            return
        stored, own = Trajectory.load(folder), self.trajectory.provenance
        names = ("settings", "windows_hash", "probed")
        if differs := [name for name in names if stored.provenance.get(name) != own[name]]:
            raise ResultError(
                f"{folder} holds probes of another run (different: {', '.join(differs)}): choose another out, or "
                "remove it"
            )
        self._probes = [point for point in stored.points if point.step <= step]
        self._stored = {folder / f"probes/{point.name}" for point in self._probes}

    def save(self, folder: str | Path) -> Path:
        """Write the probes as a trajectory, for `infoplane report`; return the path of its JSON file.

        A process that has no probes, because another keeps them, writes nothing.
        """
        folder = to_path(folder)
        if not self.keeps:
            return folder / JSON_NAME
        places = {}
        for point in self._probes:
            places[point.name] = f"probes/{point.name}"
            assert point.measurement is not None
            if (place := folder / places[point.name]) not in self._stored:
                point.measurement.save(place)
                self._stored.add(place)
        return self.trajectory.save(folder, places)


def _sign(series: Series, start: int) -> int:
    value, _, interval = series.difference(start, len(series) - 1)
    if interval is None:
        return 0
    return int(interval[0] > 0) - int(interval[1] < 0) if value else 0
