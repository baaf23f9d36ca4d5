"""The sums of a layer on a device of PyTorch against the compiled loops: the same to the rounding of float64."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import torch
from channels import as_labels
from tiny import byte_tokenizer, tiny_model

from infoplane.information import device_kernels
from infoplane.information.assignments import Rows, sums_of_rows
from infoplane.information.estimators import Tally, informations, shape_of
from infoplane.information.label_groups import Grouping
from infoplane.information.label_sums import Summing
from infoplane.information.marginal_entropy import Marginal, NullCurve
from infoplane.information.thinning import Thinning
from infoplane.measurement import asking
from infoplane.measurement.asking import measure_capture

N, M, DOCUMENTS, BLOCKS = 6_000, 130, 90, 32


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    document = np.sort(draw.integers(0, DOCUMENTS, N)).astype(np.int32)
    label = (draw.zipf(1.3, N) % 900).astype(np.int32)
    centre = draw.dirichlet(np.full(M, 0.2), 900)
    a = draw.dirichlet(np.full(M, 0.3), N) + centre[label] + 0.2 * draw.dirichlet(np.full(M, 0.2), DOCUMENTS)[document]
    a /= a.sum(1, keepdims=True)
    a[a < 1e-5] = 0
    block = draw.permutation(np.arange(DOCUMENTS) % BLOCKS).astype(np.int32)
    grouping = Grouping.of(as_labels(label), document, block)
    return {"a": a.astype(np.float16), "document": document, "block": block, "grouping": grouping}


@pytest.fixture(params=[1 << 24, 3_000], ids=["at once", "in chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(device_kernels, "CHUNK", request.param)
    return int(request.param)


def both(a: Any, whole: bool) -> tuple[Rows, Rows]:
    tensor = torch.from_numpy(a)
    if whole:
        return Rows.of(a), Rows.of(tensor)
    here = Rows.reading(lambda columns: a[:, columns], *a.shape)
    return here, Rows.reading(lambda columns: tensor[:, columns], *a.shape, device=tensor.device)


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("whole", [True, False])
def test_every_sum_of_a_layer_is_that_of_the_compiled_loops(made: dict[str, Any], chunk: int, whole: bool) -> None:
    here, there = both(made["a"], whole)
    close(here.scale, there.scale)
    close(here.metric, there.metric)
    close(here.of_rows, there.of_rows)
    rows = np.random.default_rng(1).permutation(N)[:700].astype(np.int32)
    close(here.get(rows), there.get(rows))
    starts = np.array([0, 5, 260, 700], np.int32)
    for x, y in zip(here.halvings(rows, starts, 2), there.halvings(rows, starts, 2), strict=True):
        close(x, y)
    for (_, x), (_, y) in zip(here.pieces(), there.pieces(), strict=True):
        close(sums_of_rows(x, rows, starts), sums_of_rows(y, rows, starts))
    g = made["grouping"]
    found = []
    for layer in (here, there):
        summing = Summing(layer, g, errors=True, uniform=True)
        for columns, x in layer.pieces():
            summing.add(columns, x)
        found.append(summing.done())
    for name in ("entropy", "row_entropy", "share", "pair_entropy", "rho"):
        close(getattr(found[0], name), getattr(found[1], name))
    for name in ("mean", "variance"):
        close(getattr(found[0].uniform, name), getattr(found[1].uniform, name))


@pytest.mark.parametrize("weight", ["frequency", "uniform"])
def test_estimates_and_their_replicates_are_the_same(made: dict[str, Any], chunk: int, weight: str) -> None:
    g, every = made["grouping"], np.arange(N, dtype=np.int32)
    found = []
    for layer in both(made["a"], True):
        marginal = Marginal.of(layer, every, made["document"], made["block"])
        curve = NullCurve.of(layer, every)
        summing = Summing(layer, g, errors=True, uniform=weight == "uniform")
        for columns, x in layer.pieces():
            summing.add(columns, x)
        sums = summing.done()
        shape = shape_of(layer, Thinning.of(g), g, sums, marginal, curve)
        found.append(informations(curve, [(Tally(g, weight), sums, marginal, shape)])[0])
    for name in ("plugin", "null_curve", "thinned"):
        np.testing.assert_allclose(getattr(found[0], name), getattr(found[1], name), rtol=1e-9, atol=1e-10)


@pytest.fixture(scope="module")
def capture() -> Any:
    import infoplane
    from infoplane.capture.writer import hold_capture
    from infoplane.measurement.measure_settings import MeasureSettings
    from infoplane.measurement.steps import codes_of, cut
    from infoplane.models.decoder import Model

    model = Model.from_module(tiny_model(), byte_tokenizer())
    settings = MeasureSettings.of({"tokens": 4_000, "context": 64, "m": 24, "code": ("random", "fitted")})
    windows = cut(infoplane.read_text("c4-sample"), model.tokenizer, settings)
    names = [layer.name for layer in model.layers]
    codes = codes_of(model.facts, names, windows, settings.code, settings.questions.capacity)
    return hold_capture(model, windows, codes, model.layers)


def test_a_whole_measurement_on_a_device_is_that_of_the_processors(capture: Any) -> None:
    """All rows with their errors, replicates and controls; the device is the CPU, by PyTorch."""

    asked = {"orders": (1, 2), "weights": ("frequency", "uniform"), "estimators": ("corrected", "plugin")}
    here, there = (measure_capture(capture, device=device, **asked) for device in (None, "cpu"))
    assert len(here) == len(there) > 200 and not device_kernels._there
    for a, b in zip(here, there, strict=True):
        assert a.key == b.key and a.value == pytest.approx(b.value, rel=1e-8, abs=1e-9), a.key
        for name in ("standard_error", "control_permuted", "control_halved", "correction_error"):
            x, y = getattr(a, name), getattr(b, name)
            assert x == y or x == pytest.approx(y, rel=1e-6, abs=1e-9), (a.key, name)
        # layers lend each other degrees of freedom, whose number is searched for, to four digits
        assert a.points_error == b.points_error or a.points_error == pytest.approx(b.points_error, rel=1e-3, abs=1e-9)
        np.testing.assert_allclose(a.replicates, b.replicates, rtol=1e-7, atol=1e-8)


def test_where_the_memory_of_a_device_runs_out_the_processors_go_on(
    capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(device_kernels, "label_sums", full)
    here, there = (measure_capture(capture, orders=(1,), device=device) for device in (None, "cpu"))
    assert [row.value for row in here] == [row.value for row in there]


def test_sums_are_made_on_the_gpu_of_the_states_where_this_process_uses_it(
    capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = dataclasses.replace(
        capture, manifest={**capture.manifest, "model": {**capture.manifest["model"], "device": "cuda"}}
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (asking._device_of(capture), asking._device_of(on_gpu)) == (None, "cuda")
    monkeypatch.delitem(sys.modules, "torch")  # a stored capture is measured without it
    assert asking._device_of(on_gpu) is None


def test_labels_that_all_occur_once_hold_no_sums(capture: Any) -> None:
    labels = {"id": np.arange(capture.windows.n_positions)}
    here, there = (measure_capture(capture, orders=(1,), labels=labels, device=device) for device in (None, "cpu"))
    assert [row.value for row in there] == pytest.approx([row.value for row in here], rel=1e-9, abs=1e-9)
