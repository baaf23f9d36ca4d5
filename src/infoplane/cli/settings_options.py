"""Settings as options of a command, made from their declarations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

import typer

from infoplane.settings import OPTIONS, Setting, Settings, as_text, check_given

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(function: Callable[P, R]) -> Callable[..., R]:
    """A command whose parameter `settings`, of a class of settings, is given by an option for each of them.

    The options stand in the help where that parameter stands among the others.
    """
    hints = get_type_hints(function, include_extras=True)
    kind = hints["settings"]
    assert isinstance(kind, type) and issubclass(kind, Settings)
    declared = kind.settings()
    parameters = list(inspect.signature(function).parameters.values())
    at = [one.name for one in parameters].index("settings")
    options = [_parameter(one) for one in declared.values()]
    others = [one.replace(annotation=hints[one.name], kind=one.KEYWORD_ONLY) for one in parameters]

    @functools.wraps(function)
    def command(**values: object) -> R:
        given = {name: values.pop(name) for name in declared}
        return function(settings=read_options(kind, given), **values)  # type: ignore[call-arg, arg-type]

    asked = [*others[:at], *options, *others[at + 1 :]]
    command.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in asked}
    return command


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
