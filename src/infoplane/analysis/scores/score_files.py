"""Benchmark scores from files: result files of lm-eval, a folder of them, or a table as CSV.

A CSV is long (columns model, task, metric, value, and any other of `infoplane.analysis.scores.score_table.SCHEMA`) or
wide (model, and one column a score, named `task` or `task:metric`; `task:metric_stderr` are its standard errors).
Accuracies are fractions; one above 1 is an error unless the caller says that they are per cent, for 0.9 may be either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from infoplane.analysis.scores.lm_eval_files import ResultFile, is_result, read_json, read_result
from infoplane.analysis.scores.metrics import is_fraction
from infoplane.analysis.scores.score_csv import read_csv
from infoplane.analysis.scores.score_table import SCHEMA, Remark, Scores, constant_columns
from infoplane.errors import ScoreError
from infoplane.storage import Json


def read_scores(path: str | Path, *, percent: bool = False, latest: bool = False, model: str | None = None) -> Scores:
    """Read benchmark scores from files.

    Args:
        path: a result file of lm-eval (.json), a folder with such files at any depth, or a table (.csv, .tsv).
        percent: whether accuracies are in per cent; they and their standard errors are then divided by 100.
        latest: whether the newest counts where several result files score one model on one task; otherwise this is an
            error.
        model: name of the model in result files; it replaces any name that they give. Tables ignore it.

    Raises:
        ScoreError: the files cannot be read, contradict each other, or hold accuracies outside 0 to 1 (0 to 100 with
            `percent`).
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files, remarks = _tree(path, model)
    elif not path.exists():
        raise ScoreError(f"no file or folder {path}; expected a result file of lm-eval, a folder of them, or a .csv")
    elif path.suffix.lower() in (".csv", ".tsv"):
        table, remarks = read_csv(path)
        return _finished(table, remarks, percent, strict=True)
    elif path.suffix.lower() in (".json", ".jsonl"):
        files, remarks = [read_result(path, model)], ()
    else:
        raise ScoreError(f"{path}: expected .json (a result file of lm-eval), .csv, .tsv, or a folder of result files")
    rows = _newest(files) if latest else _no_two(files)
    table = pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], SCHEMA)
    remarks = (*remarks, *(remark for file in files for remark in file.remarks))
    return _finished(table, remarks, percent, strict=False)


def _finished(table: pl.DataFrame, remarks: Sequence[Remark], percent: bool, strict: bool) -> Scores:
    table, more = as_fractions(table, percent, strict)
    return Scores(table, (*remarks, *more, *constant_columns(table)))


# ---------------------------------------------------------------------- folders


def _tree(folder: Path, model: str | None) -> tuple[list[ResultFile], tuple[Remark, ...]]:
    paths = sorted(p for p in folder.rglob("*.json") if p.is_file() and not p.name.startswith("."))
    files, others = [], []
    for path in paths:
        # lm-eval's own names must be results; another name may be anything, a tokenizer's JSON for one
        if path.name.startswith("results") or is_result(_maybe(path)):
            files.append(read_result(path, model))
        elif not any(part.startswith(".") for part in path.relative_to(folder).parts):
            others.append(path)
    if not files:
        what = f"{len(others)} other .json files" if others else "no .json file"
        raise ScoreError(f"{folder} holds no result file of lm-eval ({what}); expected results_*.json at any depth")
    if not others:
        return files, ()
    shown = ", ".join(str(p.relative_to(folder)) for p in others[:3])
    return files, (Remark(f"{folder}: {len(others)} .json files are no result files and were left: {shown}"),)


def _maybe(path: Path) -> Json:
    try:
        return read_json(path)
    except ScoreError:
        return None


def _about(row: dict[str, Json]) -> tuple[Json, ...]:
    """What two files must not both score."""
    return tuple(row[k] for k in ("model", "revision", "step", "task", "n_shot", "precision", "chat_template"))


def _places(files: Iterable[ResultFile]) -> dict[tuple[Json, ...], list[ResultFile]]:
    places: dict[tuple[Json, ...], list[ResultFile]] = {}
    for file in files:
        for about in dict.fromkeys(map(_about, file.rows)):
            places.setdefault(about, []).append(file)
    return places


def _no_two(files: Sequence[ResultFile]) -> list[dict[str, Json]]:
    twice = {about: there for about, there in _places(files).items() if len(there) > 1}
    if twice:
        about, there = next(iter(twice.items()))
        shown = "\n  ".join(str(file.path) for file in there[:4])
        raise ScoreError(
            f"{len(there)} files score {about[0]} on {about[3]} ({len(twice)} such cases): remove all but one, or take "
            f"the newest of each with latest=True (--latest):\n  {shown}"
        )
    return [row for file in files for row in file.rows]


def _newest(files: Sequence[ResultFile]) -> list[dict[str, Json]]:
    chosen = {}
    for about, there in _places(files).items():
        if len(there) > 1:
            dates = [file.date for file in there if file.date is not None]
            if len(dates) < len(there) or dates.count(max(dates)) > 1:
                shown = "\n  ".join(str(file.path) for file in there[:4])
                raise ScoreError(f"which of these is the newest is not told by a date of their own:\n  {shown}")
        chosen[about] = max(there, key=lambda file: file.date or 0.0).path
    return [row for file in files for row in file.rows if chosen[_about(row)] == file.path]


# ---------------------------------------------------------------------- per cent


def as_fractions(table: pl.DataFrame, percent: bool, strict: bool) -> tuple[pl.DataFrame, tuple[Remark, ...]]:
    """Accuracies as fractions, checked, and remarks where per cent look like fractions already.

    Args:
        table: columns as in `infoplane.analysis.scores.score_table.SCHEMA`.
        percent: divide accuracies, and their standard errors, by 100.
        strict: metrics that are not known are accuracies too.

    Raises:
        ScoreError: an accuracy below 0, or above 1 (above 100 if per cent).
    """
    remarks = []
    top = 100.0 if percent else 1.0
    fractions = []
    for (task, metric), part in table.group_by("task", "metric", maintain_order=True):
        if not is_fraction(str(task), str(metric), strict):
            continue
        fractions.append((task, metric))
        name = str(task) if metric == "score" else f"{task}:{metric}"
        values = part["value"].drop_nans().drop_nulls()
        low, high = values.min(), values.max()
        if isinstance(low, float) and isinstance(high, float):
            _check(name, low, high, top, percent)
            if percent and high <= 1:
                text = f"{name}: all {len(values)} values are at most 1 per cent ({high:g}): fractions already?"
                remarks.append(Remark(text, (("task", task), ("metric", metric))))
    if percent and fractions:
        among = pl.format("{}\n{}", "task", "metric").is_in([f"{task}\n{metric}" for task, metric in fractions])
        table = table.with_columns(pl.col("value", "standard_error") / pl.when(among).then(100.0).otherwise(1.0))
    return table, tuple(remarks)


def _check(name: str, low: float, high: float, top: float, percent: bool) -> None:
    if low < 0:
        raise ScoreError(f"{name}: an accuracy of {low:g}; expected 0 to {top:g}")
    if high > top:
        how = (
            "even as per cent it is above 100" if percent else "if they are per cent, say so: percent=True (--percent)"
        )
        raise ScoreError(f"{name}: the largest value is {high:g}; expected accuracies of 0 to {top:g}; {how}")
