"""How far a scorer without a model of language gets on a set of items: what it solves tests nothing more.

Each gives a number to every choice and takes the largest; among equals it draws, so that n of them count 1/n.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from item import Item, words

Scorer = Callable[[Item, str], float]


def accuracy(items: Sequence[Item], scorer: Scorer) -> float:
    """Share of items whose right choice scores the most."""
    total = 0.0
    for item in items:
        scores = [scorer(item, choice) for choice in item.choices]
        most = max(scores)
        best = [math.isclose(s, most, rel_tol=1e-9, abs_tol=1e-9) for s in scores]
        total += best[item.gold] / sum(best)
    return total / len(items)


def chance(items: Sequence[Item]) -> float:
    """Accuracy of a draw."""
    return sum(1 / len(item.choices) for item in items) / len(items)


def unigram(counts: Counter[str], per_character: bool = False) -> Scorer:
    """Log probability of the words of a choice, each with its frequency in the training text, one added to each count.

    With `per_character` divided by the length of the choice, as in `acc_norm`.
    """
    total = sum(counts.values()) + len(counts) + 1

    def score(_: Item, choice: str) -> float:
        found = sum(math.log((counts[word] + 1) / total) for word in words(choice))
        return found / max(1, len(choice)) if per_character else found

    return score


def longest(_: Item, choice: str) -> float:
    """Characters of the choice."""
    return len(choice)


def shortest(_: Item, choice: str) -> float:
    """The same, the other way."""
    return -len(choice)


def repeated(item: Item, choice: str) -> float:
    """Share of the words of the choice that stand in the context."""
    found, before = words(choice.lower()), set(words(item.context.lower()))
    return sum(word in before for word in found) / max(1, len(found))


def place(items: Sequence[Item]) -> float:
    """Accuracy of whoever always takes the one place that is right most often."""
    return max(Counter(item.gold for item in items).values()) / len(items)


def table(items: Sequence[Item], counts: Counter[str]) -> dict[str, float]:
    """Accuracy of every shortcut, and chance."""
    return {
        "chance": chance(items),
        "unigram": accuracy(items, unigram(counts)),
        "unigram per character": accuracy(items, unigram(counts, per_character=True)),
        "longest": accuracy(items, longest),
        "shortest": accuracy(items, shortest),
        "repeated": accuracy(items, repeated),
        "place": place(items),
    }
