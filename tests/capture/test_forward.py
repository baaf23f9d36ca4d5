"""The capture pass against plain forward passes, over many architectures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny import CONFIGS, byte_tokenizer, tiny_model

from infoplane.capture.batch_sizes import batches
from infoplane.capture.forward_pass import assign_windows
from infoplane.errors import ModelError, SettingError, TextError
from infoplane.information.reference_points import ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.models.decoder import Model
from infoplane.models.layers import select_layers
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text

TEXTS = ["A first document, of some length.", "Another, shorter.", "The third one is the longest of them all, by far."]


def _windows(bos: bool = False, **settings: Any) -> Any:
    return make_windows(read_text(TEXTS), byte_tokenizer(bos), **{"tokens": 200, "context": 24, **settings})


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_states_and_loss_are_those_of_single_unpadded_passes(family: str) -> None:
    model = Model.from_module(tiny_model(family), byte_tokenizer())
    windows = _windows()
    points = [ReferencePoints.make(32, 16, seed) for seed in (0, 1)]
    layers = model.layers
    assert [layer.name for layer in layers[:4]] == ["embed", "block.0", "block.1", "block.2"]
    assert layers[-1].name == "final_norm"
    found = assign_windows(model, windows, points, layers=layers, first=0, last=len(windows), loss=True)

    rows = windows.row_starts
    for w in range(len(windows)):
        ids = torch.from_numpy(windows.tokens[windows.starts[w] : windows.starts[w + 1]]).long()[None]
        keep = windows.is_position[windows.starts[w] : windows.starts[w + 1]]
        with torch.no_grad():
            out = model.module(input_ids=ids, output_hidden_states=True, use_cache=False)
        loss = torch.nn.functional.cross_entropy(out.logits[0, :-1].double(), ids[0, 1:], reduction="sum")
        assert found["loss_sum"][w] == pytest.approx(float(loss), rel=1e-4)
        assert found["loss_count"][w] == ids.shape[1] - 1
        # hidden_states: what enters each block, and last the normed output
        first = "block.2" if family in ("mamba", "rwkv") else "embed"  # these list what leaves each block
        names = sorted([first, "block.0", "block.1"], key=lambda n: (n != "embed", n))
        names.append("final_norm")
        for name, states in zip(names, out.hidden_states, strict=True):
            for s, p in enumerate(points):
                want = soft_assign(states[0].numpy()[keep], p)
                got = found[f"{name}/{s}"][rows[w] : rows[w + 1]]
                np.testing.assert_allclose(got, want, atol=2e-3)


def test_the_last_block_is_read_before_the_norm() -> None:
    model = Model.from_module(tiny_model("llama"))
    windows, points = _windows(), [ReferencePoints.make(32, 16)]
    with torch.no_grad():
        model.backbone.norm.weight.copy_(torch.linspace(-2, 2, 32))
    found = assign_windows(model, windows, points, layers=model.layers, first=0, last=2)
    assert np.abs(found["block.2/0"].astype(float) - found["final_norm/0"]).max() > 0.05


def test_a_part_of_the_windows_gives_the_same_rows_and_padding_side_does_not_matter() -> None:
    model, windows = Model.from_module(tiny_model()), _windows()
    points, layers = [ReferencePoints.make(32, 16)], model.layers
    whole = assign_windows(model, windows, points, layers=layers, first=0, last=len(windows))
    rows = windows.row_starts
    part = assign_windows(model, windows, points, layers=layers, first=2, last=4, max_batch_tokens=1)
    np.testing.assert_allclose(part["block.2/0"], whole["block.2/0"][rows[2] : rows[4]], atol=1e-3)
    left = byte_tokenizer()
    left.padding_side = "left"
    assert make_windows(read_text(TEXTS), left, tokens=200, context=24).tokens.tolist() == windows.tokens.tolist()


def test_the_model_is_left_as_it_was() -> None:
    module = tiny_model("gpt2").train()
    module.transformer.h[1].eval()
    model, windows = Model.from_module(module), _windows()
    state = torch.get_rng_state()
    modes = [m.training for m in module.modules()]
    found = [
        assign_windows(model, windows, [ReferencePoints.make(32, 16)], layers=model.layers, first=0, last=3)[
            "block.1/0"
        ]
        for _ in range(2)
    ]
    assert np.array_equal(*found)  # dropout is off
    assert modes == [m.training for m in module.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert not module.transformer.h[0]._forward_hooks


def test_nan_names_layer_and_document() -> None:
    model, windows = Model.from_module(tiny_model()), _windows()
    with torch.no_grad():
        model.backbone.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"NaN or infinity in layer block\.1 on document 'document:\d'"):
        assign_windows(model, windows, [ReferencePoints.make(32, 16)], layers=model.layers, first=0, last=3)


def test_encoders_are_refused_for_what_they_do() -> None:
    import transformers as t

    config = t.BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    with pytest.raises(ModelError, match="not causal"):
        Model.from_module(t.BertForMaskedLM(config))
    small = {"vocab_size": 99, "d_model": 32, "d_ff": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16}
    with pytest.raises(ModelError, match="encoder-decoder"):
        Model.from_module(t.T5ForConditionalGeneration(t.T5Config(**small)))


def test_layers_are_chosen_by_name() -> None:
    layers = Model.from_module(tiny_model()).layers
    assert [x.name for x in select_layers(layers, ("block.1", "embed"))] == ["embed", "block.1"]
    with pytest.raises(SettingError, match=r"no layer 'block\.9'.*block\.0 to block\.2"):
        select_layers(layers, ("block.9",))


def test_batches_cover_all_windows_within_the_limit() -> None:
    assert list(batches(np.array([9, 9, 7, 5, 5, 2]), 20)) == [(0, 2), (2, 3), (3, 5), (5, 6)]
    assert list(batches(np.array([40, 3]), 20)) == [(0, 1), (1, 2)]  # one that is too long goes alone
    assert list(batches(np.array([3, 3, 2, 2]), 100)) == [(0, 4)]  # too small to be worth dividing


# ---------------------------------------------------------------------- windows


def test_windows_hold_one_document_and_keep_the_budget() -> None:
    windows = _windows(tokens=60)
    assert windows.is_text.sum() <= 60
    tokenizer = byte_tokenizer()
    for w in range(len(windows)):
        part = tokenizer.decode(windows.tokens[windows.starts[w] : windows.starts[w + 1]])
        name = windows.documents[windows.document[w]]
        assert part in TEXTS[int(name.rpartition(":")[2]) - 1]
    assert (np.diff(windows.lengths) <= 0).all()
    assert not windows.is_position[windows.starts[:-1]].any()  # the attention sink
    assert (windows.byte_count == windows.lengths - 1).all()  # a byte a token


def test_bos_is_inserted_where_the_tokenizer_does_and_is_no_position() -> None:
    windows = _windows(bos=True)
    first = windows.starts[:-1]
    assert (windows.tokens[first] == 0).all() and not windows.is_text[first].any()
    assert not windows.is_position[first].any() and windows.is_position[first + 1].all()
    assert _windows(bos=True, include_first=True).is_position.all()
    assert (windows.byte_count == windows.lengths - 1).all()
    assert windows.lengths.max() == 24
    assert not (_windows(bos=True, add_bos=False).tokens == 0).any()
    assert (_windows(add_bos=True).tokens[_windows(add_bos=True).starts[:-1]] == 0).all()


def test_bytes_of_wide_characters_add_up() -> None:
    text = "Zwölf Boxkämpfer jagen Viktor – 東京タワー 🗼 over it all"
    windows = make_windows(read_text([text]), byte_tokenizer(), tokens=200, context=200)
    assert windows.byte_count.sum() == len(text.encode()) - 1


def test_depth_is_shared_by_documents_and_the_seed_chooses_them() -> None:
    texts = [f"{i:03d} " + "x" * 400 for i in range(50)]
    windows = make_windows(read_text(texts), byte_tokenizer(), tokens=5000, context=512)
    assert len(windows.documents) == 50 and set(windows.lengths) == {100}
    few = [make_windows(read_text(texts), byte_tokenizer(), tokens=640, seed=s).documents for s in (0, 0, 1)]
    assert len(few[0]) == 10 and few[0] == few[1] != few[2]


def test_bad_windows_are_refused() -> None:
    with pytest.raises(TextError, match="shorter than one window: its longest document has 3 tokens"):
        make_windows(read_text(["abc"]), byte_tokenizer())
    with pytest.raises(SettingError, match="context = 2"):
        _windows(context=2)
    with pytest.raises(SettingError, match="tokens = 0"):
        _windows(tokens=0)
