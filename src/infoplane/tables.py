"""Parquet files that may be damaged: what polars then does is an error that can be caught.

A harmed file can make polars panic. Its `PanicException` is no `Exception`, so it would pass every handler and end the
program with a traceback; here it becomes a `ComputeError`, one of the family that readers handle already. And a full
disk is an `OSError` when a table is written, as for every other file.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from infoplane import files
from infoplane.copies import local
from infoplane.readable import check, most

_CELL = 16  # bytes that polars holds for a value, at least


@contextlib.contextmanager
def no_panic() -> Iterator[None]:
    """Turn a panic inside into a `ComputeError`."""
    try:
        yield
    except pl.exceptions.PanicException as error:
        reason = " ".join(str(error).split())[:100]
        raise pl.exceptions.ComputeError(f"polars cannot make sense of it ({reason})") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of a Parquet file.

    Raises:
        OSError: it cannot be read.
        polars.exceptions.PolarsError: it is damaged.
    """
    here = local(path, fresh=True)
    check(here)
    with no_panic():
        frame = pl.scan_parquet(here) if columns is None else pl.scan_parquet(here).select(columns)
        rows, names = int(frame.select(pl.len()).collect().item()), frame.collect_schema().names()
        if rows * len(names) * _CELL > most():
            raise OSError(
                errno.EFBIG,
                f"it holds {rows:,} rows of {len(names)} columns, more than the memory that is free",
                str(path),
            )
        return frame.collect()


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table, whole or not at all.

    Raises:
        OSError: it cannot be written; polars itself would raise an error of its own for a full disk.
    """
    content = io.BytesIO()
    frame.write_parquet(content)
    files.write_bytes(path, content.getvalue())
