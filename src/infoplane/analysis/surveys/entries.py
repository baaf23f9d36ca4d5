"""What of a survey is asked for, the text that each model reads, and what decides its numbers.

A stored measurement may be used again only if everything in `decides` is what it was.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoplane.analysis.surveys.lock import Locked, words_hash
from infoplane.analysis.surveys.survey_file import Entry
from infoplane.analysis.surveys.survey_settings import SurveySettings
from infoplane.errors import SettingError
from infoplane.measurement import MeasureSettings, code_identity_of
from infoplane.setting_kinds import amount
from infoplane.storage import atomic_files as files
from infoplane.storage import deciding_versions
from infoplane.text import Text, text_of
from infoplane.text.pairs import Pairs, read_pairs


def choose(entries: Sequence[Entry], only: str | None = None, up_to: float | None = None) -> tuple[Entry, ...]:
    """Some models of a survey.

    Args:
        entries: of the survey.
        only: globs of ids, folder names or families, separated by commas.
        up_to: parameters, in billions.

    Raises:
        SettingError: none is left, a glob fits none, or the parameters of a model are not told.
    """
    chosen = tuple(entries)
    if only is not None:
        globs = [glob.strip() for glob in only.split(",") if glob.strip()]
        for glob in globs:
            if not any(_fits(entry, glob) for entry in entries):
                there = ", ".join(entry.id for entry in entries[:5]) + (", ..." if len(entries) > 5 else "")
                raise SettingError(f"--only {glob!r} fits no model of the survey; it has {there}")
        chosen = tuple(entry for entry in entries if any(_fits(entry, glob) for glob in globs))
    if up_to is not None:
        if not (kind := amount()).fits(up_to):
            raise SettingError(f"up_to = {up_to!r}: expected {kind.words}")
        untold = [entry.id for entry in chosen if "parameters_b" not in entry.facts]
        if untold:
            raise SettingError(f"--up-to {up_to:g}: the survey does not tell parameters_b of {', '.join(untold[:5])}")
        chosen = tuple(entry for entry in chosen if float(entry.facts["parameters_b"]) <= up_to)
    if not chosen:
        raise SettingError("no model of the survey is left to measure: ask for more with --only or --up-to")
    return chosen


def _fits(entry: Entry, glob: str) -> bool:
    names = (entry.id, entry.name, str(entry.facts.get("family", "")))
    return any(fnmatch.fnmatchcase(name.casefold(), glob.casefold()) for name in names)


def read_entry_text(entry: Entry) -> Text:
    """The text of an entry, within its budget of bytes where it has one."""
    s = entry.settings
    return text_of(s.source.text, s.measuring.reading, s.measuring.windows)


def text_key(entry: Entry) -> str:
    """What decides the text of an entry: entries with one key read the same."""
    declared, values = entry.settings.settings(), entry.settings.flat()
    return files.canonical_json({name: values[name] for name, one in declared.items() if one.declared.chooses_text})


@dataclass(frozen=True)
class Device:
    """What a device is where the models run.

    Attributes:
        kind: `cpu`, `cuda`, `mps`.
        dtype: the number type that is fast on it.
        problem: why it cannot be used; empty where it can.
    """

    kind: str = ""
    dtype: str = ""
    problem: str = ""


def device_of(name: str) -> Device:
    """What a device is in this process."""
    from infoplane.models import fast_dtype, find_device

    try:
        kind = find_device(name).type
    except SettingError as error:
        return Device(problem=str(error))
    return Device(kind, fast_dtype(kind))


_ALWAYS = (
    "bound",
    "calibration",
    "context",
    "dtype",
    "estimators",
    "loss",
    "orders",
    "m",
    "points_seed",
    "reference_sets",
    "seed",
    "unit",
    "weights",
)
"""Settings that keys have held whatever their value; others enter where they differ from what they are declared as."""


def _deciding(settings: SurveySettings) -> dict[str, object]:
    """The settings that decide numbers, by their keys in files; the text stands for those of its reading."""
    usual = MeasureSettings.settings()
    by_hash = settings.measuring.reading.settings()
    decided: dict[str, object] = {}
    for name, setting in settings.settings().items():
        value = settings.flat()[name]
        if not setting.declared.decides or name in by_hash:
            continue
        if name in _ALWAYS or value != usual[name].default:
            decided[setting.key] = list(value) if isinstance(value, tuple) else value
    return decided


def read_entry_pairs(entry: Entry) -> Pairs | None:
    """The pairs that an entry reads in place of its text; None where it reads none."""
    source, r = entry.settings.source.preferences, entry.settings.measuring.reading
    if source is None:
        return None
    return read_pairs(source, split=r.split, config=r.config, revision=r.text_revision, limit=r.limit)


def pairs_key(pairs: Pairs | None) -> str | None:
    """What vouches for pairs."""
    return None if pairs is None else str(pairs.provenance["sha256"])


def decides(entry: Entry, locked: Locked, text: str, pairs: str | None, device: Device) -> dict[str, Any]:
    """Everything that decides the numbers of an entry, by name, so that a difference can be explained.

    Args:
        entry, locked: the model.
        text, pairs: SHA-256 of what it reads.
        device: that of its settings, where it runs.

    Raises:
        SettingError: the device cannot be used.
        ModelError: a tokenizer that is not there.
        CaptureError: the capture whose code is to be used is not there.
    """
    if device.problem:
        raise SettingError(device.problem)
    decided = _deciding(entry.settings)
    decided["device"] = device.kind
    if decided["dtype"] == "auto":
        decided["dtype"] = device.dtype
    if "tokenizer" in decided and Path(str(decided["tokenizer"])).is_absolute():
        decided["tokenizer"] = words_hash(Path(str(decided["tokenizer"])))
    if pairs is not None:
        decided["preferences"] = pairs
    if (kept := code_identity_of(entry.settings.measuring)) is not None:
        decided["code_of"] = kept
    name = None if entry.path else entry.id
    return {"id": name, **locked.weights, "text": text, **decided, "versions": deciding_versions()}
