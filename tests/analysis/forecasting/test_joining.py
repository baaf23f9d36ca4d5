"""Measurements joined to scores: by name, with what is published of them, and nothing guessed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import command

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.join_scores import join
from infoplane.analysis.scores.score_table import Scores
from infoplane.errors import ScoreError
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement

MODELS = {"EleutherAI/pythia-70m": 0.21, "EleutherAI/pythia-160m": 0.25, "org/toy": 0.3}


def measured(name: str, value: float, **model: Any) -> Measurement:
    of: dict[str, Any] = {"weight": "frequency", "estimator": "null-curve"}
    rows = (
        Estimate("optimality", "model", value, "ratio", order=1, position_set="P_1", standard_error=0.03,
                 points_error=0.04, total_error=0.05, **of),
        Estimate("optimality", "model", value + 1, "ratio", order=1, position_set="word:1", total_error=0.02, **of),
        Estimate("expressivity", "model", 9.0, "efficiency", side="output", order=1, position_set="P_2", **of),
        Estimate("bits_per_byte", "model", 1 - value, "bits/byte"),
        Estimate("optimality", "block.0", 7.0, "ratio", order=1, position_set="P_1", **of),
    )  # fmt: skip
    settings = {"orders": [1, 2], "estimators": ["null-curve"], "weights": ["frequency"], "unit": "efficiency"}
    return Measurement(rows, {"model": {"source": name, "parameters": 70_426_624, **model}, "settings": settings})


def scored(*models: str) -> Scores:
    return Scores.of([
        {"model": m, "task": task, "metric": "acc", "value": 0.5 + i / 10, "source": "made"}
        for i, m in enumerate(models) for task in ("piqa", "sciq")
    ])  # fmt: skip


def test_a_row_has_what_was_measured_published_and_scored() -> None:
    found = join([measured(n, v) for n, v in MODELS.items()], scored(*MODELS))
    first, _, toy = found.table.to_dicts()
    assert first["model"] == "EleutherAI/pythia-70m" and first["family"] == "Pythia"
    assert (first["optimality_1"], first["optimality_word_1"], first["bits_per_byte"]) == (0.21, 1.21, 0.79)
    assert first["optimality_1_se"] == pytest.approx(math.hypot(0.03, 0.04))
    assert first["optimality_word_1_se"] == 0.02
    assert first["parameters"] == 70_426_624 and first["piqa:acc"] == 0.5
    assert "expressivity_1" not in first  # it stands on other positions
    assert toy["family"] == "org/toy" and toy["training_tokens_t"] is None and toy["sciq:acc"] == 0.7
    assert not found.unmatched


def test_what_is_told_comes_first_and_what_is_missing_is_named() -> None:
    told = [{"model": "org/toy", "family": "Toys", "training_tokens_t": 0.5}, {}]
    found = join([measured("/some/folder", 0.1), measured("org/tov", 0.2)], scored("org/toy"), told=told)
    assert found.table["family"].to_list() == ["Toys"] and found.table["training_tokens_t"].to_list() == [0.5]
    (left,) = found.unmatched
    assert "org/tov" in str(left) and "org/toy" in str(left)
    with pytest.raises(ScoreError, match="none of the 1 measured models has scores"):
        join([measured("org/other", 0.1)], scored("org/toy"))
    with pytest.raises(ScoreError, match="org/toy was measured twice"):
        join([measured("org/toy", 0.1), measured("org/toy", 0.2)], scored("org/toy"))


def test_the_command_writes_what_a_forecast_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for i, (name, value) in enumerate(MODELS.items()):
        measured(name, value).save(tmp_path / str(i))
        folders.append(str(tmp_path / str(i)))
    scores = tmp_path / "scores.csv"
    pl.DataFrame({"model": list(MODELS)[:2], "piqa:acc": [0.6, 0.7]}).write_csv(scores)
    out = tmp_path / "cases.csv"
    assert command("cases", *folders, "--scores", str(scores), "--out", str(out)) == 0
    said = capsys.readouterr()
    assert "2 models" in said.out and "Left out: org/toy" in said.err
    read = Cases.read(out, features=["log:parameters", "optimality_1"], scores=["piqa:acc"])
    assert read.models == tuple(MODELS)[:2] and read.scores["piqa:acc"].to_list() == [0.6, 0.7]
    assert read.feature_errors is not None and read.feature_errors["optimality_1"][0] == pytest.approx(0.05)
    for wrong, message in (
        ([*folders, "--scores", str(scores), "--out", str(out)], "exists: choose another --out"),
        ([*folders, "--scores", str(scores), "--out", str(tmp_path / "x.txt")], "expected a .csv or .parquet file"),
        ([*folders, "--scores", "nowhere", "--out", str(tmp_path / "x.csv")], "nowhere"),
    ):
        assert command("cases", *wrong) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x.csv").exists()
