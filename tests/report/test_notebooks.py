"""Results in a notebook: the answer and the figure, a chart to go on with, a table for pandas."""

from __future__ import annotations

import builtins
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import altair as alt
import pytest
from bounds import made_bound
from report_factory import full_measurement
from runs import made_run
from synthetic import models

import infoplane
from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.surveys.record import Survey, Surveyed
from infoplane.errors import ResultError
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement


def members() -> list[Member]:
    settings = {"orders": [1, 2], "estimators": ["null-curve"], "unit": "efficiency", "corrected": "null-curve"}
    found = []
    for seed, name in enumerate(("one", "two")):
        full = full_measurement(seed, name)
        rows = tuple(row for row in full if row.layer in ("block.0", "block.1", "model"))
        found.append(Member(name, None, Measurement(rows, {**full.provenance, "settings": settings})))
    return found


RESULTS: dict[str, Callable[[], Any]] = {
    "measurement": full_measurement,
    "trajectory": made_run,
    "bound": made_bound,
    "comparison": lambda: compare(members()),
    "survey": lambda: Survey(tuple(Surveyed(m.name, m.name, None, measurement=m.measurement) for m in members())),
    "forecast": lambda: forecast(
        models("size alone", 8, seed=1), structure=("s0",), baselines=("size",), scores=("score",), draws=200
    ),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_every_result_shows_the_answer_and_the_figure(kind: str) -> None:
    result = RESULTS[kind]()
    shown = result._repr_html_()
    assert shown.startswith("<div") and shown.count("<p>") >= 2
    assert "data:image/svg+xml;base64," in shown
    assert "://" not in shown  # it loads nothing


@pytest.mark.parametrize("kind", RESULTS)
def test_every_result_gives_a_chart_and_a_table(kind: str) -> None:
    result = RESULTS[kind]()
    chart = result.plot()
    assert isinstance(chart, alt.TopLevelMixin)
    spec = json.loads(chart.to_json())
    assert spec["config"]["font"].startswith("Liberation Sans")
    assert any(isinstance(rows, list) and rows for rows in spec["datasets"].values())
    assert json.loads(chart.properties(title="mine").to_json())["title"] == "mine"
    assert list(result.to_pandas().columns) == result.table().columns


def test_what_cannot_be_drawn_is_shown_as_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Measurement((), {"model": {"source": "<b>"}})
    assert "&lt;b&gt;" in empty._repr_html_()
    with pytest.raises(ResultError, match="has not the rows for a figure"):
        empty.plot()

    def broken(_: object) -> str:
        raise RuntimeError

    monkeypatch.setattr("infoplane.report.notebooks.drawing.html_of", broken)
    monkeypatch.setattr("infoplane.report.notebooks.html_of", broken)
    assert full_measurement()._repr_html_().startswith("<pre>&lt;Measurement of")


def test_without_pandas_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.partition(".")[0] in ("pandas", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    found = full_measurement()
    some = dataclasses.replace(found, estimates=found.estimates[:3])
    with pytest.raises(ResultError, match="is not installed: pip install pandas pyarrow"):
        some.to_pandas()


def test_importing_the_package_draws_nothing() -> None:
    import subprocess
    import sys

    code = (
        "import sys, infoplane; infoplane.Measurement; "
        "assert 'altair' not in sys.modules and 'infoplane.report' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert infoplane.__version__
