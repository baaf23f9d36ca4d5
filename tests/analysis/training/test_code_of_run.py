"""Traces and monitors with a fitted code: whose it is, that all have the same, and where an own one stands by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.training import code_of_run
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.capture import stored_code
from infoplane.errors import CaptureError, ResultError, SettingError, TextError
from infoplane.measurement.results import Measurement

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL: dict[str, Any] = {
    "tokens": 6_000, "context": 64, "orders": (1,), "m": 16, "dtype": "float32", "code": ("fitted",), "controls": False,
}  # fmt: skip
SHARES = {1: 0.0, 2: 0.9, 4: 0.97, 8: 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints on the way from other weights, far away, to those of the last."""
    place = tmp_path_factory.mktemp("run")
    first, last = tiny_model("llama", 1), tiny_model("llama", 0)
    for step, share in SHARES.items():
        module = tiny_model("llama", 0)
        with torch.no_grad():
            for weight, a, b in zip(module.parameters(), first.parameters(), last.parameters(), strict=True):
                weight.copy_((1 - share) * a + share * b)
        module.save_pretrained(place / f"step{step}")
        byte_tokenizer().save_pretrained(place / f"step{step}")
    return place


@pytest.fixture(scope="module")
def traced(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trajectory]:
    out = tmp_path_factory.mktemp("traced") / "trace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infoplane.report.training.run_page.write_run_figures", lambda *_: None, raising=False)
        return out, infoplane.trace(run, out=out, **SMALL)


def measured(run: Path, step: int, **more: Any) -> Measurement:
    return infoplane.measure(run / f"step{step}", **{**SMALL, **more})


def values(measurement: Measurement, code: str = "fitted") -> list[tuple[Any, ...]]:
    return [(row.quantity, row.layer, row.value) for row in measurement if row.code == code]


def test_all_checkpoints_are_read_with_the_code_of_the_last(
    run: Path, traced: tuple[Path, Trajectory], tmp_path: Path
) -> None:
    last = measured(run, 8, capture=tmp_path / "last")
    hashes = set()
    for point in traced[1].measured:
        assert point.measurement is not None
        want = measured(run, point.step, code_of=str(tmp_path / "last"))
        assert values(point.measurement) == values(want)
        points = point.measurement.provenance["points"]
        assert points["kept"] == {"of": "step8"}
        hashes.add(points["directions_hash"])
    assert hashes == {last.provenance["points"]["directions_hash"]}
    assert values(last) == values(traced[1].measured[-1].measurement)  # type: ignore[arg-type]


def test_where_it_is_of_other_states_an_own_code_stands_beside_it(run: Path, traced: tuple[Path, Trajectory]) -> None:
    first, *_, last = (point.measurement for point in traced[1].measured)
    assert first is not None and last is not None
    assert first.codes == ("fitted", "refitted") and last.codes == ("fitted",)
    own = measured(run, 1)
    assert values(first, "refitted") == values(own)
    assert first.get("ceiling").value < 0.125 < first.get("ceiling", code="refitted").value
    (warning,) = [w for w in first.provenance["warnings"] if "of other states" in w]
    assert "the code of step8 is of other states than those of" in warning
    assert not [w for w in last.provenance["warnings"] if "of other states" in w]
    series = traced[1].series("complexity")
    assert len(series) == len(SHARES) and series.values[-1] == last.get("complexity").value
    stored = Measurement.load(traced[0] / "checkpoints/step1")
    assert values(stored, "refitted") == values(own)
    assert stored.origin.codes[1].code == "refitted" and stored.origin.codes[1].kept.of is None


def test_a_trace_goes_on_with_its_code(
    run: Path, traced: tuple[Path, Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[int] = []
    true = code_of_run.capture_model
    monkeypatch.setattr(code_of_run, "capture_model", lambda *a, **k: fits.append(1) or true(*a, **k))
    out = tmp_path / "trace"
    infoplane.trace(run, out=out, revisions="step4,step8", **SMALL)
    assert len(fits) == 1 and (out / code_of_run.NAME).is_file()
    again = infoplane.trace(run, out=out, **SMALL)
    own = sum("refitted" in p.measurement.codes for p in again.measured)  # type: ignore[union-attr]
    assert len(fits) == 1 + own > 1
    assert [values(p.measurement) for p in again.measured] == [  # type: ignore[arg-type]
        values(p.measurement)
        for p in traced[1].measured  # type: ignore[arg-type]
    ]
    (out / code_of_run.NAME).write_bytes(b"damaged")
    infoplane.trace(run, out=out, **SMALL)
    assert len(fits) == 2 + own  # the same again, and nothing is measured anew


def test_a_run_that_has_grown_is_read_with_the_code_that_it_had(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.move(tmp_path / "run/step8", tmp_path / "later")
    infoplane.trace(tmp_path / "run", out=tmp_path / "trace", **SMALL)
    code = (tmp_path / "trace" / code_of_run.NAME).read_bytes()
    shutil.move(tmp_path / "later", tmp_path / "run/step8")
    told = infoplane.trace(tmp_path / "run", out=tmp_path / "trace", **SMALL)
    assert {p.measurement.provenance["points"]["kept"]["of"] for p in told.measured if p.measurement} == {"step4"}
    assert [p.step for p in told.measured] == [*SHARES]
    assert (tmp_path / "trace" / code_of_run.NAME).read_bytes() == code
    anew = infoplane.trace(tmp_path / "run", out=tmp_path / "trace", force=True, **SMALL)
    assert {p.measurement.provenance["points"]["kept"]["of"] for p in anew.measured if p.measurement} == {"step8"}


def test_a_file_of_the_user_is_not_written_over(run: Path, tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / code_of_run.NAME).write_text("mine")
    with pytest.raises(ResultError, match="is there, and no trace"):
        infoplane.trace(run, out=tmp_path / "trace", **SMALL)
    assert (tmp_path / "trace" / code_of_run.NAME).read_text() == "mine"


def test_the_code_of_a_capture_for_a_run(run: Path, traced: tuple[Path, Trajectory], tmp_path: Path) -> None:
    measured(run, 4, capture=tmp_path / "capture")
    told = infoplane.trace(run, out=tmp_path / "trace", code_of=str(tmp_path / "capture"), **SMALL)
    want = stored_code(tmp_path / "capture", 0.25).record["inverse_temperatures"]
    for point in told.measured:
        assert point.measurement is not None
        assert point.measurement.provenance["points"]["inverse_temperatures"] == want
    assert not (tmp_path / "trace" / code_of_run.NAME).exists()
    with pytest.raises(ResultError, match="different: code_of"):
        infoplane.trace(run, out=tmp_path / "trace", **SMALL)
    with pytest.raises(CaptureError, match="no capture at"):
        infoplane.trace(run, out=tmp_path / "other", code_of=str(tmp_path / "nothing"), **SMALL)
    assert not (tmp_path / "other").exists()


def test_a_run_whose_last_checkpoint_is_broken_has_the_code_of_the_one_before(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/step8/model.safetensors").write_bytes(b"nothing")
    told = infoplane.trace(tmp_path / "run", out=tmp_path / "trace", **SMALL)
    assert told.points[-1].measurement is None and told.points[-1].problem
    assert {p.measurement.provenance["points"]["kept"]["of"] for p in told.measured if p.measurement} == {"step4"}


def test_differences_of_checkpoints_are_paired_fit_by_fit(traced: tuple[Path, Trajectory]) -> None:
    a, b = (point.measurement for point in traced[1].measured[-2:])
    assert a is not None and b is not None and a.origin.has_points_of(b.origin)
    row = b.minus(a).get("complexity")
    both = np.hypot(a.get("complexity").total_error or 0, b.get("complexity").total_error or 0)
    assert row.total_error is not None and row.total_error < both


def test_a_monitor_fits_at_each_probe_or_keeps_a_code(run: Path, tmp_path: Path) -> None:
    settings = {name: value for name, value in SMALL.items() if name != "dtype"}
    want = measured(run, 8, capture=tmp_path / "capture")
    monitor = infoplane.Monitor(tiny_model("llama", 0), byte_tokenizer(), **settings)
    logged = monitor.probe(1)
    assert logged["infoplane/model/complexity"] == pytest.approx(want.get("complexity").value, rel=1e-6)
    half = infoplane.Monitor(tiny_model("llama", 0), byte_tokenizer(), **settings, capacity=0.5)
    assert half.probe(1)["infoplane/model/ceiling"] == pytest.approx(0.5, rel=0.02)
    kept = infoplane.Monitor(tiny_model("llama", 1), byte_tokenizer(), **settings, code_of=str(tmp_path / "capture"))
    ceiling = measured(run, 1, code_of=str(tmp_path / "capture")).get("ceiling").value
    assert kept.probe(1)["infoplane/model/ceiling"] == pytest.approx(ceiling, rel=1e-6)
    both = infoplane.Monitor(tiny_model("llama", 0), byte_tokenizer(), **{**settings, "code": ("random", "fitted")})
    logged = both.probe(1)
    random = both.trajectory.points[0].measurement.get("complexity", code="random")  # type: ignore[union-attr]
    assert logged["infoplane/model/complexity"] == random.value


def test_what_cannot_be_is_refused(run: Path, tmp_path: Path) -> None:
    few = [f"a document of some words, number {i}" for i in range(4)]
    with pytest.raises(TextError, match="4 documents: a fitted code needs 8"):
        infoplane.Monitor(tiny_model("llama"), byte_tokenizer(), few, tokens=500, code=("fitted",))
    with pytest.raises(SettingError, match="made with m = 16, and 17"):
        measured(run, 8, capture=tmp_path / "capture")
        infoplane.trace(run, out=tmp_path / "t", code_of=str(tmp_path / "capture"), **{**SMALL, "m": 17})
