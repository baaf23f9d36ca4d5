"""What is done with results where they lie, in a folder or at an address.

A file is put at an address whole: by one request where the storage makes a file visible only when it is complete, under
another name and then moved elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path, PurePosixPath

from infoplane.errors import ResultError, SettingError
from infoplane.storage.address import STRANGE, Address, address_of, is_address, reaching, to_path
from infoplane.storage.local_copies import forget_copies

_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "memory")
"""Storages where a file that is put is seen whole or not at all."""


def reach_location(given: str | Path | Address, what: str, writes: bool = True) -> Path:
    """The place, once an address is known to answer, and to take what will be written there.

    Args:
        given: a folder or an address.
        what: whose it is, for messages.
        writes: whether results are going to be written there: better known before hours of work than after.

    Raises:
        SettingError: no name at all, or an address that cannot be used.
    """
    if isinstance(given, str) and not given.strip():
        raise SettingError(f"{what} is empty: expected a folder or an address")
    path = to_path(given)
    if is_address(path):
        try:
            path.exists()
            if writes:
                put(probe := path / f".{uuid.uuid4().hex}.part", b"")
                with contextlib.suppress(OSError):  # who may write need not be allowed to remove
                    probe.unlink()
        except OSError as error:
            raise SettingError(f"{what} {path} cannot be used: {error.strerror}") from None
    return path


def record_in(given: str | Path | Address, name: str) -> Path:
    """The record called `name` in a folder, or the file itself where it is named.

    Raises:
        OSError: an address that does not answer.
        SettingError: one that cannot be used.
    """
    path = to_path(given)
    return path / name if path.is_dir() else path


def path_inside(folder: Path, name: str) -> Path:
    """The file or folder `name` in a folder that a record points into.

    Raises:
        ResultError: it lies outside.
    """
    parts = PurePosixPath(name)
    strange = is_address(name) or parts.is_absolute() or ".." in parts.parts or "\\" in name
    if not strange and is_address(folder):
        strange = STRANGE.search(name) is not None
    elif not strange:
        strange = not (folder / name).resolve().is_relative_to(folder.resolve())  # a link may lead anywhere
    if strange:
        raise ResultError(f"the record in {folder} points outside of its folder, to {name!r}: it is refused")
    return folder / name


def put(path: Path, content: bytes, new: bool = False) -> None:
    """Write a file at an address, whole or not at all.

    Raises:
        FileExistsError: there is one, and `new` is set. Of two that write at once one gets it where the storage knows
            of such writes (S3, GCS, Azure); elsewhere all that is done is to look.
    """
    address = address_of(path)
    assert address is not None  # files of this machine are written by `atomic_files`
    forget_copies(path)
    if new and address.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with reaching(address):
        storage, name = address.storage, address.path
        if address.scheme in _WHOLE:
            storage.pipe_file(name, content, **({"mode": "create"} if new else {}))
            return
        storage.makedirs(name.rpartition("/")[0], exist_ok=True)
        part = address.parent / f".{address.name}.{uuid.uuid4().hex}.part"
        try:
            storage.pipe_file(part.path, content)
            storage.mv(part.path, name)
            if part.exists():
                raise OSError(errno.EIO, "the storage did not replace the file", str(path))
        except BaseException:
            with contextlib.suppress(Exception):
                part.unlink()
            raise
