"""Folders for what is made on the way, beside results: only one that bears the mark written here is ever removed.

A name or a pattern is no witness: `capture` and `capture.until-8192` may be the user's. So a folder is marked when it
is made, one that is there without the mark is refused, and of a marked one only what infoplane writes goes.
"""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Iterator
from pathlib import Path

from infoplane.errors import ResultError
from infoplane.storage import atomic_files as files
from infoplane.storage.address import is_address
from infoplane.storage.local_copies import forget_copies
from infoplane.storage.temporary_folders import temporary

MARK = ".infoplane-temporary"
OF_A_CAPTURE = re.compile(
    r"(manifest\.json|windows\.safetensors|code\.safetensors|shard-\d{5}\.safetensors)"
    rf"|\.(manifest\.json|(windows|code|shard-\d{{5}})\.safetensors|{re.escape(MARK)})\.\w{{8}}\.part"
    rf"|{re.escape(MARK)}"
)
"""What a capture writes, and the mark."""
_SAYS = b"infoplane made this folder for what it needs on the way, and removes it.\n"


def is_marked(folder: Path) -> bool:
    """Whether infoplane made a folder for itself."""
    try:
        return (folder / MARK).read_bytes() == _SAYS
    except OSError:
        return False


def make(folder: Path) -> Path:
    """A folder for what is made on the way; one that a run of before was killed in is gone on with.

    Raises:
        ResultError: something is there that infoplane did not make.
    """
    if is_marked(folder):
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ResultError(
            f"{folder} is there, and infoplane did not make it: it is needed for what is made on the way; move it, or "
            "choose another place for the results"
        )
    files.write_bytes(folder / MARK, _SAYS)
    return folder


def keep(folder: Path) -> None:
    """Let a folder be the user's from now on."""
    if is_marked(folder):
        (folder / MARK).unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove what infoplane wrote in a marked folder, the mark last; other folders, and other files, stay."""
    if not is_marked(folder):
        return
    with contextlib.suppress(OSError):  # what cannot be removed stays, and is marked still
        for path in sorted(folder.iterdir(), key=lambda p: p.name == MARK):
            if OF_A_CAPTURE.fullmatch(path.name):
                path.unlink(missing_ok=True)
        forget_copies(folder)
        if not is_address(folder) and not any(folder.iterdir()):
            folder.rmdir()


def beside(folder: Path) -> Path:
    """Where what a run needs on the way lies, that is not to be kept in `folder`."""
    return folder.with_name(f".{folder.name}-in-progress")


def sweep(folder: Path) -> None:
    """Remove what killed runs needed on the way to `folder`, the stages of one that was to reach an error included."""
    if is_address(folder):
        discard(beside(folder))
    else:
        for path in folder.parent.glob(f"{glob.escape(beside(folder).name)}*"):
            if re.fullmatch(r".*-in-progress(\.until-\d+)?", path.name):
                discard(path)


def is_beside(folder: Path) -> bool:
    """Whether a folder is one of those, to be made once it is needed: refusals come before, and leave nothing."""
    return re.fullmatch(r"\..*-in-progress", folder.name) is not None


@contextlib.contextmanager
def working(folder: Path, kept: bool) -> Iterator[Path]:
    """A folder for what is made on the way: `folder` if it is kept, or else a marked one that is removed after success.

    What is not kept does not travel: for an address it is a temporary folder of this machine.

    Raises:
        ResultError: something is there that infoplane did not make.
    """
    if kept:
        keep(folder)
        yield folder
        sweep(folder)  # of a run that was not to keep it
    elif is_address(folder):
        with temporary() as made:
            yield made / folder.name
    else:
        yield beside(folder)  # made once it is needed
        discard(beside(folder))
