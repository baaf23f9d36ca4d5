"""Tables of scores as CSV, long or wide, read into rows.

Every cell is read as text and turned into what its column holds, so that an error names the column and the line.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from infoplane.analysis.scores.score_table import SCHEMA, Cell, Remark, step_of
from infoplane.errors import ScoreError
from infoplane.storage import TABLE, plain_cell, read_text, reason

_LONG = ("model", "task", "metric", "value")
_ABOUT = ("revision", "step", "n", "n_shot", "precision", "chat_template", "source")
_FACTS = (
    "family",
    "model_family",
    "kind",
    "parameters",
    "parameters_b",
    "params_b",
    "model_size_b",
    "training_tokens",
    "training_tokens_t",
    "pretraining_data_size_t",
    "flops",
    "flops_1e21",
    "base_model",
    "upload_date",
    "release_date",
    "organisation",
    "organization",
    "org",
    "license",
    "licence",
    "official_provider",
)
"""Columns of a wide table that describe a model and do not score it."""
_ERRORS = ("_stderr", "_standard_error")
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")


def read_csv(path: Path) -> tuple[pl.DataFrame, tuple[Remark, ...]]:
    """The rows of a CSV (or TSV), with columns as in `SCHEMA`, values as they stand, and remarks on them.

    Raises:
        ScoreError: unreadable, empty, without the columns that are needed, or a cell that is not what its column holds.
    """
    header, lines = _cells(path)
    if "value" in header and "task" in header:
        if missing := [name for name in _LONG if name not in header]:
            raise ScoreError(f"{path} has no column {missing[0]!r}: a long table has {', '.join(_LONG)}")
        if extra := [name for name in header if name not in SCHEMA]:
            raise ScoreError(f"{path}: unknown column {extra[0]!r}; a long table has {', '.join(SCHEMA)}")
        rows = [_long(path, number, line) for number, line in lines]
        return _frame(rows), ()
    if "model" not in header:
        raise ScoreError(
            f"{path} has no column 'model'; expected model and one column a score, or model, task, metric and value; "
            f"it has {', '.join(header[:8])}"
        )
    set_aside = [name for name in header if name.lower() in _FACTS]
    scored = [n for n in header if n not in ("model", *_ABOUT, *set_aside) and not n.endswith(_ERRORS)]
    if not scored:
        raise ScoreError(
            f"{path} has no column of scores: beside the model it has {', '.join(header[1:]) or 'nothing'}"
        )
    rows = [row for number, line in lines for row in _wide(path, number, line, scored)]
    if not rows:
        raise ScoreError(f"{path}: every cell of {', '.join(scored[:5])} is empty")
    empty = [name for name in scored if not any(line[name] for _, line in lines)]
    remarks = [Remark(f"{path}: columns about models, not read as scores: {', '.join(set_aside)}")] if set_aside else []
    remarks += [Remark(f"{path}: empty columns: {', '.join(empty)}")] if empty else []
    return _frame(rows), tuple(remarks)


def _cells(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        text = read_text(path, "utf-8-sig", TABLE)
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreError(f"cannot read {path}: {reason(error)}; expected UTF-8") from None
    if "\0" in text:
        raise ScoreError(f"{path} is not a table as text: it holds NUL bytes; expected CSV in UTF-8")
    try:
        return _rows_of(path, text)
    except csv.Error as error:
        raise ScoreError(f"{path} is not a table as text: {error}; expected CSV in UTF-8") from None


def _rows_of(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    reader = csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    header = [name.strip() for name in next(reader, [])]
    if twice := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise ScoreError(f"{path} has two columns {twice[0]!r}; expected different names")
    lines = []
    for cells in reader:
        if not any(plain_cell(cell.strip()) for cell in cells):
            continue
        if len(cells) != len(header):
            raise ScoreError(f"{path}, line {reader.line_num}: {len(cells)} cells, but the header has {len(header)}")
        lines.append((reader.line_num, dict(zip(header, (plain_cell(cell.strip()) for cell in cells), strict=True))))
    if not lines:
        raise ScoreError(f"{path} is empty: expected a header and a row for each model")
    return header, lines


def _frame(rows: Sequence[Mapping[str, Cell]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], SCHEMA)


def _long(path: Path, number: int, line: Mapping[str, str]) -> dict[str, Cell]:
    row = _about(path, number, line)
    for name in ("task", "metric"):
        row[name] = line[name] or _missing(path, number, name)
    row["value"] = _number(path, number, "value", line["value"] or _missing(path, number, "value"))
    error = line.get("standard_error", "")
    row["standard_error"] = _number(path, number, "standard_error", error) if error else None
    return row


def _wide(path: Path, number: int, line: Mapping[str, str], scored: Sequence[str]) -> list[dict[str, Cell]]:
    about = _about(path, number, line)
    rows = []
    for name in scored:
        if not line[name]:
            continue  # not scored
        task, colon, metric = name.rpartition(":")
        error = next((line[name + end] for end in _ERRORS if line.get(name + end)), "")
        rows.append(
            {
                **about,
                "task": task if colon else name,
                "metric": metric if colon else "score",
                "value": _number(path, number, name, line[name]),
                "standard_error": _number(path, number, f"{name}_stderr", error) if error else None,
            }
        )
    return rows


def _about(path: Path, number: int, line: Mapping[str, str]) -> dict[str, Cell]:
    model = line["model"] or _missing(path, number, "model")
    row: dict[str, Cell] = {"model": model}
    for name in _ABOUT:
        cell = line.get(name, "")
        row[name] = _typed(path, number, name, cell) if cell else None
    row["source"] = row["source"] or str(path)
    if row["step"] is None:
        row["step"] = step_of(line.get("revision") or None, model)
    return row


def _typed(path: Path, number: int, name: str, cell: str) -> Cell:
    if SCHEMA[name] == pl.Int64:
        value = _number(path, number, name, cell)
        if value != int(value) or not 0 <= value < 2**53:
            raise ScoreError(f"{path}, line {number}, column {name!r}: {cell!r}; expected a whole number, 0 or more")
        return int(value)
    if SCHEMA[name] == pl.Boolean:
        if cell.lower() not in (*_YES, *_NO):
            raise ScoreError(f"{path}, line {number}, column {name!r}: {cell!r}; expected true or false")
        return cell.lower() in _YES
    return cell


def _number(path: Path, number: int, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        hint = "; write the number without the sign, and read with percent=True (--percent)" if "%" in cell else ""
        raise ScoreError(f"{path}, line {number}, column {name!r}: {cell!r} is not a number{hint}") from None
    if not math.isfinite(value):
        raise ScoreError(f"{path}, line {number}, column {name!r}: {cell!r}; leave the cell empty if there is no score")
    return value


def _missing(path: Path, number: int, name: str) -> NoReturn:
    raise ScoreError(f"{path}, line {number}: column {name!r} is empty")
