"""Every page in a real browser, on a phone and on a wide screen, light and dark: nothing overflows, text can be read,
and axe finds nothing to complain about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from bounds import made_bound
from browser import BROWSER, browse
from report_factory import full_measurement, minimal_measurement
from runs import made_run
from synthetic import models

from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.training.seeds import grouped
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement
from infoplane.report.comparison.page import write_comparison_report
from infoplane.report.forecasting.page import write_forecast_report
from infoplane.report.measurement.writing import write_report
from infoplane.report.text_bound.page import write_bound_report
from infoplane.report.training.run_page import write_run_report
from infoplane.report.training.several_page import write_several_report

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: install Debian's `chromium`")


def _comparison(folder: Path) -> None:
    settings = {"orders": [1, 2], "estimators": ["null-curve"], "unit": "efficiency", "corrected": "null-curve"}
    members = []
    for seed, name in enumerate(("org/a-model-with-a-long-name-1.7B", "two", "three")):
        full = full_measurement(seed, name)
        members.append(
            Member(name, f"family {seed}", Measurement(tuple(full), {**full.provenance, "settings": settings}))
        )
    write_comparison_report(compare(members), folder)


def _forecast(folder: Path) -> None:
    cases = models("size alone", 8, seed=1)
    found = forecast(cases, structure=("s0",), baselines=("size",), scores=("score",), new=cases, draws=100)
    write_forecast_report(found, folder)


PAGES: dict[str, Callable[[Path], Any]] = {
    "measurement": lambda folder: write_report(full_measurement(), folder),
    "minimal": lambda folder: write_report(minimal_measurement(), folder),
    "trace": lambda folder: write_run_report(made_run(), folder),
    "traces": lambda folder: write_several_report(
        grouped([("small", made_run(seed=i)) for i in range(3)] + [("large", made_run(seed=9))]), folder
    ),
    "bound": lambda folder: write_bound_report(made_bound(), folder),
    "comparison": _comparison,
    "forecast": _forecast,
}

LOOK = """
<script type="text/plain" id="axe-source">%s</script>
<script>
const wait = setInterval(async () => {
  const holders = [...document.querySelectorAll("[data-chart]")];
  if (!holders.every((holder) => holder.dataset.state)) return;
  clearInterval(wait);
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const small = [];
  for (const text of document.querySelectorAll(".chart svg text")) {
    const size = parseFloat(getComputedStyle(text).fontSize) * Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b);
    if (size < 10.95 && text.textContent.trim()) small.push(text.textContent + " " + size.toFixed(1));
  }
  (0, eval)(document.getElementById("axe-source").textContent.replaceAll("<\\\\/script", "</" + "script"));
  const result = await axe.run(document, {resultTypes: ["violations"]});
  const of = (v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target + " " + n.failureSummary).join(" | ");
  console.log("LOOKED" + encodeURIComponent(JSON.stringify({
    width: innerWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches,
    overflow: document.documentElement.scrollWidth - innerWidth,
    beyond: [...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll, .chart, svg"))
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .slice(0, 3).map((one) => one.outerHTML.slice(0, 120)),
    small: [...new Set(small)].slice(0, 5),
    states: holders.map((holder) => holder.dataset.state),
    violations: result.violations.map(of),
  })));
}, 50);
</script>
"""


def looked_at(page: Path, width: int, dark: bool) -> dict[str, Any]:
    """What a browser finds on a page."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8").replace("</script", "<\\/script")
    copy = page.with_name(f"looked-{width}-{dark}.html")
    copy.write_text(page.read_text("utf-8").replace("</body>", LOOK % axe + "</body>"), "utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    frame = copy.with_name(f"frame-{copy.name}")  # a window is never as narrow as a phone, a frame is
    frame.write_text(f'<iframe src="{copy.name}" style="border:0;width:{width}px;height:2400px"></iframe>', "utf-8")
    _, console = browse(frame, "--dump-dom", f"--window-size={width + 100},2500", scheme)
    assert len(console) == 1, console
    found = re.search('LOOKED([^"]*)', console[0])
    assert found is not None, console
    return dict(json.loads(unquote(found[1])))


@pytest.mark.parametrize(("width", "dark"), [(400, False), (400, True), (1400, False), (1400, True)])
@pytest.mark.parametrize("kind", PAGES)
def test_pages_fit_can_be_read_and_please_axe(kind: str, width: int, dark: bool, tmp_path: Path) -> None:
    PAGES[kind](tmp_path)
    page = tmp_path / "report.html"
    assert page.stat().st_size < 1_500_000
    found = looked_at(page, width, dark)
    assert (found["width"], found["dark"]) == (width, dark)
    assert set(found["states"]) <= {"live"}
    assert found["overflow"] <= 0 and found["beyond"] == [], found["beyond"]
    assert found["small"] == []
    assert found["violations"] == []
