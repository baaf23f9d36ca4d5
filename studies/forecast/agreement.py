"""`agreement`: the verb that agrees with its subject against the one that does not, in held-out samples of Brown.

The corpus is tagged by hand, so that subject and verb need no guess. An item is made where a clause may begin (a
sentence, after a mark, or after a conjunction such as `that` or `because`; not after `if` and its like, which stand
with subjunctives) with a noun phrase, then perhaps `of` or another preposition with a second noun phrase, and then at
once `is`, `are`, `was`, `were`, `has`, `have`, `does` or `do`, whose number is that of the first phrase's noun. (Of a
list, "the dog and the cats were", that is the last noun, and the singular is wrong there too.) Singular and plural are
equally many for each pair of verbs, so that the more frequent verb is right in half of the items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from item import HasText, Item, arranged, generator, words

PAIRS = (("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"))
_OTHER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
_SINGULAR = {pair[0] for pair in PAIRS}
# Brown's tags: articles, determiners, possessives, numbers, adjectives and participles before a noun.
_BEFORE = {"at", "dt", "dti", "dts", "pp$", "ap", "cd", "od", "jj", "jjr", "jjt", "jjs", "vbn", "vbg", "np$", "nn$"}
_NUMBER = {"nn": True, "nns": False}
_SUBJUNCTIVE = {"if", "though", "unless", "lest", "whether", "as", "than"}
_OPENERS = {"cs", "cc", ",", ".", ":", "(", "``"}
_LEAD, _TAIL = 16, 3  # words before the clause and after the verb


def agreement(
    documents: Sequence[HasText], tagged: Mapping[str, str], plain: Callable[[str], str], count: int
) -> list[Item]:
    """Items of the documents whose tagged text is given.

    Args:
        documents: with `text` as the models read it.
        tagged: the same documents as `word/tag` pairs, by name.
        plain: makes text of pairs, as it was made for `documents`.
        count: of items at most.
    """
    found: dict[str, list[tuple[str, str, str, str]]] = {verb: [] for verb in _OTHER}
    for document in documents:
        for before, verb, after in _clauses(document, tagged.get(document.name, ""), plain):
            found[verb].append((before, verb, after, document.name))
    kept: list[tuple[str, str, str, str]] = []
    for one, many in PAIRS:
        fewer = min(len(found[one]), len(found[many]))
        for verb in (one, many):
            order = generator("agreement", verb).permutation(len(found[verb]))
            kept += [found[verb][i] for i in order[:fewer]]
    items = []
    # Singular and plural by turns, so that a cut keeps the balance.
    turns = _by_turns(kept)[:count]
    for number, (before, verb, after, name) in enumerate(turns[: len(turns) // 2 * 2]):
        choices, gold = arranged(number, f"{verb}{after}", [f"{_OTHER[verb]}{after}"])
        items.append(Item(before, choices, gold, name))
    return items


def _by_turns(kept: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """Pairs of a singular and a plural of one verb, the pairs in random order."""
    pairs = []
    for one, many in PAIRS:
        pairs += list(zip([k for k in kept if k[1] == one], [k for k in kept if k[1] == many], strict=True))
    return [item for p in generator("agreement").permutation(len(pairs)) for item in pairs[p]]


def _clauses(document: HasText, tagged: str, plain: Callable[[str], str]) -> Iterator[tuple[str, str, str]]:
    """Text before a verb, the verb, and text after it."""
    for sentence in tagged.splitlines():
        pairs = [p.rsplit("/", 1) for p in sentence.split() if "/" in p]
        text = [w for w, _ in pairs]
        tags = [t.lower().split("-")[0] for _, t in pairs]
        for at in _verbs(text, tags):
            before = plain(" ".join(map("/".join, pairs[:at])))
            start = document.text.find(f"{before} {text[at]} ")
            if not before or start < 0 or document.text.find(f"{before} {text[at]} ", start + 1) >= 0:
                continue  # made text otherwise, or it stands there twice
            verb = start + len(before) + 1
            lead = re.search(rf"(?:\S+\s+){{0,{_LEAD}}}$", document.text[:start])
            tail = re.match(rf"(?:[^\S\n]+\S+){{{_TAIL}}}", document.text[verb + len(text[at]) :])
            if tail and lead and len(words(before)) >= 2:
                yield lead[0] + before, text[at], tail[0]


def _verbs(text: Sequence[str], tags: Sequence[str]) -> Iterator[int]:
    """Places of verbs whose subject is a noun phrase at the beginning of a clause."""
    for begin in range(len(text)):
        opens = begin == 0 or (tags[begin - 1] in _OPENERS and text[begin - 1].lower() not in _SUBJUNCTIVE)
        at, singular = _phrase(tags, begin) if opens else (begin, None)
        if singular is not None and at < len(tags) and tags[at] == "in":
            at, second = _phrase(tags, at + 1)
            if second is None:
                continue
        if singular is not None and at < len(text) and text[at] in _OTHER and (text[at] in _SINGULAR) == singular:
            yield at


def _phrase(tags: Sequence[str], begin: int) -> tuple[int, bool | None]:
    """Where a noun phrase ends, and whether its noun is a singular (None where there is no phrase)."""
    at = begin
    while at < len(tags) and tags[at] in _BEFORE:
        at += 1
    number = None
    while at < len(tags) and tags[at] in _NUMBER:  # of several nouns the last is the head
        number = _NUMBER[tags[at]]
        at += 1
    return at, number
