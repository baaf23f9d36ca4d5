"""Preference pairs as windows: two a pair, the prompt read but not measured, the answers' tokens the positions.

A pair is one document of the windows, so it is the unit of every error bar, and both answers lie in one block. Of G
pairs, windows 0..G-1 are the chosen answers and G..2G-1 the rejected ones: which answer a state belongs to follows from
the windows alone, and so from their hash. Prompt and answer are cut into tokens together; a token that reaches back
into the prompt is the prompt's. Special tokens are no positions, nor is what a template adds after an answer.

The budget is one of answer tokens: it is spread over many pairs first and then deeper into all answers alike ("water
filling": the first L tokens of each). Prompts are read besides, twice each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError, TextError, check_whole
from infoplane.text import CONTEXT, MIN_DEPTH, TOKENS, Tokenizer, Windows, bytes_by_offsets, prefix_of, tokenizer_facts
from infoplane.text.pairs.chat_templates import PLAIN, Format, Written, formats, write
from infoplane.text.pairs.preference_pairs import Pair, Pairs

MIN_ANSWER = 8
"""Tokens of an answer that must fit behind its prompt, or all of a shorter one."""
Ints = npt.NDArray[np.int32]


def make_pair_windows(
    pairs: Pairs,
    tokenizer: Tokenizer,
    *,
    tokens: int = TOKENS,
    context: int = CONTEXT,
    seed: int = 0,
    chat_template: str = "auto",
    prompt_truncate: bool = False,
    add_bos: bool | None = None,
    include_special: bool = False,
) -> Windows:
    """Windows of preference pairs.

    Args:
        pairs: the pairs.
        tokenizer: a fast `transformers` tokenizer.
        tokens: budget of answer tokens, of both answers together.
        context: longest window; a pair whose prompt leaves no room for an answer is left out, longer answers are cut.
        seed: which pairs are read where the budget does not reach all.
        chat_template: `auto`, `yes` or `no`, see `infoplane.text.pairs.chat_templates.formats`.
        prompt_truncate: cut prompts longer than half the context, from the left, instead.
        add_bos: put the tokens that the tokenizer puts before a text at the head; a template brings its own. None does
            as the tokenizer does, True puts BOS before a template that has none.
        include_special: special tokens that stand in an answer are positions too.

    Raises:
        TextError: a template that rewrites a pair, or no pair that fits the context.
        SettingError: a number outside its range, no chat template where one is wanted, or a slow tokenizer.
    """
    for name, value, least in (
        ("tokens", tokens, 2 * MIN_ANSWER),
        ("context", context, 2 * MIN_ANSWER),
        ("seed", seed, 0),
    ):
        check_whole(name, value, least)
    if not getattr(tokenizer, "is_fast", False):
        raise SettingError(
            f"{type(tokenizer).__name__} does not say which characters a token covers, so the end of a prompt cannot "
            "be found: preferences need a fast tokenizer"
        )
    standard = sum(p.standard for p in pairs.pairs)
    of_chat, of_standard = formats(tokenizer, chat_template)
    cut = _Cut(tokenizer, context, prompt_truncate, add_bos, include_special)
    read: list[tuple[int, tuple[_Answer, _Answer]]] = []
    for i in np.random.Generator(np.random.PCG64(seed)).permutation(len(pairs)):
        pair = pairs.pairs[int(i)]
        if (answers := cut.pair(pair, of_standard if pair.standard else of_chat)) is not None:
            read.append((int(i), answers))
        if len(read) == max(1, tokens // (2 * MIN_DEPTH)):
            break
    if not read:
        raise TextError(
            f"none of the {len(pairs)} preference pairs leaves room for an answer in {context} tokens ({cut.full} "
            "prompts fill it): give a longer context, or prompt_truncate to cut prompts from the left",
            settings=("context", "prompt_truncate"),
        )
    read.sort(key=lambda one: one[0])  # pairs and names follow the source, not the draw
    sizes = np.array([[len(a.positions) for a in answers] for _, answers in read])
    level = _level(sizes, tokens)
    both_sides: list[tuple[int, _Answer]] = []
    for side in (0, 1):
        of_side = [(k, answers[side].to(level)) for k, (_, answers) in enumerate(read)]
        both_sides += sorted(of_side, key=lambda one: (-len(one[1].ids), one[0]))  # longest first: little padding
    lengths = np.array([len(a.ids) for _, a in both_sides])
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    is_position = np.zeros(int(starts[-1]), bool)
    is_text = np.ones(int(starts[-1]), bool)
    for start, (_, a) in zip(starts[:-1], both_sides, strict=True):
        is_position[start + a.positions] = True
        is_text[start : start + a.inserted] = False
    facts: PairFacts = {
        "pairs": len(read),
        "not_reached": len(pairs) - len(read) - cut.full - cut.bare,
        "context_full": cut.full,
        "no_tokens": cut.bare,
        "prompts_truncated": cut.truncated,
        "answers_cut_by_context": cut.cut,
        "answers_cut_by_budget": int(np.count_nonzero(sizes > level)),
        "answer_tokens": int(is_position.sum()),
        "chat_template": chat_template,
        "prompt_truncate": prompt_truncate,
        "format": of_chat.name if standard < len(pairs) else None,
        "format_of_standard": of_standard.name if standard else None,
    }
    return Windows(
        tokens=np.concatenate([a.ids for _, a in both_sides]).astype(np.int32),
        starts=starts,
        document=np.array([k for k, _ in both_sides], dtype=np.int32),
        is_text=is_text,
        is_position=is_position,
        byte_count=np.array([a.bytes_paid() for _, a in both_sides], dtype=np.int64),
        documents=tuple(pairs.pairs[i].name for i, _ in read),
        provenance={
            "text": dict(pairs.provenance),
            "tokenizer": tokenizer_facts(tokenizer),
            "context": context,
            "token_budget": tokens,
            "tokens": int(np.count_nonzero(is_text)),
            "seed": seed,
            "bos": cut.inserted,
            "include_special": include_special,
            "include_first": False,
            "documents": len(read),
            "pairs": facts,
            "warnings": _warnings(facts),
        },
    )


class PairFacts(TypedDict):
    """What became of the pairs; all but the last four are counts."""

    pairs: int
    not_reached: int
    context_full: int
    no_tokens: int
    prompts_truncated: int
    answers_cut_by_context: int
    answers_cut_by_budget: int
    answer_tokens: int
    chat_template: str
    prompt_truncate: bool
    format: str | None
    format_of_standard: str | None


def _warnings(facts: PairFacts) -> list[str]:
    warnings = []
    if facts["format"] == "plain":
        warnings.append(f"no chat template was used: conversations are written as {PLAIN}")
    if facts["context_full"]:
        warnings.append(
            f"{facts['context_full']} pairs are left out: their prompts fill the context; a longer --context, or "
            "--prompt-truncate, keeps them"
        )
    if facts["no_tokens"]:
        warnings.append(f"{facts['no_tokens']} pairs are left out: an answer has no token to measure")
    if facts["prompts_truncated"]:
        warnings.append(f"{facts['prompts_truncated']} prompts were cut from the left, to half of the context")
    return warnings


def _level(sizes: npt.NDArray[np.int64], tokens: int) -> int:
    """The largest L for which the first L tokens of every answer are within the budget."""
    low, high = 1, int(sizes.max())
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if np.minimum(sizes, level).sum() <= tokens else (low, level - 1)
    return low


@dataclass(frozen=True, eq=False)
class _Answer:
    """One window in the making: ids, which of them are positions, and the UTF-8 bytes of each, 0 of an inserted BOS."""

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    inserted: int

    def to(self, level: int) -> _Answer:
        """Up to the answer's first `level` positions."""
        positions = self.positions[:level]
        last = int(positions[-1]) + 1
        return _Answer(self.ids[:last], positions, self.sizes[:last], self.inserted)

    def within(self, context: int) -> _Answer:
        """Up to `context` tokens."""
        fits = self.positions[self.positions < context]
        return self if len(fits) == len(self.positions) else self.to(len(fits))

    def shortened(self, tokens: int) -> _Answer:
        """Without the first tokens after an inserted BOS."""
        keep = np.r_[0 : self.inserted, self.inserted + tokens : len(self.ids)]
        return _Answer(self.ids[keep], self.positions - tokens, self.sizes[keep], self.inserted)

    def bytes_paid(self) -> int:
        """Bytes of the tokens that have one before them."""
        return int(self.sizes[1:].sum())


class _Cut:
    """Cuts written pairs into tokens, and counts what did not fit."""

    def __init__(
        self, tokenizer: Tokenizer, context: int, truncate: bool, add_bos: bool | None, include_special: bool
    ) -> None:
        self.tokenizer, self.context, self.truncate, self.add_bos = tokenizer, context, truncate, add_bos
        self.prefix = prefix_of(tokenizer, add_bos)
        self.special = np.array([] if include_special else sorted(set(tokenizer.all_special_ids)), dtype=np.int64)
        self.full = self.bare = self.truncated = self.cut = 0
        self.inserted: list[int] = []

    def pair(self, pair: Pair, format: Format) -> tuple[_Answer, _Answer] | None:
        """The windows of both answers, None where one has no token to measure or its prompt no room for it."""
        chosen, rejected = (self._tokens(write(pair, a, format), format) for a in (pair.chosen, pair.rejected))
        if not (len(chosen.positions) and len(rejected.positions)):
            self.bare += 1
            return None
        most = self.context // 2
        surplus = max(int(a.positions[0]) - most for a in (chosen, rejected))
        if self.truncate and surplus > 0:
            chosen, rejected = chosen.shortened(surplus), rejected.shortened(surplus)
            self.truncated += 1
        fits = [int(a.positions[min(MIN_ANSWER, len(a.positions)) - 1]) < self.context for a in (chosen, rejected)]
        if not all(fits):
            self.full += 1
            return None
        within = chosen.within(self.context), rejected.within(self.context)
        self.cut += sum(a is not b for a, b in zip(within, (chosen, rejected), strict=True))
        return within

    def _tokens(self, written: Written, format: Format) -> _Answer:
        out = self.tokenizer(
            written.text,
            add_special_tokens=False,
            return_attention_mask=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        ids = np.array(out["input_ids"], dtype=np.int64)
        offsets = np.array(out["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        prefix = self.prefix
        if format.name == "template" and (self.add_bos is not True or ids[:1] == prefix[:1]):
            prefix = prefix[:0]  # a template brings its own
        self.inserted = [int(i) for i in prefix]
        inside = np.zeros(len(ids), bool)
        for first, last in written.answers:
            inside |= (offsets[:, 0] >= first) & (offsets[:, 1] <= last) & (offsets[:, 1] > offsets[:, 0])
        inside &= ~np.isin(ids, self.special)
        positions = np.flatnonzero(inside) + len(prefix)
        sizes = np.diff(bytes_by_offsets(written.text, ids, offsets, self.tokenizer))
        return _Answer(
            np.concatenate((prefix, ids)),
            positions[positions > 0],  # the first token of a window is a sink
            np.concatenate((np.zeros(len(prefix), np.int64), sizes)),
            len(prefix),
        )


# ---------------------------------------------------------------------- what the windows say of each row
