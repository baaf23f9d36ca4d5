"""What a trace measures of each checkpoint, and which checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from infoplane.measurement import MeasureSettings
from infoplane.setting_kinds import flag, word
from infoplane.settings import Settings, setting

TOKENS = 16_384
_ONE_TEXT = "each checkpoint would read another text, and they could not be compared: set tokens or bytes"


@dataclass(frozen=True)
class TraceSettings(Settings):
    """All that decides the numbers of a trace, beside its run and text."""

    revisions: str | None = setting(
        None,
        word(),
        "Checkpoints to measure, comma-separated: names, globs (step*000) and ranges of steps (1000..143000); by "
        "default all whose step is known.",
        group="Run",
        decides=False,
    )
    measuring: MeasureSettings = field(
        default_factory=lambda: MeasureSettings.of({"tokens": TOKENS, "orders": (1, 2), "loss": True})
    )
    keep_captures: bool = setting(
        False, flag(), "Keep captures; by default each is deleted once measured.", group="Results", decides=False
    )

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "text": "it is the argument documents",
            "revision": "revisions says which checkpoints are measured",
            "random_init": "a trace is of trained checkpoints: step 0 is the untrained model, where it is kept",
            "probe": "it is of one model: measure the checkpoint with it",
            "teacher": "the bound of a run is fitted to the tokens of the text, the same for all checkpoints",
            "until_se": _ONE_TEXT,
            "until_order": _ONE_TEXT,
        }
    )
    otherwise: ClassVar[str] = MeasureSettings.otherwise
