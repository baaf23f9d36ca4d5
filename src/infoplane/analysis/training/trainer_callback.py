"""The monitor inside a Hugging Face `Trainer`: one line, `infoplane.watch(trainer)`.

Probes are logged by the trainer itself, so whatever `report_to` names (TensorBoard, W&B, trackio) receives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from typing_extensions import Unpack

    from infoplane.analysis.training.monitor_keywords import MonitorKeywords
else:
    try:
        from transformers import TrainerCallback
    except ImportError:  # the name is there all the same; whoever has a trainer has transformers
        TrainerCallback = object

from infoplane.analysis.training.monitor_settings import MonitorSettings
from infoplane.analysis.training.monitoring import EVERY, Monitor
from infoplane.errors import SettingError, check_whole
from infoplane.settings import settings_or
from infoplane.storage import reach_location
from infoplane.text import BUILT_IN, TextSource, Tokenizer


class InfoplaneCallback(TrainerCallback):
    """Probes every so many steps. Made by `watch`, which says what the arguments are.

    All processes take part where the model lies on them, or where each has a copy of it.
    """

    def __init__(
        self,
        trainer: Trainer,
        every: int | float,
        out: str | Path | None,
        stop_patience: int | None,
        stop_min_steps: int,
        documents: TextSource,
        tokenizer: Tokenizer | None,
        settings: MonitorSettings,
    ) -> None:
        self.trainer, self.every = trainer, every
        self.out = None if out is None else reach_location(out, "out")
        self.stop_patience, self.stop_min_steps = stop_patience, stop_min_steps
        self.documents, self.tokenizer, self.settings = documents, tokenizer, settings
        self.monitor: Monitor | None = None
        self.step = 1

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Cut the windows, and probe what training begins with."""
        wrapped = getattr(self.trainer, "model_wrapped", None)
        model = kwargs["model"] if wrapped is None else wrapped
        self.step = self.every if isinstance(self.every, int) else max(1, round(self.every * state.max_steps))
        if self.monitor is None:  # training may be called again
            tokenizer = self.tokenizer or kwargs.get("processing_class")
            together = args.world_size > 1
            self.monitor = Monitor(model, tokenizer, self.documents, self.settings, together=together)
            if self.out is not None and state.global_step > 0:
                self.monitor.resume(self.out, state.global_step)
            self._probe(state, control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Probe where it is time to, and at the last step."""
        if self.monitor is not None and (state.global_step % self.step == 0 or state.global_step >= state.max_steps):
            self._probe(state, control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Store the probes, where asked to."""
        if self.monitor is not None and self.out is not None and self.monitor.keeps:
            self.monitor.save(self.out)

    def _probe(self, state: TrainerState, control: TrainerControl) -> None:
        assert self.monitor is not None
        last = self.monitor.last_step
        if last is not None and last >= state.global_step:
            return
        seen = int(state.num_input_tokens_seen) or None
        would_log = control.should_log
        found = self.monitor.probe(state.global_step, tokens=seen)
        with self.monitor.on_all():
            if self.monitor.keeps:
                self.trainer.log(found)
                if self.out is not None:  # what a run that is killed has measured is kept
                    self.monitor.save(self.out)
        control.should_log = would_log  # a log of ours is not the one that the trainer is about to write
        if self.stop_patience is not None and state.global_step >= self.stop_min_steps:
            control.should_training_stop |= self.monitor.stalled(self.stop_patience)


def watch(
    trainer: Trainer,
    documents: TextSource = BUILT_IN,
    settings: MonitorSettings | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    every: int | float = EVERY,
    out: str | Path | None = None,
    stop_patience: int | None = None,
    stop_min_steps: int = 0,
    **flat: Unpack[MonitorKeywords],
) -> InfoplaneCallback:
    """Probe a model while a `Trainer` of `transformers` trains it; the trainer logs the probes.

    Args:
        trainer: the trainer, before `train()` is called.
        documents, settings: as for `infoplane.Monitor`.
        tokenizer: the model's tokenizer; by default the `processing_class` of the trainer.
        every: steps between probes, as a whole number, or as a fraction of all steps if it is below 1.
        out: folder or address to store the probes in as a trajectory, for `infoplane report`.
        stop_patience: stop training when the distance to the ceiling has not fallen over this many probes (see
            `infoplane.Monitor.stalled`); by default never.
        stop_min_steps: do not stop before this step.
        **flat: settings by keyword, which override those in `settings`.

    Returns:
        The callback; once training has begun, `callback.monitor.trajectory` holds the probes.

    Raises:
        SettingError: a number out of range, or a setting that is unknown or cannot be set here.
    """
    if isinstance(every, float) and not isinstance(every, int):
        if not 0 < every < 1:
            raise SettingError(f"every = {every!r}: expected a whole number of steps, or a fraction of them below 1")
    else:
        every = check_whole("every", every, 1)
    if stop_patience is not None:
        stop_patience = check_whole("stop_patience", stop_patience, 1)
    stop_min_steps = check_whole("stop_min_steps", stop_min_steps, 0)
    chosen = settings_or(settings, MonitorSettings).but(flat)
    callback = InfoplaneCallback(trainer, every, out, stop_patience, stop_min_steps, documents, tokenizer, chosen)
    trainer.add_callback(callback)
    return callback
