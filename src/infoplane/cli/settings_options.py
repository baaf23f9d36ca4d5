"""Settings as options of a command, made from their declarations."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

import typer

from infoplane.engines import WorkSettings
from infoplane.errors import SettingError
from infoplane.settings import OPTIONS, Setting, Settings, as_text, check_given

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(function: Callable[P, R]) -> Callable[..., R]:
    """A command each of whose parameters of a class of settings is given by an option for each of those.

    The options stand in the help where that parameter stands among the others.
    """
    hints = get_type_hints(function, include_extras=True)
    kinds = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Settings)}
    asked: list[inspect.Parameter] = []
    for one in inspect.signature(function).parameters.values():
        if one.name in kinds:
            asked += [_parameter(setting) for setting in kinds[one.name].settings().values()]
        else:
            asked.append(one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def command(**values: object) -> R:
        given = {name: {key: values.pop(key) for key in kind.settings()} for name, kind in kinds.items()}
        try:
            chosen = {name: read_options(kind, given[name]) for name, kind in kinds.items()}
            return function(**chosen, **values)  # type: ignore[call-arg, arg-type]
        except SettingError as error:
            raise SettingError(_as_options(error, *kinds.values())) from None

    command.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in asked}
    return command


def _as_options(error: SettingError, *kinds: type[Settings]) -> str:
    """What an error says, with options in the place of the keywords that it names."""
    options = {name: one.option for kind in kinds for name, one in kind.settings().items()}
    options |= {"documents": "--text", "preferences": "--preferences", "labels": "--label"}
    names = "|".join(re.escape(name) for name in error.settings if name in options)
    return re.sub(rf"\b({names})\b", lambda found: options[found[1]], str(error)) if names else str(error)


def without_engine(work: WorkSettings) -> WorkSettings:
    """The same where an engine runs already, which has its workers."""
    return replace(work, engine="local", workers=None, gpus_per_worker=None)


def read_options(kind: type[Settings], given: Mapping[str, object]) -> Settings:
    """Settings of what stands on the command line.

    Raises:
        SettingError: a value that cannot be read or had, spelled as the option.
    """
    declared = kind.settings()
    parsed = {declared[name].option: _parsed(declared[name], value) for name, value in given.items()}
    values = check_given(parsed, declared.values(), kind.refused, spelling=OPTIONS)
    return kind.of({name: value for name, value in values.items() if value != declared[name].default})


def _parsed(setting: Setting, value: object) -> object:
    """The words of a list, and what cannot be read as it stands: that is of no kind."""
    if not setting.declared.kind.several or value is None:
        return value
    try:
        return setting.declared.kind.parsed(str(value))
    except ValueError:
        return value


def _parameter(setting: Setting) -> inspect.Parameter:
    declared = setting.declared
    one: Any = str if declared.kind.several else declared.kind.one
    names = [setting.option] if declared.kind.one is not bool else [f"{setting.option}/--no-{setting.option[2:]}"]
    if declared.short:
        names.append(declared.short)
    option = typer.Option(*names, help=declared.meaning, rich_help_panel=declared.group)
    read: Any = one | None if setting.optional else one
    default = as_text(setting.default) if declared.kind.several and setting.default is not None else setting.default
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[read, option]
    )
