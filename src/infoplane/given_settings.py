"""What was given by the names of settings: known here and of its kind, or refused with the reason."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from infoplane.errors import SettingError
from infoplane.setting_names import NAMES
from infoplane.setting_spelling import KEYWORDS, Spelling

if TYPE_CHECKING:
    from infoplane.setting_kinds import Value
    from infoplane.settings import Setting, Settings


def check_given(
    given: Mapping[str, object],
    kinds: Sequence[type[Settings]],
    label: str = "",
    spelling: Spelling = KEYWORDS,
    hint: str = "see docs/reference/settings.md for what can be set",
) -> dict[str, Value]:
    """The values of settings that were given, each of its kind.

    Args:
        given: values by the names that settings have where they were given.
        kinds: of settings that can be asked there.
        label: what messages begin with.
        spelling: of the place where they were given.
        hint: what to do where no name is near.

    Returns:
        Values by keyword.

    Raises:
        SettingError: a name that no setting has, with near ones; one that cannot be asked here, with the reason; or a
            value that it cannot have.
    """
    label = f"{label}: " if label else ""
    known = {spelling.name(setting): setting for kind in kinds for setting in kind.settings().values()}
    for name in given:
        if name not in known:
            raise SettingError(label + not_known(name, known, kinds, hint))
    return {known[name].name: known[name].checked(value, spelling, label) for name, value in given.items()}


def not_known(name: str, known: Mapping[str, Setting | None], kinds: Sequence[type[Settings]], hint: str) -> str:
    """What is said of a name that no setting has here.

    Args:
        name: as it was given.
        known: the settings that there are, by their names here; None for what is no setting.
        kinds: of settings that can be asked here.
        hint: what to do where no name is near.
    """
    plain = _plain(name)
    elsewhere = [here for here, one in known.items() if one and plain in one.words]
    if elsewhere:  # the name that it has in Python, in files or on the command line
        return _unknown(name, elsewhere)
    if why := why_not(name, kinds):
        return f"{name} cannot be set here: {why}"
    return _unknown(name, difflib.get_close_matches(name, [*known], n=3), hint)


def why_not(name: str, kinds: Sequence[type[Settings]]) -> str:
    """Why a setting cannot be asked where settings of some kinds can; empty where there is no setting of that name."""
    plain = _plain(name)
    for kind in kinds:
        if plain in kind.refused:
            return kind.refused[plain]
    return next((kind.otherwise for kind in kinds if kind.otherwise), "") if plain in NAMES else ""


def refuse_unknown(given: Iterable[str], known: Iterable[str], label: str, hint: str) -> None:
    """Refuse names, of tables of a file, that there are not, with near ones.

    Raises:
        SettingError: there is such a name.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise SettingError(f"{label}: {_unknown(name, difflib.get_close_matches(name, names, n=3), hint)}")


def _unknown(name: str, near: Sequence[str], hint: str = "") -> str:
    hint = f"near names: {', '.join(near)}" if near else hint
    return f"unknown setting {name!r}{'; ' if hint else ''}{hint}"


def _plain(name: str) -> str:
    """An option as a key is written."""
    return name.removeprefix("--").removeprefix("no-").replace("-", "_")
