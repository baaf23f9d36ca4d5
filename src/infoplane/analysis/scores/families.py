"""The family of a model, by what a table tells or by how its name begins."""

from __future__ import annotations

import polars as pl

from infoplane.analysis.scores.name_keys import ALIASES, NameIndex, key_of

_PREFIXES = {
    "llama 3.3": "Llama-3.3",
    "llama 3.2": "Llama-3.2",
    "llama 3.1": "Llama-3.1",
    "llama 3": "Llama-3",
    "llama 4": "Llama-4",
    "llama 2": "Llama-2",
    "qwen 3": "Qwen3",
    "qwen 2.5 coder": "Qwen2.5-Coder",
    "qwen 2.5 math": "Qwen2.5-Math",
    "qwen 2.5": "Qwen2.5",
    "qwen 2": "Qwen2",
    "qwen 1.5": "Qwen1.5",
    "gemma 3": "Gemma-3",
    "gemma 2": "Gemma-2",
    "pythia": "Pythia",
    "olmo 2": "OLMo-2",
    "olmoe": "OLMoE",
    "smollm 3": "SmolLM3",
    "smollm 2": "SmolLM2",
    "smollm": "SmolLM",
    "opt": "OPT",
    "bloom": "BLOOM",
    "gpt 2": "GPT-2",
    "mixtral": "Mixtral",
    "mistral": "Mistral",
    "phi": "Phi",
    "falcon 3": "Falcon3",
    "granite": "Granite",
    "yi 1.5": "Yi-1.5",
    "stablelm": "StableLM",
    "cerebras gpt": "Cerebras-GPT",
    "starcoder": "StarCoder",
    "gpt neo": "GPT-Neo/J/NeoX",
    "gpt j": "GPT-Neo/J/NeoX",
    "gpt neox": "GPT-Neo/J/NeoX",
    "mpt": "MPT",
}
"""Families by the words that a name begins with, for models of no table; `Gemma 2 2b` is of Gemma 2 but `Gemma 2b` is
not, so a number that is a size ends the search."""


def family_of(model: str, facts: pl.DataFrame | None = None) -> str | None:
    """The family of a model: as a table of facts tells it, else by how the name begins; None where neither knows.

    Args:
        model: hub id, file or name.
        facts: columns model and family; those of all published tables by default.
    """
    if facts is None:
        from infoplane.analysis.scores.published_tables import model_facts as published_facts

        facts = published_facts().table
    known = facts.drop_nulls("family")
    match = NameIndex.of(known["model"]).find(model)
    if not isinstance(match, str):
        return str(known.filter(pl.col("model") == match[0])["family"][0])
    words = key_of(ALIASES.get(model, model))
    for length in (3, 2, 1):
        family = _PREFIXES.get(" ".join(words[:length]))
        size_follows = len(words) > length and words[length] in ("b", "m") and words[length - 1][0].isdigit()
        if family is not None and not size_follows:
            return family
    return None
