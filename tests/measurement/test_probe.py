"""Probes as an option of `measure`: rows, errors, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.capture import Probed, probing
from infoplane.capture.stored_capture import open_capture
from infoplane.errors import SettingError, TextError
from infoplane.information import FREQUENT
from infoplane.measurement.columns import figures_by_column
from infoplane.measurement.probe_rows import probe_rows
from infoplane.measurement.results import Measurement

SMALL: dict[str, Any] = {"tokens": 6_000, "context": 64, "m": 16, "orders": (1,), "controls": False, "probe": True}


def measured(**more: Any) -> Measurement:
    return infoplane.measure(tiny_model("llama"), tokenizer=byte_tokenizer(), **{**SMALL, **more})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measurement]:
    folder = tmp_path_factory.mktemp("probed") / "capture"
    return folder, measured(capture=folder)


def test_every_layer_has_a_row_of_both_sides(found: tuple[Path, Measurement]) -> None:
    rows = found[1].select(quantity="probe")
    assert [(r.layer, r.side) for r in rows] == [
        (layer, side) for layer in (*found[1].layers, "model") for side in ("input", "output")
    ]
    assert all(r.standard_error is not None and r.points_error is None and r.code is None for r in rows)
    assert found[1].get("probe", layer="embed", side="input").value > found[1].get("probe", side="output").value
    blocks = [r.value for r in rows if r.layer.startswith("block.") and r.side == "input"]
    assert found[1].get("probe", side="input").value == pytest.approx(np.mean(blocks))


def test_other_rows_are_as_without_it_and_it_repeats(found: tuple[Path, Measurement]) -> None:
    without = measured(probe=False)
    assert [(r.key, r.value) for r in found[1] if r.quantity != "probe"] == [(r.key, r.value) for r in without]
    assert [r.value for r in measured()] == [r.value for r in found[1]]
    two = measured(code=("fitted", "random"), unit="nats").select(quantity="probe")
    assert len(two) == len(found[1].select(quantity="probe"))


def test_a_table_and_a_record_hold_it(found: tuple[Path, Measurement], tmp_path: Path) -> None:
    found[1].save(tmp_path)
    again = Measurement.load(tmp_path)
    row = again.get("probe", layer="block.1", side="output")
    assert row == found[1].get("probe", layer="block.1", side="output") and len(row.replicates) == 32


def test_columns_name_both_sides(found: tuple[Path, Measurement]) -> None:
    columns = figures_by_column(found[1])
    assert columns["probe_input"] == found[1].get("probe", side="input")
    assert columns["probe_output"] == found[1].get("probe", side="output")
    parts = {f"ceiling_{side}": side for side in ("token", "document", "rest")}
    assert all(columns[name] == found[1].get("ceiling_part", side=side) for name, side in parts.items())
    assert columns["expressivity_document"].quantity == "expressivity_part"


def test_replicates_leave_out_blocks() -> None:
    r = np.random.default_rng(0)
    document = np.repeat(np.arange(64, dtype=np.int32), 10)
    labels = r.integers(0, FREQUENT + 1, (640, 2)).astype(np.int32)
    log_q = r.uniform(-4, 0, (640, 2))
    blocks = np.arange(64, dtype=np.int32) % 32
    rows = probe_rows(Probed(("block.0",), labels, document, {"block.0": log_q}), blocks, "nats", 100)

    def bound(keep: np.ndarray, side: int) -> float:
        p = np.bincount(labels[keep, side]) / keep.sum()
        return float(-(p[p > 0] * np.log(p[p > 0])).sum() + log_q[keep, side].mean())

    for side in (0, 1):
        assert rows[side].value == pytest.approx(bound(np.ones(640, bool), side))
        want = [bound(blocks[document] != b, side) for b in range(32)]
        assert np.allclose(rows[side].replicates, want)


def test_layers_in_parts_read_the_same(found: tuple[Path, Measurement], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_STATES", 1)
    told: list[Any] = []
    again = measured(progress=lambda *stage: told.append(stage))
    assert [r.value for r in again] == [r.value for r in found[1]]
    assert [done for name, done, _ in told if name == "probing"] == list(range(len(again.layers) + 1))


def test_what_cannot_be_is_refused(found: tuple[Path, Measurement], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="so probe can say nothing more"):
        infoplane.measure(None, capture=found[0], probe=True)
    with pytest.raises(TextError, match="judged on other documents than they are fitted on"):
        measured(documents=["one long document of some words " * 60], capture=tmp_path / "capture")
    assert not (tmp_path / "capture").exists()
    with pytest.raises(SettingError, match="measure the checkpoint with it"):
        infoplane.TraceSettings.of({"probe": True})
    with pytest.raises(SettingError, match="measure a checkpoint with it"):
        infoplane.MonitorSettings.of({"probe": True})
    assert open_capture(found[0]).layers == found[1].layers
