"""How the bound of a text is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from infoplane.setting_kinds import flag, some_of, whole
from infoplane.settings import Settings, setting
from infoplane.text import TOKENS, ReadSettings, WindowSettings

GROUP = "What to compute"
MAX_ORDER = 3


@dataclass(frozen=True)
class BoundSettings(Settings):
    """What the bound of a text is asked; see `infoplane.bottleneck.bound`."""

    reading: ReadSettings = field(default_factory=ReadSettings)
    windows: WindowSettings = field(default_factory=lambda: WindowSettings(tokens=TOKENS))
    orders: tuple[int, ...] = setting(
        (1, 2, 3), some_of(*range(1, MAX_ORDER + 1)), "N-gram orders k, one or more of 1 to 3.", group=GROUP
    )
    m: int = setting(
        100, whole(2), "Most symbols in a code.", group=GROUP, option="--symbols", short="-m", key="symbols"
    )
    wide: bool = setting(
        False,
        flag(),
        "Also fit codes that predict the next k tokens, for k above 1 if these recur at half of the positions or more.",
        group=GROUP,
    )
    starts: int = setting(
        1, whole(1), "Number of starts of each fit.", group=GROUP, option="--restarts", key="restarts"
    )
    forward: bool = setting(False, flag(), "Also anneal forward: slower, and seldom better.", group=GROUP)
    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "text": "it is the argument documents, and the first word of the command",
            "tokenizer": "it is an argument of its own, which must be given",
        }
    )
    otherwise: ClassVar[str] = "the bound is of a text: no model is run"
