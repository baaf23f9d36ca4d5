"""The bytes of text before each token: by the tokenizer's offsets, or by finding each decoded piece in the text.

What a token decodes to is not what it stands for: single tokens may be parts of characters (ByT5, byte fallback),
which decode to nothing or to a replacement character, and SentencePiece drops leading spaces. So where a tokenizer has
no offsets, neighbouring tokens are decoded together until they are the next characters of the text. If they never
are (the tokenizer changes its text), the bytes are not known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infoplane.text.tokenizer_protocol import Tokenizer

_MOST = 32  # tokens that may have to be decoded together: a character of several code points, a byte each


def bytes_by_offsets(text: str, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n + 1,) UTF-8 bytes before each boundary of tokens, of the ends of tokens in characters, (n,).

    The end of a token closes it: white space that no token covers is paid for by the next one.
    """
    width = [len(character.encode("utf-8", "surrogatepass")) for character in text]
    before = np.concatenate(([0], np.cumsum(width)))
    return np.concatenate(([0], before[np.maximum.accumulate(ends)] if len(ends) else ends)).astype(np.int64)


def bytes_by_decoding(text: str, ids: npt.NDArray[np.int64], tokenizer: Tokenizer) -> npt.NDArray[np.int64] | None:
    """The same for a tokenizer without offsets; None where its tokens do not decode to the text."""
    ends, position, group = list[int](), 0, list[int]()
    for token in ids.tolist():
        group.append(token)
        piece = str(tokenizer.decode(group, clean_up_tokenization_spaces=False))
        after = _after(text, position, piece)
        if after is not None:
            position, group = after, []
        elif len(group) > _MOST:
            return None
        ends.append(position)
    if group and str(tokenizer.decode(group)).strip():
        return None
    return bytes_by_offsets(text, np.array(ends, dtype=np.int64))


def _after(text: str, position: int, piece: str) -> int | None:
    """Where the text goes on after a piece that begins at `at`, or after white space there; None where it does not."""
    if not piece:
        return None
    if text.startswith(piece, position):
        return position + len(piece)
    bare = piece.strip()
    if not bare:
        return None
    while position < len(text) and text[position].isspace():
        position += 1
    return position + len(bare) if text.startswith(bare, position) else None
