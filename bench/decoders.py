"""Every decoder class that transformers registers, made tiny: python bench/decoders.py [KIND ...] [--json FILE].

Of each kind a model is made from its config, with random weights, and measured as any other. It holds if

- every entry of `hidden_states` that the model lists is what a layer read, in the same order, and the last hidden state
  is the last layer;
- assignments do not hang on how windows are batched;
- the next-token loss is that of the model's own logits.

Or it is refused, with a reason that is listed here. Prints a line a kind; exit status 1 where one neither holds nor is
refused as listed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

import numpy as np
import torch
import transformers as t
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

VOCABULARY, WIDTH, BLOCKS = 257, 32, 3
SECONDS = 120
SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "text_vocab_size"), VOCABULARY),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "n_embed", "word_embed_proj_dim"),
        WIDTH,
    ),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers", "num_blocks",
         "num_decoder_layers", "num_encoder_layers", "depth"), BLOCKS
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads",
         "num_decoder_attention_heads", "num_encoder_attention_heads"), 4
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_dim", "v_head_dim", "qk_rope_head_dim",
         "qk_nope_head_dim"), 8),
    "qk_head_dim": 16, **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "decoder_ffn_dim", "encoder_ffn_dim", "ffn_hidden_size",
         "feed_forward_size", "d_inner", "dff"), 48
    ),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 16),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_top_k"), 2),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length", "max_sequence_length",
         "max_target_positions", "max_source_positions"), 128
    ),
    **dict.fromkeys(("state_size", "mamba_d_state"), 4), "sliding_window": 16, "image_size": 32, "patch_size": 16,
    "n_group": 1, "topk_group": 1, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
_MLA = {"num_key_value_heads": 4}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16}
_ROTARY = {"rotary_dim": 4}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots3_note_text", "glm4_moe_lite",
         "glm_moe_dsa", "longcat_flash", "minicpm3", "sarvam_mla", "youtu"), _MLA,
    ),
    **dict.fromkeys(("bamba", "granitemoehybrid"), _MAMBA),
    **dict.fromkeys(("codegen", "gptj"), _ROTARY),
    "bailing_hybrid": {"num_expert_group": 1, "topk_group": 1, "num_experts_per_token": 2},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]]},
    "kimi_linear": {"num_experts_per_token": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "mamba2": {"num_heads": 8},
    "moshi": {"audio_vocab_size": VOCABULARY},
    "reformer": {"is_decoder": True},
    "zamba": {"num_hidden_layers": 6, "attn_layer_period": 3, "attn_layer_offset": 1},
    "zamba2": {"layers_block_type": ["mamba", "hybrid", "hybrid"]},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
"""What a kind needs besides, to be made tiny."""
_NOT_CAUSAL = "is not causal: a later token changes an earlier state"
REFUSED: dict[str, str] = {
    # encoders that have a head of a causal model, for configs with is_decoder
    **dict.fromkeys(
        ("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
         "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm", "xlm-roberta", "xlm-roberta-xl"),
        _NOT_CAUSAL,
    ),
    "cpmant": _NOT_CAUSAL,  # its prompt is seen by all tokens, and they by it
    "xlnet": _NOT_CAUSAL,
    "gemma4_unified_assistant": "no part of it can be run alone",  # it drafts from the states of another model
    "hrm_text": "no list of blocks was found",  # two stacks that take turns
    "prophetnet": "expected (2, 8, width)",  # its streams are further positions
    "xmod": "Input language unknown",
}  # fmt: skip
"""Kinds that are refused, and a part of the reason that the refusal gives."""
UNMADE: dict[str, str] = {
    "blt": "tables of hashes of a fixed width", "cohere_compass_text": "full_attention", "dbrx": "rope_theta",
    "dots3_note": "num_key_value_heads", "fuyu": "270 million weights of its picture patches", "gemma3n": "PIL",
    "gemma4_assistant": "hidden_size_per_layer_input", "musicgen": "'dropout'", "musicgen_melody": "'dropout'",
    "reformer": "axial_pos_embds",
}  # fmt: skip
NOT_TRIED = ("blt", "fuyu")
"""Kinds that cannot be made tiny from a config, and why."""


def tiny_config(kind: str) -> Any:
    """A config of that kind with the sizes above, those of its parts included."""
    return _config(CONFIG_MAPPING[kind], OWN.get(kind, {}))


def _config(cls: Any, own: dict[str, Any]) -> Any:
    default = cls()
    names = set(default.to_dict())
    given: dict[str, Any] = {}
    for name, value in SIZES.items():
        if name in names and name not in getattr(cls, "attribute_map", {}):
            given[name] = value
    for name, part in (getattr(cls, "sub_configs", None) or {}).items():
        if name in names and part is not t.AutoConfig and default.to_dict()[name] is not None:
            given[name] = _config(part, own.pop(name, {}) if isinstance(own.get(name), dict) else {}).to_dict()
    return cls(**{**given, **own})


def tiny_of(kind: str) -> Any:
    """A tiny model of that kind in float32, with weights large enough to tell tokens apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = t.AutoModelForCausalLM.from_config(tiny_config(kind)).float()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim >= 2 and "A_log" not in name:
                    parameter.normal_(0, 0.3)
    return model.eval()


@dataclass(frozen=True)
class Outcome:
    """What came of one kind.

    Attributes:
        kind: model type.
        what: `holds`, `refused`, `unmade` or `fails`.
        why: the reason, or what of it holds.
    """

    kind: str
    what: str
    why: str

    @property
    def expected(self) -> bool:
        """Whether it is what is listed."""
        if self.what == "holds":
            return self.kind not in (*REFUSED, *UNMADE)
        told = {"refused": REFUSED, "unmade": UNMADE}.get(self.what, {}).get(self.kind)
        return told is not None and told in self.why


def outcome(kind: str) -> Outcome:
    """Make a model of one kind and look."""
    from infoplane.errors import ModelError

    if kind in NOT_TRIED:
        return Outcome(kind, "unmade", UNMADE[kind])
    try:
        with _at_most(SECONDS):
            module = tiny_of(kind)
    except Exception as error:  # configs and classes raise what they like
        return Outcome(kind, "unmade", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    try:
        with _at_most(SECONDS), torch.random.fork_rng():
            return Outcome(kind, "holds", check(module))
    except ModelError as error:
        return Outcome(kind, "refused", " ".join(str(error).split()))
    except Exception as error:
        return Outcome(kind, "fails", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def check(module: Any) -> str:
    """What holds of a model, against plain passes over each window alone.

    Raises:
        ModelError: it is refused.
        AssertionError: something does not hold.
    """
    from tiny import byte_tokenizer

    from infoplane.capture.forward_pass import assign_windows
    from infoplane.information.reference_points import ReferencePoints
    from infoplane.information.soft_assignment import soft_assign
    from infoplane.models.decoder import Model
    from infoplane.text.cut_windows import make_windows
    from infoplane.text.documents import read_text

    model = Model.from_module(module)
    texts = ["A first document, of some length.", "Another, shorter.", "The third is the longest of all, by far."]
    windows = make_windows(read_text(texts), byte_tokenizer(), tokens=200, context=24)
    points = [ReferencePoints.make(model.width, 16)]
    loss, said = model.facts.check_loss(True)
    read = assign_windows(model, windows, points, layers=model.layers, first=0, last=len(windows), loss=loss)
    names = [layer.name for layer in model.layers]
    listed, rows = [], windows.row_starts
    for w in range(len(windows)):
        ids = torch.from_numpy(windows.tokens[windows.starts[w] : windows.starts[w + 1]]).long()[None]
        keep = windows.is_position[windows.starts[w] : windows.starts[w + 1]]
        own = slice(int(rows[w]), int(rows[w + 1]))
        with torch.no_grad():
            states = model.run(ids)
            whole = module(input_ids=ids, use_cache=False, output_hidden_states=True, return_dict=True)
        if names[-1] == "final_norm":
            want = soft_assign(states[0].numpy()[keep], points[0])
            assert np.abs(read["final_norm/0"][own].astype(float) - want).max() < 2e-3, (
                "final_norm is not the last state"
            )
        entries = [e for e in (whole.hidden_states or ()) if e is not None]
        listed = _matched(entries, states, model, read, points[0], own, keep)
        if loss:
            want = torch.nn.functional.cross_entropy(whole.logits[0, :-1].double(), ids[0, 1:], reduction="sum")
            assert abs(read["loss_sum"][w] - float(want)) < 1e-3 * float(want), (
                f"loss {read['loss_sum'][w]}, not {want}"
            )
    blocks = sum(name.startswith("block.") for name in names)
    return f"{blocks} blocks, {len(listed)} listed states, " + ("loss" if loss else f"no loss: {said[0]}")


def _matched(entries: Any, last: Any, model: Any, read: Any, points: Any, own: slice, keep: Any) -> list[str]:
    """The layers that the entries of `hidden_states` are, in order; of blocks that run several times, the last ones."""
    from infoplane.information.soft_assignment import soft_assign

    matched, at = list[str](), len(model.layers) - 1
    for i, entry in reversed(list(enumerate(entries))):
        if not matched and torch.equal(entry, last) and model.layers[-1].name != "final_norm":
            continue
        for k in range(at, -1, -1):
            layer, name = model.layers[k], model.layers[k].name
            several = entry.ndim == 4 or entry.shape[-1] != model.width
            if several != (layer.streams is not None):
                continue  # a last state is one where blocks pass several streams
            want = soft_assign(layer.states(entry)[0].numpy()[keep], points)
            if np.abs(read[f"{name}/0"][own].astype(float) - want).max() < 2e-3:
                matched.append(name)
                at = k
                break
        else:
            if len(entries) <= len(model.layers):
                raise AssertionError(f"hidden_states[{i}] of {len(entries)} was read as no layer (before {matched})")
    return matched


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Sweep, print, exit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="model types; all by default")
    parser.add_argument("--json", type=Path, help="write the outcomes there too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = []
    for kind in given.kinds or CAUSAL:
        found.append(outcome(kind))
        mark = " " if found[-1].expected else "!"
        print(f"{mark} {kind:<26} {found[-1].what:<8} {found[-1].why}", flush=True)
    counts = {what: sum(one.what == what for one in found) for what in ("holds", "refused", "unmade", "fails")}
    print(", ".join(f"{n} {what}" for what, n in counts.items()), f"with transformers {t.__version__}")
    if given.json:
        given.json.write_text(json.dumps([vars(one) for one in found], indent=1))
    raise SystemExit(0 if all(one.expected for one in found) else 1)


if __name__ == "__main__":
    main()
