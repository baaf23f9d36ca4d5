"""Settings as options of a command, made from their declarations."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from infoplane.cli.terminal import STATED
from infoplane.engines import WorkSettings
from infoplane.errors import InfoplaneError, SettingError
from infoplane.given_settings import check_given
from infoplane.setting_kinds import Value
from infoplane.setting_spelling import KEYS, OPTIONS, as_text
from infoplane.settings import Setting, Settings
from infoplane.storage import JSON, parse_toml, read_text, reason

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(function: Callable[P, R]) -> Callable[..., R]:
    """A command each of whose parameters of a class of settings is given by an option for each of those.

    The options stand in the help where that parameter stands among the others.
    """
    signature = inspect.signature(function, eval_str=True)  # get_type_hints makes None of a default a type of its own
    hints = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    kinds = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Settings)}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in kinds:
            parameters += [_parameter(setting) for setting in kinds[parameter.name].settings().values()]
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    has_ctx = _CTX.name in hints
    parameters = [*([] if has_ctx else [_CTX]), *parameters, _FILE]

    @functools.wraps(function)
    def command(**values: Any) -> R:
        path, ctx = values.pop(_FILE.name), values[_CTX.name] if has_ctx else values.pop(_CTX.name)
        given = {name: {key: values.pop(key) for key in kind.settings()} for name, kind in kinds.items()}
        try:
            stated = _on_the_command_line(ctx)
            if path is not None:
                values_of_file = read_settings_file(path, kinds)
                _fill_in(given, values_of_file, stated)
                ctx.meta[STATED] = {*values_of_file} - stated
                stated |= {*values_of_file}
            chosen = {name: read_options(kind, given[name], stated) for name, kind in kinds.items()}
            return function(**chosen, **values)  # type: ignore[call-arg, arg-type]
        except InfoplaneError as error:
            error.args = (_as_options(error, *kinds.values()),)
            raise

    command.kinds = tuple(kinds.values())  # type: ignore[attr-defined]  # for what is said of unknown options
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


_CTX = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
_FILE = inspect.Parameter(
    "settings_file",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="TOML file of settings. Keys are the option names with _ for -, but estimators for --estimator. "
            "Options on the command line take precedence.",
            rich_help_panel="Results",
        ),
    ],
)


def read_settings_file(path: Path, kinds: Mapping[str, type[Settings]]) -> dict[str, Value]:
    """The settings of a file, by keyword.

    Raises:
        SettingError: it cannot be read, is not TOML, or holds what no setting is or can be.
    """
    try:
        content = parse_toml(read_text(path, times=JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"--settings {path} cannot be read: {reason(error)}; expected TOML in UTF-8") from None
    values = check_given(content, tuple(kinds.values()), str(path), KEYS, "see --help for what can be set")
    try:
        for kind in kinds.values():  # what contradicts itself within the file
            kind.of({name: value for name, value in values.items() if name in kind.settings()})
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None
    return values


def _on_the_command_line(ctx: typer.Context) -> set[str]:
    sources = {name: getattr(ctx.get_parameter_source(name), "name", "") for name in ctx.params}
    return {name for name, source in sources.items() if source == "COMMANDLINE"}


def _fill_in(given: Mapping[str, dict[str, object]], values: Mapping[str, Value], stated: Collection[str]) -> None:
    """Put the values of a file where the command line says nothing; a budget there stands for that of the file."""
    budgets = {"tokens", "bytes"}
    for of_kind in given.values():
        for name in of_kind:
            if name in values and name not in stated and not (name in budgets and budgets & {*stated}):
                of_kind[name] = values[name]


def _as_options(error: InfoplaneError, *kinds: type[Settings]) -> str:
    """What an error says, with options in the place of the keywords that it names."""
    options = {name: setting.option for kind in kinds for name, setting in kind.settings().items()}
    options |= {"documents": "--text", "preferences": "--preferences", "labels": "--label", "table": "--steps"}
    names = "|".join(re.escape(name) for name in error.settings if name in options)
    # a word of a path or in quotes is no keyword
    word = rf"(?<![\w/'\"-])({names})(?![\w/'\"-]|\.\w)"
    return re.sub(word, lambda found: options[found[1]], str(error)) if names else str(error)


def without_engine(work: WorkSettings) -> WorkSettings:
    """The same where an engine runs already, which has its workers."""
    return replace(work, engine="local", workers=None, gpus_per_worker=None)


def read_options(kind: type[Settings], given: Mapping[str, object], stated: Collection[str]) -> Settings:
    """Settings of what stands on the command line, or in a file.

    Args:
        kind: of settings.
        given: values by keyword, the defaults of the options among them.
        stated: keywords that somebody gave a value, which may be the default: it contradicts others all the same.

    Raises:
        SettingError: a value that cannot be read or had, spelled as the option.
    """
    declared = kind.settings()
    parsed = {declared[name].option: _parsed(declared[name], value) for name, value in given.items()}
    values = check_given(parsed, (kind,), spelling=OPTIONS)
    return kind.of({name: value for name, value in values.items() if name in stated or value != declared[name].default})


def _parsed(setting: Setting, value: object) -> object:
    """The value that words stand for, and words that cannot be read as they stand: those are of no kind."""
    if not isinstance(value, str):
        return value
    try:
        return setting.declared.kind.parsed(value)
    except ValueError:
        return value


def _parameter(setting: Setting) -> inspect.Parameter:
    """The option of a setting. All but flags are read as words, which `Setting.checked` then reads as in Python."""
    declared, one, default = setting.declared, setting.declared.kind.one, setting.default
    names = [setting.option] if one is not bool else [f"{setting.option}/--no-{setting.option[2:]}"]
    if declared.short:
        names.append(declared.short)
    shown = f"<{one.__name__}>" if one in (int, float) and not declared.kind.several else None
    option = typer.Option(*names, help=declared.meaning, rich_help_panel=declared.group, metavar=shown)
    kind = bool if one is bool else str
    read: Any = kind | None if setting.optional else kind
    if kind is str and default is not None:
        default = as_text(default)
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[read, option]
    )
