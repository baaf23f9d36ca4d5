"""Addresses of `fsspec` (https://filesystem-spec.readthedocs.io) such as s3://bucket/run, where results may lie.

An `Address` does of what a `Path` does as much as is asked of results. Names are taken as they are, without wildcards,
and whatever a storage raises is an `OSError` with a number, so that it is handled as a disk's failure is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from infoplane.errors import InfoplaneError, SettingError

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+"
_ADDRESS = re.compile(f"(?P<scheme>{_SCHEME}(?:::{_SCHEME})*):(?P<slashes>/+)(?P<rest>.*)", re.DOTALL)
STRANGE = re.compile(r"::|[*?\[\]]")
"""What storages, or fsspec before them, take for a pattern or a chain."""
_NUMBERS = (
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (PermissionError, errno.EACCES),
    (NotADirectoryError, errno.ENOTDIR),
    (IsADirectoryError, errno.EISDIR),
)


@contextlib.contextmanager
def reaching(path: Path | Address) -> Iterator[None]:
    """Make of whatever a storage raises an `OSError` with a number; errors of this machine's files stay as they are."""
    try:
        yield
    except InfoplaneError:
        raise
    except Exception as error:
        if not isinstance(path, Address) or (isinstance(error, OSError) and error.errno is not None):
            raise
        number = next((n for kind, n in _NUMBERS if isinstance(error, kind)), errno.EIO)
        reason = " ".join(str(error).split())[:300] or os.strerror(number)
        if not isinstance(error, OSError):
            reason = f"{type(error).__name__}: {reason}"
        raise OSError(number, reason, str(path)) from error


@dataclass(frozen=True)
class Address:
    """A folder or a file of a storage; can be sent to a worker."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.url.rstrip('/')}/{str(name).strip('/')}")

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.url).suffix

    @property
    def parent(self) -> Address:
        above = self.url.rstrip("/").rpartition("/")[0]
        return self if above.endswith("/") else Address(above)

    def with_name(self, name: str) -> Address:
        return self.parent / name

    def relative_to(self, folder: Address) -> PurePosixPath:
        return PurePosixPath(self.url).relative_to(folder.url)

    def absolute(self) -> Address:
        return self

    @property
    def storage(self) -> Any:
        """The storage, and below `path`, the name in it."""
        return _storage(self.url)[0]

    @property
    def path(self) -> str:
        return str(_storage(self.url)[1])

    def info(self) -> dict[str, str | int] | None:
        """What the storage says of it, None where there is nothing."""
        with reaching(self):
            try:
                return dict(self.storage.info(self.path))
            except FileNotFoundError:
                return None

    def exists(self) -> bool:
        return self.info() is not None

    def is_dir(self) -> bool:
        return (self.info() or {}).get("type") == "directory"

    def is_file(self) -> bool:
        return (self.info() or {}).get("type") == "file"

    def iterdir(self) -> Iterator[Address]:
        with reaching(self):
            names = [str(name).rstrip("/") for name in self.storage.ls(self.path, detail=False)]
        own = self.path.rstrip("/")  # some list a mark of the folder itself
        return iter([self / name.rpartition("/")[2] for name in names if name != own])

    def read_bytes(self) -> bytes:
        with reaching(self):
            return bytes(self.storage.cat_file(self.path))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def unlink(self, missing_ok: bool = False) -> None:
        with reaching(self):
            try:
                self.storage.rm_file(self.path)
            except FileNotFoundError:
                if not missing_ok:
                    raise


def _storage(url: str) -> tuple[Any, str]:
    import fsspec

    # Others write there too: no list of what was there may be trusted. SSH hands unknown settings on.
    settings = {} if url.startswith(("sftp:", "ssh:")) else {"use_listings_cache": False}
    storage: tuple[Any, str] = fsspec.core.url_to_fs(url, **settings)
    return storage


def is_address(given: object) -> bool:
    """Whether this is an address, and not a path of this machine."""
    if isinstance(given, Address):
        return True
    match = _ADDRESS.fullmatch(str(given)) if isinstance(given, str | Path) else None
    return match is not None and match["scheme"].lower() != "file"


def address_of(given: str | Path | Address) -> Address | None:
    """The address that is meant; None where it is a path of this machine.

    Raises:
        SettingError: an address of a storage that is not known, or whose package is not installed.
    """
    if isinstance(given, Address):
        return given
    match = _ADDRESS.fullmatch(str(given))
    if match is None or match["scheme"].lower() == "file":
        return None
    if strange := STRANGE.search(str(given)):
        raise SettingError(
            f"{str(given)!r} holds {strange[0]!r}, which storages take for a pattern or a chain of addresses; expected "
            "one address with a plain name, such as s3://bucket/folder"
        )
    root = "/" if match["slashes"] == "///" else ""  # a `Path` has one slash left, whatever there was
    made = Address(f"{match['scheme'].lower()}://{root}{match['rest'].rstrip('/')}")
    try:
        made.storage  # noqa: B018 (imports the package of the storage)
    except Exception as error:
        raise SettingError(
            f"{str(given)!r} cannot be used: {str(error) or type(error).__name__}; expected a folder, or an address "
            "that fsspec knows: install infoplane[remote] and the package of the storage (s3fs, gcsfs, adlfs)"
        ) from None
    return made


def to_path(given: str | Path | Address) -> Path:
    """A folder or a file: a path, or for an address what does as much of a path as is asked of results.

    Raises:
        SettingError: as for `address_of`.
    """
    if (address := address_of(given)) is not None:
        return cast(Path, address)  # it is none, but the rooms that hold results take either
    match = _ADDRESS.fullmatch(str(given))
    return Path(str(given)) if match is None else Path("/" + match["rest"].rstrip("/"))
