"""A protocol stands for its settings, travels with results, and is not mixed with another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.analysis.training.trace_settings import TraceSettings
from infoplane.errors import ResultError, SettingError
from infoplane.information.reference_points import ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.protocols import PAPER, PROTOCOLS, STANDARD

SMALL: dict[str, Any] = {"tokens": 3000, "m": 16, "orders": (1,)}


def measured(**more: Any) -> Any:
    return infoplane.measure(tiny_model("llama"), tokenizer=byte_tokenizer(), **{**SMALL, **more})


def test_the_standard_protocol_is_the_default() -> None:
    flat = MeasureSettings().flat()
    assert flat["protocol"] == STANDARD
    assert {name: flat[name] for name in PROTOCOLS[STANDARD]} == dict(PROTOCOLS[STANDARD])


def test_one_word_stands_for_its_settings_and_comes_back() -> None:
    paper = MeasureSettings.of({"protocol": PAPER, "orders": (1, 2, 3)})
    flat = paper.flat()
    assert {name: flat[name] for name in PROTOCOLS[PAPER]} == dict(PROTOCOLS[PAPER])
    assert flat["orders"] == (1, 2, 3) and flat["m"] == 100
    assert paper.of_captures() == {}  # nothing beside the protocol
    assert paper.but({"protocol": STANDARD, "orders": (1, 2)}) == MeasureSettings()
    assert TraceSettings.of({"protocol": PAPER}).flat()["estimators"] == ("plugin",)
    assert paper.but({"m": 50}).flat()["m"] == 50  # which is not part of it


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"estimators": ("corrected",)}, "has estimators = plugin, not estimators = corrected: leave estimators out"),
        ({"reference_sets": 4}, "has reference_sets = 1, not reference_sets = 4"),
        ({"context": 512}, "has context = 128, not context = 512"),
    ],
)
def test_what_contradicts_a_protocol_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"the protocol paper {message}"):
        MeasureSettings.of({"protocol": PAPER, **more})
    with pytest.raises(SettingError, match="protocol = 'published': expected one of standard, paper"):
        MeasureSettings.of({"protocol": "published"})


def test_it_travels_with_a_result_and_says_what_was_changed() -> None:
    plain = measured()
    # a tiny model has fewer positions than the windows of the protocol
    assert plain.provenance["protocol"] == {"name": STANDARD, "version": 1, "changed": ["context"]}
    assert plain.provenance["points"]["sets"] == 6 and not plain.provenance["points"]["shared"]  # of three blocks
    single = measured(reference_sets=1, estimators=("corrected", "plugin"))
    assert single.provenance["protocol"]["changed"] == ["context", "estimators", "reference_sets"]
    row = single.get("complexity", order=1)
    assert row.points_error is None and row.total_error == row.standard_error
    paper = measured(protocol=PAPER)
    assert paper.provenance["protocol"] == {"name": PAPER, "version": 1, "changed": []}
    assert {row.estimator for row in paper if row.estimator} == {"plugin"}
    with pytest.raises(ResultError, match="different protocols"):
        paper.minus(plain)


def test_the_paper_has_one_set_that_all_layers_share(tmp_path: Path) -> None:
    measured(protocol=PAPER, capture=tmp_path / "cap")
    kept = infoplane.open_capture(tmp_path / "cap")
    assert kept.sets == 1 and kept.shared_points
    points = ReferencePoints.make(32, 16, calibration="amos-lower")
    assert kept.manifest["codes"][0]["eps"] == points.eps
    # every token of a window is measured, the first too
    assert kept.windows.n_positions == len(kept.windows.tokens)
    model = tiny_model("llama")
    import torch

    w = kept.windows
    first = torch.from_numpy(w.tokens[w.starts[0] : w.starts[1]].astype(np.int64))[None]
    with torch.no_grad():
        states = model(first, output_hidden_states=True).hidden_states[1][0]  # what leaves the first block
    wanted = soft_assign(states, points).numpy()
    np.testing.assert_allclose(kept.read("block.0")[: len(wanted)], wanted, atol=2e-3)


def test_a_capture_of_another_protocol_is_refused_where_it_cannot_be_asked(tmp_path: Path) -> None:
    measured(capture=tmp_path / "own")
    with pytest.raises(SettingError, match=r"the capture was made with .*, and the protocol paper has .*: capture the"):
        infoplane.measure(None, capture=tmp_path / "own", orders=(1,), protocol=PAPER)
    measured(protocol=PAPER, capture=tmp_path / "paper")
    again = infoplane.measure(None, capture=tmp_path / "paper", orders=(1,), protocol=PAPER)
    assert again.provenance["protocol"]["name"] == PAPER
    other = infoplane.measure(None, capture=tmp_path / "paper", orders=(1,))
    assert "shared_points" in other.provenance["protocol"]["changed"]
