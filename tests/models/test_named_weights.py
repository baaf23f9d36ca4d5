"""What is measured is the model that was named: weights that are missing, adapters that do not fit, other files."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers as t
from peft_adapters import adapted, lora
from safetensors.torch import load_file, save_file
from tiny import VOCABULARY, byte_tokenizer, save_tiny, tiny_model

import infoplane
from infoplane.errors import ModelError
from infoplane.models.loading import load_model
from infoplane.models.locating import built_in
from infoplane.models.tokenizer_loading import load_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")  # its advice on how adapters are saved
SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32"}
FIELDS: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "max_position_embeddings": 128,
}  # fmt: skip


def saved(place: Path, change: Callable[[dict[str, Any]], dict[str, Any]], **config: Any) -> Path:
    """The tiny model with its weights, and its config, changed."""
    save_tiny(place)
    weights = place / "model.safetensors"
    save_file(change(load_file(weights)), weights, metadata={"format": "pt"})
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, **config}))
    return place


def without(*parts: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {k: v for k, v in weights.items() if not any(part in k for part in parts)}


def renamed(before: str, after: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {k.replace(before, after, 1): v for k, v in weights.items()}


# ---------------------------------------------------------------------- weights that a file lacks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: {f"_orig_mod.{k}": v for k, v in w.items()}, r"hold '_orig_mod', which torch.compile puts there"),
        (lambda w: {f"module.{k}": v for k, v in w.items()}, r"hold 'module', which DataParallel or DeepSpeed puts"),
        (renamed("self_attn", "_fsdp_wrapped_module.self_attn"), r"weights.*\(model.layers.0.self_attn"),
        (lambda w: {f"student.{k}": v for k, v in w.items()}, r"begin with 'student\.'.*rename them without it"),
        (without("layers.2"), r"lacks 9 weights of the model \(model.layers.2.*they are of block 2 of 3"),
        (without("layers.0.", "layers.2."), r"they are of block 0, 2 of 3"),
        (without("model.norm"), r"lacks 1 weights of the model \(model.norm.weight\), which would be drawn at random"),
        (without("embed_tokens"), r"lacks .* \(lm_head.weight, model.embed_tokens.weight\)|model.embed_tokens.weight"),
        (renamed("q_proj.weight", "q_proj.qweight"), r"quantised weights \(model.layers.0.self_attn.q_proj.qweight"),
    ],
)
def test_weights_that_are_missing_are_refused(change: Any, said: str, tmp_path: Path) -> None:
    """Each was measured with weights of chance: other numbers at each run, one file hash."""
    place = saved(tmp_path / "model", change)
    with pytest.raises(ModelError, match=said):
        infoplane.measure(place, **SMALL)
    assert not (tmp_path / "capture").exists()


def test_a_wrapped_part_is_named(tmp_path: Path) -> None:
    place = saved(tmp_path / "model", renamed("layers.", "layers._checkpoint_wrapped_module."))
    with pytest.raises(ModelError, match="'_checkpoint_wrapped_module', which activation checkpointing puts there"):
        load_model(place)


def test_scaled_float8_without_its_quantisation_config_is_refused(tmp_path: Path) -> None:
    def scaled(weights: dict[str, Any]) -> dict[str, Any]:
        narrow = {k: v.to(torch.float8_e4m3fn) if v.ndim == 2 and "proj" in k else v for k, v in weights.items()}
        scales = {k + "_scale_inv": torch.ones(1, 1) for k, v in weights.items() if v.ndim == 2 and "proj" in k}
        return {**narrow, **scales}

    said = (
        r"quantised weights .*weight_scale_inv, \.\.\.\), and its config.json does not say how \(quantization_config\)"
    )
    with pytest.raises(ModelError, match=said):
        load_model(saved(tmp_path / "scaled", scaled))
    # without scales a narrow number is the number that it is
    load_model(saved(tmp_path / "plain", lambda w: {k: v.to(torch.float8_e4m3fn) for k, v in w.items()}))


def test_shapes_that_differ_are_named(tmp_path: Path) -> None:
    key = "model.embed_tokens.weight"
    place = saved(tmp_path / "short", lambda w: {**w, key: w[key][:200].clone()})
    with pytest.raises(ModelError, match=rf"{key} has the shape \[200, 32\] in the file and \[257, 32\] in the model"):
        load_model(place)
    empty = saved(tmp_path / "zero", lambda w: {k: torch.zeros(0) for k in w})
    with pytest.raises(ModelError, match=r"it is empty, as of a run under ZeRO-3 .* zero_to_fp32.py"):
        load_model(empty)


def test_a_head_that_is_missing_is_missed_by_the_loss_alone(tmp_path: Path) -> None:
    place = saved(tmp_path / "model", lambda w: w, tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"loss was asked for, and .* holds no weights of the head \(lm_head.weight\)"):
        infoplane.measure(place, **SMALL, loss=True, capture=tmp_path / "capture")
    assert not (tmp_path / "capture").exists()
    headless = infoplane.measure(place, **SMALL)
    save_tiny(tmp_path / "whole")
    whole = infoplane.measure(tmp_path / "whole", **SMALL)
    assert [row.value for row in headless] == [row.value for row in whole]


def test_known_absences_pass(tmp_path: Path) -> None:
    """A tied head, a decoder saved without its prefix, weights of a vision tower, a value head: nothing is said."""
    for name, change in (
        ("tied", lambda w: w),
        ("bare", lambda w: {k.removeprefix("model."): v for k, v in w.items()}),
        ("vision", lambda w: {**w, "vision_tower.blocks.0.weight": torch.zeros(2)}),
        ("value", lambda w: {**w, "v_head.summary.weight": torch.zeros(2), "score.weight": torch.zeros(2)}),
    ):
        assert load_model(saved(tmp_path / name, change), dtype="float32").warnings == ()
    assert load_model(saved(tmp_path / "none", without(".")), random_init=True).provenance["random_init"]


def test_weights_that_are_left_over_are_said(tmp_path: Path) -> None:
    fewer = load_model(saved(tmp_path / "fewer", lambda w: w, num_hidden_layers=2))
    assert fewer.provenance["blocks"] == 2
    assert "the config says 2 blocks, and the file holds weights of block 2 too" in fewer.warnings[0]
    bias = {"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}
    said = load_model(saved(tmp_path / "bias", lambda w: {**w, **bias})).warnings
    assert said == (
        "the file holds 1 weights that this architecture has no place for: model.layers.0.self_attn.q_proj.bias",
    )
    found = infoplane.measure(tmp_path / "fewer", **SMALL)
    assert "2 blocks" in " ".join(found.provenance["warnings"])


# ---------------------------------------------------------------------- .gguf


@functools.cache
def built_in_gguf() -> tuple[gguf.GGUFReader, dict[str, Any]]:
    """The built-in model, and what its header says; read once, which takes seconds."""
    reader = gguf.GGUFReader(str(built_in()))
    return reader, {name: field.contents() for name, field in reader.fields.items()}


def small_gguf(path: Path, *, said: int = 2, without: str = "", **more: int) -> Path:
    """Two blocks of the built-in model with the 512 first tokens; `said` of them by its header."""
    reader, header = built_in_gguf()
    writer = gguf.GGUFWriter(str(path), "llama")
    tokens = header["tokenizer.ggml.tokens"][:512]
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = header[field.name]
        if field.name == "llama.block_count":
            value = said
        elif field.name == "llama.vocab_size":
            value = 512
        elif field.name in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
            value = value[:512]
        elif field.name == "tokenizer.ggml.merges":
            value = [pair for pair in value if set(pair.split(" ")) | {pair.replace(" ", "")} <= set(tokens)]
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=inner)
    for name, number in more.items():
        writer.add_uint16(name.replace("_", "."), number)
    for tensor in reader.tensors:
        block = int(tensor.name.split(".")[1]) if tensor.name.startswith("blk.") else 0
        if block < 2 and tensor.name != without:
            data = tensor.data[:512] if tensor.name == "token_embd.weight" else tensor.data
            writer.add_tensor(tensor.name, data, raw_shape=data.shape, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    assert load_model(small_gguf(tmp_path / "whole.gguf")).warnings == ()
    with pytest.raises(ModelError, match=r"lack.gguf lacks 1 weights .*layers.1.self_attn.q_proj.weight"):
        load_model(small_gguf(tmp_path / "lack.gguf", without="blk.1.attn_q.weight"))
    first = small_gguf(tmp_path / "big-00001-of-00003.gguf", said=6, split_count=3)
    with pytest.raises(ModelError, match=r"part 1 of 3 of a split file; merge them first, with llama-gguf-split"):
        load_model(first)
    shorter = load_model(small_gguf(tmp_path / "shorter.gguf", said=1)).warnings
    assert len(shorter) == 1 and "the config says 1 blocks, and the file holds weights of block 1 too" in shorter[0]


# ---------------------------------------------------------------------- adapters


def first_states(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.run(torch.arange(2, 30)[None])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base") / "base"
    save_tiny(place)
    return place


def test_an_adapter_that_fits_is_applied(base: Path, tmp_path: Path) -> None:
    import peft

    place = adapted(tmp_path / "lora", base, lora())
    want = peft.PeftModel.from_pretrained(t.AutoModelForCausalLM.from_pretrained(str(base)), str(place))
    with torch.no_grad():
        states = want(input_ids=torch.arange(2, 30)[None], output_hidden_states=True).hidden_states[-1]
    model = load_model(place, dtype="float32")
    assert torch.allclose(first_states(model), states, atol=1e-5)
    assert not torch.allclose(first_states(model), first_states(load_model(base, dtype="float32")), atol=1e-2)
    for more in ({"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"use_rslora": True, "lora_alpha": 32}):
        load_model(adapted(tmp_path / next(iter(more)), base, lora(**more)), dtype="float32")


def test_kinds_that_live_in_the_wrapper_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    import peft

    common = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
    kinds = {
        "PROMPT_TUNING": (peft.PromptTuningConfig(**common), "prompt_encoder"),
        "PREFIX_TUNING": (peft.PrefixTuningConfig(**common), "prompt_encoder"),
        "P_TUNING": (peft.PromptEncoderConfig(**common, encoder_hidden_size=16), "prompt_encoder"),
        "activated LORA": (lora(alora_invocation_tokens=[5, 6]), "lora_B"),
    }
    for kind, (config, loud) in kinds.items():
        place = adapted(tmp_path / kind.replace(" ", "-"), base, config, loud)
        with pytest.raises(ModelError, match=rf"is an adapter of the kind {kind}, which .*the decoder alone does not"):
            infoplane.measure(place, **SMALL)
    module = peft.get_peft_model(tiny_model(), peft.PromptTuningConfig(**common))
    for use in (infoplane.measure, infoplane.Monitor):
        with pytest.raises(ModelError, match="is an adapter of the kind PROMPT_TUNING"):
            use(module, tokenizer=byte_tokenizer(), tokens=3000, context=64)


def test_adapter_weights_without_a_place_are_refused(base: Path, tmp_path: Path) -> None:
    def changed(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
        place = adapted(tmp_path / name, base, lora())
        weights = place / "adapter_model.safetensors"
        save_file(change(load_file(weights)), weights, metadata={"format": "pt"})
        return place

    with pytest.raises(ModelError, match=r"12 of 12 weights of the adapter have no place .* from a compiled model"):
        load_model(changed("compiled", renamed("model.model.", "model._orig_mod.model.")))
    with pytest.raises(ModelError, match=r"no place in its base: .* was trained on the multimodal class of the model"):
        load_model(changed("multimodal", renamed("model.model.", "model.model.language_model.")))
    with pytest.raises(ModelError, match="holds an adapter without weights: its file is empty"):
        load_model(changed("empty", lambda w: {}))
    with pytest.raises(ModelError, match="weights of the adapter are missing, and would be as they are before"):
        load_model(changed("half", without("layers.1.")))
    with pytest.raises(ModelError, match="1 of 13 weights of the adapter have no place"):
        load_model(
            changed("more", lambda w: {**w, "base_model.model.model.layers.9.x.lora_A.weight": torch.zeros(4, 32)})
        )


def test_the_tokenizer_and_the_tokens_of_an_adapter_are_its_own(base: Path, tmp_path: Path) -> None:
    import peft

    module = t.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    words = byte_tokenizer()
    words.add_tokens(["<|think|>", "the"])
    module.resize_token_embeddings(len(words), mean_resizing=False)
    model = peft.get_peft_model(module, lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True))
    model.save_pretrained(tmp_path / "more")
    words.save_pretrained(tmp_path / "more")
    loaded = load_model(tmp_path / "more", dtype="float32")
    assert len(loaded.tokenizer) == loaded.embedding_rows == VOCABULARY + 2
    kept = loaded.module.get_input_embeddings()(torch.tensor([VOCABULARY + 1]))
    assert torch.equal(kept, model.get_input_embeddings()(torch.tensor([VOCABULARY + 1])))
    assert infoplane.measure(tmp_path / "more", **SMALL, loss=True).get("loss").value > 0
    # tokens that nothing was learned of: their text is refused, another one is measured with a warning
    other = adapted(tmp_path / "bare", base, lora())
    words.save_pretrained(other)
    said = rf"token id {VOCABULARY + 1}, and the model's embedding has {VOCABULARY} rows"
    with pytest.raises(ModelError, match=said):
        infoplane.measure(other, **SMALL)
    assert "the tokenizer has 259 tokens and the model's embedding 257 rows" in load_model(other).warnings[0]


def test_a_base_that_has_moved_is_the_adapters_base(base: Path, tmp_path: Path) -> None:
    moved = tmp_path / "gone"
    shutil.copytree(base, moved)
    place = adapted(tmp_path / "lora", moved, lora())
    shutil.rmtree(moved)
    with pytest.raises(
        ModelError, match=r"the base of the adapter .*lora: .* correct base_model_name_or_path in .*lora"
    ):
        load_model(place)
    told = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps({**told, "peft_type": "NEVER_HEARD_OF"}))
    with pytest.raises(ModelError, match=r"adapter_config.json is of no adapter that peft [\d.]+ knows"):
        load_model(place)


def test_the_scale_of_an_adapter_tells_modules_apart(tmp_path: Path) -> None:
    import peft

    def run_id(alpha: int) -> str:
        torch.manual_seed(0)
        module = peft.get_peft_model(tiny_model(), lora(lora_alpha=alpha))
        asked = {name: value for name, value in SMALL.items() if name != "dtype"}
        return str(infoplane.measure(module, tokenizer=byte_tokenizer(), **asked).provenance["run_id"])

    assert run_id(8) == run_id(8) != run_id(16)


def test_the_base_of_an_adapter_is_of_the_revision_that_it_was_trained_on(base: Path, tmp_path: Path) -> None:
    from infoplane.models.locating import locate

    place = adapted(tmp_path / "lora", base, lora())
    told = json.loads((place / "adapter_config.json").read_text())
    told |= {"base_model_name_or_path": "org/base", "revision": "step1"}
    (place / "adapter_config.json").write_text(json.dumps(told))
    assert (locate(place, None, False, False).name, locate(place, None, False, False).revision) == (
        "org/base",
        "step1",
    )
    assert locate(place, "main", False, False).revision == "main"


def test_weights_that_an_adapter_lacks_are_missed_for_every_kind(base: Path, tmp_path: Path) -> None:
    import peft

    targets = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
    kinds = {
        "vblora": (peft.VBLoRAConfig(**targets, r=4, num_vectors=8, vector_length=8), "vector_bank"),
        "ia3": (peft.IA3Config(**targets, feedforward_modules=[]), "layers.1"),
        "adaption": (peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=2), "gate"),
    }
    for name, (config, part) in kinds.items():
        place = adapted(tmp_path / name, base, config)
        assert load_model(place, dtype="float32").provenance["adapter_sha256"]
        weights = place / "adapter_model.safetensors"
        save_file(without(part)(load_file(weights)), weights, metadata={"format": "pt"})
        with pytest.raises(ModelError, match=r"weights of the adapter are missing|lacks a weight"):
            load_model(place)
    with pytest.raises(ModelError, match="begins by a random decomposition of its base"):
        load_model(adapted(tmp_path / "pissa", base, lora(init_lora_weights="pissa_niter_4")))


def test_a_module_is_told_apart_by_its_adapters_hooks_and_buffers(tmp_path: Path) -> None:
    import peft

    module = peft.get_peft_model(tiny_model(), lora())
    module.add_adapter("other", lora())

    def run_id() -> str:
        asked = {name: value for name, value in SMALL.items() if name != "dtype"}
        found = infoplane.measure(module, tokenizer=byte_tokenizer(), **asked)
        return str(found.provenance["run_id"])

    ids = [run_id()]
    assert run_id() == ids[0]
    module.set_adapter("other")
    ids.append(run_id())
    with module.disable_adapter():
        ids.append(run_id())
    handle = module.get_decoder().layers[0].register_forward_hook(lambda part, args, output: None)
    ids.append(run_id())
    handle.remove()
    module.get_decoder().rotary_emb.inv_freq.mul_(7)
    ids.append(run_id())
    assert len(set(ids)) == len(ids)


# ---------------------------------------------------------------------- quantised files


@pytest.mark.parametrize("method", [None, "modelopt", "fp8"])
def test_narrow_weights_without_their_scales_are_refused(method: str | None, tmp_path: Path) -> None:
    config = {} if method is None else {"quantization_config": {"quant_method": method}}

    def narrow(weights: dict[str, Any]) -> dict[str, Any]:
        kind = torch.int8 if method is None else torch.float8_e4m3fn
        scales = {k + "_scale": torch.ones(1) for k in weights if "proj" in k and method == "modelopt"}
        return {**{k: v.to(kind) if "proj" in k else v for k, v in weights.items()}, **scales}

    said = (
        r"quantised weights .*'modelopt'"
        if method == "modelopt"
        else r"weights of type (I8|F8_E4M3) without their scales"
    )
    with pytest.raises(ModelError, match=said):
        load_model(saved(tmp_path / "model", narrow, **config))


def test_two_sets_of_weights_are_told(base: Path, tmp_path: Path) -> None:
    both = lambda w: {**w, **{k.removeprefix("model."): v + 1 for k, v in w.items()}}  # noqa: E731
    with pytest.raises(ModelError, match=r"weights twice, as .* and as model\.embed_tokens.weight|weights twice"):
        load_model(saved(tmp_path / "twice", both))
    save_tiny(tmp_path / "beside")
    (tmp_path / "beside" / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert "holds model.safetensors.index.json too, which was not read" in load_model(tmp_path / "beside").warnings[0]
    place = adapted(tmp_path / "lora", base, lora())
    tiny_model(seed=1).save_pretrained(place / "whole")
    (place / "whole" / "model.safetensors").rename(place / "model.safetensors")
    assert "holds a whole model too, which was not read" in load_model(place).warnings[0]
    with pytest.raises(ModelError, match=r"holds no config.json: .*; an adapter lies in .*lora"):
        load_model(tmp_path)


# ---------------------------------------------------------------------- folders of checkpoints


def test_a_checkpoint_of_a_trainer_takes_the_tokenizer_of_its_run(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "run" / "checkpoint-500")
    with pytest.raises(ModelError, match=r"checkpoint-500 holds no tokenizer .*name one with --tokenizer"):
        load_model(tmp_path / "run" / "checkpoint-500")
    byte_tokenizer().save_pretrained(tmp_path / "run")
    assert len(load_model(tmp_path / "run" / "checkpoint-500").tokenizer) == VOCABULARY
    tiny_model().save_pretrained(
        tmp_path / "run" / "best"
    )  # no checkpoint by its name: whose tokens they are is a guess
    with pytest.raises(ModelError, match="best holds no tokenizer"):
        load_model(tmp_path / "run" / "best")


def test_a_name_that_this_version_does_not_know_is_no_message_by_itself(tmp_path: Path) -> None:
    scaling = {"type": "su", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}
    place = saved(tmp_path / "model", lambda w: w, rope_scaling=scaling, rope_parameters=None)
    with pytest.raises(ModelError, match=r"its config or files name 'su', which transformers [\d.]+ does not know"):
        load_model(place)


def test_a_survey_and_a_trace_record_it_and_go_on(base: Path, tmp_path: Path) -> None:
    from infoplane.analysis.surveys.surveying import survey
    from infoplane.analysis.training.tracing import trace

    saved(tmp_path / "broken", without("model.norm"))
    (tmp_path / "survey.toml").write_text(
        '[defaults]\ntokens = 3000\ncontext = 64\norders = [1]\npoints = 16\ndtype = "float32"\n'
        f'[[model]]\npath = "{base}"\n[[model]]\npath = "{tmp_path}/broken"\n'
    )
    found = survey(tmp_path / "survey.toml", out=tmp_path / "survey")
    assert [one.status for one in found.models] == ["measured", "failed"]
    assert "lacks 1 weights of the model (model.norm.weight)" in str(found.models[1].message)
    for step in (1, 2, 3):
        saved(tmp_path / "run" / f"step{step}", without("model.norm") if step == 2 else lambda w: w)
    points = trace(tmp_path / "run", out=tmp_path / "trace", **SMALL).points
    assert [p.measurement is not None for p in points] == [True, False, True]
    assert "lacks 1 weights of the model" in str(points[1].problem)


# ---------------------------------------------------------------------- tokenizers


def test_bos_is_found_where_the_vocabulary_lacks_an_a() -> None:
    from tokenizers import Tokenizer, models, processors

    from infoplane.text.cut_windows import prefix_of

    backend = Tokenizer(models.BPE({"<s>": 0, "中": 1, "文": 2}, []))  # what it lacks it leaves out
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    assert prefix_of(t.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>"), None).tolist() == [0]


def test_a_tokenizer_of_another_folder_is_still_named(base: Path) -> None:
    assert len(load_tokenizer(base)) == VOCABULARY
