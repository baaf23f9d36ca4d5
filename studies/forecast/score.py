"""Scores models on the items by EleutherAI's lm-eval, from local files alone.

python studies/forecast/score.py                                     the last checkpoint of every finished run
python studies/forecast/score.py --every --only 'llama-m-s0-tokens*' --tasks 'heldout_*'    all checkpoints of a run
python studies/forecast/score.py --only --model smollm2-135m         a model outside the study, no run

Writes NAME/CHECKPOINT/results_DATE.json, lm-eval's own results (standard errors are lm-eval's, which takes items for
independent), and beside it items_DATE.parquet, the log-likelihood of every choice. What has been scored is not scored
again; stop it and start it again at will. Needs `pip install lm-eval==0.4.13`.
"""

from __future__ import annotations

import os

# Read when the libraries are loaded. Nothing here is on a hub; threads that wait must not take the cores of others.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_MININTERVAL", "3600")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import argparse
import fnmatch
import json
import logging
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

sys.path.append(str(Path(__file__).resolve().parents[1] / "pretraining"))
from infoplane.storage import atomic_files as files
from parts import split
from scored import Scored, ScoreError, checkpoints, missing, named, tasks_of

ROOT = Path(__file__).resolve().parents[2]
# lm-eval's default is 100,000 resamples for the error of the perplexity, which take longer than the small models do.
BOOTSTRAP = 1000


def main() -> int:
    """Score what is asked for; the exit status is 1 where a model failed, 2 where there is nothing to score."""
    given = _arguments()
    try:
        tasks = tasks_of(given.items, given.tasks)
        models = [m for m in checkpoints(given.runs, given.every) if _fits(m, given.only)] + named(given.model)
        if not models:
            raise ScoreError(f"no finished run in {given.runs} fits {' or '.join(given.only)}")
        left = [(m, todo) for m in models if (todo := missing(given.out / m.id, tasks))]
    except ScoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.part is None and given.jobs > 1 and len(left) > 1:
        return split(given.jobs)
    if given.part is not None:  # of all models, not of those left, which change while jobs start
        which, parts = map(int, given.part.split("/"))
        left = [(m, todo) for m, todo in left if m in models[which::parts]]
    print(f"{len(left)} of {len(models)} models to score on {', '.join(tasks)}", flush=True)
    failed = 0
    if left:
        import torch

        torch.set_num_threads(given.threads)
    for number, (model, todo) in enumerate(left, start=1):
        began = time.monotonic()
        try:
            _score(model, todo, tasks, given)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            return 130
        except Exception as error:  # one model that fails must not cost the others
            failed += 1
            print(f"{model.id} FAILED, the others go on: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{model.id} [{number}/{len(left)}] {len(todo)} tasks, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "pretraining", help="folder of the runs")
    parser.add_argument("--items", type=Path, default=ROOT / "runs" / "forecast" / "items", help="made by items.py")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "forecast" / "scores")
    parser.add_argument("--only", metavar="GLOB", nargs="*", default=["*"], help="RUN or RUN/CHECKPOINT that fits one")
    parser.add_argument("--every", action="store_true", help="every checkpoint, not the last alone")
    parser.add_argument("--tasks", metavar="GLOB", nargs="+", default=["*"], help="tasks that fit one")
    parser.add_argument("--model", metavar="SOURCE", nargs="+", default=[], help="smollm2-135m, a folder, a .gguf file")
    parser.add_argument("--bos", action="store_true", help="begin each text with the BOS token (Gemma needs it)")
    parser.add_argument("--batch", type=int, default=32, help="sequences at a time")
    parser.add_argument("--jobs", type=int, default=1, help="models scored at the same time")
    parser.add_argument("--threads", type=int, default=1, help="of torch, in each job")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # I/N: how a job is told which models are its own
    return parser.parse_args()


def _fits(model: Scored, globs: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in (model.name, model.id))


def _score(model: Scored, todo: list[str], tasks: dict[str, str], given: argparse.Namespace) -> None:
    import lm_eval
    from lm_eval.utils import handle_non_serializable

    # Texts longer than the context of 128 tokens are cut on the left, and a line for each would drown all else.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    logging.getLogger("datasets").setLevel(logging.ERROR)
    os.environ.setdefault("HF_DATASETS_CACHE", str(given.out / ".datasets"))
    result: dict[str, Any] = lm_eval.simple_evaluate(
        model=_language_model(model, given), tasks=todo, task_manager=_manager(given.items), log_samples=True,
        bootstrap_iters=BOOTSTRAP, batch_size=given.batch,
    )  # fmt: skip
    samples = result.pop("samples")
    result |= {
        "model_source": "hf", "model_name": model.name, "model_name_sanitized": model.name.replace("/", "__"),
        "items_sha256": {name: tasks[name] for name in todo},
    }  # fmt: skip
    result["config"] |= {
        "model": model.id, "model_revision": model.revision, "model_args": {"add_bos_token": given.bos or None},
    }  # fmt: skip
    # A result is the same wherever the items lie.
    for name, config in result["configs"].items():
        config["dataset_kwargs"] = {"data_files": {"test": f"{name}.jsonl"}}
        config["metadata"].pop("config_source", None)
    result.pop("pretty_env_info", None)
    stamp = datetime.now().isoformat().replace(":", "-")
    folder = given.out / model.id
    rows = [
        {
            "task": name, "item": sample["doc_id"], "gold": sample["doc"].get("gold", 0),
            "loglikelihoods": [float(answer[0]) for answer in sample["filtered_resps"]],
        }
        for name, of_task in samples.items()
        for sample in of_task
    ]  # fmt: skip
    schema = {"task": pl.Categorical(), "item": pl.Int32, "gold": pl.Int8, "loglikelihoods": pl.List(pl.Float32)}
    table = pl.DataFrame(rows, schema=schema).sort("task", "item")
    with files.replacing(folder / f"items_{stamp}.parquet") as part:
        table.write_parquet(part)
    files.write_json(folder / f"results_{stamp}.json", _as_json(result, handle_non_serializable))


def _as_json(value: Any, fallback: Any) -> Any:
    """Values that JSON has, as lm-eval would write them."""
    return json.loads(json.dumps(value, default=fallback, ensure_ascii=False))


_MANAGERS: dict[Path, Any] = {}


def _manager(items: Path) -> Any:
    """Knows our tasks alone; made once, as it looks through folders."""
    from lm_eval.tasks import TaskManager

    if items not in _MANAGERS:
        _MANAGERS[items] = TaskManager(include_path=str(items), include_defaults=False)
    return _MANAGERS[items]


def _language_model(model: Scored, given: argparse.Namespace) -> Any:
    """The model in float32 as lm-eval takes it."""
    from lm_eval.models.huggingface import HFLM

    bos = {"add_bos_token": True} if given.bos else {}
    if Path(model.source).is_dir():
        return HFLM(pretrained=model.source, dtype="float32", device="cpu", batch_size=given.batch, **bos)
    from infoplane.models.loading import load_model

    loaded = load_model(model.source, dtype="float32", device="cpu")
    return HFLM(pretrained=loaded.module, tokenizer=loaded.tokenizer, device="cpu", batch_size=given.batch, **bos)


if __name__ == "__main__":
    sys.exit(main())
