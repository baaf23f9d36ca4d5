r"""A budget of bytes: less of a text, cut before any tokenizer sees it, so that every model reads the same.

A budget of tokens is more text for one tokenizer than for another. Here the text itself is cut: each document gives
its first L bytes, L as large as the budget B allows ("water filling", as for tokens in `infoplane.text.cut_windows`),

    sum_d min(s_d, L) <= B,     s_d the UTF-8 bytes of document d,

because documents are the unit of every error bar. Where even `MIN_BYTES` a document are more than the budget, the
seed chooses which documents are read. No character is cut in two, so up to three bytes a document stay unread.
"""

from __future__ import annotations

import numpy as np

from infoplane.errors import check_whole
from infoplane.storage import Json
from infoplane.text.cut_windows import MIN_DEPTH, water_level
from infoplane.text.documents import Document, Text, text_hash
from infoplane.text.text_settings import MIN_BYTES


def limit_bytes(text: Text, size: int, seed: int = 0) -> Text:
    """The documents of a text, or the heads of them, that together have at most `size` UTF-8 bytes.

    Args:
        text: the documents; as it is where it is small enough.
        size: budget of bytes.
        seed: which documents are read where the budget does not reach all.

    Returns:
        A text in the order of the source, whose provenance tells the budget and what was read (`bytes`).

    Raises:
        SettingError: a number outside its range.
    """
    for name, value, least in (("bytes", size, MIN_BYTES), ("seed", seed, 0)):
        check_whole(name, value, least)
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(text))
    encoded = [text.documents[i].text.encode() for i in drawn]
    floor = np.cumsum([min(len(b), MIN_BYTES) for b in encoded])  # each document read gets that, or all it has
    chosen = [int(i) for i in drawn[: int(np.searchsorted(floor, size, side="right"))]]
    depths = water_level(np.array([len(b) for b in encoded[: len(chosen)]], dtype=np.int64), size, 1)
    kept: dict[int, Document] = {}
    read = 0
    for i, content, depth in zip(chosen, encoded, depths, strict=False):
        head = content[:depth].decode("utf-8", "ignore")  # what is left out is the part of a character at the end
        if head.strip():
            kept[i] = Document(text.documents[i].name, head)
            read += len(head.encode())
    documents = tuple(kept[i] for i in sorted(kept))
    ended = sum(map(len, encoded)) <= size
    budget: dict[str, Json] = {"budget": size, "read": read, "seed": seed, "ended": ended}
    more = {"bytes": budget, "documents": len(documents), "sha256": text_hash(documents)}
    return Text(documents, {**text.provenance, **more})


def tokens_enough(text: Text) -> int:
    """A budget of tokens that no tokenizer reaches on a text: to read all of it.

    A token is a byte at least, but for what some tokenizers put before a text; and `make_windows` reads one document
    for every `MIN_DEPTH` tokens of its budget.
    """
    size = sum(len(document.text.encode()) for document in text.documents)
    return size + (MIN_DEPTH + 8) * len(text)
