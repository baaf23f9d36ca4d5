"""Items for models too small for benchmarks, from documents that no run of the pre-training study was trained on.

Two choices, the text as it stands against a change of it (chance 1/2):
`swap`    two neighbouring words exchanged: the same words, so counts of words and lengths say nothing;
`word`    a word replaced by another of the same length and like frequency, in half of the items a more frequent one.

The next word among four of the same length and like frequency (chance 1/4), the right one equally often the most
frequent, second, third and least frequent:
`new`     none of the four stands in the context;
`recall`  the right one stands in the context and the others do not: whoever repeats is right, so this asks for
          copying from the context and not for a model of English.

Frequencies are those of the training documents. (`agreement`, from the tags of the Brown corpus, is in agreement.py.)
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from item import HasText, Item, arranged, draw, generator, words

LEAD_PAIR, LEAD_CLOZE = 24, 48  # words of context
TAIL = 4  # words after the change: they too get less likely
APART = 30  # words between the places of two items of a document and task
RAREST = 10  # occurrences in the training text: a word rarer than that is not asked for
ALIKE = 2.0  # frequencies differ by no more than this factor
PLAIN = re.compile(r"[a-z]{2,}")
PLAIN_BEFORE_MARK = re.compile(r"([a-z]{3,})[,.;:!?]*")


@dataclass(frozen=True)
class Lexicon:
    """Words of the training text by length, each with how often it occurs, sorted by that."""

    counts: Counter[str]
    by_length: dict[int, tuple[list[int], list[str]]]

    @classmethod
    def of(cls, counts: Counter[str]) -> Lexicon:
        """All plain words that are frequent enough."""
        kept = sorted((n, w) for w, n in counts.items() if n >= RAREST and PLAIN.fullmatch(w))
        lengths = {len(w) for _, w in kept}
        return cls(
            counts, {k: ([n for n, w in kept if len(w) == k], [w for _, w in kept if len(w) == k]) for k in lengths}
        )

    def alike(self, word: str, more: bool) -> list[str]:
        """Words as long as `word`, more (or less) frequent, by no more than the factor `ALIKE`."""
        numbers, names = self.by_length.get(len(word), ([], []))
        n = self.counts[word]
        if n < RAREST:
            return []
        if more:
            return names[bisect_right(numbers, n) : bisect_right(numbers, n * ALIKE)]
        return names[bisect_left(numbers, n / ALIKE) : bisect_left(numbers, n)]


@cache
def _spans(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(m.span() for m in re.finditer(r"\S+", text))


def _before(document: HasText, place: int, lead: int) -> str | None:
    """The `lead` words before a place; None where there are fewer, or where not just a space separates them from it."""
    spans = _spans(document.text)
    if place < lead or document.text[spans[place - 1][1] : spans[place][0]] != " ":
        return None
    return document.text[spans[place - lead][0] : spans[place - 1][1]]


def _after(document: HasText, place: int) -> str | None:
    """From the end of the word at `place` over `TAIL` more words, on the same line."""
    spans = _spans(document.text)
    if place + TAIL >= len(spans):
        return None
    tail = document.text[spans[place][1] : spans[place + TAIL][1]]
    return None if "\n" in tail else tail


def _word(document: HasText, place: int) -> str:
    start, end = _spans(document.text)[place]
    return document.text[start:end]


def swap(documents: Sequence[HasText], count: int) -> list[Item]:
    """Two neighbouring words as they stand, or exchanged."""

    def build(document: HasText, place: int, number: int) -> Item | None:
        if place + 1 >= len(_spans(document.text)):
            return None
        first, second = _word(document, place), _word(document, place + 1)
        context, tail = _before(document, place, LEAD_PAIR), _after(document, place + 1)
        together = document.text[_spans(document.text)[place][0] : _spans(document.text)[place + 1][1]]
        plain = PLAIN.fullmatch(first) and PLAIN.fullmatch(second) and together == f"{first} {second}"
        if not plain or first == second or context is None or tail is None:
            return None
        choices, gold = arranged(number, f"{first} {second}{tail}", [f"{second} {first}{tail}"])
        return Item(context, choices, gold, document.name)

    return draw(documents, count, "swap", APART, build)


def word(documents: Sequence[HasText], count: int, lexicon: Lexicon) -> list[Item]:
    """A word as it stands, or another in its place."""

    def build(document: HasText, place: int, number: int) -> Item | None:
        right = _word(document, place)
        if not PLAIN.fullmatch(right):
            return None
        context, tail = _before(document, place, LEAD_PAIR), _after(document, place)
        others = lexicon.alike(right, more=number % 2 == 0)
        if context is None or tail is None or not others:
            return None
        wrong = str(generator("word", document.name, place).choice(others))
        choices, gold = arranged(number, f"{right}{tail}", [f"{wrong}{tail}"])
        return Item(context, choices, gold, document.name)

    return draw(documents, count, "word", APART, build)


def cloze(documents: Sequence[HasText], count: int, lexicon: Lexicon, recall: bool) -> list[Item]:
    """The next word among four, one that stood before (`recall`) or one that did not."""
    seed = "recall" if recall else "new"

    def build(document: HasText, place: int, number: int) -> Item | None:
        matched = PLAIN_BEFORE_MARK.fullmatch(_word(document, place))
        context = _before(document, place, LEAD_CLOZE) if matched else None
        if matched is None or context is None:
            return None
        right, there = matched[1], words(context.lower())
        # Its repetition at once would be an idiom or an error; in any case copying of another kind.
        if (right in there) != recall or right in there[-2:]:
            return None
        random, rank, wrong = generator(seed, document.name, place), number % 4, []
        for more, wanted in ((True, rank), (False, 3 - rank)):
            others = [w for w in lexicon.alike(right, more) if w not in there]
            if len(others) < wanted:
                return None
            wrong += [others[i] for i in random.permutation(len(others))[:wanted]]
        choices, gold = arranged(number, right, [wrong[i] for i in random.permutation(3)])
        return Item(context, choices, gold, document.name)

    return draw(documents, count, seed, APART, build)
