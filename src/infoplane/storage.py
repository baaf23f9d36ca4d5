"""Where results lie: a folder, or an address of `fsspec` (https://filesystem-spec.readthedocs.io) such as s3://bucket/run.

An address behaves as a path does (`universal_pathlib`), but for three things. A file is put there whole: by one request
where the storage makes a file visible only when it is complete, under another name and then moved elsewhere. What reads
by seeking (safetensors) reads a copy on this machine's temporary disk, which is removed with the process. And whatever
a storage raises that is no `OSError` becomes one, so that it is handled as a disk's failure is.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

from infoplane.errors import InfoplaneError, ResultError, SettingError
from infoplane.locks import lock

_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+(?:::[A-Za-z0-9+.:-]+)*):(?P<slashes>/+)(?P<rest>.*)", re.DOTALL
)
_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "memory")
"""Storages where a file that is put is seen whole or not at all."""
_CHAINED = "::"
_COPIES = "infoplane-copies-"


def is_address(given: object) -> bool:
    """Whether this is an address, and not a path of this machine."""
    if isinstance(given, str | Path):
        found = _ADDRESS.fullmatch(str(given))
        return found is not None and found["scheme"].lower() != "file"
    return hasattr(given, "fs")


def place(given: str | Path) -> Path:
    """A folder or a file: a path, or for an address what can be used as one.

    Raises:
        SettingError: an address of a storage that is not known, or whose package is not installed.
    """
    if hasattr(given, "fs"):
        return cast(Path, given)
    found = _ADDRESS.fullmatch(str(given))
    if found is None:
        return Path(given)
    scheme, rest = found["scheme"].lower(), found["rest"]
    if scheme == "file":
        return Path("/" + rest)
    if _CHAINED in scheme:
        raise SettingError(f"{str(given)!r} is a chain of addresses; expected one alone, such as s3://bucket/folder")
    try:
        from upath import UPath
    except ImportError:
        raise SettingError(
            f"{str(given)!r} is an address: for those install infoplane[remote], and the package of the storage (s3fs, "
            "gcsfs, adlfs)"
        ) from None
    # Others write there too: no list of what was there may be trusted. SSH hands unknown settings on.
    settings: dict[str, Any] = {} if scheme in ("sftp", "ssh") else {"use_listings_cache": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root = "/" if found["slashes"] == "///" else ""  # a `Path` has one slash left, whatever there was
            path = UPath(f"{scheme}://{root}{rest}", **settings)
            path.fs  # noqa: B018 (imports the package of the storage)
    except Exception as error:
        raise SettingError(
            f"{str(given)!r} cannot be used: {str(error) or type(error).__name__}; expected a folder, or an address "
            "of a storage that fsspec knows and whose package is installed (s3fs, gcsfs, adlfs)"
        ) from None
    return cast(Path, path)


def reach(given: str | Path, what: str, writes: bool = True) -> Path:
    """The place, once an address is known to answer, and to take what will be written there.

    Args:
        given: a folder or an address.
        what: whose it is, for messages.
        writes: whether results are going to be written there: better known before hours of work than after.

    Raises:
        SettingError: an address that cannot be used.
    """
    path = place(given)
    if is_address(path):
        try:
            path.exists()
            if writes:
                put(probe := path / f".{uuid.uuid4().hex}.part", b"")
                with contextlib.suppress(OSError):  # who may write need not be allowed to remove
                    probe.unlink()
        except Exception as error:
            raise SettingError(
                f"{what} {path} cannot be used: {' '.join(str(error).split())[:300] or type(error).__name__}"
            ) from None
    return path


def record_in(given: str | Path, name: str) -> Path:
    """The record called `name` in a folder, or the file itself where it is named.

    Raises:
        ResultError: an address that does not answer.
        SettingError: one that cannot be used.
    """
    path = place(given)
    try:
        with reaching(path):
            return path / name if path.is_dir() else path
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error}") from None


def inside(folder: Path, name: str) -> Path:
    """The file or folder `name` in a folder that a record points into.

    Raises:
        ResultError: it lies outside.
    """
    parts = PurePosixPath(name)
    strange = is_address(name) or parts.is_absolute() or ".." in parts.parts or "\\" in name
    if not strange and not is_address(folder):
        strange = not (folder / name).resolve().is_relative_to(folder.resolve())  # a link may lead anywhere
    if strange:
        raise ResultError(f"the record in {folder} points outside of its folder, to {name!r}: it is refused")
    return folder / name


@contextlib.contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Make an `OSError` of whatever a storage raises."""
    try:
        yield
    except (OSError, InfoplaneError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise OSError(errno.EIO, f"{type(error).__name__}: {said}", str(path)) from error


def put(path: Path, content: bytes, new: bool = False) -> None:
    """Write a file at an address, whole or not at all.

    Raises:
        FileExistsError: there is one, and `new` is set. Where a storage cannot tell at once, this is looked up before.
    """
    forget(path)
    remote = cast(Any, path)
    files, name = remote.fs, remote.path
    with reaching(path):
        if remote.protocol in _WHOLE:
            if not new:
                files.pipe_file(name, content)
                return
            try:
                files.pipe_file(name, content, mode="create")
                return
            except TypeError:  # an older one, which cannot be asked
                pass
        if new and files.exists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if remote.protocol in _WHOLE:
            files.pipe_file(name, content)
            return
        folder, _, own = name.rpartition("/")
        files.makedirs(folder, exist_ok=True)
        part = f"{folder}/.{own}.{uuid.uuid4().hex}.part"
        try:
            files.pipe_file(part, content)
            files.mv(part, name)
        except BaseException:
            with contextlib.suppress(Exception):
                files.rm_file(part)
            raise


def remove(folder: Path) -> None:
    """Remove a folder and all in it, if it is there; what cannot be removed stays."""
    if not is_address(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(Exception):
        remote = cast(Any, folder)
        remote.fs.rm(remote.path, recursive=True)
    forget(folder)


# ------------------------------------------------------------------ copies on this machine


class _Copies:
    """Copies of remote files, in a folder of this process."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.folder: Path | None = None
        self.known: dict[str, tuple[str, Path]] = {}

    def of(self, path: Path, fresh: bool) -> Path:
        remote, key = cast(Any, path), str(path)
        with self.guard, reaching(path):
            before = self.known.get(key)
            if before is not None and not fresh:
                return before[1]
            state = remote.fs.ukey(remote.path)
            if before is not None and before[0] == state:
                return before[1]
            copy = self._folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{path.name}"
            remote.fs.get_file(remote.path, str(copy))
            self.known[key] = (state, copy)
            return copy

    def forget(self, folder: Path | None) -> None:
        with self.guard:
            for key in [k for k in self.known if folder is None or f"{k}/".startswith(f"{folder}/")]:
                self.known.pop(key)[1].unlink(missing_ok=True)

    def _folder(self) -> Path:
        if self.folder is None:
            top = Path(tempfile.gettempdir())
            for old in top.glob(f"{_COPIES}*"):
                _sweep(old)
            self.folder = Path(tempfile.mkdtemp(prefix=_COPIES, dir=top))
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)  # open for as long as the process is
            with contextlib.suppress(OSError):
                lock(handle)
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        return self.folder


def _sweep(old: Path) -> None:
    """Remove the copies of a process that was killed."""
    with contextlib.suppress(OSError):
        handle = os.open(old / "lock", os.O_RDWR)
        try:
            lock(handle)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            os.close(handle)


_copies = _Copies()


def local(path: Path, fresh: bool = False) -> Path:
    """The file on this machine: itself, or a copy.

    Args:
        path: of the file.
        fresh: make another copy where the file has changed since.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    return _copies.of(path, fresh) if is_address(path) else path


def forget(path: Path | None = None) -> None:
    """Remove the copy of a file, the copies of all in a folder, or all copies: others may have written since."""
    _copies.forget(path)


@contextlib.contextmanager
def working(folder: Path, keep: bool) -> Iterator[Path]:
    """A folder for what is made on the way: `folder`, removed after success unless it is kept.

    What is not kept does not travel: for an address it is a temporary folder of this machine.
    """
    if not keep and is_address(folder):
        with tempfile.TemporaryDirectory(prefix="infoplane-") as temporary:
            yield Path(temporary) / folder.name
        return
    yield folder
    if not keep:
        remove(folder)
