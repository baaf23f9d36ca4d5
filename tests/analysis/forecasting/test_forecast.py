"""Tables of models, the forecast made from them, its record and its command."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from synthetic import models, subset
from typer.testing import CliRunner

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.forecasts import Forecast
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.forecasting.validation import BASELINES, BOTH, MEAN, leverage, predictors
from infoplane.cli import app
from infoplane.errors import InfoplaneError, ResultError, SettingError


def written(table: Cases, path: Path, **more: Any) -> Path:
    frame = pl.DataFrame({"model": table.models, "family": table.families}).hstack(table.features).hstack(table.scores)
    frame = frame.with_columns(**more)
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def found() -> dict[str, Forecast]:
    return {
        kind: forecast(models(kind, 14, 1), baselines=["size"], draws=200)
        for kind in ("size alone", "structure too", "nothing")
    }


# ---------------------------------------------------------------------- tables


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_table_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    table = models("nothing", 5, 0)
    params = 10.0 ** np.arange(len(table.models))
    path = written(table, tmp_path / f"t{kind}", params=pl.Series(params), score_se=pl.lit(1.5))
    read = Cases.read(path, features=["size", "log:params"], scores=["score"])
    assert read.models == table.models and read.families == table.families
    assert read.features["size"].to_list() == pytest.approx(table.features["size"].to_list())
    assert read.features["log:params"].to_list() == pytest.approx(list(range(len(params))))
    assert read.feature_errors is None and read.score_errors is not None
    spread = float(table.scores["score"].std()) ** 2  # type: ignore[arg-type]
    assert read.reliability("score") == pytest.approx(1 - 2.25 / spread)
    assert read.reliability("size") is None


def bad(tmp_path: Path, text: str, **more: Any) -> str:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InfoplaneError) as raised:
        Cases.read(path, **{"features": ["x"], "scores": ["y"], **more})
    return str(raised.value)


def test_tables_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    head = "model,family,x,y\n"
    assert "models that occur more than once: a; keep one" in bad(tmp_path, head + "a,f,1,2\nb,f,1,2\na,g,3,4\n")
    assert "models without a family: b" in bad(tmp_path, head + "a,f,1,2\nb,,1,2\n")
    assert "rows without a model name: 2" in bad(tmp_path, head + "a,f,1,2\n,f,1,2\n")
    assert "column 'x', row 2: 'many' is not a number" in bad(tmp_path, head + "a,f,1,2\nb,f,many,2\n")
    assert "holds NaN or infinity" in bad(tmp_path, head + "a,f,1,2\nb,f,inf,2\n")
    assert "no column 'optimalty'; near names: optimality" in bad(
        tmp_path, "model,family,optimality,y\na,f,1,2\n", features=["optimalty"]
    )
    assert "needs values above 0, and 'x' holds 0.0" in bad(tmp_path, head + "a,f,0,2\n", features=["log:x"])
    assert "feature and as a score" in bad(tmp_path, head + "a,f,1,2\n", scores=["x"])
    with pytest.raises(ResultError, match="no table at"):
        Cases.read(tmp_path / "none.csv", features=["x"])
    with pytest.raises(ResultError, match=r"expected a \.csv or \.parquet"):
        Cases.read(tmp_path / "t.xlsx", features=["x"])
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(ResultError, match="cannot be read"):
        Cases.read(tmp_path / "broken.parquet", features=["x"])


def test_percent_and_fractions_in_one_column_are_refused(tmp_path: Path) -> None:
    def table(values: list[float]) -> str:
        return "model,family,x,y\n" + "".join(f"m{i},f{i},{i},{v}\n" for i, v in enumerate(values))

    said = bad(tmp_path, table([55.0, 61.5, 0.58, 40.2]))
    assert "mix fractions and percent: m2 lies at or below 0.58, all others at or above 40.2" in said
    path = tmp_path / "t.csv"
    for fine in ([0.0, 0.5, 1.2, 3.0, 40.0], [0.2, 0.9], [20.0, 0.0], [-3.0, 0.5, 60.0], [0.5, 300.0]):
        path.write_text(table(fine))
        assert Cases.read(path, features=["x"], scores=["y"]).scores["y"].to_list() == fine
    path.write_text(table([55.0, 0.58]))  # a score below one per cent, and it is said to be that
    assert Cases.read(path, features=["x"], scores=["y"], score_unit="percent").scores["y"][1] == 0.58
    assert "that is no fraction" in bad(tmp_path, table([55.0, 0.58]), score_unit="fraction")
    assert "expected percent or fraction" in bad(tmp_path, table([55.0, 0.58]), score_unit="per mille")


def test_what_is_constant_is_named_and_left_out_and_missing_cells_are_not_cases() -> None:
    table = models("size alone", 10, 3)
    n = len(table.models)
    x = table.features.with_columns(
        same=pl.lit(2.0), gap=pl.when(pl.int_range(n) < 5).then(None).otherwise(pl.col("s0"))
    )
    found = forecast(Cases(table.models, table.families, x, table.scores), baselines=["size"], draws=20)
    assert "feature 'same' has fewer than two different values and was left out" in found.provenance["warnings"]
    assert {(c.feature, c.n) for c in found.correlations} == {("s0", n), ("gap", n - 5), ("size", n)}
    assert {v.n for v in found.validations} == {n - 5}  # one set of models for all predictors
    with pytest.raises(ResultError, match="no score is left: score is constant"):
        forecast(Cases(table.models, table.families, table.features, pl.DataFrame({"score": [1.0] * n})))


# ---------------------------------------------------------------------- what a forecast says


def verdict(f: Forecast, start: str) -> str:
    (said,) = [v for v in f.verdicts if v.startswith(start)]
    return said


def test_a_pure_size_effect_is_recognised_in_words(found: dict[str, Forecast]) -> None:
    f = found["size alone"]
    row = next(c for c in f.correlations if (c.feature, c.method) == ("s0", "pearson"))
    assert row.q is not None and row.q < 0.001 and row.value is not None and row.value > 0.6
    assert "the correlation is explained by size" in verdict(f, "s0 and score")
    assert "not found there" in verdict(f, "s0 and score")
    assert "structure adds nothing that can be told from chance to all baselines" in verdict(f, "score, on")


def test_an_effect_beyond_size_is_found_in_words(found: dict[str, Forecast]) -> None:
    f = found["structure too"]
    assert "it says something beyond size" in verdict(f, "s0 and score")
    assert "found there too" in verdict(f, "s0 and score")
    assert verdict(f, "score, on").endswith("structure improves the forecast.")
    by = {v.predictor: v for v in f.validations}
    assert by[BOTH].rmse < 0.7 * by[BASELINES].rmse < by[MEAN].rmse and by[MEAN].r2 == 0


def test_nothing_is_called_nothing(found: dict[str, Forecast]) -> None:
    assert verdict(found["nothing"], "s0 and score").endswith("not told from chance.")
    assert "improves" not in verdict(found["nothing"], "score, on")
    alone = forecast(models("nothing", 14, 2), baselines=["size"], draws=1)
    best = min(alone.validations, key=lambda v: v.rmse).predictor
    assert ("no predictor beats the mean" in verdict(alone, "score, on")) == (best == MEAN)


def test_words_about_size_are_seldom_wrong() -> None:
    said = {
        kind: [verdict(forecast(models(kind, 12, seed), baselines=["size"], draws=1), "s0") for seed in range(20)]
        for kind in ("size alone", "structure too")
    }
    assert sum("beyond size" in v for v in said["size alone"]) <= 4
    assert sum("explained by size" in v for v in said["size alone"]) >= 13
    assert sum("beyond size" in v for v in said["structure too"]) >= 18


def test_held_out_predictions_carry_intervals_made_without_their_family(found: dict[str, Forecast]) -> None:
    f = found["structure too"]
    rows = [h for h in f.held_out if h.predictor == BOTH]
    assert len(rows) == len(f.provenance["models"])
    full = next(v for v in f.validations if v.predictor == BOTH)
    assert math.sqrt(np.mean([(h.actual - h.predicted) ** 2 for h in rows])) == pytest.approx(full.rmse)
    shares: dict[str, list[bool]] = {}
    for h in rows:
        assert h.interval is not None
        shares.setdefault(h.family, []).append(h.interval[0] <= h.actual <= h.interval[1])
    assert full.coverage == pytest.approx(np.mean([np.mean(s) for s in shares.values()]))
    table = models("structure too", 14, 1)  # the same interval from a table that never had the family
    first = rows[0].family
    keep = [i for i, name in enumerate(table.families) if name != first]
    others = subset(table, keep)
    left = [i for i, name in enumerate(table.families) if name == first]
    new = Cases(tuple(table.models[i] for i in left), (first,) * len(left), table.features[left], pl.DataFrame())
    again = {
        p.model: p for p in forecast(others, baselines=["size"], new=new, draws=1).predictions if p.predictor == BOTH
    }
    compared = 0
    for h in rows:
        if h.family == first and again[h.model].refused is None:
            assert again[h.model].value == pytest.approx(h.predicted)
            assert again[h.model].interval == pytest.approx(h.interval)
            compared += 1
    assert compared


def test_the_sets_that_are_compared() -> None:
    assert predictors(["size"], ["s"]) == {"mean": (), "baselines": ("size",), "structure": ("s",), BOTH: ("size", "s")}
    sets = predictors(["size", "tokens", "loss"], ["s"])
    assert list(sets) == ["mean", "size", "tokens", "loss", "size + tokens", "baselines", "structure", BOTH]
    assert predictors([], ["s"]) == {"mean": (), "structure": ("s",)}


# ---------------------------------------------------------------------- new models


def newcomers(rows: list[dict[str, float | None]]) -> Cases:
    frame = pl.DataFrame(rows, schema={"size": pl.Float64, "s0": pl.Float64})
    return Cases(tuple(f"new{i}" for i in range(len(rows))), ("f",) * len(rows), frame, pl.DataFrame())


def test_new_models_are_predicted_inside_the_reference_set_alone() -> None:
    table = models("structure too", 14, 1)
    size, s0 = (table.features[c].to_numpy() for c in ("size", "s0"))
    i = int(np.argsort(size)[len(size) // 2])
    corner = {"size": float(size.max()), "s0": float(s0.min())}  # each in its range; together unlike any
    new = newcomers(
        [{"size": size[i], "s0": s0[i]}, {"size": size.max() + 1, "s0": s0[i]}, {"size": 0.0, "s0": None}, corner]
    )
    f = forecast(table, baselines=["size"], new=new, draws=1)
    inside, over, unknown, odd = (p for p in f.predictions if p.predictor == BOTH)
    assert inside.refused is None and inside.value is not None and inside.interval is not None
    assert inside.interval[0] < inside.value < inside.interval[1]
    assert inside.nearest[0] == (table.models[i], 0.0) and len(inside.nearest) == 3
    assert over.value is None and over.interval is None and "size = " in (over.refused or "")
    assert "lies outside" in (over.refused or "") and over.nearest
    assert unknown.refused == "not known: s0" and not unknown.nearest
    assert odd.value is None and "not together: leverage" in (odd.refused or "")
    again = forecast(table, baselines=["size"], new=subset(table, [i]), draws=1).predictions[0]
    assert again.value is None and "a reference model" in (again.refused or "")
    low, high = f.provenance["reference"]["size"]
    assert (low, high) == (size.min(), size.max())


def test_leverage_is_the_diagonal_of_the_hat_matrix() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3)) * [1, 50, 0.01]
    design = np.column_stack([np.ones(20), x])
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    assert leverage(x, x) == pytest.approx(np.diag(hat))


def test_too_few_families_are_refused_by_the_forecast_and_the_rest_is_shown() -> None:
    table = models("structure too", 14, 1)

    def of(families: int) -> Cases:
        keep = [i for i, f in enumerate(table.families) if f in sorted(set(table.families))[:families]]
        return subset(table, keep)

    one = forecast(of(1), baselines=["size"], draws=20)
    assert one.correlations[0].value is not None and one.correlations[0].unit == "models"
    assert not one.validations and "needs 3 or more" in one.provenance["refused"]["score"]
    assert any("all models are of one family" in w for w in one.provenance["warnings"])
    new = newcomers([{"size": 0.0, "s0": 0.0}])
    with pytest.raises(ResultError, match="new models cannot be forecast: score: 1 family"):
        forecast(of(1), baselines=["size"], new=new, draws=20)
    eight = forecast(of(8), baselines=["size"], new=new, draws=20)
    assert eight.predictions[0].value is not None and eight.predictions[0].interval is None
    assert any("no 90% intervals, which need 9 families; 8 are there" in w for w in eight.provenance["warnings"])
    assert forecast(of(8), baselines=["size"], new=new, draws=20, level=0.8).predictions[0].interval is not None
    few = subset(table, list(range(9)))
    with pytest.raises(ResultError, match="9 models have s0, score; at least 10 are needed"):
        forecast(few, baselines=["size"])


def test_strict_intervals_hold_the_others_for_new_models_and_families_left_out() -> None:
    table, new = models("structure too", 14, 1), newcomers([{"size": 0.0, "s0": 0.0}])
    usual, strict = (forecast(table, baselines=["size"], new=new, draws=20, strict=s) for s in (False, True))
    assert (usual.provenance["settings"]["strict"], strict.provenance["settings"]["strict"]) == (False, True)
    for rows in ("predictions", "held_out"):
        pairs = [(a.interval, b.interval) for a, b in zip(getattr(usual, rows), getattr(strict, rows), strict=True)]
        ends = np.array(pairs)
        assert (ends[:, 1, 0] <= ends[:, 0, 0]).all() and (ends[:, 0, 1] <= ends[:, 1, 1]).all()
        assert (ends[:, 0] != ends[:, 1]).any()


def test_settings_that_cannot_be_are_refused() -> None:
    table = models("nothing", 6, 0)
    for match, asked in (
        ("no column 'sise'; near names: size", {"baselines": ["sise"]}),
        ("'size' is asked as structure and as a baseline", {"baselines": ["size"], "structure": ["size"]}),
        ("level = 90: expected a share", {"level": 90}),
        ("seed = -1", {"seed": -1}),
        ("draws = 0", {"draws": 0}),
        ("no structure to judge", {"baselines": ["size", "s0"]}),
        ("no column 'mmlu'", {"scores": ["mmlu"]}),
    ):
        with pytest.raises(SettingError, match=match):
            forecast(table, **asked)


# ---------------------------------------------------------------------- record and command


def test_the_record_is_whole_repeats_and_knows_its_schema(found: dict[str, Forecast], tmp_path: Path) -> None:
    f = found["structure too"]
    record, table = f.save(tmp_path)
    assert Forecast.load(tmp_path) == f
    assert {p.name for p in tmp_path.iterdir()} == {record.name, table.name}
    again = forecast(models("structure too", 14, 1), baselines=["size"], draws=200)
    assert again.to_dict() == f.to_dict()
    other = forecast(models("structure too", 14, 1), baselines=["size"], draws=200, seed=1)
    assert other.correlations[0].bootstrap != f.correlations[0].bootstrap
    assert other.correlations[0].interval == f.correlations[0].interval
    unsealed = {name: value for name, value in json.loads(record.read_text()).items() if name != "sha256"}
    text = json.dumps(unsealed).replace("infoplane/forecast/1", "infoplane/forecast/9")
    record.write_text(text)
    with pytest.raises(ResultError, match="has schema 'infoplane/forecast/9'"):
        Forecast.load(tmp_path)
    record.write_text(text.replace("infoplane/forecast/9", "infoplane/forecast/1").replace('"p_family"', '"p_other"'))
    with pytest.raises(ResultError, match="does not hold what schema"):
        Forecast.load(tmp_path)


def test_a_bend_in_a_baseline_is_no_structure_once_its_powers_are_given(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), ["model,family,bits,also,score"]
    for i in range(60):
        bits = rng.uniform(1, 4)  # the score bends in it, and so does what is judged, which says nothing else
        score, also = np.exp(-bits) + rng.normal(0, 0.003), np.exp(-1.2 * bits) + rng.normal(0, 0.003)
        rows.append(f"m{i},f{i % 12},{bits},{also},{score}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows) + "\n")
    baselines = ["bits", "square:bits", "cube:bits"]
    cases = Cases.read(path, features=[*baselines, "log:bits", "square:log:bits", "also"], scores=["score"])
    x = cases.features
    assert x["cube:bits"].to_numpy() == pytest.approx(x["bits"].to_numpy() ** 3)
    assert x["square:log:bits"].to_numpy() == pytest.approx(np.log10(x["bits"].to_numpy()) ** 2)
    given = {p.baselines: p for p in forecast(cases, baselines=baselines, structure=["also"], draws=20).partials}
    straight, bent = given["bits",], given[tuple(baselines)]
    assert straight.value is not None and straight.value > 0.8 and straight.p_family is not None
    assert straight.p_family < 0.001  # taken for structure
    assert bent.p_family is not None and bent.p_family > 0.05


def test_tables_are_put_together_and_the_reference_set_comes_along(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.parquet"
    a.write_text("model,family,x,y\none,f,1,0.1\ntwo,g,2,0.2\n")
    pl.DataFrame({"model": ["three"], "family": ["h"], "x": [3.0], "z": [0.3]}).write_parquet(b)
    both = Cases.read([a, str(b)], features=["x"], scores=["y", "z"])
    assert both.models == ("one", "two", "three") and both.features["x"].to_list() == [1, 2, 3]
    assert both.scores.rows() == [(0.1, None), (0.2, None), (None, 0.3)]
    with pytest.raises(ResultError, match="models that occur more than once: one, two"):
        Cases.read([a, a], features=["x"])
    with pytest.raises(ResultError, match=r"a\.csv and .*b\.parquet has no column 'w'"):
        Cases.read([a, b], features=["w"])
    known = ["log:parameters", "log:tokens", "bits_per_byte", "optimality", "optimality_plugin", "preference"]
    own = Cases.read("small-models", features=known, scores=["swap", "word", "new", "recall", "agreement"])
    assert len(own.models) >= 36 and not any(own.features[name].null_count() for name in known)
    assert own.feature_errors is not None and (own.feature_errors["optimality"] > 0).all()
    more = Cases.read(["small-models", a], features=["x"])
    assert len(more.models) == len(own.models) + 2


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_tables_and_words_and_writes_whole_files(tmp_path: Path) -> None:
    table = models("size alone", 14, 1)
    path = written(table, tmp_path / "t.csv", mmlu=pl.col("score") / 2)
    new = tmp_path / "new.csv"
    new.write_text("model,family,size,s0\nfresh,f99,0.1,0.1\nvast,f99,50,0.1\n")
    out = tmp_path / "out"
    asked = ["forecast", str(path), "--score", "score,mmlu", "--features", "s0", "--baselines", "size", "--draws", "50"]
    done = call(*asked, "--new", str(new), "--out", str(out))
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for words in (
        "Correlations",
        "Partial correlations",
        "Forecasts of families left out",
        "New models",
        "Models needed",
    ):
        assert words in said
    assert "explained by size" in said and "adds nothing" in said and "size = 50" in said
    assert {p.name for p in out.iterdir()} == {"forecast.json", "forecast.parquet", "report.html", "figures"}
    again = call(*asked, "--out", str(out))
    assert isinstance(again.exception, ResultError) and "--force to overwrite" in str(again.exception)
    record = json.loads(call(*asked, "--out", str(out), "--force", "--json").output)
    assert set(record.pop("tables")) == {"forecast.parquet"} and len(record.pop("sha256")) == 64
    assert record["schema"] == "infoplane/forecast/1" and record == Forecast.load(out).to_dict()
    assert {c["score"] for c in record["correlations"]} == {"score", "mmlu"}


@pytest.mark.parametrize(
    "more, message",
    [
        (["--features", "s9"], "has no column 's9'"),
        (["--features", ""], "name at least one column with --features"),
        (["--features", "s0", "--family-column", "maker"], "has no column 'maker'"),
        (["--features", "s0", "--level", "1.5"], "level = 1.5: expected a share"),
        (["--features", "s0", "--out", "t.csv"], "t.csv is a file; expected a folder"),
        (["--features", "s0", "--new", "none.csv"], "no table at none.csv"),
    ],
)
def test_bad_input_is_one_clear_message(
    more: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(models("nothing", 6, 0), tmp_path / "t.csv")
    done = call("forecast", "t.csv", "--score", "score", *more)
    assert isinstance(done.exception, InfoplaneError), done.output
    assert message in str(done.exception)
    assert {p.name for p in tmp_path.iterdir()} == {"t.csv"}


def test_without_statsmodels_the_message_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['statsmodels'] = None\n"
        "from infoplane.analysis.forecasting.correlations import false_discovery\n"
        "from infoplane.errors import SettingError\n"
        "try: false_discovery([0.1])\n"
        "except SettingError as error: print(error)\n"
        "bad = [m for m in ('torch', 'sklearn', 'scipy.stats', 'altair') if m in sys.modules]; assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'infoplane[forecast]'" in done.stdout
