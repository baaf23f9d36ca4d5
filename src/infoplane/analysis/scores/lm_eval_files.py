"""Result files of EleutherAI's lm-evaluation-harness, in its two layouts.

Since version 0.4 a metric is named with its filter, `"acc,none"` and `"acc_stderr,none"`, and the file tells shots
(`n-shot`), items (`n-samples`), the dtype and revision of the model, and the chat template. Before, `"acc"` and
`"acc_stderr"` stand alone, tasks are named like `hendrycksTest-anatomy`, and the model is in `config.model_args` only.
Sources: lm_eval 0.4.13, `result_schema.py` and `loggers/evaluation_tracker.py`; EleutherAI/pythia, `evals/pythia-v1`.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

from infoplane.analysis.scores.metrics import is_never_negative
from infoplane.analysis.scores.score_table import Remark, step_of
from infoplane.errors import ScoreError
from infoplane.storage import JSON, Json, read_text
from infoplane.storage import atomic_files as files

_NOT_METRICS = ("alias", "name", "sample_len", "sample_count", " ", "samples", "bypass")
_MODEL_KEYS = ("peft", "delta", "pretrained", "model", "path", "engine")  # the order in which the harness looks
_DATED = re.compile(r"results_(\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)")
_NOT_RUN = -1  # what RULER writes for a length that was not run
_SHORT = {"half": "float16", "fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32"}


@dataclass(frozen=True)
class ResultFile:
    """What one result file says.

    Attributes:
        path: of the file.
        date: when it was made, seconds since 1970; None where neither record nor file name tells.
        rows: scores, as `infoplane.analysis.scores.score_table.Scores.of` takes them.
        remarks: on them.
    """

    path: Path
    date: float | None
    rows: tuple[dict[str, Json], ...]
    remarks: tuple[Remark, ...]


def is_result(record: Json) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value looks like a result file of lm-eval."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("results"), dict)
        and ("config" in record or "n-shot" in record)
    )


def read_json(path: Path) -> Json:
    """The JSON value of a file.

    Raises:
        ScoreError: unreadable, not JSON, or the samples of a run in place of its results.
    """
    try:
        text = read_text(path, "utf-8-sig", JSON)
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreError(f"cannot read {path}: {files.reason(error)}") from None
    try:
        record: Json = files.parse_json(text)
        if "\\ud" in text.lower():
            json.dumps(record, ensure_ascii=False).encode()  # half of a surrogate pair is no name
    except ValueError as error:
        if _is_sample(_first_line(text)):
            raise ScoreError(_samples(path)) from None
        raise ScoreError(
            f"{path} is not JSON ({error}); expected a results_*.json of lm-eval, or a table as .csv"
        ) from None
    first = record[0] if isinstance(record, list) and record else record
    if _is_sample(first):
        raise ScoreError(_samples(path))
    return record


def read_result(path: Path, model: str | None = None) -> ResultFile:
    """The scores in one result file.

    Args:
        path: of the JSON file, in either layout.
        model: name of the model, where the file tells none.

    Raises:
        ScoreError: not a result file, a score that is not a number, or no model named.
    """
    record = _result_record(path)
    tables = {**(record.get("groups") or {}), **record["results"]}
    config = record.get("config") or {}
    named = model or _model(record, config)
    if named is None:
        raise ScoreError(
            f"{path} does not name its model (no model_name, and no pretrained= in config.model_args): say which it is "
            "with model=..., on the command line with --model-name"
        )
    args = _arguments(config.get("model_args"))
    stated = config.get("model_revision") or args.get("revision")
    revision = str(stated) if stated else None
    common = {
        "model": named,
        "revision": revision,
        "step": step_of(revision, named),
        "precision": _precision(config, args),
        "chat_template": bool(record["chat_template"]) if "chat_template" in record else None,
        "source": str(path),
    }
    rows, left_out, not_run = [], list[str](), list[str]()
    for task, metrics in tables.items():
        if not isinstance(metrics, dict):
            raise ScoreError(f"{path}: results of {task!r} are {metrics!r}; expected metrics and their values")
        for metric, value, error in _metrics(metrics):
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                left_out.append(f"{task}:{metric}")
            elif value == _NOT_RUN and is_never_negative(task, metric):
                not_run.append(f"{task}:{metric}")
            else:
                about = {"n": _n(record, task, metrics), "n_shot": _n_shot(record, config, task)}
                score = {"task": task, "metric": metric, "value": float(value), "standard_error": error}
                rows.append({**common, **about, **score})
    if not rows:
        what = f"not numbers: {', '.join(left_out[:5])}" if left_out else "`results` is empty"
        what = f"{_NOT_RUN}, which is to say not run: {', '.join(not_run[:5])}" if not_run else what
        raise ScoreError(f"{path} holds no score ({what}); leave the file out, or score the model again")
    return ResultFile(path, _date(record, path), tuple(rows), _remarks(path, config, left_out, not_run))


def _result_record(path: Path) -> dict[str, Any]:
    """The content of a result file of lm-eval."""
    record = read_json(path)
    if not is_result(record):
        have = ", ".join(list(record)[:6]) if isinstance(record, dict) else f"a {type(record).__name__}"
        raise ScoreError(f"{path} is not a result file of lm-eval: expected `results` and `config`, found {have}")
    for name in ("groups", "config", "n-samples", "n-shot"):
        if not isinstance(record.get(name) or {}, dict):
            raise ScoreError(f"{path}: {name!r} is {record[name]!r}; expected names and what is told of them")
    return dict(record)


def _remarks(
    path: Path, config: Mapping[str, Any], left_out: Sequence[str], not_run: Sequence[str]
) -> tuple[Remark, ...]:
    """What to know of the scores of a file."""
    where, remarks = (("source", str(path)),), list[Remark]()
    if left_out:
        remarks.append(Remark(f"{path}: not numbers, left out: {', '.join(left_out[:5])}", where))
    if not_run:
        remarks.append(
            Remark(f"{path}: {_NOT_RUN}, which is to say not run, left out: {', '.join(not_run[:5])}", where)
        )
    limit = config.get("limit")
    if isinstance(limit, float) and limit.is_integer():  # a number of items; below 1 it is a share
        limit = int(limit)
    if limit is not None:
        remarks.append(Remark(f"{path}: only part of each task was scored (limit {limit})", where))
    return tuple(remarks)


def _metrics(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Json, float | None]]:
    """(metric, value, standard error); a filter other than `none` stays in the name: `exact_match,strict-match`."""
    for key, value in metrics.items():
        name, comma, kind = key.partition(",")
        if name in _NOT_METRICS or name.endswith("_stderr"):
            continue
        error = metrics.get(f"{name}_stderr{comma}{kind}")
        known = isinstance(error, int | float) and not isinstance(error, bool) and math.isfinite(error)
        # where it has no error the harness writes "N/A", or NaN for a single item
        yield (name if kind in ("", "none") else key), value, float(error) if known and error is not None else None


def _model(record: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    if record.get("model_name"):
        return str(record["model_name"])
    args = _arguments(config.get("model_args"))
    for key in _MODEL_KEYS:
        if args.get(key):
            return str(args[key])
    # a loaded module: the harness then writes its name where it otherwise names the backend
    own = config.get("model")
    return own if isinstance(own, str) and "/" in own else None


def _arguments(given: Json) -> dict[str, Any]:
    """`pretrained=a/b,revision=step0` or the same as a dict."""
    if isinstance(given, dict):
        return given
    if not isinstance(given, str):
        return {}
    pairs = (part.partition("=") for part in given.split(","))
    arguments = {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}
    return {key: value for key, value in arguments.items() if value not in ("", "None")}


def _precision(config: Mapping[str, Any], args: Mapping[str, Any]) -> str | None:
    for bits in ("4bit", "8bit"):
        if str(args.get(f"load_in_{bits}", "")).lower() == "true":
            return bits
    for dtype in (config.get("model_dtype"), args.get("dtype"), args.get("torch_dtype")):
        name = str(dtype or "auto").removeprefix("torch.")
        if name != "auto":
            return _SHORT.get(name, name)
    return None


def _n(record: Mapping[str, Any], task: str, metrics: Mapping[str, Any]) -> int | None:
    samples = (record.get("n-samples") or {}).get(task)
    return _count(samples.get("effective") if isinstance(samples, dict) else metrics.get("sample_len"))


def _n_shot(record: Mapping[str, Any], config: Mapping[str, Any], task: str) -> int | None:
    shots = _count((record.get("n-shot") or {}).get(task))
    return _count(config.get("num_fewshot")) if shots is None else shots


def _count(count: Json) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**63 else None


def _date(record: Mapping[str, Any], path: Path) -> float | None:
    stamp = record.get("date")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool):
        return float(stamp)
    if match := _DATED.search(path.name):  # the clock of the machine that wrote it, in a zone that is not told
        day, _, hour = match[1].partition("T")
        with contextlib.suppress(ValueError):  # a thirteenth month
            return datetime.fromisoformat(f"{day}T{hour.replace('-', ':')}+00:00").timestamp()
    return None


def _first_line(text: str) -> Json:
    try:
        first: Json = files.parse_json(text.split("\n", 1)[0])
        return first
    except ValueError:
        return None


def _is_sample(record: Json) -> bool:
    return isinstance(record, dict) and "doc_id" in record and "results" not in record


def _samples(path: Path) -> str:
    return (
        f"{path} holds samples of an lm-eval run, one record an item; expected the results_*.json that lies beside it"
    )
