"""Survey files: which models to measure, on which text, with which settings.

A survey file is TOML: a table `[defaults]` of settings, and one `[[model]]` for each model, which has an `id` or a
`path`, may say what is known of it, and may override any of the defaults. What is not known is an error with near
names, never passed over, and everything is checked before the first model is loaded. Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from infoplane.errors import SettingError
from infoplane.information import CALIBRATIONS, ESTIMATORS
from infoplane.measurement import UNITS, WEIGHTS
from infoplane.models import BUILT_IN as BUILT_IN_MODEL
from infoplane.models import DTYPES
from infoplane.storage import JSON, parse_size, read_text
from infoplane.storage import atomic_files as files
from infoplane.text import BUILT_IN as BUILT_IN_TEXT
from infoplane.text import CONTEXT, FILES, MAX_ORDER, TOKENS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

READY = ("open-families",)
"""Surveys that ship with the package."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][\w.+=-]{0,119}", re.ASCII)


@dataclass(frozen=True)
class _Kind:
    """What a setting can be, and how that is said."""

    fits: Callable[[Any], bool]
    words: str


def _whole(least: int) -> _Kind:
    return _Kind(lambda v: type(v) is int and v >= least, f"a whole number, {least} or more")


def _one_of(*known: str) -> _Kind:
    return _Kind(lambda v: v in known, f"one of {', '.join(known)}")


def _some_of(*known: Any) -> _Kind:
    def fits(v: Any) -> bool:
        return isinstance(v, list) and bool(v) and all(type(x) is type(known[0]) and x in known for x in v)

    return _Kind(fits, f"a list of some of {', '.join(map(str, known))}")


def _is_size(value: Any) -> bool:
    try:
        return isinstance(value, str) and parse_size(value) > 0
    except SettingError:
        return False


_FLAG = _Kind(lambda v: type(v) is bool, "true or false")
_WORDS = _Kind(lambda v: isinstance(v, str) and bool(v.strip()), "a string")
_NAMES = _Kind(lambda v: isinstance(v, list) and bool(v) and all(map(_WORDS.fits, v)), "a list of strings")
_SIZE = _Kind(_is_size, "a size with its unit, such as 4GB, 4GiB or 512MB")
_AMOUNT = _Kind(lambda v: type(v) in (int, float) and 0 < v < float("inf"), "a number above 0")

TEXT: Mapping[str, _Kind] = {
    "text": _WORDS, "column": _WORDS, "split": _WORDS, "config": _WORDS, "text_revision": _WORDS, "streaming": _FLAG,
    "limit": _whole(1),
}  # fmt: skip
READING: Mapping[str, _Kind] = {
    "tokens": _whole(8), "bytes": _whole(256), "context": _whole(9), "seed": _whole(0), "add_bos": _FLAG,
    "include_special": _FLAG, "include_first": _FLAG, "min_window": _whole(1),
}  # fmt: skip
LOADING: Mapping[str, _Kind] = {
    "tokenizer": _WORDS, "dtype": _one_of(*DTYPES), "device": _WORDS, "device_map": _WORDS,
    "trust_remote_code": _FLAG, "allow_pickle": _FLAG,
}  # fmt: skip
ASKING: Mapping[str, _Kind] = {
    "points": _whole(2), "points_seed": _whole(0), "reference_sets": _whole(1), "calibration": _one_of(*CALIBRATIONS),
    "orders": _some_of(*range(1, MAX_ORDER + 1)), "estimators": _some_of(*ESTIMATORS), "weights": _some_of(*WEIGHTS),
    "unit": _one_of(*UNITS), "layers": _NAMES, "loss": _FLAG, "bound": _FLAG, "preferences": _WORDS,
}  # fmt: skip
KEEPING: Mapping[str, _Kind] = {
    "keep_captures": _FLAG, "threads": _whole(1), "memory": _SIZE, "batch": _whole(1),
}  # fmt: skip
"""Settings that decide no number."""
SETTINGS: Mapping[str, _Kind] = {**TEXT, **READING, **LOADING, **ASKING, **KEEPING}
FACTS: Mapping[str, _Kind] = {
    "id": _WORDS, "path": _WORDS, "revision": _WORDS, "name": _WORDS, "family": _WORDS, "kind": _WORDS,
    "parameters_b": _AMOUNT, "training_tokens_t": _AMOUNT,
}  # fmt: skip
"""What a `[[model]]` says beside settings: parameters in billions (1e9), training tokens in trillions (1e12)."""
DEFAULTS: Mapping[str, Any] = {
    "text": BUILT_IN_TEXT, "split": "train", "streaming": True, "context": CONTEXT, "seed": 0, "dtype": "auto",
    "device": "auto", "points": 100, "points_seed": 0, "reference_sets": 1, "calibration": "exact",
    "orders": [1, 2, 3, 4], "estimators": ["corrected", "plugin"], "weights": ["frequency"], "unit": "efficiency",
    "loss": False, "bound": False,
}  # fmt: skip
"""Settings where a file says nothing; those of `infoplane.measure`."""


@dataclass(frozen=True)
class Entry:
    """One model of a survey.

    Attributes:
        name: of its folder; letters, digits and `. _ - + =` alone.
        id: hub id, or what a local model is called.
        path: where its weights lie, None for a hub id and for `smollm2-135m`.
        revision: of a hub model, as asked; None is the hub's default.
        facts: `family`, `kind`, `parameters_b` and `training_tokens_t`, where told.
        settings: of `SETTINGS`, defaults filled in, paths resolved.
    """

    name: str
    id: str
    path: str | None
    revision: str | None
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def source(self) -> str:
        """What is loaded."""
        return self.path or self.id

    @property
    def is_local(self) -> bool:
        """Whether no hub is asked for it."""
        return self.path is not None or self.id == BUILT_IN_MODEL


def read_survey(source: str | Path) -> tuple[Entry, ...]:
    """The models of a survey file, or of one that ships with the package (`READY`), in its order.

    Raises:
        SettingError: missing, not TOML, an unknown or wrong setting, a model listed twice, or none.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        return parse_survey(ready_text(str(source)), str(source), Path())
    try:
        return parse_survey(read_text(path, times=JSON), str(path), path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{path} cannot be read: {files.reason(error)}; expected a survey file, TOML in UTF-8"
        ) from None


def ready_text(name: str) -> str:
    """The text of a survey that ships with the package.

    Raises:
        SettingError: there is none of that name.
    """
    if name not in READY:
        near = difflib.get_close_matches(name, READY, n=1)
        hint = f"did you mean {near[0]}, which ships with the package?" if near else f"or one of: {', '.join(READY)}"
        raise SettingError(f"no survey file {name}: expected a TOML file that exists; {hint}")
    return resources.files("infoplane").joinpath(f"data/{name}.toml").read_text("utf-8")


def parse_survey(content: str, label: str, beside: Path) -> tuple[Entry, ...]:
    """The models of a survey.

    Args:
        content: TOML.
        label: what messages call it.
        beside: the folder that its paths are relative to.

    Raises:
        SettingError: as `read_survey`.
    """
    try:
        found = tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError of another kind
        raise SettingError(f"{label} is not TOML: {error}") from None
    _known(found, ("defaults", "model"), label, "a survey has [defaults] and [[model]]")
    defaults, models = found.get("defaults", {}), found.get("model", [])
    if not isinstance(defaults, dict):
        raise SettingError(f"{label}: defaults is not a table: write [defaults]")
    if not isinstance(models, list) or not models or not all(isinstance(m, dict) for m in models):
        raise SettingError(f'{label} lists no model: write [[model]] and under it id = "owner/name", once for each')
    _checked(defaults, SETTINGS, f"{label}, [defaults]")
    base = {**DEFAULTS, **defaults}
    entries = [_entry(m, base, f"{label}, model {i}", beside) for i, m in enumerate(models, start=1)]
    _each_once(entries, label)
    return tuple(entries)


def _entry(told: Mapping[str, Any], base: Mapping[str, Any], label: str, beside: Path) -> Entry:
    label += f" ({told.get('id', told.get('path', 'no id'))})"
    _checked(told, {**FACTS, **SETTINGS}, label)
    settings = dict(base)
    own = {k: v for k, v in told.items() if k in SETTINGS}
    for budget, other in (("tokens", "bytes"), ("bytes", "tokens")):
        if budget in own and other not in own:
            settings.pop(other, None)  # the model's own budget stands for that of the defaults
    settings |= own
    if "tokens" in settings and "bytes" in settings:
        raise SettingError(f"{label}: tokens and bytes are two budgets: set one of them")
    if "bytes" not in settings:
        settings.setdefault("tokens", TOKENS)
    name: str | None = told.get("id")
    path: str | None = told.get("path")
    if name is None and path is None:
        raise SettingError(f"{label}: expected an id, such as owner/name, or a path")
    if name is not None and not _ID.fullmatch(name):
        raise SettingError(f"{label}: id {name!r} is not a hub id owner/name; a folder or file is named with path")
    if path is not None:
        path = _beside(path, beside)
        if "revision" in told:
            raise SettingError(f"{label}: a path has no revision; leave it out")
    name = name or Path(path or "").name or "model"
    settings["text"] = _text(settings["text"], beside, label)
    for key in ("tokenizer", "preferences"):
        if key in settings and Path(place := _beside(settings[key], beside)).exists():
            settings[key] = place
    revision = told.get("revision")
    folder = told.get("name") or _folder(name, revision)
    if not _NAME.fullmatch(folder):
        raise SettingError(
            f"{label}: name {folder!r} cannot be a folder's: expected letters, digits, . _ - + = and no dot in front"
        )
    facts: dict[str, Any] = {k: told[k] for k in ("family", "kind") if k in told}
    facts |= {k: float(told[k]) for k in ("parameters_b", "training_tokens_t") if k in told}
    return Entry(folder, name, path, revision, facts, settings)


def _beside(path: str, folder: Path) -> str:
    try:
        place = (folder / Path(path).expanduser()).resolve()
        place.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, or nobody's home folder
        raise SettingError(f"{path[:60]!r} cannot be a path: {str(error)[:80]}") from None
    return str(place)


def _text(source: str, beside: Path, label: str) -> str:
    """A text that exists beside the file as a full path; what cannot be a path as it is."""
    if source == BUILT_IN_TEXT:
        return source
    if source == "-":
        raise SettingError(f"{label}: a survey goes on after an interruption, and standard input (-) is read once")
    place = _beside(source, beside)
    if Path(place).exists():
        return place
    if source.startswith((".", "~", "/")) or source.lower().endswith(FILES) or "/" not in source:
        raise SettingError(
            f"{label}: no text at {place}; expected a path that exists, {BUILT_IN_TEXT}, or a datasets id owner/name"
        )
    return source


def _folder(name: str, revision: str | None) -> str:
    """Folder of a hub id: `owner--name`, as the hub's own cache writes it; an id cannot hold two dashes."""
    whole = name.replace("/", "--") + (f"--{revision}" if revision else "")
    safe = re.sub(r"[^\w.+=-]", "_", whole, flags=re.ASCII).lstrip(".")[:100] or "model"
    return safe if safe == whole else f"{safe}-{files.hash_of(whole)[:8]}"


def _each_once(entries: Sequence[Entry], label: str) -> None:
    """Folders are told apart whatever the case: some file systems do not."""
    names: dict[str, Entry] = {}
    for entry in entries:
        other = names.setdefault(entry.name.casefold(), entry)
        if other is entry:
            continue
        if other == entry:
            raise SettingError(f"{label} lists {entry.id} twice: remove one of the two")
        raise SettingError(f'{label}: two models would share the folder {entry.name!r}: give each a name = "..."')
    whole: dict[str, Entry] = {}
    for entry in entries:
        other = whole.setdefault(files.hash_of([entry.source, entry.revision, dict(entry.settings)]), entry)
        if other is not entry:
            raise SettingError(
                f"{label} lists {entry.id} twice with the same settings, as {other.name!r} and {entry.name!r}: remove "
                "one of the two"
            )


def _checked(told: Mapping[str, Any], kinds: Mapping[str, _Kind], label: str) -> None:
    _known(told, tuple(kinds), label, "see docs/survey.md for what can be set")
    for key, value in told.items():
        if not kinds[key].fits(value):
            raise SettingError(f"{label}: {key} = {value!r}: expected {kinds[key].words}")


def _known(told: Mapping[str, Any], known: Sequence[str], label: str, otherwise: str) -> None:
    for key in told:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            hint = f"near names: {', '.join(near)}" if near else otherwise
            raise SettingError(f"{label}: unknown setting {key!r}; {hint}")
