"""Whether a frontier has converged: its band holds the truth, text and a teacher narrow it, and faults are said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markov_texts import LENGTH, at_positions, classes, held, taught, true_curve

from infoplane.bottleneck.backoff import Expected, Ladder, choose_alphas
from infoplane.bottleneck.cross_fitting import Positions
from infoplane.bottleneck.fit_text import BOTH, FitText, Joined
from infoplane.bottleneck.frontier import fit_frontiers
from infoplane.bottleneck.frontier_curve import Frontier
from infoplane.bottleneck.kept_bounds import stored_or_fitted
from infoplane.bottleneck.text_bound import Bound, bound_of
from infoplane.errors import TextError
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.frontier_gap import with_bound
from infoplane.text.windows import Windows
from infoplane.uncertainty.document_jackknife import standard_error_of

PLACES = (0.3, 0.8, 1.4, 2.0)
KINDS = 12


def seen(windows: Windows, m: int, **more: Any) -> Frontier:
    return next(f for f in fit_frontiers(windows, (1,), m=m, **more) if f.positions == "seen")


def part(windows: Windows, documents: int) -> Windows:
    """The first documents."""
    some = windows.part(np.arange(documents))
    return replace(some, documents=windows.documents[:documents])


def at(f: Frontier, x: float) -> tuple[float, float, float, float]:
    """The frontier at a complexity, its error, by how much it moved, and its upper side."""
    c = np.full(f.complexity.shape[1], x)
    reached, moved, upper = f.at(c), f.moved_at(c), f.upper_at(c)
    assert moved is not None and upper is not None
    return float(reached[0]), standard_error_of(reached[1:]), float(moved[0]), float(upper[0])


@pytest.mark.parametrize(("words", "documents"), [(60, 600), (600, 300)])
def test_the_band_holds_the_truth_and_says_whether_it_has_converged(words: int, documents: int) -> None:
    truth, moves = None, []
    for seed in range(3):
        windows, joint = classes(documents, words, seed)
        truth = true_curve(joint, KINDS) if truth is None else truth
        f = seen(windows, 20)
        assert f.fitted_on > f.smaller[1].fitted_on > 1.5 * f.smaller[0].fitted_on > 1_000
        for x in PLACES:
            reached, error, moved, upper = at(f, x)
            assert reached - 2.5 * error < np.interp(x, *truth.T) < upper + 2.5 * error
            moves.append(moved / error)
    # 35,000 positions are enough for 60 words, and 17,000 far too few for 600
    assert (np.mean(np.array(moves) < 1) > 0.7) if words == 60 else min(moves) > 1


def test_more_text_to_fit_on_lifts_the_frontier_and_lowers_the_upper_side() -> None:
    text, joint = classes(1_200, 600)
    windows = part(text, 300)
    alone, more = seen(windows, 20), seen(windows, 20, fit=FitText(text))
    truth = true_curve(joint, KINDS)
    assert more.n == alone.n and more.fitted_on > 5 * alone.fitted_on
    for x in PLACES:
        low, error, moved, upper = at(more, x)
        before, _, moved_before, upper_before = at(alone, x)
        true = np.interp(x, *truth.T)
        assert before + error < low < true + 2.5 * error and true - 2.5 * error < upper < upper_before
        assert moved < moved_before


def test_a_teacher_that_knows_the_source_has_the_truth_from_little_text() -> None:
    windows, joint = classes(300, 600)
    truth = true_curve(joint, KINDS)
    f = seen(windows, 20, fit=FitText(windows, taught(windows, joint, 600)))
    by_counts = seen(windows, 20)
    assert f.teacher == "the source" and by_counts.teacher is None
    for x in PLACES:
        reached, error, moved, upper = at(f, x)
        true = np.interp(x, *truth.T)
        assert abs(reached - true) < 3 * error + 0.01 and -0.03 < upper - true < 0.03 + 2.5 * max(moved, 0)
        assert moved < at(by_counts, x)[2] / 2  # words that half of the text lacks


def test_a_teacher_that_says_less_than_counts_is_not_asked() -> None:
    windows, joint = classes(120, 60)
    by_counts = seen(windows, 12)
    f = seen(windows, 12, fit=FitText(windows, taught(windows, joint, 60, blur=1.0)))
    assert f.teacher is None
    np.testing.assert_allclose(f.hull(), by_counts.hull())


def test_no_code_is_judged_on_a_document_that_it_was_fitted_on() -> None:
    text, _ = classes(100, 60)
    text = replace(text, documents=tuple(f"d{i}" for i in range(100)))
    joined = Joined.of(part(text, 60), 1, FitText(text))
    p = Positions.of(joined, 1)
    judged = {h: set(p.document[p.judged & (p.half == h)]) for h in (0, 1)}
    assert len(judged[0]) + len(judged[1]) == 60
    for half in (0, 1):
        fitted = set(p.document[p.to_fit(half)])
        assert fitted == judged[half] | set(range(60, 100)) and not fitted & judged[1 - half]
    assert (p.half[p.document >= 60] == BOTH).all() and p.joined.judged == 60 * (LENGTH - 1)


def test_smoothing_by_a_teacher_leaves_out_what_it_says_of_the_token_itself() -> None:
    """A teacher that names each token, right every time, foretells none of the others."""
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, 20, 4_000), draw.integers(0, 50, 4_000)
    same, alike = choose_alphas([x], y), choose_alphas([x], y, Expected.of_tokens(y))
    assert same == alike and same[1] < -3.8
    knows = np.full((4_000, 50), 1 / 50)
    assert choose_alphas([x], y, Expected(np.broadcast_to(np.arange(50), knows.shape), knows))[1] > same[1]


def test_a_ladder_of_certain_expectations_is_one_of_counts() -> None:
    draw = np.random.default_rng(2)
    x, y = draw.integers(0, 9, 500), draw.integers(0, 7, 500)
    twice = Expected(np.stack([y, y], 1), np.full((500, 2), 0.5))
    f = draw.random((7, 3))
    by_counts, told = Ladder.of([x], y, [2.0]), Ladder.of([x], y, [2.0], expected=twice)
    np.testing.assert_allclose(told.table(f), by_counts.table(f))
    assert told.n == by_counts.n == 500
    assert by_counts.at([x[:100]]).n == 100


def test_a_gap_in_doubt_is_said() -> None:
    """A code that knows the classes, against a frontier of too little text: it lies above, and that is no merit."""
    windows, _ = classes(300, 600)
    kinds = at_positions(windows, 0) // 50
    code = np.full((KINDS, 20), 0.002)
    code[np.arange(KINDS), np.arange(KINDS)] = 1
    capture = held(windows, (code / code.sum(1, keepdims=True))[kinds])
    measured = measure_capture(capture, orders=(1,), unit="nats", controls=False)
    found = with_bound(measured, capture, fit_frontiers(windows, (1,), m=20))
    rows = {r.quantity: r for r in found.select(layer="block.0") if r.position_set == "P_1 seen"}
    gap, most = rows["gap"], rows["gap_at_most"]
    assert gap.standard_error is not None and gap.value < -2 * gap.standard_error < 0 < most.value
    assert most.value == pytest.approx(rows["frontier_upper"].value - rows["projection"].value)
    assert rows["frontier_moved"].value > (rows["frontier"].standard_error or 0)
    doubts = [w for w in found.provenance["warnings"] if "frontier of order 1" in w]
    assert len(doubts) == 2 and "between gap and gap_at_most" in doubts[0] and "a fault of the frontier" in doubts[1]


def test_what_a_bound_was_fitted_on_is_stored_and_asked_for(tmp_path: Path) -> None:
    text, joint = classes(150, 60)
    windows = part(text, 100)
    fit = FitText(text, taught(text, joint, 60))
    first = stored_or_fitted(tmp_path, windows, (1,), m=8, fit=fit)
    again = Bound.load(tmp_path)
    f, g = first.get(1, "seen"), again.get(1, "seen")
    assert (g.teacher, g.fit_hash, g.fitted_on) == ("the source", fit.hash, f.fitted_on)
    assert [less.fitted_on for less in g.smaller] == [less.fitted_on for less in f.smaller]
    assert f.tangents is not None and g.tangents is not None
    np.testing.assert_array_equal(g.tangents, f.tangents)
    np.testing.assert_array_equal(g.smaller[0].relevance, f.smaller[0].relevance)
    assert stored_or_fitted(tmp_path, windows, (1,), m=8, fit=fit).provenance == first.provenance
    other = stored_or_fitted(tmp_path, windows, (1,), m=8, fit=FitText(text))
    assert other.get(1, "seen").teacher is None and Bound.load(tmp_path).provenance["fit"]["teacher"] is None


def test_predictions_of_other_windows_are_refused() -> None:
    text, joint = classes(60, 60)
    with pytest.raises(
        TextError, match="of the source at 3,540 positions of other windows than those to fit on, which have 2,360"
    ):
        FitText(part(text, 40), taught(text, joint, 60))


def test_few_documents_have_no_smaller_share() -> None:
    windows, _ = classes(2, 24)
    for f in bound_of(windows, (1,), m=4).frontiers:
        c = np.ones(f.complexity.shape[1])
        assert f.smaller == () and f.moved_at(c) is None


@pytest.mark.parametrize("order", [1, 2])
def test_a_placebo_gains_nothing_where_context_gains(order: int) -> None:
    """States that name the next class: context gains what the placebo does not."""
    windows, _ = classes(300, 60)
    kinds = at_positions(windows, 1) // 5
    code = np.random.default_rng(3).dirichlet(np.full(20, 0.2), size=KINDS)
    capture = held(windows, code[kinds])
    measured = measure_capture(capture, orders=(order,), unit="nats", controls=False)
    found = with_bound(measured, capture, fit_frontiers(windows, (order,), m=20, betas=(2.0, 5.0)))
    rows = {r.quantity: r for r in found.select(layer="block.0") if r.position_set == f"P_{order} seen"}
    assert rows["context_gain"].value > 0.3
    for placebo in (rows["placebo_gain"], rows["noise_gain"]):
        assert placebo.standard_error is not None
        assert abs(placebo.value) < max(2 * placebo.standard_error, 0.02)
