"""Where reference models are: those that come with the package, and those that a user added, one small file each.

A user's are in the folder of this package among the user's data, whatever the working folder. A file is written whole
or not at all, and sealed: a damaged one is refused by name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from platformdirs import user_data_path

from infoplane.analysis.references.reference import SCHEMA, Reference
from infoplane.errors import ResultError
from infoplane.storage import atomic_files as files
from infoplane.storage import read_record

_NOT_IN_FILES = re.compile(r"[^a-z0-9.]+")
_PLAIN = re.compile(r"[A-Za-z0-9 ._()+-]+")
_LONGEST = 60


def shipped_folder() -> Path:
    """Of those that come with the package."""
    return Path(str(resources.files("infoplane"))) / "data" / "references"


def user_folder() -> Path | None:
    """Of those that a user added, which may not be there; None without a home folder."""
    try:
        return user_data_path("infoplane", appauthor=False) / "references"
    except RuntimeError:
        return None


def known_references() -> tuple[list[Reference], list[str]]:
    """All reference models, and why some cannot be read.

    Those of the package come first, then those that were added, each in the order of their names. One that is damaged,
    or of another version, is no reason to do without the others.
    """
    found, unreadable = list[Reference](), list[str]()
    for folder, shipped in ((shipped_folder(), True), (user_folder(), False)):
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stem) if folder is not None else ():
            try:
                found.append(read_reference(path, shipped))
            except ResultError as error:
                unreadable.append(str(error))
    return found, unreadable


def add_references(references: Sequence[Reference], replace: bool = False) -> list[Path]:
    """Keep reference models among the user's: all of them, or none where one is refused.

    Args:
        references: of names that none has yet.
        replace: put them in the place of those of the user's that have their names.

    Returns:
        Their files.

    Raises:
        ResultError: a model of that name is known already, or two have one name.
    """
    folder = user_folder()
    if folder is None:
        raise ResultError("there is no home folder to keep reference models in: set HOME, or XDG_DATA_HOME to a folder")
    paths = list[Path]()
    for reference in references:
        path = folder / file_of(reference.name)
        if (shipped_folder() / path.name).exists():
            raise ResultError(
                f"a reference model {reference.name!r} comes with infoplane: choose another name, NAME=RUN"
            )
        if path in paths:
            raise ResultError(f"two of the models are called {reference.name!r}: give them names, NAME=RUN")
        if path.exists() and not replace:
            raise ResultError(
                f"there is a reference model {reference.name!r}, or one whose name differs in case or punctuation "
                "alone: choose another, NAME=RUN, or --force"
            )
        paths.append(path)
    for reference, path in zip(references, paths, strict=True):
        write_reference(reference, path)
    return paths


def write_reference(reference: Reference, path: Path) -> None:
    """Write one file."""
    files.write_record(path, reference.to_dict())


def remove_reference(name: str) -> Path:
    """Forget a reference model of the user's.

    Returns:
        The file that was removed.

    Raises:
        ResultError: there is none of that name, or it comes with the package.
    """
    file, folder = file_of(name), user_folder()
    if folder is not None and (folder / file).is_file():
        (folder / file).unlink()
        return folder / file
    if (shipped_folder() / file).exists():
        raise ResultError(f"{name!r} comes with infoplane and stays; only models that were added can be removed")
    added = [reference.name for reference in known_references()[0] if not reference.shipped]
    raise ResultError(f"no reference model {name!r} was added; those that were: {', '.join(added) or 'none'}")


def read_reference(path: Path, shipped: bool = False) -> Reference:
    """The model in a file.

    Raises:
        ResultError: it is damaged, or of another version; the message names the file.
    """
    record = read_record(path, SCHEMA, "reference model", "add the model")
    try:
        return Reference.from_dict(record, shipped)
    except (AttributeError, KeyError, TypeError, ValueError, ResultError) as error:
        raise ResultError(
            f"{path} is not a reference model: {files.reason(error)}; remove the file and add the model again"
        ) from None


def file_of(name: str) -> str:
    """A file name: the same for plain names that differ in case or punctuation alone, and another for every other name.

    Raises:
        ResultError: a name that cannot be shown or is too long.
    """
    if not name.strip() or len(name) > _LONGEST or any(unicodedata.category(c).startswith("C") for c in name):
        raise ResultError(
            f"{name[:_LONGEST]!r} cannot be the name of a reference model: expected up to {_LONGEST} characters that "
            "can be shown"
        )
    stem = _NOT_IN_FILES.sub("-", name.lower()).strip("-.")
    if not stem or not _PLAIN.fullmatch(name):  # the stem does not say all of it
        exact = hashlib.sha256(unicodedata.normalize("NFC", name).casefold().encode("utf-8")).hexdigest()[:12]
        stem = f"{stem or 'model'}-{exact}"
    return f"{stem}.json"
