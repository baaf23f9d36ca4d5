"""Parquet files that may be damaged: what polars then does is an error that can be caught.

A harmed file can make polars panic. Its `PanicException` is no `Exception`, so it would pass every handler and end the
program with a traceback; here it becomes a `ComputeError`, one of the family that readers handle already. And a full
disk is an `OSError` when a table is written, as for every other file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from infoplane.storage import atomic_files as files
from infoplane.storage.bounded_reading import most_bytes, refuse_device
from infoplane.storage.local_copies import local_copy

_FORMULA = r"^'*[=+\-@\t\r\n]"
_CELL = 16  # bytes that polars holds for a value, at least


@contextlib.contextmanager
def no_panic() -> Iterator[None]:
    """Turn a panic inside into a `ComputeError`, or a MemoryError where it is one."""
    try:
        yield
    except pl.exceptions.PanicException as error:
        if "pointer is null" in str(error):  # of an object that Python had no memory for
            raise MemoryError("memory ran out") from None
        reason = " ".join(str(error).split())[:100]
        raise pl.exceptions.ComputeError(f"polars cannot make sense of it ({reason})") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of a Parquet file.

    Raises:
        OSError: it cannot be read.
        polars.exceptions.PolarsError: it is damaged.
    """
    here = local_copy(path, fresh=True)
    refuse_device(here)
    with no_panic():
        whole = pl.scan_parquet(here, glob=False)  # `[` in a folder's name is no pattern
        frame = whole if columns is None else whole.select(columns)
        rows, names = int(frame.select(pl.len()).collect().item()), frame.collect_schema().names()
        if rows * len(names) * _CELL > most_bytes():
            raise OSError(
                errno.EFBIG,
                f"it holds {rows:,} rows of {len(names)} columns, more than the memory that is free",
                str(path),
            )
        return frame.collect()


def csv_text(frame: pl.DataFrame) -> str:
    """A table as CSV. Text that a spreadsheet would take for a formula gets an apostrophe before it.

    So does text that has apostrophes before one already: `plain_cell` takes one away, and gives what was there.
    """
    columns = [
        pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name, kind in frame.schema.items()
        if kind == pl.String
    ]
    headers = {name: f"'{name}" for name in frame.columns if re.search(_FORMULA, name)}
    return frame.with_columns(columns).rename(headers).write_csv()


def plain_cell(text: str) -> str:
    """A cell without the apostrophe that `csv_text` puts before a formula."""
    return text[1:] if text[:1] == "'" and re.search(_FORMULA, text) else text


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table, whole or not at all.

    Raises:
        OSError: it cannot be written; polars itself would raise an error of its own for a full disk.
    """
    content = io.BytesIO()
    frame.write_parquet(content)
    files.write_bytes(path, content.getvalue())
