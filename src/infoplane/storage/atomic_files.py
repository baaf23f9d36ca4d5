"""Files that exist whole or not at all.

A file is written beside its destination, flushed to the disk and renamed over it, so that a reader,
or a run that resumes after a crash, sees the old file or the new one and never a part of one.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from infoplane.errors import ResultError
from infoplane.storage.address import is_address
from infoplane.storage.file_locks import fcntl, lock, locked
from infoplane.storage.local_copies import local_copy
from infoplane.storage.locations import put
from infoplane.storage.temporary_folders import temporary


@contextlib.contextmanager
def replacing(path: Path, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success fsync it and rename it to `path`.

    On any exception the temporary file is removed and `path` is left as it was. What killed writers of `path` left is
    removed too.

    Args:
        path: what is written.
        new: replace no file: of several writers the first succeeds, the others get a FileExistsError.
    """
    if is_address(path):
        with temporary() as folder:
            yield (part := folder / path.name)
            put(path, part.read_bytes(), new)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    handle, part = _new_part(path)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file the user writes.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        if fcntl is None:  # Windows renames no open file
            os.close(handle)
        if new:
            _put_new(part, path)
        else:
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)  # and with it the lock
    _sync_folder(path.parent)


def _put_new(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: all that can be done is to look
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.replace(path)
    part.unlink(missing_ok=True)


def _new_part(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, locked for as long as its handle is open."""
    while True:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        except OSError as error:  # of a name that nobody gave
            raise OSError(error.errno, error.strerror, str(path)) from None
        with contextlib.suppress(OSError):
            lock(handle)
        if os.fstat(handle).st_nlink:  # else it was swept away before it was locked
            return handle, Path(name)
        os.close(handle)


def sweep(path: Path) -> None:
    """Remove what killed writers of `path` left."""
    if is_address(path):  # nobody can tell there whether a writer still lives
        return
    for old in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with contextlib.suppress(OSError), locked(old):
            old.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk too; not every platform lets a folder be opened.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_new(path: Path, record: Any) -> bool:
    """Write a record as JSON, whole, unless there is such a file already; whether it was written."""
    try:
        with replacing(path, new=True) as part:
            part.write_bytes(encoded(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"))
    except FileExistsError:
        return False
    return True


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, encoded(content))


def encoded(text: str) -> bytes:
    """UTF-8 of a text.

    Raises:
        ResultError: it holds half of a surrogate pair: Python's stand-in for a byte of a name that is not UTF-8.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 30) : error.end + 10].encode("utf-8", "backslashreplace").decode()
        raise ResultError(
            f"a name is not UTF-8 and cannot be written to a record: ...{near}...; rename the file or folder"
        ) from None


def write_json(path: Path, record: Any) -> None:
    """Write a record as JSON that people can read too, whole or not at all; NaN is refused."""
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_record(path: Path, record: Mapping[str, Any], *tables: Path) -> None:
    """Write a sealed record, with the hashes of tables beside it, which were written before."""
    hashes = {"tables": {table.name: sha256_file(table) for table in tables}} if tables else {}
    write_json(path, sealed({**record, **hashes}))


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its hash: a byte that is damaged later is then an error and never another number."""
    return {"sha256": hash_of(record), **record}


def check_seal(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The record without its seal; one without a seal, of an earlier version, as it is.

    Raises:
        ValueError: it, or a table beside it, is not what was written.
    """
    if "sha256" not in record:
        return record
    content = {name: value for name, value in record.items() if name != "sha256"}
    if record["sha256"] != hash_of(content):
        raise ValueError("it is damaged, or was changed after it was written (its sha256 is of something else)")
    tables = content.pop("tables", {})
    for name, sha256 in tables.items():
        table = path.parent / Path(name).name
        if table.exists() and sha256_file(table) != sha256:
            raise ValueError(f"{name} cannot be read: it is damaged, or of another run (its sha256 is another)")
    return content


def reason(error: BaseException) -> str:
    """Why something failed, never empty: an error of Python's own may have no words."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    if isinstance(error, KeyError):
        text = f"it has no {text}"
    return text or {"EOFError": "it ends too early", "MemoryError": "memory ran out"}.get(
        type(error).__name__, type(error).__name__
    )


def parse_json(text: str, finite: bool = False) -> Any:
    """A JSON value; with `finite`, NaN and infinity are none.

    Raises:
        ValueError: not JSON, nested too deep, or a number that no machine holds.
    """
    try:
        if not finite:
            return json.loads(text)
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number that can be stored")


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) < float("inf") else _no_number(text[:20])


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with local_copy(path, fresh=True).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: IO[bytes]) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with one spelling for one value: sorted keys, no spaces, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as hex."""
    return hashlib.sha256(encoded(canonical_json(value))).hexdigest()
