"""The page of a forecast: a pure function of the record, with every model, verdict and refusal in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import command
from synthetic import models

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.forecasts import Forecast
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.report.forecasting.page import forecast_figures, render_forecast


@pytest.fixture(scope="module")
def cases() -> Cases:
    return models("size alone", 10, seed=3)


@pytest.fixture(scope="module")
def found(cases: Cases) -> Forecast:
    structure = [c for c in cases.features.columns if c != "size"]
    return forecast(cases, baselines=["size"], structure=structure, new=cases, draws=100)


def test_the_page_is_drawn_the_same_from_the_record(found: Forecast, tmp_path: Path) -> None:
    found.save(tmp_path)
    page = render_forecast(Forecast.load(tmp_path))
    assert page == render_forecast(found)
    assert f"Scores of {len(found.provenance['models'])} models of 10 families" in page
    assert len(re.findall("<li>", page)) >= len(found.verdicts) > 0
    assert "New models" in page and "Families left out" in page
    names = {figure.name for figure in forecast_figures(found)}
    assert names == {"forecast-actual", "forecast-correlations"}
    (chart,) = [f for f in forecast_figures(found) if f.name == "forecast-actual"]
    both = [h for h in found.held_out if h.predictor == "baselines + structure"]
    assert str(chart.spec).count("'model':") == len(both) == len(found.provenance["models"])


def test_names_are_escaped_and_a_refused_forecast_has_a_page(cases: Cases) -> None:
    hostile = ("<script>alert(1)</script>", *cases.models[1:])
    one = Cases(hostile, ("all",) * len(cases.models), cases.features, cases.scores)
    page = render_forecast(forecast(one, baselines=["size"], draws=100))
    assert "all models are of one family" in page and "No score could be forecast" in page
    full = Cases(hostile, cases.families, cases.features, cases.scores)
    assert "<script>alert" not in render_forecast(forecast(full, baselines=["size"], new=full, draws=100))


def test_report_draws_it_again(found: Forecast, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found.save(tmp_path)
    assert command("report", str(tmp_path)) == 0
    assert (tmp_path / "report.html").read_text("utf-8") == render_forecast(found)
    assert (tmp_path / "figures" / "forecast-actual.svg").is_file()
    capsys.readouterr()
    assert command("report", str(tmp_path)) == 2
    assert "exists" in capsys.readouterr().err
