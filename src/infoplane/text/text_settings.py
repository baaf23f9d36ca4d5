"""What is read of a text, and how it is cut into windows. Nothing that computes is loaded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infoplane.errors import SettingError
from infoplane.setting_kinds import flag, whole, word
from infoplane.settings import Settings, setting

GROUP = "Text"
BUILT_IN = "c4-sample"
TOKENS = 32_768
CONTEXT = 512
MIN_WINDOW = 8
"""Tokens of the shortest window: states of a shorter one have hardly any context."""
MIN_BYTES = 256
"""Bytes that are worth reading of a document before one document fewer is read: 64 tokens of English, or so."""


@dataclass(frozen=True)
class ReadSettings(Settings):
    """Which part of a source is read; see `read_text`."""

    column: str | None = setting(
        None,
        word(),
        "Column with the text; by default the first that exists of text, content, document, raw_content, body.",
        group=GROUP,
        with_pairs=False,
        chooses_text=True,
    )
    split: str = setting("train", word(), "Split of the dataset.", group=GROUP, chooses_text=True)
    config: str | None = setting(None, word(), "Configuration of the dataset.", group=GROUP, chooses_text=True)
    text_revision: str | None = setting(
        None, word(), "Branch, tag or commit of the dataset.", group=GROUP, chooses_text=True
    )
    streaming: bool = setting(
        True, flag(), "Stream the dataset instead of downloading it first.", group=GROUP, chooses_text=True
    )
    limit: int | None = setting(
        None,
        whole(1),
        "Most documents (or preference pairs) to read; 10000 by default for a dataset streamed from the hub.",
        group=GROUP,
        chooses_text=True,
    )


@dataclass(frozen=True)
class WindowSettings(Settings):
    """How much of a text is read, and its windows; see `make_windows`."""

    tokens: int | None = setting(
        None,
        whole(MIN_WINDOW),
        "Token budget: how many tokens to read (`measure`: 32768 by default).",
        group=GROUP,
    )
    bytes: int | None = setting(
        None,
        whole(MIN_BYTES),
        "Byte budget instead of a token budget: every tokenizer then reads the same text.",
        group=GROUP,
        with_pairs=False,
        chooses_text=True,
    )
    context: int = setting(
        CONTEXT, whole(MIN_WINDOW), "Longest window, in tokens, including an inserted BOS.", group=GROUP
    )
    seed: int = setting(
        0,
        whole(0),
        "Random seed for choosing documents where not all are read; for `bound`, also of the fit.",
        group=GROUP,
        chooses_text=True,
    )
    add_bos: bool | None = setting(
        None, flag(), "Put a BOS before each window; by default as the tokenizer does.", group=GROUP
    )
    include_special: bool = setting(False, flag(), "Also measure special tokens that occur in the text.", group=GROUP)
    include_first: bool = setting(
        False,
        flag(),
        "Also measure the first token of each window: the BOS, if there is one.",
        group=GROUP,
        with_pairs=False,
    )
    min_window: int = setting(
        MIN_WINDOW,
        whole(1),
        "Shortest window, in tokens; shorter pieces of text are left out.",
        group=GROUP,
        with_pairs=False,
    )

    def replaced(self, given: Mapping[str, object]) -> WindowSettings:
        """A budget that is given stands for the other one, which was there before."""
        for budget, other in (("tokens", "bytes"), ("bytes", "tokens")):
            if given.get(budget) is not None and other not in given:
                given = {**given, other: None}
        return super().replaced(given)

    def check(self) -> None:
        if self.tokens is not None and self.bytes is not None:
            raise SettingError("tokens and bytes are two budgets: set one of them", settings=("tokens", "bytes"))
        for name in ("tokens", "context"):
            value = getattr(self, name)
            if value is not None and value < self.min_window:
                raise SettingError(
                    f"{name} = {value}: expected min_window, {self.min_window}, or more", settings=(name, "min_window")
                )
