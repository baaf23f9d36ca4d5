"""Opening what the user names: never a device, never more than the memory that is free.

A file of a few hundred bytes may unpack to more than any machine holds, `/dev/zero` has no end, and a pipe that nobody
writes to is waited for for ever. So what is no file is refused, and what is read is counted.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from infoplane.storage.address import is_address
from infoplane.storage.memory_size import free_memory, spoken_size

if TYPE_CHECKING:
    import polars as pl


_BLOCK = 1 << 20
TEXT, TABLE, JSON = 5, 40, 25
"""Bytes of memory that a byte of a file may take once it is read: characters beyond the plane of Unicode that all
alphabets are in, short rows of a CSV as dicts, empty objects of JSON."""
_STANDING = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Pipes that are open already, such as those of `<(command)`."""


def most_bytes() -> int:
    """Bytes that one source may hold: half of the memory that is free."""
    return free_memory() // 2


def kind_of_device(path: Path) -> str | None:
    """What a path is where it is no file to read: `a device`, `a named pipe`, `a socket`; None for a file.

    Raises:
        OSError: it is not there.
    """
    if is_address(path):
        return None
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return None if str(path).startswith(_STANDING) else "a device"
    if stat.S_ISFIFO(mode):
        return None if str(path).startswith(_STANDING) else "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else None


def refuse_device(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        OSError: it is a device, a named pipe or a socket, or is not there.
    """
    if what := kind_of_device(path):
        end = "which may have no end" if what == "a device" else "which is waited for until somebody writes to it"
        pipe = ", or a pipe of the shell, <(command)" if what == "a named pipe" else ""
        raise OSError(errno.EINVAL, f"it is {what}, {end}: expected a file{pipe}", str(path))


class Bounded:
    """A stream of bytes that counts what was read.

    Raises:
        OSError: of EFBIG, where that is more than may be held.
    """

    def __init__(self, file: IO[bytes], times: int = 1) -> None:
        self.file, self.limit, self.held, self.times = file, most_bytes() // times, 0, times

    def _count(self, data: bytes) -> bytes:
        self.held += len(data)
        if self.held > self.limit:
            raise OSError(
                errno.EFBIG,
                f"it holds more than {spoken_size(self.limit)}, which {self._takes} half of the memory that is free: "
                "divide "
                "it, or give JSONL or Parquet and limit the documents",
            )
        return data

    @property
    def _takes(self) -> str:
        return "is" if self.times == 1 else "may take, once it is read,"

    def read(self) -> bytes:
        """All of it."""
        blocks = []
        while block := self._count(self.file.read(_BLOCK)):
            blocks.append(block)
        return b"".join(blocks)

    def __iter__(self) -> Iterator[bytes]:
        """Lines; the memory of one that was handed out is not counted any longer."""
        while line := self._count(self.file.readline(_BLOCK)):
            parts = [line]
            while not line.endswith(b"\n") and (line := self._count(self.file.readline(_BLOCK))):
                parts.append(line)
            yield b"".join(parts)
            self.held = 0


@contextlib.contextmanager
def open_bounded(path: Path, packed: bool = False, times: int = 1) -> Iterator[Bounded]:
    """A file, open for reading.

    Args:
        path: of the file.
        packed: by gzip.
        times: bytes of memory that one of its bytes may take; of lines one at a time.

    Raises:
        OSError: it is no file, cannot be read, or holds more than may be held.
    """
    refuse_device(path)
    with gzip.open(path) if packed else path.open("rb") as file:
        yield Bounded(cast("IO[bytes]", file), times)


def read_bytes(path: Path, times: int = 1) -> bytes:
    """The content of a file.

    Raises:
        OSError: as for `opened`.
    """
    with open_bounded(path, times=times) as file:
        return file.read()


def read_text(path: Path, encoding: str = "utf-8", times: int = TEXT) -> str:
    """The text of a file, with the ends of lines as Python has them.

    Raises:
        OSError: as for `opened`.
        UnicodeDecodeError: it is not of that encoding.
    """
    return read_bytes(path, times).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def text_pieces(column: pl.Series, size: int = 1 << 23) -> Iterator[list[str]]:
    """The values of a polars column of text, in lists of about so many bytes: few bytes of Parquet may be many."""
    import polars as pl

    lengths = None
    if column.dtype == pl.String:
        lengths = column.str.len_bytes()
    elif column.dtype == pl.Categorical:
        lengths = column.cat.len_bytes()
    if lengths is None:
        yield column.to_list()
        return
    held = lengths.cast(pl.Int64).fill_null(0).cum_sum().to_numpy() // size
    first = 0
    while first < len(column):
        last = first + max(1, int((held[first:] <= held[first]).sum()))
        yield column[first:last].to_list()
        first = last
