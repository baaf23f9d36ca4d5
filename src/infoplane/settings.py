"""How a setting is declared: once, as a field of a frozen dataclass in the room that uses it.

A field says its type, default, bounds, meaning, group in the help, and whether it decides a number. From it come the
check, the keyword of the Python function, the option of the command, the key of a file, and the entry in ids. A verb,
such as `measure`, takes several such dataclasses: their sum is a `Settings` too, and is written and read flat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, TypeVar, get_type_hints

from infoplane.errors import SettingError
from infoplane.given_settings import check_given
from infoplane.setting_kinds import Kind, Value
from infoplane.setting_spelling import KEYWORDS, Spelling

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
_DECLARED = "infoplane"


@dataclass(frozen=True)
class Declared:
    """What the declaration of a setting says beside its type and default.

    Attributes:
        kind: what it can be.
        meaning: one line, for the help and the docs.
        group: heading in the help.
        decides: whether it decides a number.
        option: on the command line, where not the name with dashes; and its short form.
        key: in files, where not the name.
        with_pairs: whether it means something where preference pairs are read in place of a text.
        chooses_text: whether it decides which text is read.
    """

    kind: Kind
    meaning: str
    group: str
    decides: bool
    option: str | None
    short: str | None
    key: str | None
    with_pairs: bool
    chooses_text: bool


def setting(
    default: T,
    kind: Kind,
    meaning: str,
    *,
    group: str,
    decides: bool = True,
    option: str | None = None,
    short: str | None = None,
    key: str | None = None,
    with_pairs: bool = True,
    chooses_text: bool = False,
) -> T:
    """Declare a setting: the value of a field of a `Settings` dataclass. See `Declared`."""
    declared = Declared(kind, meaning, group, decides, option, short, key, with_pairs, chooses_text)
    made: T = dataclasses.field(default=default, metadata={_DECLARED: declared})
    return made


@dataclass(frozen=True)
class Setting:
    """One setting of a verb.

    Attributes:
        name: keyword in Python.
        default: of that verb.
        optional: whether it may be None, which stands for what its meaning says.
        declared: the rest.
    """

    name: str
    default: Value
    optional: bool
    declared: Declared

    @property
    def option(self) -> str:
        """On the command line."""
        return self.declared.option or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """In files."""
        return self.declared.key or self.name

    @property
    def words(self) -> set[str]:
        """Its names in Python, in files and on the command line, all as keys are written."""
        return {self.name, self.key, self.option.removeprefix("--").replace("-", "_")}

    def _plain(self, value: object) -> object:
        """A whole number of any library as int."""
        is_whole = self.declared.kind.one is int and type(value) is not bool and isinstance(value, Integral)
        return int(value) if is_whole and isinstance(value, Integral) else value

    def checked(self, value: object, spelling: Spelling | None = None, label: str = "") -> Value:
        """The value, what can be gone through as a tuple and whole numbers of any library as int.

        Raises:
            SettingError: it is not of the kind.
        """
        if self.declared.kind.several and isinstance(value, Iterable) and not isinstance(value, str | bytes):
            value = tuple(map(self._plain, value))
        value = self._plain(value)
        if (value is None and self.optional) or self.declared.kind.fits(value):
            return value  # type: ignore[return-value]  # the kind has just vouched for it
        written = (spelling or KEYWORDS).written(self, value)
        raise SettingError(f"{label}{written}: expected {self.declared.kind.words}")


@dataclass(frozen=True)
class Settings:
    """Base class for dataclasses of settings; each field is declared by `setting`, or is a `Settings` itself.

    Class variables:
        refused: settings that cannot be set here, with the reason for each, by name.
        otherwise: the reason for all other settings that cannot be set here.
    """

    refused: ClassVar[Mapping[str, str]] = MappingProxyType({})
    otherwise: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, declared in _own(type(self)).items():
            object.__setattr__(self, name, declared.checked(getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Check that the settings do not contradict each other.

        Raises:
            SettingError: two of them do.
        """

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """All settings by keyword, those of nested settings included."""
        return _all(cls)

    @classmethod
    def of(cls, given: Mapping[str, object], label: str = "") -> Self:
        """Make settings from keywords.

        Args:
            given: values by keyword; all other settings have their defaults.
            label: what error messages begin with.

        Raises:
            SettingError: an unknown keyword (the message suggests similar ones), a value that a setting cannot take, or
                settings that contradict each other.
        """
        return cls().but(given, label)

    def but(self, given: Mapping[str, object], label: str = "") -> Self:
        """The same settings with new values for some of them; arguments as for `of`.

        Raises:
            SettingError: as for `of`.
        """
        values = check_given(given, (type(self),), label)
        try:
            return self.replaced(values)
        except SettingError as error:
            # in a file keys are named, which are not spelled as options
            named = () if label else error.settings
            raise SettingError(f"{label}: {error}" if label else str(error), settings=named) from None

    def replaced(self, given: Mapping[str, object]) -> Self:
        """Like `but`, except that keywords of other settings are ignored."""
        own = {name: given[name] for name in _own(type(self)) if name in given}
        parts = {name: getattr(self, name).replaced(given) for name in _parts(type(self))}
        return dataclasses.replace(self, **own, **parts)

    def flat(self) -> dict[str, Value]:
        """All values by keyword, except those in `refused`."""
        values: dict[str, Value] = {name: getattr(self, name) for name in _own(type(self))}
        for name in _parts(type(self)):
            values |= getattr(self, name).flat()
        return {name: value for name, value in values.items() if name not in self.refused}

    def other_than_default(self) -> dict[str, Value]:
        """The values that differ from the defaults, by keyword."""
        usual = self.settings()
        return {name: value for name, value in self.flat().items() if value != usual[name].default}

    def record(self) -> dict[str, Value | list[int] | list[str]]:
        """The settings that affect numbers and differ from their defaults: JSON values by key, for the provenance."""
        settings = self.settings()
        return {
            settings[name].key: list(value) if isinstance(value, tuple) else value  # type: ignore[misc]
            for name, value in self.other_than_default().items()
            if settings[name].declared.decides
        }


A = TypeVar("A", bound=Settings)


def settings_or(given: A | None, usual: type[A], name: str = "settings") -> A:
    """The settings that were given, or the usual ones.

    Raises:
        SettingError: another kind of thing.
    """
    if given is None:
        return usual()
    if not isinstance(given, usual):
        raise SettingError(
            f"{name} is of the type {type(given).__name__}: expected {usual.__name__}(...), or each setting by its own "
            "keyword"
        )
    return given


B = TypeVar("B", bound=Settings)


def apart(given: Mapping[str, object], first: A, second: B) -> tuple[A, B]:
    """Keywords of two kinds of settings, each put in its own.

    Raises:
        SettingError: as for `Settings.but`.
    """
    values = check_given(given, (type(first), type(second)))
    return first.replaced(values), second.replaced(values)


_OWN: dict[type[Settings], dict[str, Setting]] = {}
_ALL: dict[type[Settings], dict[str, Setting]] = {}


def _own(cls: type[Settings]) -> dict[str, Setting]:
    """The settings that are declared in a class itself."""
    if cls not in _OWN:
        hints = get_type_hints(cls)
        declared_here = {}
        for field in dataclasses.fields(cls):
            if (declared := field.metadata.get(_DECLARED)) is not None:
                optional = type(None) in getattr(hints[field.name], "__args__", ())
                default: Value = field.default  # type: ignore[assignment]  # `setting` always gives one
                declared_here[field.name] = Setting(field.name, default, optional, declared)
        _OWN[cls] = declared_here
    return _OWN[cls]


def _parts(cls: type[Settings]) -> tuple[str, ...]:
    """The fields of a class that are settings of another one."""
    return tuple(f.name for f in dataclasses.fields(cls) if _DECLARED not in f.metadata)


def _all(cls: type[Settings]) -> dict[str, Setting]:
    """The settings of a class and of its parts, in the order of its fields, with the defaults that they have there."""
    if cls not in _ALL:
        made, settings = cls(), dict[str, Setting]()
        for field in dataclasses.fields(cls):
            value = getattr(made, field.name)
            if not isinstance(value, Settings):
                settings[field.name] = _own(cls)[field.name]
                continue
            values = value.flat()
            for name, setting_of_part in type(value).settings().items():
                settings[name] = dataclasses.replace(setting_of_part, default=values[name])
        _ALL[cls] = {name: setting_of_part for name, setting_of_part in settings.items() if name not in cls.refused}
    return _ALL[cls]
