"""The report in a real browser: every chart comes to life, and nothing is complained about."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from browser import BROWSER, EVIL, browse, holders
from report_factory import full_measurement, minimal_measurement

from infoplane.measurement.results import Measurement
from infoplane.report.measurement.figures import FIGURES as EVERY
from infoplane.report.measurement.writing import write_report

FIGURES = [name for name in EVERY if name != "preferences"]  # these records are not of preference pairs

pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="no chromium on the PATH: install Debian's `chromium` to check the report in a browser",
)


def test_every_chart_is_drawn(tmp_path: Path) -> None:
    page, *_ = write_report(full_measurement(), tmp_path)
    document, console = browse(page, "--dump-dom")
    assert console == []
    charts = holders(document)
    assert list(charts) == list(FIGURES)
    for name, inside in charts.items():
        assert 'data-state="live"' in inside, name
        assert re.search(r'<svg[^>]* class="marks"', inside), name
        assert "<img" not in inside, name
    assert len(re.findall(r"mark-symbol", charts["information-plane"])) >= 3
    assert "diagonal (reference, not a bound)" in charts["information-plane"]
    assert charts["shares"].count("<path") > 200  # 2 sides x 32 layers x 5 parts and the axes


def test_minimal_and_hostile_records(tmp_path: Path) -> None:
    page, *_ = write_report(minimal_measurement(), tmp_path / "minimal")
    document, console = browse(page, "--dump-dom")
    assert console == []
    assert document.count('data-state="live"') == 3
    rows = tuple(
        dataclasses.replace(row, side=f"label:{EVIL}" if row.quantity == "information" else row.side, warning=EVIL)
        for row in full_measurement()
        if row.layer in ("embed", "block.0", "block.1", "model")
    )
    hostile = Measurement(rows, {"model": {"source": EVIL}, "warnings": [EVIL]})
    page, *_ = write_report(hostile, tmp_path / "hostile")
    document, console = browse(page, "--dump-dom")
    assert console == []
    assert document.count('data-state="live"') == len(FIGURES)


def test_a_chart_that_fails_leaves_its_picture(tmp_path: Path) -> None:
    # Also shows that the checks above can see a complaint.
    page, *_ = write_report(minimal_measurement(), tmp_path)
    text = page.read_bytes().decode()
    page.write_bytes(text.replace('"type":"line"', '"type":"nonsense"').encode())
    document, console = browse(page, "--dump-dom")
    assert console
    assert 'data-state="still"' in document
    assert all("<img" in inside for inside in holders(document).values() if 'data-state="still"' in inside)


def test_screenshot_in_light_and_dark(tmp_path: Path) -> None:
    page, *_ = write_report(full_measurement(), tmp_path)
    pictures = []
    for scheme in ("0", "1"):
        picture = tmp_path / f"{scheme}.png"
        _, console = browse(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
        assert console == []
        pictures.append(picture.read_bytes())
    assert all(len(picture) > 200_000 for picture in pictures)  # a blank page is a tenth of that
    assert pictures[0] != pictures[1]
