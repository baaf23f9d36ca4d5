"""The one way in which results lie in folders: a table of rows, and a record that vouches for it.

The table is written first and the record last, each whole or not at all: where the record stands, everything stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.errors import ResultError
from infoplane.storage import atomic_files as files
from infoplane.storage.address import is_address, to_path
from infoplane.storage.locations import record_in
from infoplane.storage.parquet import write_parquet
from infoplane.storage.records import read_record

_UNFIT = (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError)
"""What code raises that builds a result of content that is not what it should be."""


@dataclass(frozen=True)
class ResultFiles:
    """The files of a kind of result.

    Attributes:
        record: name of the JSON record.
        table: name of the table beside it.
        schema: identifier in the record, with its version.
        what: the kind, for messages.
        command: that makes it.
        sealed: whether the record holds the hash of the table, whose rows are then read back; a table that is an
            export alone is not.
    """

    record: str
    table: str
    schema: str
    what: str
    command: str
    sealed: bool = True

    def write(self, folder: str | Path, content: Mapping[str, Any], table: pl.DataFrame | None) -> tuple[Path, Path]:
        """Write a result.

        Args:
            folder: or address.
            content: of the record, JSON values; its schema and its seal are added.
            table: None where there are no rows yet.

        Returns:
            The paths of the record and the table.
        """
        folder = to_path(folder)
        record_path, table_path = folder / self.record, folder / self.table
        if table is not None:
            write_parquet(table_path, table)
        tables = (table_path,) if self.sealed and table is not None else ()
        files.write_record(record_path, {"schema": self.schema, **content}, *tables)
        return record_path, table_path

    @contextlib.contextmanager
    def read(self, path: str | Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The path and the content of a record; what fails within is an error of the file.

        Args:
            path: a folder, an address or the record itself.

        Raises:
            ResultError: nothing there, unreadable, damaged, another schema, or not what its schema promises.
        """
        source = record_in(path, self.record)
        content = read_record(source, self.schema, self.what, self.command)
        try:
            yield source, content
        except _UNFIT as error:
            if isinstance(error, OSError) and is_address(source):  # it may be whole, and answer later
                raise
            raise ResultError(
                f"{source} does not hold what schema {self.schema!r} promises: {files.reason(error)}"
            ) from None
