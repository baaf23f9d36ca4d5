"""The report of a training run: a pure function of the trajectory, whatever is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import BROWSER, EVIL, browse, holders
from runs import made_run as run

from infoplane.analysis.training.seeds import Seeds, grouped
from infoplane.analysis.training.trajectory import Point, Trajectory
from infoplane.errors import ResultError, SettingError
from infoplane.report.training.run_page import render_run, write_run_report
from infoplane.report.training.run_view import RunView
from infoplane.report.training.several_page import render_several, write_several_report


def test_the_same_trajectory_gives_the_same_page_and_loads_nothing(tmp_path: Path) -> None:
    page = render_run(run())
    assert page == render_run(run())
    before = page.split("<script>")[0]  # Vega's own code names addresses that it never asks
    assert not re.search(r'(?:src|href)="(?!data:)', before) and "http://" not in before
    assert "default-src 'none'" in page and "Read this first" not in page
    written = write_run_report(run(), tmp_path)
    assert written[0].read_text("utf-8") == page
    assert {p.name for p in written[1:]} == {
        f"{figure}.{kind}" for figure in ("run-plane", "run-curves", "run-layers") for kind in ("svg", "png")
    }


def test_what_the_run_did_is_said(tmp_path: Path) -> None:
    page = render_run(run())
    assert "fitting" in RunView(run()).phases["complexity"].verdict
    assert "no compression phase found" in page
    series = run().series("complexity")
    assert (
        "From step 1 to 5,000, complexity goes from "
        f"{100 * series.values[0]:.2f}\u00a0% to {100 * series.values[-1]:.2f}" in page
    )


def test_failures_gaps_and_short_runs_are_said() -> None:
    trajectory = run(checkpoints=5, gaps=[[10, 90]])
    failed = Point("a-run-9000", 9_000, None, None, "cannot load it")
    page = render_run(Trajectory((*trajectory.points, failed), trajectory.provenance))
    assert "a-run-9000: cannot load it" in page and "no checkpoint between steps 10 and 90" in page
    assert "too few checkpoints to look for phases" in page
    no_errors = render_run(run(replicates=0))
    assert "run-plane" in no_errors and "NaN" not in no_errors.split('<script type="application/gzip"')[0]


@pytest.mark.skipif(
    BROWSER is None, reason="no chromium on the PATH: install Debian's `chromium` to check in a browser"
)
def test_charts_come_to_life_with_a_slider_and_hostile_names_stay_text(tmp_path: Path) -> None:
    page, *_ = write_run_report(run(name=EVIL), tmp_path)
    document, console = browse(page, "--dump-dom")
    assert console == []
    charts = holders(document)
    assert list(charts) == ["run-plane", "run-curves", "run-layers"]
    assert all('data-state="live"' in inside for inside in charts.values())
    assert 'type="range"' in charts["run-plane"]


# ---------------------------------------------------------------------- several runs


def seeds(name: str = "small", count: int = 3, **more: Any) -> Seeds:
    return Seeds(name, tuple(run(name=f"{name}-{i}", seed=i, **more) for i in range(count)))


def test_seeds_are_judged_together_at_the_checkpoints_they_share() -> None:
    whole, short = run(seed=0), run(seed=1)
    short = Trajectory(short.points[:-2], short.provenance)
    both = Seeds("small", (whole, short))
    first, second = both.series("complexity")
    assert first.steps.tolist() == second.steps.tolist() == [p.step for p in short.points]
    np.testing.assert_array_equal(first.values, whole.series("complexity").values[:-2])
    assert both.checkpoints == len(short.points) and both.enough
    assert both.claim("complexity").fitting and not both.claim("complexity").compression
    assert [p.outline.split(" to ")[0] for p in both.phases("complexity")] == ["fitting", "fitting"]
    alone = Seeds("one", (whole,))
    assert alone.phases("complexity") == (RunView(whole).phases["complexity"],)
    assert "one seed is never enough" in alone.claim("complexity").text


def test_runs_of_two_configurations_are_not_seeds_of_one() -> None:
    a, b = run(seed=0, like={"width": 32}), run(seed=1, like={"width": 64})
    with pytest.raises(
        SettingError, match=r"both: runs 1 and 2 are not seeds of one .* like differ \(width 32, width 64"
    ):
        Seeds("both", (a, b))
    Seeds("with and without the bound", (a, run(seed=1, like={"width": 32}, settings={"orders": [1], "bound": True})))
    assert [g.name for g in grouped([("x", a), ("y", b), ("x", run(seed=1, like={"width": 32}))])] == ["x", "y"]
    with pytest.raises(SettingError, match="none: no runs"):
        Seeds("none", ())
    apart = Seeds("apart", (Trajectory(a.points[:4], {}), Trajectory(a.points[4:], {})))
    with pytest.raises(ResultError, match="apart: its runs have no checkpoint in common"):
        apart.series("complexity")


def test_several_runs_on_one_page(tmp_path: Path) -> None:
    groups = (seeds("small", like={"width": 32}), seeds("large", 1, like={"width": 64}))
    page = render_several(groups)
    assert page == render_several(groups)
    assert "4 runs of 2 configurations" in page and "fitting claimed: 3 of 3 seeds show it" in page
    assert "Nothing is claimed for large: one run each" in page and "Models of different width" in page
    written = write_several_report(groups, tmp_path)
    assert {p.name for p in written[1:]} == {f"runs-{f}.{kind}" for f in ("plane", "curves") for kind in ("svg", "png")}
    few = render_several([seeds(checkpoints=5)])
    assert "5 checkpoints in common, and phases need 8" in few and "No configuration has checkpoints enough" in few


@pytest.mark.skipif(
    BROWSER is None, reason="no chromium on the PATH: install Debian's `chromium` to check in a browser"
)
def test_charts_of_several_runs_come_to_life(tmp_path: Path) -> None:
    page, *_ = write_several_report([seeds(EVIL)], tmp_path)
    document, console = browse(page, "--dump-dom")
    charts = holders(document)
    assert console == [] and list(charts) == ["runs-plane", "runs-curves"]
    assert all('data-state="live"' in inside for inside in charts.values())
    assert 'type="range"' in charts["runs-plane"]
