"""Two codes in one capture: the first named is meant unless another is named, and each says what it says alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import byte_tokenizer, tiny_model

import infoplane
from infoplane.cli.measure_summary import show
from infoplane.measurement.columns import figures_by_column
from infoplane.measurement.results import Measurement
from infoplane.report.measurement.writing import render_report

SMALL: dict[str, Any] = {"tokens": 8_000, "context": 64, "m": 16, "orders": (1,), "loss": True}


def measured(*code: str, **more: Any) -> Measurement:
    return infoplane.measure(tiny_model("llama"), tokenizer=byte_tokenizer(), **{**SMALL, "code": code, **more})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measurement]:
    folder = tmp_path_factory.mktemp("both") / "capture"
    return folder, measured("random", "fitted", capture=folder)


def told(measurement: Measurement) -> list[tuple[Any, ...]]:
    return [(row.key, row.value, row.points_error, row.replicates) for row in measurement]


def test_each_code_says_what_it_says_alone(kept: tuple[Path, Measurement]) -> None:
    both = kept[1]
    assert both.codes == ("random", "fitted")
    alone = measured("fitted")
    assert told(both.of_code("fitted")) == told(alone)
    assert both.of_code("fitted").origin.points == alone.origin.points
    turned = measured("fitted", "random")
    assert turned.codes == ("fitted", "random")
    for code in both.codes:
        assert told(turned.of_code(code)) == told(both.of_code(code))


def test_the_first_is_meant_unless_another_is_named(kept: tuple[Path, Measurement]) -> None:
    both = kept[1]
    assert both.get("complexity", order=1).code == "random"
    fitted = both.get("complexity", order=1, code="fitted")
    assert fitted.code == "fitted" and fitted.value != both.get("complexity", order=1).value
    assert {row.code for row in both.select(quantity="complexity")} == {"random"}
    assert {row.code for row in both.select(quantity="complexity", code="fitted")} == {"fitted"}
    assert both.get("loss").code is None and len([row for row in both if row.quantity == "loss"]) == 1
    only = both.of_code("random")
    assert only.of_code("random") is only
    columns, first = figures_by_column(both), figures_by_column(only)
    assert columns["complexity_1"] == first["complexity_1"] and columns["complexity_1_fitted"] == fitted
    assert {name for name in columns if not name.endswith("_fitted")} == set(first)
    assert {name.removesuffix("_fitted") for name in columns} == set(first)


def test_a_capture_is_asked_again_with_both(kept: tuple[Path, Measurement]) -> None:
    again = infoplane.measure(None, capture=kept[0], orders=(1,))
    assert told(again) == told(kept[1])
    capture = infoplane.open_capture(kept[0])
    with pytest.raises(infoplane.InfoplaneError, match=r"no code 'none'; it has random, fitted"):
        capture.of("none")
    assert capture.codes == ("random", "fitted") and "2 x 16" in repr(capture.of("fitted"))


def test_results_are_read_back_and_shown(
    kept: tuple[Path, Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept[1].save(tmp_path)
    again = Measurement.load(tmp_path)
    assert again == kept[1] and again.origin.codes[1].code == "fitted"
    show(again)
    printed = capsys.readouterr().out
    assert printed.count("\nbits per byte") == 1
    assert "code random" in printed and "code fitted" in printed
    page = render_report(again)
    assert "Code random, estimator corrected" in page and "Code fitted, estimator corrected" in page
    assert "All else on this page is of the code random." in page
    alone = render_report(again.of_code("random"))
    assert "Estimator corrected" in alone and "code fitted" not in alone.lower()


def test_differences_are_of_rows_of_one_code(kept: tuple[Path, Measurement]) -> None:
    other = infoplane.measure(
        tiny_model("llama", seed=1), tokenizer=byte_tokenizer(), **SMALL, code=("random", "fitted")
    )
    difference = kept[1].minus(other)
    for code in ("random", "fitted"):
        row = difference.get("complexity", order=1, code=code)
        mine, theirs = (m.get("complexity", order=1, code=code) for m in (kept[1], other))
        assert row.value == pytest.approx(mine.value - theirs.value)
    # random points are the same in both, and taken set by set; fitted ones are each model's own, and their errors add
    mine, theirs = (m.get("complexity", order=1, code="fitted") for m in (kept[1], other))
    added = difference.get("complexity", order=1, code="fitted")
    assert added.points_error == pytest.approx((mine.points_error**2 + theirs.points_error**2) ** 0.5, rel=0.2)
    assert difference.provenance["same_reference_points"]
