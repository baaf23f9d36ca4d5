"""The parts of a model, found by what they do: decoder, blocks, last norm, head; and what a probe leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from paths import ROOT
from tiny import VOCABULARY, byte_tokenizer, tiny_model
from torch import nn

import infoplane
from infoplane.errors import ModelError
from infoplane.models.decoder import Model
from infoplane.models.running import replaced

sys.path.append(str(ROOT / "bench"))
import decoders

SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "orders": (1,), "m": 16}


@pytest.mark.filterwarnings("ignore")  # of the classes, about configs that nobody would train with
@pytest.mark.parametrize(
    "kind",
    [
        "llama", "gpt2", "opt", "openai-gpt", "mamba2", "zamba", "deepseek_v3",
        # another norm of the same width, a norm of an odd name, a decoder that the model calls otherwise
        "gemma4_text", "lfm2", "modernbert-decoder", "llama4_text", "mllama", "nemotron_h",
        # multimodal classes
        "gemma3", "gemma4", "llama4", "git",
        # several streams: AltUp, hyper-connections as an axis and side by side; and blocks that run several times
        "gemma3n_text", "deepseek_v4", "hy_v4", "qwen4_exp_text", "dory",
        # refused
        "bert", "cpmant", "hrm_text", "prophetnet", "xmod",
    ],
)  # fmt: skip
def test_a_kind_of_decoder_holds_or_is_refused_as_listed(kind: str) -> None:
    """States, last state and loss are the model's own. `python bench/decoders.py` sweeps all that are registered."""
    found = decoders.outcome(kind)
    assert found.expected, f"{found.what}: {found.why}"
    assert "no loss" not in found.why


def test_the_sweep_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from infoplane.models.layers import Layer

    monkeypatch.setattr(Layer, "states", lambda self, passed: passed + 1)
    found = decoders.outcome("llama")
    assert found.what == "fails" and not found.expected


# ---------------------------------------------------------------------- a decoder of one's own


class Config(t.PretrainedConfig):
    model_type = "own"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.vocab_size, self.hidden_size, self.num_hidden_layers = VOCABULARY, 32, 3


class Block(nn.Module):
    """Looks back at the running mean of what came before."""

    def __init__(self, streams: int = 0) -> None:
        super().__init__()
        self.streams, self.mix = streams, nn.Linear(32, 32)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        z = states.mean(2) if self.streams else states
        count = torch.arange(1, z.shape[1] + 1)[None, :, None]
        out = torch.tanh(self.mix(z.cumsum(1) / count))
        return states + (out[:, :, None] if self.streams else out)


class Decoder(t.PreTrainedModel):
    config_class = Config

    def __init__(self, config: Config, streams: int = 0, transposed: bool = False) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(VOCABULARY, 32)
        self.side_norm = nn.LayerNorm(32)  # of the same width, declared last but for the one that counts
        self.blocks = nn.ModuleList(Block(streams) for _ in range(3))
        self.ln_f = nn.LayerNorm(32)
        self.post_norm = nn.LayerNorm(32)
        self.streams, self.transposed = streams, transposed

    def forward(self, input_ids: Any = None, **_: Any) -> Any:
        z = self.embed(input_ids)
        self.post_norm(z)
        z = z[:, :, None].repeat(1, 1, self.streams, 1) * torch.arange(1, 5)[:, None] if self.streams else z
        for block in self.blocks:
            z = block(z.transpose(0, 1)).transpose(0, 1) if self.transposed else block(z)
        z = z.mean(2) if self.streams else z
        return t.modeling_outputs.BaseModelOutput(last_hidden_state=self.ln_f(z))


class Whole(t.PreTrainedModel):
    config_class = Config

    def __init__(self, config: Config, **more: Any) -> None:
        super().__init__(config)
        self.body = Decoder(config, **more)
        self.head = nn.Linear(32, VOCABULARY)
        self.scale = 1.0

    def forward(self, input_ids: Any = None, **_: Any) -> Any:
        out = self.body(input_ids=input_ids)
        return t.modeling_outputs.CausalLMOutput(logits=self.head(out.last_hidden_state * self.scale))


def own(kind: type = Whole, **more: Any) -> Any:
    torch.manual_seed(0)
    return kind(Config(), **more).eval()


def test_the_last_norm_is_the_one_whose_output_is_the_last_state() -> None:
    """By name and place it would be `post_norm`, whose output nobody uses."""
    module = own()
    model = Model.from_module(module)
    assert model.backbone is module.body
    assert [layer.name for layer in model.layers] == ["embed", "block.0", "block.1", "block.2", "final_norm"]
    assert model.layers[-1].module is module.body.ln_f


def test_streams_are_read_by_a_rule_and_other_shapes_are_refused() -> None:
    module = own(streams=4)
    model = Model.from_module(module, byte_tokenizer())
    assert model.layers[1].streams is not None and model.layers[1].streams.axis == 2 and model.width == 32
    found = infoplane.measure(model, **SMALL)
    assert len(found.layers) == 5
    with torch.no_grad():
        passed = torch.randn(2, 8, 4, 32)
        assert torch.equal(model.layers[1].states(passed), passed.mean(2))
    transposed = own(transposed=True)
    with pytest.raises(ModelError, match=r"have the shape \(8, 2, 32\); expected \(2, 8, width\)|is not causal"):
        Model.from_module(transposed)


def test_a_part_that_gives_other_states_alone_is_not_the_decoder() -> None:
    class Scaled(Whole):
        def forward(self, input_ids: Any = None, **more: Any) -> Any:
            self.body.embed.weight.data.mul_(5)
            out = super().forward(input_ids, **more)
            self.body.embed.weight.data.div_(5)
            return out

    with pytest.raises(ModelError, match="Decoder gives other states alone than within the model"):
        Model.from_module(own(Scaled))


# ---------------------------------------------------------------------- the loss, and where there is none


def test_a_head_that_is_not_reached_is_measured_without_loss_and_said(tmp_path: Path) -> None:
    class Odd(Whole):
        """Its head sees more than the last states."""

        def forward(self, input_ids: Any = None, **_: Any) -> Any:
            out = self.body(input_ids=input_ids)
            return t.modeling_outputs.CausalLMOutput(
                logits=self.head(out.last_hidden_state) + 3 * self.head(self.body.embed(input_ids))
            )

    module = own(Odd)
    found = infoplane.measure(module, tokenizer=byte_tokenizer(), **SMALL, loss=True, capture=tmp_path / "capture")
    assert not found.select(quantity="loss")
    assert "measured without the next-token loss: Odd gives other logits by its head" in found.provenance["warnings"][0]
    assert infoplane.open_capture(tmp_path / "capture").loss() is None
    monitor = infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64, m=16, loss=True)
    assert "infoplane/model/loss" not in monitor.probe(0) and monitor.trajectory.series("complexity") is not None


def test_modules_without_a_head_of_a_language_model_say_so() -> None:
    config = t.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, intermediate_size=48, max_position_embeddings=128, pad_token_id=0,
    )  # fmt: skip
    for kind in (t.LlamaModel, t.LlamaForSequenceClassification):
        torch.manual_seed(0)
        module = kind(config).eval()
        with pytest.raises(
            ModelError, match=rf"loss was asked for, and {kind.__name__} gives no logits of the next token"
        ):
            infoplane.measure(module, tokenizer=byte_tokenizer(), **SMALL, loss=True)
        with pytest.raises(ModelError, match="gives no logits of the next token"):
            infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64, loss=True)
        assert infoplane.measure(module, tokenizer=byte_tokenizer(), **SMALL).get("complexity", order=1).value > 0


@pytest.mark.filterwarnings("ignore")
def test_the_text_tower_of_a_multimodal_checkpoint_is_measured_by_every_way(tmp_path: Path) -> None:
    from infoplane.analysis.training.tracing import trace

    module = decoders.tiny_of("gemma3")
    for step in (1, 2):
        with torch.no_grad():
            module.lm_head.weight.mul_(step)
        module.save_pretrained(tmp_path / f"run/step{step}")
        byte_tokenizer().save_pretrained(tmp_path / f"run/step{step}")
    more = {**SMALL, "dtype": "float32", "loss": True}
    found = infoplane.measure(tmp_path / "run" / "step2", **more)
    assert found.provenance["warnings"] == [] and found.get("loss").value > 0
    points = trace(tmp_path / "run", out=tmp_path / "trace", **more).points
    assert points[1].measurement is not None
    assert points[1].measurement.get("loss").value == pytest.approx(found.get("loss").value, abs=1e-9)
    monitor = infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64, m=16, loss=True)
    assert monitor.probe(0)["infoplane/model/loss"] == pytest.approx(found.get("loss").value, rel=1e-5)


# ---------------------------------------------------------------------- what is left behind


def test_a_forward_of_the_object_is_put_back_in_every_way_out() -> None:
    """A compiled forward, or a hook of accelerate, is an attribute of the object: it used to be deleted."""
    module = tiny_model()
    calls = []
    inner = module.model.forward

    def compiled(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return inner(*args, **kwargs)

    module.model.forward = compiled
    monitor = infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64, m=16, loss=True)
    monitor.probe(0)
    assert module.model.forward is compiled and calls
    with pytest.raises(ZeroDivisionError), replaced(module.model, None):
        _ = 1 / 0
    assert module.model.forward is compiled
    with replaced(module, None):
        pass
    assert "forward" not in vars(module)
    with torch.no_grad():
        module.model.layers[0].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        monitor.probe(1)
    assert module.model.forward is compiled


@pytest.mark.filterwarnings("ignore")
def test_a_module_that_was_compiled_in_place_is_probed(tmp_path: Path) -> None:
    plain, compiled = tiny_model(), tiny_model()
    compiled.compile(backend="eager")
    for layer in compiled.model.layers:
        layer.compile(backend="eager")
    logs = [
        infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64, m=16, loss=True).probe(0)
        for module in (plain, compiled)
    ]
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)


def test_hooks_of_accelerate_stay() -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module

    want = infoplane.measure(tiny_model(), tokenizer=byte_tokenizer(), **SMALL, loss=True)
    hooked = tiny_model()
    add_hook_to_module(hooked.model, ModelHook())
    forward = hooked.model.forward
    found = infoplane.measure(hooked, tokenizer=byte_tokenizer(), **SMALL, loss=True)
    assert [r.value for r in found] == [r.value for r in want]
    assert hooked.model.forward is forward


# ---------------------------------------------------------------------- sharded training


def test_sharded_weights_are_refused_on_every_process() -> None:
    class FullyShardedDataParallel(nn.Module):  # by its name, as of FSDP
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny_model()

    zero3 = tiny_model()
    zero3.model.norm.weight.ds_id = 7
    for module, kind in ((FullyShardedDataParallel(), "FSDP1"), (zero3, "DeepSpeed ZeRO-3")):
        for use in (infoplane.measure, infoplane.Monitor):
            with pytest.raises(ModelError, match=rf"lie in parts on several processes \({kind}\).*infoplane trace"):
                use(module, tokenizer=byte_tokenizer(), tokens=3000, context=64)


def test_a_module_on_several_processes_is_not_measured_by_one(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        module = fully_shard(tiny_model(), mesh=dist.init_device_mesh("cpu", (1,)))
        with pytest.raises(ModelError, match=r"\(fully_shard\): probe it with infoplane.Monitor, made on every one"):
            infoplane.measure(module, tokenizer=byte_tokenizer(), tokens=3000, context=64)
        found = infoplane.Monitor(module, byte_tokenizer(), tokens=3000, context=64).probe(0)
        alone = infoplane.Monitor(tiny_model(), byte_tokenizer(), tokens=3000, context=64).probe(0)
        assert found == pytest.approx(alone, rel=1e-5)
    finally:
        dist.destroy_process_group()


def test_watching_sharded_training_is_refused_before_the_first_step(tmp_path: Path) -> None:
    from training import train

    class Others(t.TrainerCallback):
        """A process that is not the first."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            state.is_world_process_zero = False
            kwargs["model"].transformer.ln_f.weight.ds_id = 1

    trainer, _ = train(tmp_path / "a", None, steps=1)
    trainer.add_callback(Others())
    infoplane.watch(trainer, every=1, tokens=3000, context=64)
    with pytest.raises(ModelError, match="DeepSpeed ZeRO-3"):
        trainer.train()


def test_width_is_that_of_the_blocks() -> None:
    """OPT-350m projects its last states to another width."""
    config = t.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, ffn_dim=48,
        max_position_embeddings=128, word_embed_proj_dim=16, do_layer_norm_before=False,
    )  # fmt: skip
    torch.manual_seed(0)
    module = t.OPTForCausalLM(config).eval()
    model = Model.from_module(module, byte_tokenizer())
    assert model.width == 32 and [layer.name for layer in model.layers][-1] == "block.2"
    found = infoplane.measure(model, **SMALL, loss=True)
    with torch.no_grad():
        ids = torch.arange(2, 12)[None]
        assert torch.allclose(model.logits(model.run(ids)), module(input_ids=ids).logits, atol=1e-5)
    assert np.isfinite(found.get("loss").value)
