"""Tiny models of many families, made from their configs, and a tokenizer for them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
import transformers as t

VOCABULARY = 257
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 128,
}  # fmt: skip
_GROUPED = {**_COMMON, "num_key_value_heads": 2, "head_dim": 8}

CONFIGS: dict[str, Any] = {
    "llama": lambda: t.LlamaConfig(**_GROUPED, tie_word_embeddings=True),
    "mistral": lambda: t.MistralConfig(**_GROUPED, tie_word_embeddings=False),
    "qwen2": lambda: t.Qwen2Config(**_GROUPED, tie_word_embeddings=True),
    "qwen3": lambda: t.Qwen3Config(**_GROUPED, tie_word_embeddings=False),
    "gemma2": lambda: t.Gemma2Config(**_GROUPED, final_logit_softcapping=5.0),
    "gemma3": lambda: t.Gemma3TextConfig(**_GROUPED),
    "olmo2": lambda: t.Olmo2Config(**_GROUPED),
    "gpt_neox": lambda: t.GPTNeoXConfig(**_COMMON),
    "gpt2": lambda: t.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=128),
    "phi": lambda: t.PhiConfig(**_COMMON),
    "falcon": lambda: t.FalconConfig(**_COMMON, alibi=False),
    "bloom": lambda: t.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=3, n_head=4),
    "opt": lambda: t.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, ffn_dim=48,
        max_position_embeddings=128, word_embed_proj_dim=32,
    ),
    "mamba": lambda: t.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, state_size=4),
    "rwkv": lambda: t.RwkvConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, attention_hidden_size=32, intermediate_size=48,
        context_length=128,
    ),
    "mixtral": lambda: t.MixtralConfig(**_GROUPED, num_local_experts=4, num_experts_per_tok=2),
    "falcon_h1": lambda: t.FalconH1Config(
        **_GROUPED, mamba_d_ssm=32,
        mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=1, mamba_d_state=8, mamba_chunk_size=8,
    ),
}  # fmt: skip


def tiny_model(family: str = "llama", seed: int = 0) -> Any:
    """A tiny causal model in float32, evaluation mode, with weights large enough to tell tokens apart."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = t.AutoModelForCausalLM.from_config(CONFIGS[family]())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2 and "A_log" not in name:
                    parameter.normal_(0, 0.3)
    return model.eval()


def save_tiny(place: Path) -> None:
    """The tiny model and its tokenizer, as a folder of a model."""
    tiny_model().save_pretrained(place)
    byte_tokenizer().save_pretrained(place)


def tiny_folder(factory: Any) -> Path:
    """A new folder with the tiny model, from pytest's factory of temporary ones."""
    place = factory.mktemp("models") / "tiny"
    save_tiny(place)
    return place


def byte_tokenizer(bos: bool = False) -> Any:
    """A fast tokenizer of single bytes, with one special token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|bos|>": 0, **{c: i + 1 for i, c in enumerate(alphabet)}}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    return t.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|bos|>")


def merging_tokenizer() -> Any:
    """A fast tokenizer whose tokens are longer: bytes, with every pair of small letters merged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [a + b for a, b in itertools.product("abcdefghijklmnopqrstuvwxyzĠ", repeat=2) if b != "Ġ"]
    vocabulary = {"<|bos|>": 0} | {c: i + 1 for i, c in enumerate([*alphabet, *pairs])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[(p[0], p[1]) for p in pairs]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|bos|>")
