"""Reading documents: files, folders, standard input, `datasets` and Python strings, all as one `Text`.

A document is the unit of every error bar, so what counts as one is fixed here: a plain text file is one document,
a row of a table (JSONL, JSON, CSV, Parquet, a dataset) is one document. Names are relative to the source, so that the
same text in another place is the same text. Empty documents say nothing and are left out, but counted. So are copies,
letter by letter, of a document that was read: a model has the same states on them, so they would only make errors too
small. Those that are too short for a window would not be read anyway, and longer ones seldom come about by chance.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from infoplane.errors import SettingError, TextError, check_whole
from infoplane.storage import TEXT, Bounded, most_bytes, spoken_size
from infoplane.text.dataset_rows import dataset_documents, is_dataset
from infoplane.text.document_files import FILES, Pairs, Picker, decode_text, read_file, read_folder, read_lines, reading
from infoplane.text.source_record import SourceRecord
from infoplane.text.text_settings import BUILT_IN


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        name: its name within the source.
        text: its text.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Text:
    """The documents of a text, in the order of their source.

    Attributes:
        documents: the documents; `read_text` leaves out blank ones and exact copies.
        provenance: where they come from, as JSON values: `source`, `kind`, `column`, `split`, `config`, `revision`,
            `choice` (which documents were taken), `limit`, `documents` (their number), `empty` and `copies` (numbers of
            those left out), `skipped` (files of a folder that are not text) and `sha256` over names and texts.
    """

    documents: tuple[Document, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Text of {len(self.documents):,} documents from {self.provenance.get('source', 'python')}>"

    def __len__(self) -> int:
        return len(self.documents)


TextSource: TypeAlias = "str | Path | Text | Iterable[str | Document | Mapping[str, Any]]"
"""Documents by their name, read already, or as strings or rows."""


def read_text(
    source: TextSource,
    *,
    column: str | None = None,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = True,
    limit: int | None = None,
    seed: int = 0,
    stdin: IO[bytes] | IO[str] | None = None,
) -> Text:
    """Read the documents of a text. A plain text file is one document; so is a row of a table.

    Args:
        source: one of
            - `c4-sample`, which comes with the package;
            - a file: .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or any UTF-8 text; all but .parquet also as .gz;
            - a folder of such files;
            - `-` for standard input: JSON lines if every line begins with `{`, otherwise plain text;
            - a `datasets` id `owner/name`;
            - a folder that `datasets` saved or that is laid out as a dataset (`train-00000-of-00001.*`, or
              configurations in its README.md), and any folder if `config` is given or `split` is not `train`;
            - an iterable of strings, `Document`s or rows;
            - a `Text`, which is returned unchanged.
        column: the column that holds the text; by default the first of text, content, document, raw_content and body
            that exists.
        split, config, revision: split, configuration and version of a dataset.
        streaming: stream a dataset instead of downloading it first.
        limit: how many documents to read, copies included: the first of a file, folder or iterable, a selection by
            `seed` from a dataset. By default all are read, but only 10,000 of a hub dataset that is streamed.
        seed: selects the documents of a dataset where there is a limit.
        stdin: what `-` reads; by default the standard input.

    Raises:
        TextError: the source is missing, unreadable, empty, binary, broken or too large for the free memory; the
            message says where.
        SettingError: `limit` or `seed` is not a whole number in range; or `column` is given for plain text, or
            `split`, `config` or `revision` for what is not a dataset.
    """
    if isinstance(source, Text):
        return source
    for name, value, least in (("limit", limit, 1), ("seed", seed, 0)):
        if value is not None:
            check_whole(name, value, least)
    record: SourceRecord = {
        "source": str(source) if isinstance(source, str | Path) else "python",
        "kind": "",
        "column": None,
        "split": None,
        "config": None,
        "revision": None,
        "choice": "all" if limit is None else "first",
        "limit": limit,
        "skipped": [],
    }
    if not isinstance(source, str | Path):
        pairs = _python(source, column, record)
    elif str(source) == "-":
        pairs = _standard_input(sys.stdin.buffer if stdin is None else stdin, column, record)
    elif str(source) == BUILT_IN:
        record["kind"] = "built-in"
        sample = resources.files("infoplane").joinpath("data/c4-sample.jsonl").read_bytes()
        pairs = read_lines(sample.splitlines(keepends=True), BUILT_IN, column, record)
    elif (path := local_path(source)) is None or (path.is_dir() and is_dataset(path, split, config)):
        record |= {"kind": "dataset", "split": split, "config": config, "revision": revision}
        pairs = dataset_documents(path, str(source), column, streaming, seed, record)
    else:
        pairs = read_folder(path, column, record) if path.is_dir() else read_file(path, path.name, column, record)
    if record["kind"] != "dataset":
        refuse_parts(record["source"], split, config, revision)
    text = _gather(pairs, record)
    cut_short = record["kind"] == "folder" and limit is not None  # the rest of it may have columns
    if column is not None and text.provenance["column"] is None and not cut_short:
        raise SettingError(
            f"column {column!r}: {record['source']} is plain text and has no columns; leave it out",
            settings=("column",),
        )
    return text


def refuse_parts(source: str, split: str, config: str | None, revision: str | None) -> None:
    """Refuse parts of a dataset where the source is none.

    Raises:
        SettingError: one was named.
    """
    for name, value in (
        ("split", None if split == "train" else split),
        ("config", config),
        ("text_revision", revision),
    ):
        if value is not None:
            raise SettingError(
                f"{name} {value!r} is of a dataset, and {source} is none (owner/name, or a folder that datasets "
                "knows): leave it out",
                settings=(name,),
            )


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{name}: character {error.start} is half of a surrogate pair, which no text holds: the document was "
            "cut or wrongly decoded before it came here"
        ) from None


def _gather(pairs: Pairs, record: SourceRecord) -> Text:
    """Take documents until the limit is reached; the rest of a long source is never read."""
    documents: list[Document] = []
    digest = hashlib.sha256()
    seen = set[str]()  # holds no text of its own: the documents do
    empty, copies, read, may = 0, 0, 0, most_bytes()
    for name, text in pairs:
        if not text.strip():
            empty += 1
            continue
        read += sys.getsizeof(text)  # copies too: a small file may hold any number of them
        if read > may:
            raise TextError(
                f"{record['source']} holds more than may be held: {spoken_size(read)} in {len(documents) + copies:,} "
                f"documents so far, and {spoken_size(may)} is half of the memory that is free; take fewer with limit, "
                "or give a part of it",
                settings=("limit",),
            )
        if text in seen:
            copies += 1
        else:
            _absorb(digest, name, _encoded(name, text))
            documents.append(Document(name, text))
            seen.add(text)
        if len(documents) + copies == record["limit"]:
            break
    if not documents:
        what = "its one document is" if empty == 1 else f"its {empty} documents are"
        why = f"{what} empty, or white space only" if empty else "it is empty"
        raise TextError(f"no text in {record['source']}: {why}; give at least one document")
    record |= {"documents": len(documents), "empty": empty, "copies": copies, "sha256": digest.hexdigest()}
    return Text(tuple(documents), record)


def text_hash(documents: Iterable[Document]) -> str:
    """SHA-256 over names and texts, as in the provenance of a `Text`."""
    digest = hashlib.sha256()
    for document in documents:
        _absorb(digest, document.name, document.text.encode())
    return digest.hexdigest()


def _absorb(digest: hashlib._Hash, name: str, encoded: bytes) -> None:
    for part in (name.encode("utf-8", "surrogateescape"), encoded):
        digest.update(len(part).to_bytes(8, "little") + part)


# ---------------------------------------------------------------------- where a source is


def local_path(source: str | Path, others: str = f", {BUILT_IN} (built in), - (standard input)") -> Path | None:
    """The existing file or folder that is meant, or None for what can only be a dataset id.

    Args:
        source: as it was named.
        others: what else could be, for messages.
    """
    try:
        path = Path(source).expanduser()
        if str(source).strip() and path.exists():
            return path
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL in it, or no home folder
        raise TextError(
            f"{str(source)[:60]!r}... cannot be a file name; to pass text itself, put it in a list: [text]"
        ) from None
    is_id = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", source) if isinstance(source, str) else None
    if is_id and not path.name.lower().endswith(FILES):
        return None
    raise TextError(
        f"no file or folder {str(source)!r}; expected a path that exists{others} or a datasets "
        "id written owner/name, such as allenai/c4"
    )


# ---------------------------------------------------------------------- other sources


def _standard_input(stdin: IO[bytes] | IO[str], column: str | None, record: SourceRecord) -> Pairs:
    with reading("standard input"):
        given = stdin.read() if hasattr(stdin, "encoding") else Bounded(cast("IO[bytes]", stdin), TEXT).read()
    data = (given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given).removeprefix(b"\xef\xbb\xbf")
    lines = data.split(b"\n")
    if data.strip() and all(line.lstrip().startswith(b"{") for line in lines if line.strip()):
        record["kind"] = "stdin jsonl"
        yield from read_lines((line + b"\n" for line in lines), "stdin", column, record)
    else:
        record["kind"] = "stdin text"
        yield "stdin", decode_text(data, "standard input")


def _python(items: Iterable[str | Document | Mapping[str, Any]], column: str | None, record: SourceRecord) -> Pairs:
    record["kind"] = "python"
    if isinstance(items, bytes | Mapping) or not isinstance(items, Iterable):
        raise TextError(f"cannot read documents from {type(items).__name__}; expected a path or a list of strings")
    pick = Picker(column, record)
    for number, item in enumerate(items, start=1):
        if isinstance(item, Document):
            yield item.name, item.text
        elif isinstance(item, str):
            yield f"document:{number}", item
        else:
            yield f"document:{number}", pick(item, f"document {number}")
