"""Survey files: which models to measure, on which text, with which settings.

A survey file is TOML: a table `[defaults]` of settings, and one `[[model]]` for each model, which has an `id` or a
`path`, may say what is known of it, and may override any of the defaults. What is not known is an error with near
names, never passed over, and everything is checked before the first model is loaded. Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from infoplane.analysis.surveys.survey_settings import ModelFacts, SurveySettings
from infoplane.errors import SettingError
from infoplane.given_settings import check_given, refuse_unknown
from infoplane.models import BUILT_IN as BUILT_IN_MODEL
from infoplane.setting_spelling import KEYS
from infoplane.storage import JSON, parse_toml, read_text
from infoplane.storage import atomic_files as files
from infoplane.text import BUILT_IN as BUILT_IN_TEXT
from infoplane.text import FILES

_HINT = "see docs/how-to/survey.md for what can be set"
READY = ("open-families",)
"""Surveys that ship with the package."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][\w.+=-]{0,119}", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One model of a survey.

    Attributes:
        name: of its folder; letters, digits and `. _ - + =` alone.
        id: hub id, or what a local model is called.
        path: where its weights lie, None for a hub id and for `smollm2-135m`.
        revision: of a hub model, as asked; None is the hub's default.
        facts: `family`, `kind`, `parameters_b` and `training_tokens_t`, where told.
        settings: defaults filled in, paths resolved.
    """

    name: str
    id: str
    path: str | None
    revision: str | None
    facts: Mapping[str, str | float]
    settings: SurveySettings

    @property
    def source(self) -> str:
        """What is loaded."""
        return self.path or self.id

    @property
    def is_local(self) -> bool:
        """Whether no hub is asked for it."""
        return self.path is not None or self.id == BUILT_IN_MODEL


def read_survey(source: str | Path) -> tuple[Entry, ...]:
    """Read the models of a survey file.

    Args:
        source: a TOML file, or `open-families`, a survey that comes with the package.

    Returns:
        The models in the order of the file, each with its settings.

    Raises:
        SettingError: the file is missing or not TOML, a setting is unknown or wrong, or it lists no model or one twice.
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
        tables = parse_toml(content)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError of another kind
        raise SettingError(f"{label} is not TOML: {error}") from None
    refuse_unknown(tables, ("defaults", "model"), label, "a survey has [defaults] and [[model]]")
    defaults, models = tables.get("defaults", {}), tables.get("model", [])
    if not isinstance(defaults, dict):
        raise SettingError(f"{label}: defaults is not a table: write [defaults]")
    if not isinstance(models, list) or not models or not all(isinstance(m, dict) for m in models):
        raise SettingError(f'{label} lists no model: write [[model]] and under it id = "owner/name", once for each')
    usual, where = SurveySettings(), f"{label}, [defaults]"
    values = check_given(defaults, (SurveySettings,), where, KEYS, _HINT)
    base = usual.but(values, where)
    entries = [_entry(m, base, f"{label}, model {i}", beside) for i, m in enumerate(models, start=1)]
    _each_once(entries, label)
    return tuple(entries)


def _entry(table: Mapping[str, object], base: SurveySettings, label: str, beside: Path) -> Entry:
    label += f" ({table.get('id', table.get('path', 'no id'))})"
    of_settings, of_facts = base.settings(), ModelFacts.settings()
    given = check_given(table, (SurveySettings, ModelFacts), label, KEYS, _HINT)
    facts = ModelFacts.of({name: value for name, value in given.items() if name in of_facts})
    settings = base.but({name: value for name, value in given.items() if name in of_settings}, label)
    if facts.id is None and facts.path is None:
        raise SettingError(f"{label}: expected an id, such as owner/name, or a path")
    if facts.id is not None and not _ID.fullmatch(facts.id):
        raise SettingError(f"{label}: id {facts.id!r} is not a hub id owner/name; a folder or file is named with path")
    path = facts.path
    if path is not None:
        path = _beside(path, beside)
        if facts.revision is not None:
            raise SettingError(f"{label}: a path has no revision; leave it out")
    name = facts.id or Path(path or "").name or "model"
    source, pairs = settings.source, settings.source.preferences
    found = {"text": _place(source.text, "text", BUILT_IN_TEXT, beside, label)}
    if pairs is not None:
        found["preferences"] = _place(pairs, "preference pairs", None, beside, label)
    settings = settings.but({**found, **_near(settings, beside)})
    folder = facts.name or _folder(name, facts.revision)
    if not _NAME.fullmatch(folder):
        raise SettingError(
            f"{label}: name {folder!r} cannot be a folder's: expected letters, digits, . _ - + = and no dot in front"
        )
    return Entry(folder, name, path, facts.revision, facts.known, settings)


def _near(settings: SurveySettings, beside: Path) -> dict[str, str]:
    """The tokenizer, where it lies beside the file, and the capture whose code is used."""
    name, kept = settings.measuring.loading.tokenizer, settings.measuring.code.code_of
    path = None if name is None else _beside(name, beside)
    found = {} if path is None or not Path(path).exists() else {"tokenizer": path}
    return found if kept is None or "://" in kept else {**found, "code_of": _beside(kept, beside)}


def _beside(path: str, folder: Path) -> str:
    try:
        whole = (folder / Path(path).expanduser()).resolve()
        whole.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, or nobody's home folder
        raise SettingError(f"{path[:60]!r} cannot be a path: {str(error)[:80]}") from None
    return str(whole)


def _place(source: str, what: str, built_in: str | None, beside: Path, label: str) -> str:
    """A text, or preference pairs, that exist beside the file as a full path; what cannot be a path as it is."""
    if source == built_in:
        return source
    if source == "-":
        raise SettingError(f"{label}: a survey goes on after an interruption, and standard input (-) is read once")
    path = _beside(source, beside)
    if Path(path).exists():
        return path
    if source.startswith((".", "~", "/")) or source.lower().endswith(FILES) or "/" not in source:
        expected = ", ".join(["a path that exists", *([built_in] if built_in else [])])
        raise SettingError(f"{label}: no {what} at {path}; expected {expected}, or a datasets id owner/name")
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
        other = whole.setdefault(files.hash_of([entry.source, entry.revision, entry.settings.flat()]), entry)
        if other is not entry:
            raise SettingError(
                f"{label} lists {entry.id} twice with the same settings, as {other.name!r} and {entry.name!r}: remove "
                "one of the two"
            )
