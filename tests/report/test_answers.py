"""The answer of a measurement's page: sentences composed by rules, against results whose truth is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from report_factory import full_measurement, minimal_measurement

from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.report.measurement.answer import answer, course, in_the_answer
from infoplane.report.measurement.view import View
from infoplane.report.measurement.writing import render_report
from infoplane.uncertainty.drawn_points import PointsPart

PROVENANCE: dict[str, Any] = {"model": {"source": "a-model"}, "points": {"m": 100}}


def row(quantity: str, layer: str, value: float, half: float | None = 0.002, **more: Any) -> Estimate:
    side = {"complexity": "input", "expressivity": "output"}.get(quantity)
    order = None if quantity in ("ceiling", "loss") else 1
    at: dict[str, Any] = {
        "side": side, "order": order, "weight": "frequency", "estimator": "e", "position_set": "P_1",
        "unit": "efficiency", "n": 1000, "code": "random",
        "points_error": 0.0005, "interval": None if half is None else (value - half, value + half), **more,
    }  # fmt: skip
    return Estimate(quantity, layer, value, **at)


def measurement(
    kept: list[float],
    carried: list[float] | None = None,
    half: float | None = 0.002,
    more: list[Estimate] | None = None,
    **provenance: Any,
) -> Measurement:
    """With a block for each value, and their means as the whole model."""
    carried = [value / 4 for value in kept] if carried is None else carried
    rows = []
    for quantity, values in (("complexity", kept), ("expressivity", carried)):
        rows += [row(quantity, f"block.{i}", value, half) for i, value in enumerate(values)]
        rows.append(row(quantity, "model", sum(values) / len(values), half))
    ratio = sum(carried) / sum(kept)
    rows.append(row("optimality", "model", ratio, None if half is None else 0.01, unit="ratio"))
    return Measurement((*rows, *(more or ())), {**PROVENANCE, **provenance})


def said(found: Measurement, twin: Measurement | None = None) -> list[str]:
    return [sentence.replace("\u00a0", " ") for sentence in answer(View.of(found, twin=twin))]


def test_it_says_what_is_kept_and_carried_over_depth_and_on_average() -> None:
    assert said(measurement([0.40, 0.30, 0.20, 0.10], [0.04, 0.05, 0.09, 0.06])) == [
        "a-model forgets the token it has just read with depth: 40.0 ± 0.2 % after the first block, 10.0 ± 0.2 % after "
        "the last (100 % is the most that a state can hold when it is read as one of 100 directions, log m).",
        "What it carries about the next token rises: 4.0 ± 0.2 % after the first block, 6.0 ± 0.2 % after the last, "
        "highest in block 2 (9.0 ± 0.2 %).",
        "Over its 4 blocks it keeps 25.0 ± 0.2 % and carries 6.0 ± 0.2 % on average.",
    ]


@pytest.mark.parametrize(
    ("kept", "half", "claim"),
    [
        ([0.4, 0.1], 0.002, "forgets the token it has just read with depth"),
        ([0.1, 0.4], 0.002, "keeps more of the token it has just read with depth"),
        (
            [0.1, 0.101],
            0.002,
            "keeps about as much of the token it has just read after its last block as after its first",
        ),
        ([0.1, 0.4], None, "What a-model keeps of the token it has just read: 10.0 % after"),
        ([0.3] * 126, 0.002, "Over its 126 blocks"),
    ],
)
def test_a_change_is_claimed_where_it_is_larger_than_both_errors(kept: list[float], half: Any, claim: str) -> None:
    assert claim in " ".join(said(measurement(kept, half=half)))


def test_a_block_between_is_named_where_it_is_clearly_above_or_below_both_ends() -> None:
    of = {name: course(View.of(measurement(values)), "complexity") for name, values in {
        "peak": [0.2, 0.3, 0.1], "dip": [0.2, 0.05, 0.1], "within": [0.2, 0.201, 0.1], "between": [0.2, 0.15, 0.1],
    }.items()}  # fmt: skip
    assert {name: found and found.extreme and found.extreme[0].name for name, found in of.items()} == {
        "peak": "block.1", "dip": "block.1", "within": None, "between": None,
    }  # fmt: skip
    assert "lowest in block 1 (5.0 ± 0.2 %)" in said(measurement([0.2, 0.05, 0.1]))[0]


def test_layers_whose_points_error_is_not_known_are_not_told_apart() -> None:
    found = measurement([0.4, 0.1])
    alone = dataclasses.replace(found, estimates=tuple(dataclasses.replace(r, points_error=None) for r in found))
    assert said(alone)[0].startswith("What a-model keeps of the token it has just read: 40.0 ± 0.2 % after")


def test_one_block_has_no_course() -> None:
    assert said(measurement([0.25])) == [
        "In its one block it keeps 25.0 ± 0.2 % and carries 6.2 ± 0.2 % (100 % is the most that a state can hold when "
        "it is read as one of 100 directions, log m)."
    ]


def test_a_sentence_that_lacks_a_row_is_left_out() -> None:
    found = measurement([0.4, 0.1])
    without = dataclasses.replace(found, estimates=tuple(r for r in found if r.quantity != "expressivity"))
    assert len(said(without)) == 1 and "next token" not in said(without)[0]
    assert said(Measurement((), PROVENANCE)) == []
    assert said(Measurement((row("loss", "model", 3.0, unit="nats/token"),), PROVENANCE)) == []
    assert render_report(minimal_measurement(), []).count('class="answer"') == 1


def test_the_numbers_are_those_of_the_record_of_a_real_layout() -> None:
    full = full_measurement()
    sentences = said(full)
    first, last = (full.get("complexity", f"block.{i}", order=1, estimator="null-curve") for i in (0, 29))
    for r in (first, last):
        assert f"{100 * r.value:.1f} ± " in sentences[0]
    assert "Over its 30 blocks" in sentences[2]


# ---------------------------------------------------------------------- against what


def with_replicates(found: Measurement, move: dict[str, float] | None = None, noise: float = 1.0) -> Measurement:
    """The same with what paired differences need; figures are moved by so much."""
    rows = []
    for i, r in enumerate(found):
        value = r.value + (move or {}).get(r.quantity, 0.0)
        replicates = tuple(value + noise * 1e-5 * ((7 * j + i * (move is not None)) % 5 - 2) for j in range(32))
        rows.append(
            dataclasses.replace(
                r, value=value, replicates=replicates, points=PointsPart({"draw": (1e-4, -1e-4)}),
                standard_error=1e-4, total_error=1e-4,
            )
        )  # fmt: skip
    more = {
        "windows_hash": "w", "blocks_hash": "b", "text": {"sha256": "t"}, "warnings": [],
        "protocol": {"name": "standard", "version": 1, "changed": []}, "points": {"m": 100, "hash": "h"},
        "settings": {"unit": "efficiency", "orders": [1]},
    }  # fmt: skip
    return Measurement(tuple(rows), {**found.provenance, **more})


def test_the_untrained_twin_is_said_by_paired_differences() -> None:
    found = with_replicates(measurement([0.4, 0.1]))
    twin = with_replicates(found, {"complexity": -0.2, "expressivity": 0.01})
    (last,) = said(found, twin)[-1:]
    assert last == (
        "Over its 2 blocks it keeps 25.0 ± 0.2 % and carries 6.2 ± 0.2 % on average; its untrained twin keeps 5.0 % "
        "and carries 7.2 % (20.00 ± 0.03 points less, and 1.00 ± 0.00 points more)."
    )
    near = with_replicates(found, {"complexity": -0.2, "expressivity": 1e-6}, noise=100)
    assert "points less, and no known difference)" in said(found, near)[-1]
    page = render_report(found, [], twin)
    assert "untrained twin" in page and "crosses are" not in page.split('class="answer"')[0]
    assert "twin" not in " ".join(said(found))


def test_the_bound_is_said_where_there_is_a_gap_that_is_known() -> None:
    at = {"position_set": "P_1 seen", "order": 1}
    gap = row("gap", "model", 0.05, 0.01, **at)
    assert said(measurement([0.4, 0.1], more=[gap]))[-1].endswith(
        "; keeping as much, the best code of the last token alone would tell 5.0 ± 1.0 % more about the next one than "
        "what the model keeps of it."
    )
    for value, half in ((0.005, 0.01), (0.05, None), (-0.05, 0.01)):
        assert "best code" not in " ".join(said(measurement([0.4, 0.1], more=[row("gap", "model", value, half, **at)])))


# ---------------------------------------------------------------------- optimality never stands alone


def test_a_code_that_keeps_next_to_nothing_is_said_to() -> None:
    for kept, carried in (([0.01, 0.01], [0.01, 0.01]), ([0.001, 0.001], [0.001, 0.001])):
        assert said(measurement(kept, carried))[-1] == (
            "It keeps next to nothing, so the ratio of the two, its optimality of 1.000 ± 0.010, says nothing about "
            "how well it predicts."
        )
    assert "next to nothing" not in " ".join(said(measurement([0.4, 0.1])))


def test_a_code_of_the_topic_is_said_to_be_one() -> None:
    topic = row("expressivity_part", "model", 0.05, side="document", order=None)
    found = measurement([0.06, 0.06], [0.055, 0.055], more=[topic])
    assert said(found)[-1] == (
        "Most of what it carries about the next token is the topic: knowing the document alone tells 5.0 ± 0.2 %, so a "
        "high optimality does not mean that it predicts well."
    )
    assert "topic" not in " ".join(said(measurement([0.4, 0.1], [0.2, 0.2], more=[topic])))


# ---------------------------------------------------------------------- differences, names, doubt


UNSURE = "About the present token, first keeps 2.00 % of log m more than second; how certain that is, is not known."


@pytest.mark.parametrize(
    ("value", "more", "expected"),
    [
        (0.02, {}, "first keeps 2.0 ± 0.2 % of log m more about the present token than second."),
        (-0.02, {}, "first keeps 2.0 ± 0.2 % of log m less about the present token than second."),
        (0.001, {}, "About the present token, no difference is seen between first and second (0.1 ± 0.2 % of log m)."),
        (0.02, {"interval": None}, UNSURE),
        (0.02, {"points_error": None}, UNSURE),
    ],
)  # fmt: skip
def test_a_difference_is_said_as_one(value: float, more: dict[str, Any], expected: str) -> None:
    ends = {end: {"model": {"source": name}} for end, name in (("minuend", "first"), ("subtrahend", "second"))}
    found = Measurement((row("complexity", "model", value, **more),), {"difference": True, **ends})
    assert said(found) == [expected]


def test_names_with_markup_are_text() -> None:
    page = render_report(measurement([0.4, 0.1], model={"source": "<img src=x onerror=run()>"}), [])
    assert "<img src=x" not in page and "<p>&lt;img src=x onerror=run()&gt; forgets" in page


def test_a_warning_of_a_row_that_the_answer_is_made_of_puts_it_in_doubt() -> None:
    found = measurement([0.4, 0.1])
    doubtful = tuple(
        dataclasses.replace(r, warning="its permuted control is 0.1, not 0") if r.quantity == "complexity" else r
        for r in found
    )
    elsewhere = (*found, row("complexity", "model", 0.2, order=2, position_set="P_2", warning="few labels recur"))
    for rows, says in (
        (doubtful, "1 caveat, which puts the answer above in doubt"),
        (elsewhere, "1 caveat, which does not touch the answer above"),
    ):
        page = render_report(dataclasses.replace(found, estimates=rows), [])
        assert says in page
    assert len(in_the_answer(View.of(found))) == 6
    noted = dataclasses.replace(found, provenance={**PROVENANCE, "warnings": ["the weights were stored in 4 bits"]})
    assert "1 caveat, which does not touch the answer above" in render_report(noted, [])
    few = dataclasses.replace(
        measurement([0.4, 0.1], half=None),
        provenance={**PROVENANCE, "warnings": ["12 documents: no interval is given"]},
    )
    assert "1 caveat, which puts the answer above in doubt" in render_report(few, [])
    assert 'class="caveats' not in render_report(found, [])


# ---------------------------------------------------------------------- preferences


def preference(raw: float, matched: float, given: float, half: float | None = 0.001) -> Measurement:
    at: dict[str, Any] = {"side": "label:preference", "order": None, "estimator": "null-curve, swap-centred"}
    rows = [
        row(quantity, layer, value, half, position_set=sample, **at)
        for quantity, sample, value in (
            ("preference", "answers", raw),
            ("preference", "matched", matched),
            ("preference_given_token", "matched", given),
        )
        for layer in ("block.0", "block.1", "model")
    ]  # fmt: skip
    return measurement([0.4, 0.1], more=rows, preferences={"pairs": 200})


def test_preferences_are_answered_first_as_parts_of_one_bit() -> None:
    bit = 0.6931471805599453 / 4.605170185988092
    assert said(preference(0.05 * bit, 0.02 * bit, 0.01 * bit, 0.002 * bit)) == [
        "The states of a-model tell 5.00 % (4.80 to 5.20 %) of which of two answers people preferred, over 200 pairs "
        "(100 % would be to know it always).",
        "Where both answers have as many tokens, compared place by place, 2.00 % (1.80 to 2.20 %) is left; beyond the "
        "choice of words, they tell 1.00 % (0.80 to 1.20 %).",
    ]
    nothing = said(preference(0.001 * bit, 0.0, -0.001 * bit, 0.002 * bit))
    assert nothing[0].startswith("The states of a-model are not known to tell which of two answers people preferred")
    assert (
        "nothing certain is left: 0.00 % (\u22120.20 to 0.20 %); beyond the choice of words, nothing certain"
        in nothing[1]
    )
    assert "are not known to tell" in said(preference(0.05 * bit, 0.02 * bit, 0.01 * bit, None))[0]


def test_preferences_have_a_figure_of_their_own(tmp_path: Path) -> None:
    page = render_report(preference(0.01, 0.005, 0.002), [])
    assert page.index('id="preferences"') < page.index('id="information-plane"')
    assert 'id="preferences"' not in render_report(measurement([0.4, 0.1]), [])


def test_blocks_that_were_measured_are_not_called_all() -> None:
    full = full_measurement()
    rows = tuple(row for row in full if row.layer in ("block.0", "block.1", "model"))
    model = {**full.provenance["model"], "blocks": 30}
    said = " ".join(answer(View.of(Measurement(rows, {**full.provenance, "model": model}))))
    assert "Over the 2 that were measured of its 30 blocks it keeps" in said
