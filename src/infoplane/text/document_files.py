"""Files of documents: JSONL, JSON, Parquet, plain text, gzipped or not, and folders of them.

Each reader yields (name, text) and writes into `found`, the provenance in the making, what it settled.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
from infoplane.errors import TextError
from infoplane.storage import (
    JSON,
    TABLE,
    TEXT,
    Json,
    kind_of_device,
    no_panic,
    open_bounded,
    parse_json,
    reason,
    refuse_device,
    text_pieces,
)
from infoplane.text.source_record import SourceRecord

COLUMNS = ("text", "content", "document", "raw_content", "body")
LINES = (".jsonl", ".ndjson")
# no dataset id ends so
TABLES = (".csv", ".tsv")
FILES = (*LINES, *TABLES, ".json", ".parquet", ".txt", ".md", ".text", ".rst", ".gz")
Pairs = Iterator[tuple[str, str]]
_TOLD = (errno.EINVAL, errno.EFBIG)  # whose message says what to do


@contextlib.contextmanager
def reading(label: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        end = "" if getattr(error, "errno", None) in _TOLD else "; check that the file is whole and yours to read"
        raise TextError(f"cannot read {label}: {reason(error)}{end}") from None


def decode_text(data: bytes, label: str, offset: int = 0) -> str:
    """UTF-8 text of `data`, which lies at byte `offset` of what `label` names."""
    position, what = data.find(b"\0"), "a NUL byte"
    if position < 0:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            position, what = error.start, f"byte 0x{data[error.start]:02x}, which is not UTF-8,"
    hint = "it looks like UTF-16: " if offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    raise TextError(
        f"{label} is not text: {what} at offset {offset + position}; {hint}expected UTF-8 text, JSONL, JSON, CSV or "
        "Parquet (told apart by the file's suffix)"
    )


def read_file(path: Path, label: str, column: str | None, record: SourceRecord) -> Pairs:
    gz = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if gz else path.suffix.lower()
    record["kind"] = record["kind"] or ("jsonl" if suffix in LINES else suffix[1:] if suffix in FILES else "text")
    if suffix == ".parquet" and not gz:
        yield from _parquet(path, label, column, record)
        return
    times = JSON if suffix in (*LINES, ".json") else TABLE if suffix in TABLES else TEXT
    with reading(label), open_bounded(path, gz, times) as file:
        if suffix in LINES:
            yield from read_lines(file, label, column, record)
            return
        text = decode_text(file.read(), label).removeprefix("\ufeff")
    if suffix in TABLES:
        yield from _table(text, "\t" if suffix == ".tsv" else ",", label, column, record)
    elif suffix == ".json":
        yield from _json_list(text, label, column, record)
    else:
        yield label, text


def read_lines(file: Iterable[bytes], label: str, column: str | None, record: SourceRecord) -> Pairs:
    pick = Picker(column, record)
    offset = 0
    for number, data in enumerate(file, start=1):
        line = decode_text(data, f"{label}, line {number},", offset)
        line = line.removeprefix("\ufeff") if number == 1 else line
        offset += len(data)
        if not line.strip():
            continue
        where = f"{label}, line {number}"
        yield f"{label}:{number}", pick(parse_row(line, where), where)


def parse_row(text: str, where: str) -> Json:
    """JSON of `text`, which `where` names."""
    try:
        value: Json = parse_json(text)
        return value
    except ValueError as error:
        whole = " (is it JSON lines? then call the file .jsonl)" if "Extra data" in str(error) else ""
        raise TextError(f"{where}: not JSON: {error}{whole}; mend or remove it") from None


def _json_list(text: str, label: str, column: str | None, record: SourceRecord) -> Pairs:
    pick = Picker(column, record)
    rows = parse_row(text, label) if text.strip() else []
    if not isinstance(rows, list):
        raise TextError(f"{label} holds a JSON {type(rows).__name__}; expected a list of rows or of strings")
    for number, row in enumerate(rows, start=1):
        yield f"{label}:{number}", row if isinstance(row, str) else pick(row, f"{label}, entry {number}")


def _table(text: str, delimiter: str, label: str, column: str | None, record: SourceRecord) -> Pairs:
    """Rows of a CSV under a header; a row is named by its number, since a cell may go over several lines."""
    pick = Picker(column, record)
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))  # a document may be longer than 128 KiB
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        header = next((cells for cells in lines if any(map(str.strip, cells))), [])
        if twice := next((column_name for column_name in header if header.count(column_name) > 1), None):
            raise TextError(f"{label} has two columns {twice!r}; expected different names")
        if len(header) == 1 and ";" in header[0]:
            raise TextError(f"{label}: its cells seem to be divided by ';'; expected ',' (a .tsv: tabs)")
        name = pick.choose(header, f"{label}, its header") if header else ""
        index = header.index(name) if header else 0
        for number, cells in enumerate(lines, start=1):
            if not cells:
                continue
            if len(cells) != len(header):
                raise TextError(
                    f"{label}, row {number}: {len(cells)} cells, but the header has {len(header)}; mend or remove "
                    "it, or rename the file .txt to read it as one plain text"
                )
            yield f"{label}:{number}", cells[index]
    except csv.Error as error:
        raise TextError(
            f"{label}, row {number + 1}: no table as text: {error}; mend it, or rename the file .txt to read it as one "
            "plain text"
        ) from None


def _parquet(path: Path, label: str, column: str | None, record: SourceRecord) -> Pairs:
    import polars as pl

    pick = Picker(column, record)
    try:
        refuse_device(path)
        with no_panic():
            schema = pl.read_parquet_schema(path)
        name = pick.choose(list(schema), label)
        if schema[name] not in (pl.String, pl.Categorical, pl.Enum):  # before it takes any memory
            raise TextError(f"{label}: column {name!r} holds {schema[name]}, expected strings")
        frame = pl.scan_parquet(path, glob=False).select(name)
        step, row = 8192, 0
        while not (rows := _collected(frame.slice(row, step))[name]).is_empty():
            for values in _listed(rows):
                for value in values:
                    row += 1
                    yield f"{label}:{row}", pick({name: value}, f"{label}, row {row}")
    except (pl.exceptions.PolarsError, OSError, MemoryError) as error:
        raise TextError(f"cannot read {label} as Parquet: {reason(error)}; check that the file is whole") from None


def _listed(rows: pl.Series) -> Iterator[list[str]]:
    with no_panic():
        yield from text_pieces(rows)


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    with no_panic():
        return frame.collect()


def read_folder(folder: Path, column: str | None, record: SourceRecord) -> Pairs:
    record["kind"] = "folder"
    paths = []
    for top, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(top, name) for name in names if not name.startswith(".")]
    for path in sorted(paths, key=lambda path: path.relative_to(folder).parts):
        label = path.relative_to(folder).as_posix()
        if _kind(path):
            record["skipped"].append(label)
            continue
        try:
            yield from read_file(path, label, column, record)
        except TextError as error:
            # A picture beside the texts is no mistake; a text file that is not text is one.
            if path.name.lower().endswith(FILES) or "is not text" not in str(error):
                raise TextError(f"in folder {folder}: {error}") from None
            record["skipped"].append(label)


def _kind(path: Path) -> str | None:
    try:
        return kind_of_device(path)
    except OSError:  # a link that leads nowhere: who reads it says so
        return None


def _refuse(error: OSError) -> None:
    raise TextError(f"cannot read folder {error.filename}: {error.strerror}") from None


class Picker:
    """Takes the text out of a row; the column is settled by the first row."""

    def __init__(self, column: str | None, record: SourceRecord) -> None:
        self.column = column
        self._found = record
        self._note()

    def _note(self) -> None:
        # Files of one folder may call it differently; the record names each.
        if self.column is not None:
            known = self._found["column"].split(", ") if self._found["column"] else []
            self._found["column"] = ", ".join(dict.fromkeys([*known, self.column]))

    def choose(self, names: list[str], where: str) -> str:
        """Settle the column among the names that exist."""
        chosen = self.column if self.column is not None else next((name for name in COLUMNS if name in names), None)
        if chosen is None or chosen not in names:
            wanted = f"no column {chosen!r}" if chosen else f"none of the columns {', '.join(COLUMNS)}"
            raise TextError(f"{where}: {wanted}; it has: {', '.join(map(str, names)) or 'none'}; name one with column")
        self.column = chosen
        self._note()
        return chosen

    def __call__(self, row: Json, where: str) -> str:
        if not isinstance(row, Mapping):
            raise TextError(f"{where}: expected a row with named columns, found {type(row).__name__}")
        column = self.column
        if column is None or column not in row:
            column = self.choose(list(row), where)
        value = row[column]
        if not isinstance(value, str):
            raise TextError(f"{where}: column {column!r} holds {type(value).__name__}, expected a string")
        return value
