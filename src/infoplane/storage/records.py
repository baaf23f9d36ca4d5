"""Which result lies in a folder, and the JSON record that each result has.

Each kind of result has a record of its own name, and a folder holds one kind, for they draw a `report.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infoplane.errors import ResultError
from infoplane.storage import atomic_files as files
from infoplane.storage.address import is_address
from infoplane.storage.bounded_reading import refuse_device

KINDS: Mapping[str, str] = {
    "trajectory.json": "a trace",
    "comparison.json": "a comparison",
    "forecast.json": "a forecast",
    "survey.json": "a survey",
    "measurement.json": "a measurement",
    "bound.json": "a bound",
    "manifest.json": "a capture",
}
"""Names of records, and of what."""
_TOGETHER: Mapping[str, tuple[str, ...]] = {"survey.json": ("comparison.json",), "comparison.json": ("survey.json",)}
"""What may lie in one folder; a capture may lie anywhere."""
_PAGE = "report.html"


def kind_at(path: Path) -> str | None:
    """The name of the record that a folder holds, or that a file is, None where there is none."""
    if path.name in KINDS:
        return path.name
    return next((name for name in KINDS if (path / name).is_file()), None)


def check_folder(folder: Path) -> None:
    """Refuse a file where results are to be written.

    Raises:
        ResultError: it is one.
    """
    if folder.exists() and not folder.is_dir():
        raise ResultError(f"{folder} is a file; expected a folder for --out")


def check_kind(folder: Path, own: str) -> None:
    """Refuse a folder for results that is a file, or holds a result of another kind.

    Args:
        folder: of the results.
        own: the name of the record that will be written there.

    Raises:
        ResultError: the message says what lies there.
    """
    check_folder(folder)
    for name, what in KINDS.items():
        if name not in (own, "manifest.json", *_TOGETHER.get(own, ())) and (folder / name).exists():
            raise ResultError(f"{folder} holds {what} ({name}), and its report would be lost: choose another --out")


def check_free(folder: Path, own: str, force: bool) -> None:
    """Refuse a folder in which something would be overwritten, unless `force` is set and it is of this kind.

    Raises:
        ResultError: the message says what would be.
    """
    check_kind(folder, own)
    there = None if force else folder / own if (folder / own).exists() else _others_work(folder, own)
    if there is not None:
        raise ResultError(f"{there} exists: choose another --out, or --force to overwrite it")


def _others_work(folder: Path, own: str) -> Path | None:
    """What a result would overwrite, where its record is not there and no command that was stopped left it.

    Pages are written first and records last, so what lies beside a page of ours is ours.
    """
    page, table = folder / _PAGE, folder / own.replace(".json", ".parquet")
    if own == "survey.json":  # it draws nothing
        return table if table.exists() else None
    if page.exists():
        return None if _is_page_of(page, KINDS[own]) else page
    if table.exists():
        return table
    figures = folder / "figures"
    drawn = sorted(figures.iterdir()) if figures.is_dir() else []
    return next((path for path in drawn if path.suffix in (".svg", ".png")), None)


def _is_page_of(page: Path, what: str) -> bool:
    """Whether a page is of a kind of result."""
    kind = what.removeprefix("a ")
    refuse_device(page)
    return f'<p class="eyebrow">infoplane {kind}</p>'.encode() in page.read_bytes()


def is_damaged(record: Path, schema: str) -> bool:
    """Whether a record that cannot be read was one of ours, of this version: another's file has no schema of ours."""
    refuse_device(record)
    return f'"{schema}"'.encode() in record.read_bytes()[:400]


def read_record(source: Path, known: str, what: str, command: str) -> dict[str, Any]:
    """The JSON record in a file, if it has the schema that is known.

    Raises:
        ResultError: nothing there, not JSON, or another schema; `what` and `command` name it and what makes it.
    """
    try:
        if source.exists():
            refuse_device(source)
        record = files.parse_json(source.read_text("utf-8"), finite=True)
    except FileNotFoundError:
        other = kind_at(source.parent) if source.name in KINDS else None
        there = "" if other is None else f"; that folder holds {KINDS[other]} ({other})"
        raise ResultError(f"no {what} at {source}{there}: run `infoplane {command}` with --out") from None
    except (OSError, ValueError) as error:
        if is_address(source) and isinstance(error, OSError):  # it may be whole, and answer later
            raise
        raise ResultError(f"{source} is not a readable {what}: {files.reason(error)}") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != known:
        raise ResultError(
            f"{source} has schema {schema!r}; this version reads {known!r}: {command} again, or use the "
            "version of infoplane that wrote it"
        )
    try:
        return files.check_seal(source, record)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ResultError(f"{source}: {files.reason(error)}; {command} again") from None
