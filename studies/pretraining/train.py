"""Training one run with the Trainer of transformers: checkpoints at log-spaced steps, and a log of the losses.

A run's folder holds

    run.json        all settings, the versions of the libraries and what was trained on
    checkpoint-N    weights (safetensors), configuration and tokenizer after N steps: what gets measured
    log.jsonl       one line a checkpoint: step, tokens, losses, learning rate
    steps.csv       name, step and tokens of the checkpoints
    resume/         the Trainer's own newest state while the run goes on: gone when it is done
    done.json       written last: the run is complete

A run that was killed goes on from its newest state and ends with the same weights as one that was not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers as t

import infoplane
from infoplane.storage import atomic_files as files
from suite import Run, config_of, parameters
from vocabulary import read_tokens
from windows import IGNORED, Fed, Rows, evaluation_rows, training_rows

Report = Callable[[dict[str, Any]], None]
_WHOLE = "whole"  # a file in a resume state: the Trainer has written all of it


def is_complete(folder: Path, vocabulary: Path) -> bool:
    """Whether a run is done, and on the text and tokenizer that are there now."""
    if not (folder / "done.json").is_file():
        return False
    told = json.loads((folder / "run.json").read_text("utf-8"))
    here = json.loads((vocabulary / "vocabulary.json").read_text("utf-8"))["tokens_sha256"]
    if told["tokens_sha256"] != here:
        raise RuntimeError(f"{folder} was trained on other tokens ({told['tokens_sha256'][:12]}): name another --out")
    return True


def initial_model(run: Run) -> Any:
    """The model at step 0: weights from the seed alone, whatever random numbers were drawn before."""
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        auto: Any = t.AutoModelForCausalLM
        return auto.from_config(config_of(run), dtype=torch.float32)


def train_run(
    run: Run,
    folder: Path,
    vocabulary: Path,
    *,
    callbacks: Sequence[t.TrainerCallback] = (),
    device: str = "cpu",
    threads: int | None = None,
    report: Report | None = None,
    probed: Path | None = None,
) -> Path:
    """Train a run, or what is left of it, and return its folder.

    Args:
        run: what to train.
        folder: of the run, made where it does not exist.
        vocabulary: folder of the tokenizer and the tokens.
        callbacks: more callbacks for the Trainer, such as a monitor; they run after our own, and must not draw
            random numbers that training would have drawn.
        device: `cpu`, or `auto` for a GPU where there is one; only the CPU gives the same numbers every time.
        threads: of torch; sums, and so the last digits, may hang on their number.
        report: called with each line of the log.
        probed: documents to watch the run with while it trains; its probes go to `probes`, from where it was
            last gone on with.
    """
    if is_complete(folder, vocabulary):
        return folder
    if threads is not None:
        torch.set_num_threads(threads)
    tokens = read_tokens(vocabulary)
    rows = training_rows(tokens, run)
    fed = Fed(rows, max(1, run.steps) * run.batch, run.seed)
    started = {
        "id": run.id, "run": asdict(run), "tokens_sha256": tokens.sha256, "parameters": parameters(run)[0],
        "parameters_without_embedding": parameters(run)[1], "windows": len(rows), "device": device,
        "targets_of_one_pass": int(rows.targets.sum()), "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": t.__version__},
    }  # fmt: skip
    files.write_text(folder / "run.json", json.dumps(started, indent=1, sort_keys=True) + "\n")
    ours = Recorder(run, folder, vocabulary, fed, evaluation_rows(tokens, run, rows), report)
    model = initial_model(run)
    if run.steps == 0:
        ours.record(model, 0)
    else:
        state = _newest_state(folder / "resume")
        trainer = t.Trainer(
            model=model, args=_arguments(run, folder, device), train_dataset=fed, callbacks=[ours, *callbacks],
            data_collator=t.default_data_collator,
        )  # fmt: skip
        trainer.remove_callback(t.trainer_callback.PrinterCallback)
        if probed is not None:
            infoplane.watch(
                trainer, every=0.02, out=folder / "probes", tokenizer=ours.tokenizer, documents=str(probed), context=128
            )
        trainer.train(resume_from_checkpoint=None if state is None else str(state))
    last = ours.lines[-1]
    files.write_text(folder / "done.json", json.dumps({"id": run.id, **last}, sort_keys=True) + "\n")
    shutil.rmtree(folder / "resume", ignore_errors=True)
    return folder


def _arguments(run: Run, folder: Path, device: str) -> t.TrainingArguments:
    return t.TrainingArguments(
        output_dir=str(folder / "resume"),
        max_steps=run.steps,
        per_device_train_batch_size=run.batch,
        train_sampling_strategy="sequential",  # the order is the data set's own
        learning_rate=run.learning_rate,
        lr_scheduler_type="cosine" if run.schedule == "cosine" else "constant_with_warmup",
        warmup_steps=run.warmup,
        weight_decay=run.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=run.seed,
        data_seed=run.seed,
        use_cpu=device == "cpu",
        save_strategy="no",  # our callback says when to save and to log
        logging_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )


class Recorder(t.TrainerCallback):
    """Keeps weights and losses at the run's checkpoints, and the Trainer's state to go on from."""

    def __init__(
        self, run: Run, folder: Path, vocabulary: Path, fed: Fed, evaluated: dict[str, Rows], report: Report | None
    ) -> None:
        self.run, self.folder, self.evaluated, self.report = run, folder, evaluated, report
        self.tokenizer = t.AutoTokenizer.from_pretrained(vocabulary)
        self.seen = fed.targets(run.batch)
        self.wanted = frozenset(run.checkpoints())
        self.lines: list[dict[str, Any]] = []
        self.logged: dict[str, Any] = {}
        self.began, self.before = time.monotonic(), 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take up the log as it stood at the state that training goes on from; at step 0 begin it."""
        log = self.folder / "log.jsonl"
        if state.global_step and log.is_file():
            stored = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
            self.lines = [line for line in stored if line["step"] <= state.global_step]
            self.before = self.lines[-1]["seconds"]
        self.began = time.monotonic()
        if state.global_step == 0:
            self.record(given["model"], 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Ask for a log and a save at the steps that are kept; the weights are written in `on_save`."""
        if state.global_step in self.wanted:
            control.should_log = control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **given: Any) -> None:
        """Remember the loss of the batches since the last checkpoint, which the Trainer counts for us."""
        self.logged = {k: v for k, v in (logs or {}).items() if k in ("loss", "grad_norm", "learning_rate")}

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Write the checkpoint and its line, then let the newest state be the only one."""
        if state.global_step in self.wanted:
            self.record(given["model"], state.global_step)
        newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        files.write_text(newest / _WHOLE, "")
        for other in newest.parent.iterdir():
            if other != newest:
                shutil.rmtree(other, ignore_errors=True)

    def record(self, model: Any, step: int) -> None:
        """Write `checkpoint-N` and the log with its line."""
        name = f"checkpoint-{step}"
        with _whole_folder(self.folder / name, self.folder / "resume") as part:
            model.save_pretrained(part)
            self.tokenizer.save_pretrained(part)
        losses = {f"loss_{which}": mean_loss(model, rows, self.run.batch) for which, rows in self.evaluated.items()}
        batches = {"loss_batches" if k == "loss" else k: v for k, v in self.logged.items()}
        line = {
            "step": step, "tokens": int(self.seen[step]), **losses, **batches,
            "seconds": round(self.before + time.monotonic() - self.began, 2),
        }  # fmt: skip
        self.lines.append(line)
        files.write_text(self.folder / "log.jsonl", "".join(json.dumps(one) + "\n" for one in self.lines))
        table = ["name,step,tokens", *(f"checkpoint-{one['step']},{one['step']},{one['tokens']}" for one in self.lines)]
        files.write_text(self.folder / "steps.csv", "\n".join(table) + "\n")
        if self.report is not None:
            self.report(line)


class StopWithParent(t.TrainerCallback):
    """Stops training when the process that started this one is gone: two must never train the same run."""

    def __init__(self) -> None:
        self.parent = os.getppid()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Leave as if interrupted; the newest state is there to go on from."""
        if os.getppid() != self.parent:
            raise KeyboardInterrupt


@torch.no_grad()
def mean_loss(model: Any, rows: Rows, batch: int) -> float:
    """Mean cross-entropy over all predictions of the rows, in nats, summed in float64."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for begin in range(0, len(rows), batch):
        logits = model(input_ids=rows.ids[begin : begin + batch].to(model.device)).logits[:, :-1].float()
        wanted = rows.labels[begin : begin + batch, 1:].to(model.device)
        each = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
        )
        total += each.double().sum().item()
        count += int((wanted != IGNORED).sum())
    model.train(was_training)
    return total / count


def _newest_state(folder: Path) -> Path | None:
    """The newest state that is whole; what a kill left half written is removed."""
    if not folder.is_dir():
        return None
    for path in list(folder.iterdir()):
        if not (path / _WHOLE).is_file():
            shutil.rmtree(path)
    states = sorted(folder.iterdir(), key=lambda p: int(p.name.rpartition("-")[2]))
    return states[-1] if states else None


@contextlib.contextmanager
def _whole_folder(path: Path, aside: Path) -> Iterator[Path]:
    """A folder filled under `aside` and moved to `path` once it is whole.

    It is filled elsewhere as whoever lists the run's folder takes every folder with a config.json for a checkpoint.
    """
    aside.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=aside, prefix="part-"))
    try:
        yield part
        for file in part.iterdir():
            with file.open("rb+") as content:
                os.fsync(content.fileno())
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o777 & ~mask)
        if path.exists():  # written before a kill, and now again from the state before it: the same weights
            shutil.rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
