"""How preference pairs are read."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.setting_kinds import flag, one_of
from infoplane.settings import Settings, setting

GROUP = "Preferences"


@dataclass(frozen=True)
class PairSettings(Settings):
    """How pairs become windows; see `make_pair_windows`."""

    chat_template: str = setting(
        "auto",
        one_of("auto", "yes", "no"),
        "auto: conversations by the tokenizer's template, plainly where it has none; yes: all pairs; no: none.",
        group=GROUP,
    )
    prompt_truncate: bool = setting(
        False,
        flag(),
        "Cut prompts longer than half the context, from the left, instead of leaving their pairs out.",
        group=GROUP,
    )
