"""A text and its windows, as settings ask for them."""

from __future__ import annotations

from infoplane.errors import SettingError
from infoplane.text.byte_budget import limit_bytes, tokens_enough
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import Text, TextSource, read_text
from infoplane.text.text_settings import TOKENS, ReadSettings, WindowSettings
from infoplane.text.tokenizer_protocol import Tokenizer
from infoplane.text.windows import Windows


def text_of(documents: TextSource, reading: ReadSettings, windows: WindowSettings) -> Text:
    """The documents that settings ask for.

    Args:
        documents: as for `read_text`; a `Text` is read already, and only its budget of bytes is kept to.
        reading: which part of the source.
        windows: which documents, and how many bytes of them.

    Raises:
        TextError: as for `read_text`.
    """
    r = reading
    if isinstance(documents, Text) and (there := r.other_than_default()):
        raise SettingError(f"the text is read already, so {', '.join(there)} can say nothing more: leave that out")
    text = read_text(
        documents,
        column=r.column,
        split=r.split,
        config=r.config,
        revision=r.text_revision,
        streaming=r.streaming,
        limit=r.limit,
        seed=windows.seed,
    )
    budget = text.provenance.get("bytes") or {}
    if windows.bytes is None or budget.get("budget") == windows.bytes:  # kept to already
        return text
    return limit_bytes(text, windows.bytes, windows.seed)


def windows_of(text: Text, tokenizer: Tokenizer, windows: WindowSettings, tokens: int = TOKENS) -> Windows:
    """A text cut as settings ask for; `tokens` where they name no budget."""
    w = windows
    if w.bytes is not None:
        tokens = tokens_enough(text)
    elif w.tokens is not None:
        tokens = w.tokens
    return make_windows(
        text,
        tokenizer,
        tokens=tokens,
        context=w.context,
        seed=w.seed,
        add_bos=w.add_bos,
        include_special=w.include_special,
        include_first=w.include_first,
        min_window=w.min_window,
    )
