"""The answers of the other pages: comparisons, forecasts, bounds and training runs, against results of known truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest
from bounds import made_bound
from report_factory import full_measurement
from runs import made_run
from synthetic import models

from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.comparison.verdicts import ALIKE, DIFFERENT, UNKNOWN, Change, Verdict
from infoplane.analysis.forecasting.structure_forecast import forecast
from infoplane.analysis.training.phases import Claim
from infoplane.analysis.training.seeds import grouped
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement
from infoplane.report.comparison import prose as of_comparison
from infoplane.report.comparison.page import render_comparison
from infoplane.report.forecasting import answer as of_forecast
from infoplane.report.text_bound.page import answer as of_bound
from infoplane.report.text_bound.view import BoundView
from infoplane.report.training.run_answer import answer_of_run, answer_of_several
from infoplane.report.training.run_view import RunView


def plain(sentences: list[str]) -> list[str]:
    return [sentence.replace("\u00a0", " ") for sentence in sentences]


# ---------------------------------------------------------------------- training


def test_a_rise_and_a_plateau_are_said_as_fitting_without_compression() -> None:
    run = made_run()
    phases = RunView(run).phases["complexity"]
    assert phases.fitting.found and not phases.compression.found
    said = plain(answer_of_run(RunView(run), "it"))
    assert said[0].startswith("What it keeps about the token it has just read rises by ")
    assert f"until step {phases.segments[0].end_step:,.0f} (fitting), then stays level" in said[0]
    assert said[0].endswith(
        "No compression (a fall after that) is found; the loss is still falling, so it may yet come."
    )
    assert said[2] == "From step 1 to 5,000, its next-token loss goes from 8.000 to 5.161 nats per token."


def test_a_run_turned_round_is_said_as_compression() -> None:
    run = made_run()
    points = []
    for point in run.points:
        assert point.measurement is not None
        rows = tuple(
            dataclasses.replace(row, value=0.5 - row.value, replicates=tuple(0.5 - v for v in row.replicates))
            if row.quantity == "complexity" else row
            for row in point.measurement
        )  # fmt: skip
        points.append(dataclasses.replace(point, measurement=Measurement(rows, {})))
    said = plain(answer_of_run(RunView(dataclasses.replace(run, points=tuple(points))), "it"))
    assert "falls by" in said[0] and "(compression), then stays" in said[0] and "No compression" not in said[0]


def test_few_checkpoints_are_said_without_phases_and_one_is_not_said_at_all() -> None:
    few = made_run(checkpoints=5)
    said = plain(answer_of_run(RunView(few), "it"))
    assert said[0].startswith("From step 1 to 5,000, what it keeps about the token it has just read goes from 0.")
    assert "a change of 28.9 ± 0.2 %" in said[0] or "a change of" in said[0]
    assert answer_of_run(RunView(dataclasses.replace(few, points=few.points[:1])), "it") == []


def test_claims_of_several_configurations_are_grouped_by_what_is_claimed() -> None:
    def claim(compression: bool, fitting: bool, then: bool) -> Claim:
        return Claim(compression, fitting, then, "")

    groups = grouped([(name, made_run(seed=i)) for i in range(2) for name in "abcde"] + [("alone", made_run(seed=9))])
    kinds = [claim(True, True, True), claim(False, True, False), claim(False, True, False), claim(False, False, False)]
    said = answer_of_several(groups, list(zip(groups[:4], kinds, strict=True)))
    assert said == [
        "What is kept about the present token rises and then falls (compression after fitting is claimed) in a.",
        "What is kept about the present token rises (fitting is claimed, compression is not) in b and c.",
        "What is kept about the present token neither rises nor falls by more than seeds differ (no phase is claimed) "
        "in d.",
        "Nothing is claimed for alone: one run each, and a claim needs two seeds that show it.",
        "e cannot be judged: phases need 8 checkpoints that all runs have.",
    ]


# ---------------------------------------------------------------------- bounds


def test_a_bound_says_what_a_short_code_tells_and_what_limits_it() -> None:
    view = BoundView(made_bound())
    said = plain(of_bound(view))
    line = view.of(1, "all")[0]
    assert said[0].startswith(
        f"A code of at most 100 symbols that keeps 1 nat about the last token tells {line.at(1.0).said()} ".replace(
            "\u00a0", " "
        )
    )
    assert f"lies between {line.at(line.end[0]).value:.2f} nats, which a code reaches, and 4.61." in said[1]


# ---------------------------------------------------------------------- comparisons


def verdict(variant: str, kind: str, loss: float | None = None) -> Verdict:
    change = (
        None
        if loss is None
        else Change("model", "loss", None, None, 3.0, loss, loss - 0.01, loss + 0.01, 0.001, "nats/token")
    )
    return Verdict("base", variant, kind, loss=change, layers=4, tests=12, detectable={"complexity": 0.01})


def comparison(verdicts: list[Verdict]) -> Any:
    settings = {"orders": [1], "estimators": ["null-curve"], "unit": "efficiency", "corrected": "null-curve"}
    members = []
    for name, move in (("base", 0.0), ("other", 0.1)):
        full = full_measurement(0, name)
        rows = tuple(
            dataclasses.replace(
                row, value=row.value + move, interval=row.interval and tuple(v + move for v in row.interval)
            )
            for row in full
            if row.layer in ("block.0", "model") and row.order in (None, 1)
        )
        members.append(Member(name, None, Measurement(rows, {**full.provenance, "settings": settings})))
    return dataclasses.replace(compare(members), verdicts=tuple(verdicts))


def test_of_few_variants_each_is_said_and_of_many_how_many() -> None:
    few = of_comparison.answer(comparison([verdict("a", ALIKE), verdict("b", ALIKE)]))
    assert len(few) == 2 and few[0].startswith("No difference between a and base is seen in any of 4 layers.")
    many = [verdict("a", DIFFERENT, 0.2), verdict("b", DIFFERENT, -0.2), verdict("c", ALIKE), verdict("d", ALIKE)]
    assert of_comparison.answer(comparison(many)) == [
        "2 of 4 variants differ from base (a and b); no difference is seen in c and d. The next-token loss is higher "
        "in a."
    ]
    assert of_comparison.answer(comparison([verdict(name, ALIKE) for name in "abcd"])) == [
        "No difference from base is seen in a, b, c and d."
    ]


def test_without_verdicts_the_most_and_the_least_are_named_where_they_are_apart() -> None:
    said = plain(of_comparison.answer(comparison([])))
    assert said[0].startswith("About the last token, other keeps most (") and "base keeps least (" in said[0]
    found = comparison([])
    unfair = dataclasses.replace(found, fairness=dict.fromkeys(found.fairness, (False, "the tokenizers differ")))
    assert of_comparison.answer(unfair) == [
        "None of these figures compare between the models: the tokenizers differ. Read each model by itself."
    ]


def test_models_that_overlap_and_models_that_stand_apart_are_named() -> None:
    full = full_measurement(0, "a")
    settings = {"orders": [1], "estimators": ["null-curve"], "unit": "efficiency", "corrected": "null-curve"}
    own = {"a": full.provenance["windows_hash"], "b": full.provenance["windows_hash"], "c": "of another tokenizer"}
    members = [
        Member(name, None, Measurement(tuple(full), {**full.provenance, "settings": settings, "windows_hash": windows}))
        for name, windows in own.items()
    ]
    found = compare(members)
    assert found.comparable("P_1") == ("a", "b")
    said = plain(of_comparison.answer(dataclasses.replace(found, verdicts=())))
    assert (
        said[0] == "a and b cannot be told apart by what they keep about the last token: their 95 % intervals overlap."
    )
    assert said[-1] == "c does not compare with the others; the reason is given with the figures."
    page = render_comparison(found)
    together, apart = page.split("Figures that do not compare")
    assert '<th scope="row" data-value="b">b</th>' in together and '<th scope="row" data-value="c">' not in together
    assert '<th scope="row" data-value="c">c</th>' in apart and "Hollow: models" in page


def test_where_nothing_can_be_judged_the_reason_is_the_answer() -> None:
    found = comparison([Verdict("base", "other", UNKNOWN, "fewer than 40 documents")])
    bare = found.values.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    said = of_comparison.answer(dataclasses.replace(found, values=bare))
    assert said == [
        "other is not compared with base layer by layer: fewer than 40 documents. The next-token loss was not measured "
        "in both (--loss)."
    ]


def of_positions(n: int) -> Member:
    """A measurement of words of one text, at so many positions."""
    full = full_measurement(0, f"{n} words")
    settings = {"orders": [1], "estimators": ["null-curve"], "unit": "efficiency", "corrected": "null-curve"}
    rows = tuple(
        dataclasses.replace(row, position_set="word:1", n=n)
        for row in full
        if row.layer == "model" and row.order == 1 and row.quantity in ("complexity", "expressivity")
    )
    return Member(
        f"{n} words", None, Measurement(rows, {**full.provenance, "settings": settings, "windows_hash": f"of {n}"})
    )


def test_models_near_enough_to_the_first_compare_with_it_though_not_to_each_other() -> None:
    found = compare([of_positions(n) for n in (1000, 985, 1015)])
    assert found.fairness["word:1"] == (
        True, "the same text, 985 to 1,015 positions (windows end at different places)"
    )  # fmt: skip


def test_codes_that_are_not_equally_fine_are_set_apart() -> None:
    full, settings = full_measurement(0, "a"), {"orders": [1], "estimators": ["null-curve"], "unit": "efficiency"}
    points = {name: {**full.provenance["points"], "m": m} for name, m in (("a", 100), ("b", 100), ("c", 50))}
    members = [
        Member(name, None, Measurement(tuple(full), {**full.provenance, "settings": settings, "points": of}))
        for name, of in points.items()
    ]
    found = compare(members)
    assert found.names == ("a", "b") and "different numbers of reference points (a by 100, c by 50)" in found.apart["c"]


# ---------------------------------------------------------------------- forecasts


def found_forecast(kind: str, **more: Any) -> Any:
    table = models(kind, 12, seed=1)
    return forecast(table, structure=("s0",), baselines=("size",), scores=("score",), draws=200, **more)


def test_a_forecast_says_whether_structure_adds_anything() -> None:
    said = of_forecast.answer(found_forecast("size alone"))
    assert said[0] == (
        "When each family is forecast from the others, adding s0 to size does not measurably improve the forecast of "
        "score."
    )


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        (None, "there are too few families to say whether s0 improves the forecast of score"),
        ((-2.0, -1.0), "adding s0 to size improves the forecast of score"),
        ((1.0, 2.0), "adding s0 to size makes the forecast of score worse"),
    ],
)
def test_what_is_said_follows_the_interval_of_the_difference(interval: Any, says: str) -> None:
    found = found_forecast("size alone")
    rows = tuple(dataclasses.replace(v, interval=interval) for v in found.validations)
    assert says in of_forecast.answer(dataclasses.replace(found, validations=rows))[0]


def test_pearson_and_spearman_that_disagree_are_said() -> None:
    found = found_forecast("size alone")
    rows = tuple(
        dataclasses.replace(c, value=0.9 if c.method == "pearson" else 0.1, q=0.01 if c.method == "pearson" else 0.6)
        for c in found.correlations
        if c.feature == "s0"
    )
    said = of_forecast.answer(dataclasses.replace(found, correlations=rows))
    assert said[-1] == (
        "Pearson and Spearman disagree on s0 with score (+0.90 and +0.10): a few outlying models or a curved relation "
        "may decide there."
    )
    alike = tuple(dataclasses.replace(c, value=0.5, q=0.01) for c in rows)
    assert "disagree" not in " ".join(of_forecast.answer(dataclasses.replace(found, correlations=alike)))
    assert (
        "The one correlation with a score is found (s0 with score, r = +0.50"
        in of_forecast.answer(dataclasses.replace(found, correlations=alike))[1]
    )
    nothing = tuple(dataclasses.replace(c, q=0.5) for c in rows)
    assert of_forecast.answer(dataclasses.replace(found, correlations=nothing))[1] == (
        "The one correlation with a score cannot be told from zero."
    )
    assert np.isfinite(rows[0].value or 0.0)
