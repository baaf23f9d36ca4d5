"""A command whose result is there already: the same command is done, another one is refused.

What decides a result is kept with it: the options, and hashes of the text and the weights. A path is no witness.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import typer

from infoplane.errors import ResultError
from infoplane.setting_spelling import as_text
from infoplane.settings import Settings
from infoplane.storage import atomic_files as files
from infoplane.storage import check_free, check_kind, deciding_versions, differences

_NO_NUMBER = (
    "out",
    "capture",
    "force",
    "as_json",
    "quiet",
    "verbose",
    "settings_file",
    "engine",
    "workers",
    "gpus_per_worker",
    "memory",
    "threads",
    "batch",
    "ctx",
    "model",
    "text",
    "preferences",
    "source",
)
"""Options that decide nothing, and those whose content is hashed instead."""


def request_of(ctx: typer.Context, settings: Settings | None = None, **inputs: object) -> dict[str, object]:
    """What decides a result: what is not as by default, by its key in files, and what stands for the inputs."""
    usual = {option.name: option.default for option in ctx.command.params}
    declared = {} if settings is None else settings.settings()
    own = {
        name: _plain(value)
        for name, value in ctx.params.items()
        if name not in _NO_NUMBER and name not in declared and value != usual.get(name)
    }
    others = {} if settings is None else settings.other_than_default()
    decided = {
        declared[name].key: as_text(value) if isinstance(value, tuple) else value
        for name, value in others.items()
        if declared[name].declared.decides
    }
    return {**own, **decided, **{k: v for k, v in inputs.items() if v}, "versions": deciding_versions()}


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def stored_request(folder: Path, own: str, force: bool) -> Mapping[str, object] | None:
    """What the result in a folder was asked; None where there is no result, or it is to be overwritten.

    Args:
        folder: of the results.
        own: name of the record.
        force: overwrite.

    Raises:
        ResultError: another kind of result is there, or one that does not tell what it was asked.
    """
    check_kind(folder, own)
    request = None
    if not force and (folder / own).is_file():
        try:
            request = files.parse_json((folder / own).read_text("utf-8"))["provenance"].get("request")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            request = None  # damaged, or of another version
    if not isinstance(request, Mapping):
        check_free(folder, own, force)
        return None
    return request


def refuse_other(folder: Path, own: str, stored: Mapping[str, object], request: Mapping[str, object]) -> None:
    """Refuse a result that was asked otherwise.

    Raises:
        ResultError: it was.
    """
    if differs := differences(stored, request):
        raise ResultError(
            f"{folder / own} exists and was made otherwise (different: {', '.join(differs)}): choose another --out, or "
            "--force to overwrite it"
        )


def check_new(folder: Path, own: str, force: bool, record: Mapping[str, object]) -> bool:
    """Whether a record that is made anew each time stands in the folder already, word for word.

    Raises:
        ResultError: another record is there, and not `force`.
    """
    if not force and (folder / own).is_file():
        check_kind(folder, own)
        try:
            there = files.check_seal(folder / own, dict(files.parse_json((folder / own).read_text("utf-8"))))
        except (OSError, ValueError, TypeError):  # damaged
            there = None
        if there == json.loads(json.dumps(record)):
            return (folder / "report.html").is_file()
    check_free(folder, own, force)
    return False


def measured_before(path: Path, parts: str) -> set[str]:
    """Names of the parts of a stored run that have a measurement; none where it is not there, or damaged."""
    try:
        record = files.parse_json(path.read_text("utf-8"))
        return {part["name"] for part in record[parts] if part["measurement"] is not None}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def done(folder: Path) -> str:
    """What is said of a command that has its result."""
    return f"Nothing was left to do: {folder} holds the result of this command already (--force makes it again)"
