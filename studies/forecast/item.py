"""One multiple-choice item, how items are drawn from documents, and which of them repeat the text trained on."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
OVERLAP = 8  # words in a row that also stand in the training text: such an item is dropped


class HasText(Protocol):
    """A document: what `corpus.read_documents` of the pre-training study gives."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def text(self) -> str:
        """Its text."""


@dataclass(frozen=True)
class Item:
    """A context and its continuations, of which one is right; a model is right if it finds that one the likeliest.

    Attributes:
        context: text before the choices, without a space at its end.
        choices: continuations; a single space stands between the context and each.
        gold: index of the right one.
        document: where the item is from.
    """

    context: str
    choices: tuple[str, ...]
    gold: int
    document: str

    @property
    def passage(self) -> str:
        """The context with the right continuation."""
        return f"{self.context} {self.choices[self.gold]}"


def words(text: str) -> list[str]:
    """The words of a text as they stand, without marks and digits."""
    return WORD.findall(text)


def count_words(documents: Iterable[HasText]) -> Counter[str]:
    """How often each word occurs, capitals told apart."""
    return Counter(word for document in documents for word in words(document.text))


def generator(*names: object) -> np.random.Generator:
    """Random numbers that hang on the names alone."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "big")))


def arranged(number: int, right: str, wrong: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Choices with the right one in a place that goes round as `number` counts up.

    Builders let another property of the right choice, its rank in frequency, go round with `number % k`. The place goes
    round with `number // k`, so that neither tells the other.

    >>> [arranged(n, "a", ["b"])[1] for n in range(4)]
    [0, 0, 1, 1]
    """
    k = len(wrong) + 1
    gold = number // k % k
    return (*wrong[:gold], right, *wrong[gold:]), gold


def draw(
    documents: Sequence[HasText], count: int, seed: str, apart: int, build: Callable[[HasText, int, int], Item | None]
) -> list[Item]:
    """Up to `count` items, one after another from each document, so that no document has many more than others.

    Args:
        documents: to draw from.
        count: of items wanted; fewer come back where the text has not more.
        seed: name on which all that is random hangs.
        apart: words between the places of two items of one document.
        build: `build(document, place, number)` makes the item at the `place`-th run of non-spaces, the `number`-th one
            in all, or None where there is none to be made.
    """
    order = generator(seed, "documents").permutation(len(documents))
    sources = [_places(documents[d], seed, apart) for d in order]
    found: list[Item] = []
    while sources and len(found) < count:
        left = []
        for source in sources:
            for document, place, taken in source:
                item = build(document, place, len(found))
                if item is not None:
                    taken.append(place)
                    found.append(item)
                    left.append(source)
                    break
            if len(found) == count:
                break
        sources = left
    return found


def _places(document: HasText, seed: str, apart: int) -> Iterator[tuple[HasText, int, list[int]]]:
    """Places of a document in random order, at a distance from those taken."""
    taken: list[int] = []
    for place in generator(seed, document.name).permutation(len(document.text.split())):
        if all(abs(int(place) - other) >= apart for other in taken):
            yield document, int(place), taken


class Seen:
    """The runs of `OVERLAP` words in the training text, in lower case."""

    def __init__(self, documents: Iterable[HasText]) -> None:
        self._runs = {run for d in documents for run in _runs(d.text)}

    def __contains__(self, item: Item) -> bool:
        return not self._runs.isdisjoint(_runs(item.passage))


def _runs(text: str) -> Iterator[int]:
    # Hashes instead of words: two million tuples of words would not fit. They hold within one process.
    found = words(text.lower())
    for start in range(len(found) - OVERLAP + 1):
        yield hash(tuple(found[start : start + OVERLAP]))
