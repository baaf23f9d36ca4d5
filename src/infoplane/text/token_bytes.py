"""The bytes of text before each token: by the tokenizer's offsets, or by finding each decoded piece in the text.

What a token decodes to is not what it stands for: single tokens may be parts of characters (ByT5, byte fallback),
which decode to nothing or to a replacement character, and SentencePiece drops leading spaces. So where a tokenizer has
no offsets, neighbouring tokens are decoded together until they are the next characters of the text. If they never
are (the tokenizer changes its text), the bytes are not known.

Tokens that share a character get the bytes of it that each stands for, so that a window which ends inside a character
is paid for what it holds. Neither offsets nor decoding tell them, but the vocabulary does, in one of `_SPELLINGS`.
Where it does not (the tokenizer changed that character), the first of these tokens gets all of it, the others none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from infoplane.text.tokenizer_protocol import Tokenizer

_MOST = 32  # tokens that may have to be decoded together: a character of several code points, a byte each
Longs = npt.NDArray[np.int64]


def bytes_by_offsets(text: str, ids: Longs, offsets: Longs, tokenizer: Tokenizer) -> Longs:
    """(n + 1,) UTF-8 bytes before each boundary of tokens (n,), whose first and last characters are `offsets` (n, 2).

    The end of a token closes it: white space that no token covers is paid for by the next one.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not len(ids):
        return np.zeros(1, np.int64)
    character = _characters(np.frombuffer(raw, np.uint8))
    last = np.maximum.accumulate(offsets[:, 1])
    before = np.concatenate(([0], character[last]))
    shares = np.concatenate(([False], offsets[1:, 0] < last[:-1], [False]))  # a character with the token before it
    some = np.flatnonzero(shares[1:] & ~shares[:-1])
    for i, j in zip(some.tolist(), np.flatnonzero(shares[:-1] & ~shares[1:]).tolist(), strict=True):
        start, end = int(character[offsets[i, 0]]), int(before[j + 1])
        if inner := _ends(_pieces(ids[i : j + 1], tokenizer), raw[start:end]):
            before[i + 1 : j + 1] = np.maximum(start + np.array(inner), start)
    return before


def bytes_by_decoding(text: str, ids: Longs, tokenizer: Tokenizer) -> Longs | None:
    """The same for a tokenizer without offsets; None where its tokens do not decode to the text."""
    offsets, position, group = list[tuple[int, int]](), 0, list[int]()
    for token in ids.tolist():
        group.append(token)
        found = _find(text, position, str(tokenizer.decode(group, clean_up_tokenization_spaces=False)))
        if found is not None:
            offsets += [found] * len(group)
            position, group = found[1], []
        elif len(group) > _MOST:
            return None
    if group and str(tokenizer.decode(group)).strip():
        return None
    offsets += [(position, position)] * len(group)
    return bytes_by_offsets(text, ids, np.array(offsets, dtype=np.int64).reshape(-1, 2), tokenizer)


def whole_characters(raw: npt.NDArray[np.uint8], before: Longs) -> Longs:
    """Those boundaries that lie inside a character of UTF-8 text, moved to its end."""
    character = _characters(raw)
    return character[np.searchsorted(character, before)]


def _characters(raw: npt.NDArray[np.uint8]) -> Longs:
    """Where each character of UTF-8 text begins, and its end."""
    return np.append(np.flatnonzero((raw & 0xC0) != 0x80), len(raw)).astype(np.int64)


def _find(text: str, position: int, piece: str) -> tuple[int, int] | None:
    """Where a piece lies that begins at `position`, or after white space there; None where it does not."""
    if not piece:
        return None
    if text.startswith(piece, position):
        return position, position + len(piece)
    bare = piece.strip()
    if not bare:
        return None
    while position < len(text) and text[position].isspace():
        position += 1
    return (position, position + len(bare)) if text.startswith(bare, position) else None


# ---------------------------------------------------------------------- tokens that share a character


def _pieces(ids: Longs, tokenizer: Tokenizer) -> list[str]:
    """How the vocabulary writes tokens; nothing where the tokenizer does not tell."""
    spelled = getattr(tokenizer, "convert_ids_to_tokens", None)
    return [] if spelled is None else [str(piece) for piece in spelled(ids.tolist())]


def _ends(pieces: list[str], span: bytes) -> list[int]:
    """Where in `span`, the text of these pieces, each but the last ends; nothing where they are not that text.

    Pieces may have white space before the text, which the offsets leave out.
    """
    for spelling in _SPELLINGS:
        try:
            parts = [spelling(piece) for piece in pieces]
        except (KeyError, UnicodeEncodeError):
            continue
        whole = b"".join(parts)
        if parts and whole.endswith(span):
            return [int(n) for n in np.cumsum([len(part) for part in parts[:-1]]) - (len(whole) - len(span))]
    return []


def _byte_fallback(piece: str) -> bytes:
    """`<0xE6>` is a byte, and everything else is written as it is, with a mark for spaces (SentencePiece)."""
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("\u2581", " ").encode("utf-8", "surrogatepass")


_PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = {chr(b): b for b in _PRINTED} | {
    chr(0x100 + i): b for i, b in enumerate(b for b in range(256) if b not in _PRINTED)
}
"""Bytes by the characters that stand for them in vocabularies of bytes (GPT-2 and many since)."""


def _byte_level(piece: str) -> bytes:
    return bytes(_BYTE_OF[character] for character in piece)


def _latin(piece: str) -> bytes:
    """A character is the byte of its number (ByT5)."""
    return piece.encode("latin-1")


_SPELLINGS: tuple[Callable[[str], bytes], ...] = (_byte_fallback, _byte_level, _latin)
