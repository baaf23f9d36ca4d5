"""Text to windows: which documents are read, how deep, and which tokens are positions.

A budget of tokens is spread over many documents first and then deeper into each ("water filling": every
document gives its first L tokens, L as large as the budget allows), because documents are the unit of every
error bar. Where even 64 tokens a document are more than the budget, the seed chooses which documents are read: one for
each 64 tokens, and more where they are too short to fill it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError, TextError, check_whole
from infoplane.text.documents import Text
from infoplane.text.text_settings import CONTEXT, MIN_WINDOW, TOKENS
from infoplane.text.token_bytes import bytes_by_decoding, bytes_by_offsets, whole_characters
from infoplane.text.tokenizer_protocol import Tokenizer
from infoplane.text.windows import Windows

MIN_DEPTH = 64
"""Tokens that are worth reading of a document before one document fewer is read."""
_CHARACTERS_PER_TOKEN = 16  # far more than any tokenizer reaches on prose: only the surplus is cut off


def make_windows(
    text: Text,
    tokenizer: Tokenizer,
    *,
    tokens: int = TOKENS,
    context: int = CONTEXT,
    seed: int = 0,
    add_bos: bool | None = None,
    include_special: bool = False,
    include_first: bool = False,
    min_window: int = MIN_WINDOW,
) -> Windows:
    """Cut documents into windows of at most `context` tokens.

    Args:
        text: the documents.
        tokenizer: a `transformers` tokenizer.
        tokens: token budget, without inserted BOS; less is used if the text ends before, never more.
        context: tokens of the longest window, an inserted BOS included.
        seed: selects the documents that are read where the budget is too small for all.
        add_bos: whether every window begins with what the tokenizer puts before a text, or else with its BOS token. By
            default it begins with what the tokenizer puts there, which may be nothing.
        include_special: whether special tokens in the text are measured positions too.
        include_first: whether the first token of a window is a measured position too: the BOS if there is one. After a
            BOS, the first token of the text is one anyway.
        min_window: shorter pieces are left out, because their states have hardly any context.

    Raises:
        TextError: no document is as long as the shortest window, or no position is left to measure.
        SettingError: a number out of range, or `add_bos` with a tokenizer that has no BOS.
    """
    prefix = prefix_of(tokenizer, add_bos)
    least = min_window + len(prefix)
    for name, value, smallest in (("tokens", tokens, min_window), ("context", context, least), ("seed", seed, 0)):
        check_whole(name, value, smallest)
    drawn = [int(i) for i in np.random.Generator(np.random.PCG64(seed)).permutation(len(text))]
    read, encoded = list[str](), list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]()
    chosen, held, longest = list[int](), 0, 0
    # in the order in which spare tokens are dealt
    for looked_at, (i, document, pair) in enumerate(_encoded(text, drawn, tokens, tokenizer)):
        if looked_at >= max(1, tokens // MIN_DEPTH) and held >= tokens:
            break
        longest = max(longest, len(pair[0]))
        if len(pair[0]) >= min_window:  # shorter ones make no window, and get nothing of the budget
            chosen.append(i)
            read.append(document)
            encoded.append(pair)
            held += len(pair[0])
    sizes = np.array([len(ids) for ids, _ in encoded], dtype=np.int64)
    depths = water_level(sizes, tokens, min_window)
    order = np.argsort(chosen, kind="stable")  # windows and names follow the text, not the draw

    cuts = _cuts(depths, order.tolist(), context - len(prefix), min_window)
    pieces = [piece for of_document in cuts for piece in of_document]
    names = [text.documents[chosen[of_document[0][0]]].name for of_document in cuts]
    if not pieces:
        raise TextError(
            f"the text is shorter than one window: its longest document has {longest} tokens, and a window "
            f"needs {min_window}; give longer documents"
        )
    number = {k: i for i, k in enumerate(dict.fromkeys(k for k, _, _ in pieces))}
    pieces.sort(key=lambda piece: (piece[1] - piece[2], number[piece[0]], piece[1]))  # longest first: little padding

    special = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)
    ids = [np.concatenate((prefix, encoded[k][0][a:b])) for k, a, b in pieces]
    lengths = np.array([len(part) for part in ids])
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    flat = np.concatenate(ids).astype(np.int32)
    offset = np.arange(len(flat)) - np.repeat(starts[:-1], lengths)
    is_text = offset >= len(prefix)
    is_position = _positions(flat, offset, is_text, special, include_special, include_first)
    before = [before for _, before in encoded if before is not None]
    counted = len(before) == len(encoded)
    located = bool(getattr(tokenizer, "is_fast", False)) and counted
    bytes_of, ends = _text(pieces, read, before, len(prefix)) if located else (None, None)
    return Windows(
        tokens=flat,
        starts=starts,
        document=np.array([number[k] for k, _, _ in pieces], dtype=np.int32),
        is_text=is_text,
        is_position=is_position,
        byte_count=np.array(
            [before[k][b] - before[k][a if len(prefix) else a + 1] if counted else 0 for k, a, b in pieces],
            dtype=np.int64,
        ),
        documents=tuple(names),
        provenance={
            "text": dict(text.provenance),
            "tokenizer": tokenizer_facts(tokenizer),
            "context": context,
            "token_budget": tokens,
            "tokens": int(np.count_nonzero(is_text)),
            "ended": held < tokens,
            "seed": seed,
            "bos": [int(i) for i in prefix],
            "include_special": include_special,
            "include_first": include_first,
            "min_window": min_window,
            "documents": len(names),
        },
        text=bytes_of,
        ends=ends,
    )


def _positions(
    tokens: npt.NDArray[np.int32],
    offset: npt.NDArray[np.int64],
    is_text: npt.NDArray[np.bool_],
    special: npt.NDArray[np.int64],
    include_special: bool,
    include_first: bool,
) -> npt.NDArray[np.bool_]:
    """Which tokens of the windows are measured.

    Raises:
        TextError: none.
    """
    is_position = is_text if include_special else is_text & ~np.isin(tokens, special)
    is_position = is_position | (offset == 0) if include_first else is_position & (offset > 0)
    if not is_position.any():
        raise TextError("no position is left to measure: the windows hold special tokens only")
    return is_position


def _cuts(
    depths: npt.NDArray[np.int64], order: Sequence[int], step: int, min_window: int
) -> list[list[tuple[int, int, int]]]:
    """Of each document that has any, in that order, the pieces: document, first token, last token + 1."""
    cuts = []
    for k in order:
        ends = [(a, min(a + step, depths[k])) for a in range(0, int(depths[k]), step)]
        pieces = [(int(k), a, int(b)) for a, b in ends if b - a >= min_window]
        if pieces:
            cuts.append(pieces)
    return cuts


def _encoded(
    text: Text, drawn: Sequence[int], tokens: int, tokenizer: Tokenizer
) -> Iterator[tuple[int, str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]]:
    """(number, text, tokens and bytes) of documents in that order; many at a time, since they may be very short."""
    most, many = _CHARACTERS_PER_TOKEN * tokens + 4096, bool(getattr(tokenizer, "is_fast", False))
    first, count = 0, 1
    while first < len(drawn):
        some = drawn[first : first + count]
        read = [text.documents[i].text[:most] for i in some]
        pairs = (
            _encode_many(read, tokenizer) if many and count > 1 else [_encode(document, tokenizer) for document in read]
        )
        yield from zip(some, read, pairs, strict=True)
        first += count
        shortest = max(1, sum(map(len, read)) // len(read))  # about as many characters as the budget of tokens, at most
        count = max(1, min(2 * count, 1024, tokens // shortest))


def _text(
    pieces: list[tuple[int, int, int]], read: list[str], before: list[npt.NDArray[np.int64]], prefix: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The text of windows in bytes, and the bytes of it up to the end of each token.

    Characters are whole here, since labels of the text are made of them: one belongs to the token that begins it.
    """
    raw = {k: np.frombuffer(read[k].encode("utf-8", "surrogatepass"), np.uint8) for k in {k for k, _, _ in pieces}}
    whole = {k: whole_characters(raw[k], before[k]) for k in raw}
    parts, ends, held = [], [], 0
    for k, a, b in pieces:
        first, last = int(whole[k][a]), int(whole[k][b])
        parts.append(raw[k][first:last])
        ends.append(held + np.concatenate((np.zeros(prefix, np.int64), whole[k][a + 1 : b + 1] - first)))
        held += last - first
    return np.concatenate(parts), np.concatenate(ends)


def tokenizer_facts(tokenizer: Tokenizer) -> dict[str, str]:
    """What the provenance of windows says of their tokenizer."""
    return {
        "name": str(getattr(tokenizer, "name_or_path", "")),
        "class": type(tokenizer).__name__,
        "hash": tokenizer_hash(tokenizer),
    }


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 of what decides the tokens: the serialised fast tokenizer, or the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()


def fitting_context(context: int, limit: int | None, least: int = MIN_WINDOW) -> int:
    """The longest window that is asked for, or that the model has positions for.

    Raises:
        SettingError: the model has positions for fewer tokens than a window needs.
    """
    if limit is not None and limit < least <= context:
        raise SettingError(
            f"the model has positions for {limit} tokens (its config's max_position_embeddings), and a window needs "
            f"{least}: its config is broken, or it cannot be measured"
        )
    return min(context, limit or context)


_SAMPLES = ("a", "1", ".", "e", "\u00e9", "\u4e2d", "\u0430", "\u0627", "\u0939", "\u3042", "\uac00")
"""Texts of one character: a vocabulary may lack any of them."""


def prefix_of(tokenizer: Tokenizer, add_bos: bool | None) -> npt.NDArray[np.int64]:
    """What the tokenizer puts before a text; an EOS that it puts after is left out everywhere."""
    prefix: list[int] = []
    for sample in _SAMPLES:
        if bare := list(tokenizer(sample, add_special_tokens=False)["input_ids"]):
            full = list(tokenizer(sample)["input_ids"])
            start = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
            prefix = full[:start]
            break
    if add_bos is False:
        prefix = []
    elif add_bos and not prefix:
        if tokenizer.bos_token_id is None:
            raise SettingError(
                "the tokenizer has no BOS token to put before a window; leave add_bos out", settings=("add_bos",)
            )
        prefix = [tokenizer.bos_token_id]
    return np.array(prefix, dtype=np.int64)


def _encode(text: str, tokenizer: Tokenizer) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
    """Token ids (n,), and for every boundary of tokens the UTF-8 bytes before it (n + 1,), where they are known."""
    fast = bool(getattr(tokenizer, "is_fast", False))
    out = tokenizer(
        text, add_special_tokens=False, return_attention_mask=False, return_offsets_mapping=fast, verbose=False
    )
    if fast:
        return _located(text, out["input_ids"], out["offset_mapping"], tokenizer)
    ids = np.array(out["input_ids"], dtype=np.int64)
    return ids, bytes_by_decoding(text, ids, tokenizer)


def _encode_many(
    texts: list[str], tokenizer: Tokenizer
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
    """The same for several texts at once, by a fast tokenizer."""
    out = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, return_offsets_mapping=True, verbose=False
    )
    return [
        _located(text, ids, offsets, tokenizer)
        for text, ids, offsets in zip(texts, out["input_ids"], out["offset_mapping"], strict=True)
    ]


def _located(
    text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], tokenizer: Tokenizer
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    tokens = np.array(ids, dtype=np.int64)
    return tokens, bytes_by_offsets(text, tokens, np.array(offsets, dtype=np.int64).reshape(-1, 2), tokenizer)


def water_level(sizes: npt.NDArray[np.int64], tokens: int, min_window: int) -> npt.NDArray[np.int64]:
    """How much to read of each document: min(size, level), the level as high as the budget allows."""
    if sizes.sum() <= tokens:
        return sizes
    low, high = 0, int(sizes.max())
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if np.minimum(sizes, level).sum() <= tokens else (low, level - 1)
    depths = np.minimum(sizes, max(low, min_window))
    spare = tokens - int(depths.sum())
    if spare > 0:
        depths[np.flatnonzero(sizes > low)[:spare]] += 1
    # a floor of one window may be more than the budget: documents are dropped from the end
    depths[np.cumsum(depths) > tokens] = 0
    return depths
