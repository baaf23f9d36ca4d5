"""Rows of preference data, all columns of each: JSON, JSONL, Parquet, gzipped or not, `datasets`, Python mappings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infoplane.errors import TextError
from infoplane.storage import JSON, Json, no_panic, open_bounded, read_parquet, reason, refuse_device
from infoplane.text import (
    LINES,
    STREAM_LIMIT,
    SourceRecord,
    decode_text,
    load_rows,
    local_path,
    parse_row,
    reading,
    refuse_parts,
)

Rows = Iterator[tuple[str, Json, str]]
"""(name, row, where it stands in words)."""


def pair_rows(source: str | Path | Iterable[Mapping[str, Any]], split: str, record: SourceRecord) -> Rows:
    """Rows of a source; what it turned out to be is written into `found`.

    Raises:
        TextError: missing, unreadable or broken; the message says where.
    """
    path = local_path(source, "") if isinstance(source, str | Path) else None
    if not isinstance(source, str | Path) or (path is not None and not path.is_dir()):
        refuse_parts(record["source"], split, record["config"], record["revision"])
    if not isinstance(source, str | Path):
        if isinstance(source, bytes | Mapping) or not isinstance(source, Iterable):
            raise TextError(f"cannot read pairs from {type(source).__name__}; expected a path or a list of rows")
        record["kind"] = "python"
        yield from ((f"pair:{n}", row, f"pair {n}") for n, row in enumerate(source, start=1))
        return
    if path is None or path.is_dir():
        record |= {"kind": "dataset", "split": split}
        # a stream: of a large dataset only what is asked for is fetched
        rows = load_rows(path, str(source), path is None, record)
        capped = path is None and record["limit"] is None  # a hub dataset may have no end in sight
        record["limit"] = STREAM_LIMIT if capped else record["limit"]
        label = record["split"] or "row"
        for n, row in enumerate(rows, start=1):
            if capped and n > STREAM_LIMIT:
                return
            yield f"{label}:{n}", row, f"{source}, {label}, row {n}"
        return
    yield from _file(path, record)


def _file(path: Path, record: SourceRecord) -> Rows:
    label = path.name
    gz = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if gz else path.suffix.lower()
    record["kind"] = suffix[1:]
    if suffix == ".parquet" and not gz:
        yield from _parquet(path, label)
        return
    if suffix not in (*LINES, ".json"):
        its = f"not {suffix}" if suffix else "and this name has no suffix"
        raise TextError(f"{label}: preference pairs are read from .json, .jsonl or .parquet files, {its}")
    with reading(label), open_bounded(path, gz, JSON) as file:
        text = decode_text(file.read(), label).removeprefix("\ufeff")
    if suffix == ".json":
        rows = parse_row(text, label) if text.strip() else []
        if not isinstance(rows, list):
            raise TextError(f"{label} holds a JSON {type(rows).__name__}; expected a list of rows")
        yield from ((f"{label}:{n}", row, f"{label}, entry {n}") for n, row in enumerate(rows, start=1))
        return
    for n, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{label}:{n}", parse_row(line, f"{label}, line {n}"), f"{label}, line {n}"


def _parquet(path: Path, label: str) -> Rows:
    import polars as pl

    try:
        refuse_device(path)
        table = read_parquet(path)
        with no_panic():
            for n, row in enumerate(table.iter_rows(named=True, buffer_size=64), start=1):
                yield f"{label}:{n}", row, f"{label}, row {n}"
    except (pl.exceptions.PolarsError, OSError, MemoryError) as error:
        raise TextError(f"cannot read {label} as Parquet: {reason(error)}; check that the file is whole") from None
