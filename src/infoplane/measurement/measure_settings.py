"""What is asked of a model, and all the settings of a measurement together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from infoplane.capture import CaptureSettings
from infoplane.errors import SettingError
from infoplane.information import CAPACITY, CodeSettings
from infoplane.measurement.protocols import PAPER, PROTOCOLS, STANDARD
from infoplane.models import LoadSettings
from infoplane.setting_kinds import amount, flag, names, one_of, share, some_of, whole, word
from infoplane.settings import Settings, setting
from infoplane.text import BUILT_IN, ReadSettings, WindowSettings
from infoplane.text.pairs import PairSettings

GROUP = "What to compute"
ORDERS = (1, 2, 3, 4)
ESTIMATOR_NAMES = ("corrected", "plugin", "null-curve")
WEIGHTS = ("frequency", "uniform")
UNITS = ("efficiency", "bits", "nats")


@dataclass(frozen=True)
class InputSettings(Settings):
    """What a model reads, by name: in Python the arguments `documents` and `preferences`, which may be objects.

    A name decides no number: what was read is hashed.
    """

    text: str = setting(
        BUILT_IN,
        word(),
        "c4-sample (built in), a file, a folder, - (standard input) or a datasets id. A plain text file is one "
        "document, and so is each row of JSONL, CSV or Parquet.",
        group="Text",
        decides=False,
        chooses_text=True,
    )
    preferences: str | None = setting(
        None,
        word(),
        "Preference pairs to read instead of a text: .json, .jsonl, .parquet or a datasets id, with prompt, chosen and "
        "rejected. The token budget then counts answer tokens.",
        group="Preferences",
        decides=False,
    )


@dataclass(frozen=True)
class QuestionSettings(Settings):
    """What a capture is asked; see `measure_capture`."""

    orders: tuple[int, ...] = setting(
        (1, 2), some_of(*ORDERS), "N-gram orders, one or more of 1 to 4 (1 to 3 for the bound).", group=GROUP
    )
    estimators: tuple[str, ...] = setting(
        ("corrected",),
        some_of(*ESTIMATOR_NAMES),
        "One or more of corrected (bias-corrected), plugin (as published) and null-curve (an earlier correction); the "
        "first is the main one.",
        group=GROUP,
        option="--estimator",
    )
    weights: tuple[str, ...] = setting(
        ("frequency",),
        some_of(*WEIGHTS),
        "One or both of frequency (each label counts as often as it occurs) and uniform (each label with at least 5 "
        "occurrences counts once).",
        group=GROUP,
    )
    text_labels: tuple[str, ...] = setting(
        (),
        names("labels of words, such as word:1, char:4 or byte:4", least=0),
        "Also measure labels that do not depend on the tokenizer: word:1, word:2, char:1 to char:4, byte:1 to byte:8. "
        "word, char and byte mean word:1, char:4 and byte:4.",
        group=GROUP,
        with_pairs=False,
    )
    unit: str = setting(
        "efficiency",
        one_of(*UNITS),
        "efficiency (nats divided by log m, with m reference points), bits or nats.",
        group=GROUP,
    )
    capacity: float = setting(
        CAPACITY,
        share(),
        "How much a fitted code holds in each layer, as a share of log m. A kept capture can be measured again at "
        "another capacity.",
        group=GROUP,
        with_pairs=False,
    )
    controls: bool = setting(
        True,
        flag(),
        "Also compute the controls (permuted labels, shifted labels, halves of the documents), which should be 0. They "
        "take about half of the measuring time.",
        group=GROUP,
    )
    parts: bool = setting(
        True,
        flag(),
        "Also split the ceiling into token, document (given the token) and rest, and report the part of expressivity "
        "that documents alone explain. Needs order 1.",
        group=GROUP,
        with_pairs=False,
    )
    bound: bool = setting(
        False,
        flag(),
        "Also compute the frontier of the text and the model's place against it; takes minutes longer.",
        group=GROUP,
        with_pairs=False,
    )


@dataclass(frozen=True)
class PrecisionSettings(Settings):
    """How precise a measurement is to be; it reads until it is."""

    until_se: float | None = setting(
        None,
        amount(),
        "Read until the standard errors of complexity and expressivity of the whole model (corrected) are at most "
        "this. Budgets grow in a few stages, up to the token budget, 262144 by default.",
        group="Text",
        with_pairs=False,
    )
    until_order: int | None = setting(
        None, whole(1), "Order whose standard errors decide when to stop; by default the lowest.", group="Text"
    )

    def check(self) -> None:
        if self.until_se is None and self.until_order is not None:
            raise SettingError(
                "until_order says which order until_se judges: set until_se too", settings=("until_order", "until_se")
            )


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """All that decides the numbers of a measurement, beside model and text.

    A protocol that is given brings its settings along (`infoplane.measurement.protocols`).
    """

    protocol: str = setting(
        STANDARD,
        one_of(*PROTOCOLS),
        "standard or paper. paper is the published one: one set of random points for all layers, the plugin estimator, "
        "the temperature of soft-entropy 0.1.5, and windows of 128 tokens, all measured. Orders are not part of it.",
        group=GROUP,
        with_pairs=False,
    )
    reading: ReadSettings = field(default_factory=ReadSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    precision: PrecisionSettings = field(default_factory=PrecisionSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    loading: LoadSettings = field(default_factory=LoadSettings)
    capturing: CaptureSettings = field(default_factory=CaptureSettings)
    code: CodeSettings = field(default_factory=CodeSettings)
    questions: QuestionSettings = field(default_factory=QuestionSettings)

    def replaced(self, given: Mapping[str, object]) -> MeasureSettings:
        """A protocol that is given stands for its settings, where these are not given too."""
        protocol = given.get("protocol", self.protocol)
        if isinstance(protocol, str) and protocol != self.protocol and protocol in PROTOCOLS:
            given = {**PROTOCOLS[protocol], **given}
        return super().replaced(given)

    def check(self) -> None:
        if self.protocol == PAPER:
            flat = self.flat()
            if other := next((name for name, value in PROTOCOLS[PAPER].items() if flat[name] != value), None):
                raise SettingError(
                    f"the protocol paper has {_spoken(other, PROTOCOLS[PAPER][other])}, not "
                    f"{_spoken(other, flat[other])}: leave {other} out, or the protocol",
                    settings=(other, "protocol"),
                )
        self.code.check_use()
        if self.windows.bytes is not None and self.precision.until_se is not None:
            raise SettingError("bytes is a budget by itself: leave until_se out", settings=("bytes", "until_se"))

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "text": "it is the argument documents",
            "revisions": "a measurement is of one model: name it with revision, or use trace",
            "keep_captures": "a measurement keeps one where capture names a folder",
        }
    )
    otherwise: ClassVar[str] = "it says how the bound of a text is fitted"

    def of_captures(self) -> dict[str, object]:
        """Those settings, other than by default, that say how a capture is made."""
        questions, own = {*QuestionSettings.settings(), "protocol"}, PROTOCOLS[self.protocol]
        return {
            name: value
            for name, value in self.other_than_default().items()
            if name not in questions and (name not in own or own[name] != value)
        }


def _spoken(name: str, value: object) -> str:
    return f"{name} = {', '.join(map(str, value)) if isinstance(value, tuple) else value}"


def refuse_with_pairs(settings: MeasureSettings, labels: bool = False, documents: str = "") -> None:
    """Refuse settings that mean nothing where preference pairs are read in place of a text.

    Args:
        settings: of the measurement.
        labels: whether label columns are given.
        documents: what a text is called that is given too.

    Raises:
        SettingError: one was given.
    """
    declared = settings.settings()
    given = [name for name in settings.other_than_default() if not declared[name].declared.with_pairs]
    given = [*([documents] if documents else []), *(["labels"] if labels else []), *given]
    if given:
        raise SettingError(
            f"preferences are measured without {given[0]}: leave one of the two out", settings=(given[0], "preferences")
        )


def refuse_without_pairs(settings: MeasureSettings) -> None:
    """Refuse settings that say how preference pairs are read, where none are.

    Raises:
        SettingError: one was given.
    """
    if given := settings.pairs.other_than_default():
        raise SettingError(
            f"{', '.join(given)} says how preferences are read: give some, or leave it out",
            settings=(*given, "preferences"),
        )
