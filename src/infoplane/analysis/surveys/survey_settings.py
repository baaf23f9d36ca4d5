"""What a survey file can set, for all its models and for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from infoplane.engines import WorkSettings
from infoplane.measurement import InputSettings, MeasureSettings, refuse_with_pairs, refuse_without_pairs
from infoplane.setting_kinds import amount, flag, word
from infoplane.settings import Settings, setting

BYTES = 150_000
"""Some 32,768 tokens of English: a budget that reads the same text with every tokenizer."""
_OF_THE_RUN = "it is of the whole run: give it to the command, or to infoplane.survey"
_ONE_TEXT = "each model would read another text, and they could not be compared: set bytes or tokens"


def _measuring() -> MeasureSettings:
    """By default models of several tokenizers compare: one text, labels of words."""
    return MeasureSettings.of({"bytes": BYTES, "text_labels": ("word",)})


@dataclass(frozen=True)
class SurveySettings(Settings):
    """What can stand in `[defaults]`, and in a `[[model]]` beside its facts."""

    source: InputSettings = field(default_factory=InputSettings)
    measuring: MeasureSettings = field(default_factory=_measuring)
    work: WorkSettings = field(default_factory=WorkSettings)
    keep_captures: bool = setting(
        False, flag(), "Keep captures; by default each is deleted once measured.", group="Results", decides=False
    )

    def replaced(self, given: Mapping[str, object]) -> SurveySettings:
        """Pairs are read in place of a text, so its budget and labels say nothing of them."""
        if given.get("preferences") is not None:
            given = {"bytes": None, "text_labels": (), **given}
        return super().replaced(given)

    def check(self) -> None:
        if self.source.preferences is None:
            refuse_without_pairs(self.measuring)
        else:
            refuse_with_pairs(self.measuring, documents="" if self.source.text == InputSettings().text else "text")

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "revision": "it is of one model: write it under its [[model]]",
            "random_init": "a survey is of trained models: measure the twin with infoplane measure",
            "until_se": _ONE_TEXT,
            "until_order": _ONE_TEXT,
            "revisions": "a survey measures each model once: trace the run of one",
            "engine": _OF_THE_RUN,
            "workers": _OF_THE_RUN,
            "gpus_per_worker": _OF_THE_RUN,
        }
    )
    otherwise: ClassVar[str] = MeasureSettings.otherwise


_IN_THE_FILE = "write it in the survey file, under [defaults] or a [[model]]"


@dataclass(frozen=True)
class RunSettings(WorkSettings):
    """What a whole survey is asked beside its file: where the work is done."""

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **{one: why for one, why in SurveySettings.refused.items() if why != _OF_THE_RUN},
            **{
                word: _IN_THE_FILE
                for name, one in SurveySettings.settings().items()
                if name not in WorkSettings.settings()
                for word in one.words
            },
        }
    )
    otherwise: ClassVar[str] = SurveySettings.otherwise


@dataclass(frozen=True)
class ModelFacts(Settings):
    """What a `[[model]]` says beside settings: which it is, and what is known of it."""

    id: str | None = setting(None, word(), "Hub id, or the name that scores use for a local model.", group="Model")
    path: str | None = setting(None, word(), "Folder or file with the weights.", group="Model")
    revision: str | None = setting(None, word(), "Branch, tag or commit of a hub model.", group="Model")
    name: str | None = setting(None, word(), "Name of the folder of its results.", group="Model")
    family: str | None = setting(None, word(), "Family of the model.", group="Model", decides=False)
    kind: str | None = setting(None, word(), "Kind of model, such as base or instruct.", group="Model", decides=False)
    parameters_b: float | None = setting(None, amount(), "Parameters in billions (1e9).", group="Model", decides=False)
    training_tokens_t: float | None = setting(
        None, amount(), "Training tokens in trillions (1e12).", group="Model", decides=False
    )

    @property
    def known(self) -> dict[str, str | float]:
        """What is known of it."""
        facts = {name: getattr(self, name) for name in ("family", "kind", "parameters_b", "training_tokens_t")}
        return {k: float(v) if isinstance(v, int) else v for k, v in facts.items() if v is not None}
