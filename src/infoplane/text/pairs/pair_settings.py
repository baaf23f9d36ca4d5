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
        "auto: write conversations with the tokenizer's chat template, or plainly if it has none; yes: write all pairs "
        "with it; no: never use it.",
        group=GROUP,
    )
    prompt_truncate: bool = setting(
        False,
        flag(),
        "Cut prompts longer than half the context from the left. By default a pair whose prompt leaves no room for an "
        "answer is left out.",
        group=GROUP,
    )
