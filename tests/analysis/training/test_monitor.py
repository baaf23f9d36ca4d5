"""The live monitor: it sees what a measurement sees, and training does not see it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, tiny_model
from training import train

import infoplane
from infoplane.analysis.training.monitoring import Monitor
from infoplane.analysis.training.trained_module import unwrapped
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.errors import ResultError, SettingError

SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "m": 16}


def losses(trainer: Any) -> list[float]:
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


def test_training_does_not_see_the_monitor_and_the_monitor_sees_what_measure_sees(tmp_path: Path) -> None:
    alone, _ = train(tmp_path / "a", None)
    watched, callback = train(tmp_path / "b", {"every": 4, **SMALL, "loss": True, "out": tmp_path / "probes"})
    assert losses(alone) == losses(watched)  # bit for bit, dropout included
    for a, b in zip(alone.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)
    probes = [log for log in watched.state.log_history if "infoplane/model/complexity" in log]
    assert [log["step"] for log in probes] == [0, 4, 8, 12, 16, 20]

    watched.save_model(tmp_path / "saved")
    more = {"orders": (1,), "loss": True, "reference_sets": 2}
    found = infoplane.measure(tmp_path / "saved", dtype="float32", **more, **SMALL)
    for quantity in ("complexity", "expressivity", "optimality", "loss"):
        row = found.get(quantity) if quantity == "loss" else found.get(quantity, order=1)
        assert probes[-1][f"infoplane/model/{quantity}"] == pytest.approx(row.value, rel=1e-5)
        assert probes[-1][f"infoplane/model/{quantity}_se"] == pytest.approx(row.total_error, rel=1e-4)
    assert probes[-1]["infoplane/block.1/complexity"] == pytest.approx(
        found.get("complexity", "block.1").value, rel=1e-5
    )
    stored = Trajectory.load(tmp_path / "probes")
    assert [p.step for p in stored.points] == [0, 4, 8, 12, 16, 20]
    assert (
        stored.series("complexity").values.tolist() == callback.monitor.trajectory.series("complexity").values.tolist()
    )


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of the tracer itself
@pytest.mark.parametrize("settings", [{"bf16": True}, {"torch_compile": True, "torch_compile_backend": "eager"}])
def test_it_works_under_mixed_precision_and_compilation(settings: dict[str, Any], tmp_path: Path) -> None:
    alone, _ = train(tmp_path / "a", None, steps=4, **settings)
    watched, callback = train(tmp_path / "b", {"every": 0.5, **SMALL}, steps=4, **settings)
    assert losses(alone) == losses(watched)
    assert [p.step for p in callback.monitor.trajectory.points] == [0, 2, 4]


def test_a_probe_leaves_mode_gradients_weights_and_random_states_alone() -> None:
    model = tiny_model("gpt2").train()
    model.transformer.h[1].eval()
    ids = torch.arange(30)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    before = [p.detach().clone() for p in model.parameters()], [p.grad.clone() for p in model.parameters()]
    modes, state = [x.training for x in model.modules()], torch.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    monitor = Monitor(model, byte_tokenizer(), **SMALL)
    first, second = monitor.probe(0), monitor.probe(1, tokens=100)
    assert first == {**second, "infoplane/model/phase": 0.0}  # nothing was learned in between
    for p, value, gradient in zip(model.parameters(), *before, strict=True):
        assert torch.equal(p, value) and torch.equal(p.grad, gradient) and p.requires_grad
    assert modes == [x.training for x in model.modules()]
    assert torch.equal(state, torch.get_rng_state()) and others[0] == random.getstate()
    assert (others[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert not any(x._forward_hooks or x._forward_pre_hooks for x in model.modules())
    assert monitor.trajectory.points[1].tokens == 100
    model(input_ids=ids, labels=ids).loss.backward()  # what the probe computed is in nobody's way


def test_phase_and_stall_follow_the_complexity() -> None:
    """From tokens that are all alike to different ones, and then nothing changes; and the way back."""
    model = tiny_model(seed=0)
    rows = model.model.embed_tokens.weight
    full = rows.detach().clone()
    monitor = Monitor(model, byte_tokenizer(), **SMALL)
    phases = []
    for i, part in enumerate([0.01, 0.03, 0.1, 1, 1, 1, 1, 0.1, 0.03]):
        with torch.no_grad():
            rows.copy_(part * full + (1 - part) * full.mean(0))
        phases.append(monitor.probe(2**i)["infoplane/model/phase"])
        if i == 6:
            assert monitor.stalled(2)
    assert phases == [0, 1, 1, 1, 0, 0, 0, -1, -1]
    assert not monitor.stalled(20)
    with pytest.raises(SettingError, match="patience = 0"):
        monitor.stalled(0)
    with pytest.raises(SettingError, match="probe of step 7 after that of 256"):
        monitor.probe(7)


def test_without_intervals_nothing_is_known_to_stall() -> None:
    """Fewer than 40 documents give no interval, so no training is stopped for it."""
    texts = [" ".join(f"word{i % 11}" for i in range(90 + k)) for k in range(30)]
    monitor = Monitor(tiny_model(), byte_tokenizer(), texts, tokens=1500, context=64, m=8)
    for step in range(4):
        monitor.probe(step)
    assert not monitor.stalled(2)


@pytest.mark.parametrize(
    "other", [{"m": 16}, {"points_seed": 3}, {"layers": ("block.0",)}, {"estimators": ("plugin",)}, {"tokens": 2000}]
)
def test_probes_of_other_settings_are_not_gone_on_with(tmp_path: Path, other: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"tokens": 3000, "context": 64, "m": 8}
    first = Monitor(tiny_model(), byte_tokenizer(), **settings)
    for step in (0, 5):
        first.probe(step)
    first.save(tmp_path)
    same = Monitor(tiny_model(), byte_tokenizer(), **settings)
    same.resume(tmp_path, 4)
    assert same.last_step == 0 and [p.step for p in same.trajectory.points] == [0]
    with pytest.raises(ResultError, match="holds probes of another run"):
        Monitor(tiny_model(), byte_tokenizer(), **{**settings, **other}).resume(tmp_path, 4)
    with pytest.raises(ResultError, match=r"\(different: .*probed\)"):
        Monitor(tiny_model("qwen2"), byte_tokenizer(), **settings).resume(tmp_path, 4)


def test_of_several_estimators_the_first_is_logged() -> None:
    logged = Monitor(
        tiny_model(), byte_tokenizer(), tokens=3000, context=64, m=8, estimators=("plugin", "corrected")
    ).probe(0)
    alone = Monitor(tiny_model(), byte_tokenizer(), tokens=3000, context=64, m=8, estimators=("plugin",)).probe(0)
    assert logged == alone


def test_a_decoder_that_was_replaced_is_found_again() -> None:
    model, other = tiny_model(), tiny_model(seed=1)
    monitor = Monitor(model, byte_tokenizer(), **SMALL)
    monitor.probe(0)
    model.model = other.model
    want = Monitor(other, byte_tokenizer(), **SMALL).probe(0)
    assert monitor.probe(1)["infoplane/model/complexity"] == want["infoplane/model/complexity"]


def test_it_stops_training_only_when_asked_to(tmp_path: Path) -> None:
    still = {"every": 2, **SMALL, "stop_patience": 2, "stop_min_steps": 7}
    stopped, _ = train(tmp_path / "a", still, lr_scheduler_type="constant", max_grad_norm=1e-30)  # nothing is learned
    assert stopped.state.global_step == 8
    going, _ = train(tmp_path / "b", {"every": 2, **SMALL}, lr_scheduler_type="constant", max_grad_norm=1e-30)
    assert going.state.global_step == 20


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    for every in (0, 1.5, -1, True, float("nan"), "10", None):
        with pytest.raises(SettingError, match=r"every = .*expected a whole number"):
            infoplane.watch(None, every=every)
    for wrong in ({"stop_patience": 0}, {"stop_patience": "x"}, {"stop_min_steps": -5}):
        with pytest.raises(SettingError, match=rf"{next(iter(wrong))} = .*: expected a whole number"):
            infoplane.watch(None, **wrong)
    with pytest.raises(SettingError, match="the monitor needs the model's tokenizer"):
        Monitor(tiny_model(), None)
    model = tiny_model()
    assert unwrapped(torch.compile(torch.nn.DataParallel(model), backend="eager")) is model
