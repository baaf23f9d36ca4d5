"""What a monitor measures at each probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from infoplane.capture import CaptureSettings
from infoplane.information import CodeSettings
from infoplane.measurement import QuestionSettings
from infoplane.settings import Settings
from infoplane.text import ReadSettings, WindowSettings

_LOADED = "the model is the one that trains"
_FIXED = "the windows are cut once, at the start: set tokens"
_PAIRS = "a monitor reads a text: trace the checkpoints with preferences"


@dataclass(frozen=True)
class MonitorSettings(Settings):
    """All that decides the numbers of a probe, beside model and text."""

    reading: ReadSettings = field(default_factory=ReadSettings)
    windows: WindowSettings = field(default_factory=lambda: WindowSettings(tokens=4_096, context=128))
    capturing: CaptureSettings = field(default_factory=CaptureSettings)
    code: CodeSettings = field(default_factory=lambda: CodeSettings(reference_sets=2))
    questions: QuestionSettings = field(
        default_factory=lambda: QuestionSettings(orders=(1,), estimators=("corrected",), controls=False, parts=False)
    )

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "protocol": "set points, sets and estimators each by itself",
            "probe": "it takes seconds a layer: measure a checkpoint with it",
            "teacher": "the bound of a run is fitted to the tokens of the text, the same for all checkpoints",
            "bound": "it would take minutes: trace the checkpoints with it",
            "until_se": _FIXED,
            "until_order": _FIXED,
            "preferences": _PAIRS,
            "chat_template": _PAIRS,
            "prompt_truncate": _PAIRS,
            "revision": _LOADED,
            "dtype": _LOADED,
            "device": _LOADED,
            "device_map": _LOADED,
            "allow_pickle": _LOADED,
            "trust_remote_code": _LOADED,
            "random_init": _LOADED,
            "tokenizer": "it is the argument beside the model",
            "text": "it is the argument documents",
            "revisions": _LOADED,
            "keep_captures": "probes are measured in memory",
        }
    )
    otherwise: ClassVar[str] = "a probe is done by the process that trains, and is no bound of a text"
