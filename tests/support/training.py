"""A tiny model that is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tiny import VOCABULARY, byte_tokenizer

import infoplane


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Token windows of the sample text."""

    def __init__(self) -> None:
        text = " ".join(d.text for d in infoplane.read_text("c4-sample", limit=40).documents)
        ids = torch.tensor(byte_tokenizer()(text)["input_ids"][: 32 * 400]).reshape(-1, 32)
        self.rows = [{"input_ids": row, "labels": row} for row in ids]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]


def train(
    place: Path,
    watch: dict[str, Any] | None,
    steps: int = 20,
    prepare: Callable[[Any], Any] | None = None,
    save: str = "no",
    resume: bool = False,
    **settings: Any,
) -> Any:
    """A trainer that has trained, and its callback; `prepare` spreads the model in place of accelerate."""
    torch.manual_seed(0)
    config = t.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128)  # dropout 0.1
    arguments = t.TrainingArguments(
        output_dir=str(place), max_steps=steps, per_device_train_batch_size=8, logging_steps=1, report_to=[], seed=0,
        use_cpu=True, disable_tqdm=True, save_strategy=save, learning_rate=1e-2, **settings,
    )  # fmt: skip
    words = byte_tokenizer()
    words.pad_token = words.eos_token
    model = t.GPT2LMHeadModel(config)
    model = model if prepare is None else prepare(model)
    trainer = t.Trainer(model, arguments, train_dataset=Rows(), processing_class=words)
    if prepare is not None:
        trainer.accelerator.prepare_model = lambda model, **_: model
    callback = None if watch is None else infoplane.watch(trainer, **watch)
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer, callback
