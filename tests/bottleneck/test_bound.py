"""The bound: codes against closed forms and another package, the frontier and the model's place against known truth."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from markov_texts import WORDS, at_positions, chain, held, information_of, source, true_curve, windows_of
from scipy import optimize
from tiny import byte_tokenizer, tiny_model

from infoplane.analysis.training.trajectory import Trajectory
from infoplane.bottleneck.backoff import Ladder, choose_alphas
from infoplane.bottleneck.blahut_arimoto import anneal
from infoplane.bottleneck.fit_text import Joined
from infoplane.bottleneck.frontier import fit_frontiers
from infoplane.bottleneck.frontier_curve import Frontier, hull
from infoplane.bottleneck.kept_bounds import stored_or_fitted
from infoplane.bottleneck.text_bound import Bound, bound_of
from infoplane.errors import ResultError, SettingError, TextError
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.frontier_gap import with_bound
from infoplane.measurement.results import Measurement
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.windows import Windows

Floats = npt.NDArray[np.float64]


def entropy(p: float) -> float:
    return -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)


# ---------------------------------------------------------------------- codes


def test_a_binary_symmetric_channel_has_its_closed_form() -> None:
    """I(T; Y) = log 2 - h(a * e), where I(X; T) = log 2 - h(a): Wyner and Ziv 1973."""
    e = 0.1
    codes = anneal(source(np.array([[1 - e, e], [e, 1 - e]])), 4, np.geomspace(1.2, 30, 8), tolerance=1e-10)
    assert codes[0].complexity == pytest.approx(0, abs=1e-6)  # below 1 / (1 - 2e)^2 nothing is worth its cost
    for code in codes[1:]:
        a = optimize.brentq(lambda a, r=code.complexity: np.log(2) - entropy(a) - r, 0, 0.5) if code.beta < 9 else 0.0
        assert code.relevance == pytest.approx(np.log(2) - entropy(a * (1 - e) + (1 - a) * e), abs=1e-5)
        assert code.converged
    assert codes[-1].relevance == pytest.approx(np.log(2) - entropy(e), abs=1e-9)


def test_gaussians_have_their_closed_form() -> None:
    """I(T; Y) = -1/2 log(1 - r^2 (1 - exp(-2 I(X; T)))): Chechik et al. 2005; here on a grid."""
    r, at = 0.8, np.linspace(-4, 4, 61)
    joint = np.exp(-(at[:, None] ** 2 - 2 * r * np.outer(at, at) + at**2) / (2 * (1 - r * r)))
    for code in anneal(source(joint), 61, (2.0, 3.0, 5.0), hard=False, tolerance=1e-9):
        want = -0.5 * np.log(1 - r * r * (1 - np.exp(-2 * code.complexity)))
        assert 0.1 < code.complexity < 2
        assert code.relevance == pytest.approx(want, abs=1e-3)


def test_what_x_decides_is_kept_whole() -> None:
    """Y = f(X): every code lies on the diagonal, up to H(Y); the hard one is f itself."""
    f = np.array([0, 0, 1, 1, 2, 3])
    joint = np.random.default_rng(0).dirichlet(np.ones(6))[:, None] * np.eye(4)[f]
    codes = anneal(source(joint), 6, (1.5, 3.0, 10.0), tolerance=1e-10)
    for code in codes:
        assert code.relevance == pytest.approx(code.complexity, abs=1e-6)
    p = joint.sum(0)
    assert codes[-1].relevance == pytest.approx(-(p * np.log(p)).sum(), abs=1e-9)


@pytest.fixture(scope="module")
def channels() -> list[tuple[Floats, tuple[Any, ...]]]:
    draw = np.random.default_rng(1)
    joints = [draw.dirichlet(np.full(30, 0.3)).reshape(6, 5) for _ in range(6)]
    return [(j, anneal(source(j), 6, np.geomspace(1.3, 40, 10), starts=2, tolerance=1e-9)) for j in joints]


def test_curves_rise_and_are_concave_and_keep_data_processing(channels: Any) -> None:
    for joint, codes in channels:
        x, y = (np.array([getattr(c, name) for c in codes]) for name in ("complexity", "relevance"))
        assert (y <= x + 1e-9).all() and (y <= information_of(joint) + 1e-9).all()
        assert (np.diff(x) > -1e-6).all() and (np.diff(y) > -1e-6).all()
        some = x > 1e-6
        slopes = np.diff(y[some]) / np.maximum(np.diff(x[some]), 1e-9)
        assert (np.diff(slopes[np.diff(x[some]) > 1e-4]) < 1e-4).all()
        # a slope between two betas lies between their inverses
        for a, b in itertools.pairwise(c for c in codes if c.complexity > 1e-6 and np.isfinite(c.beta)):
            if b.complexity - a.complexity > 1e-3:
                slope = (b.relevance - a.relevance) / (b.complexity - a.complexity)
                assert 1 / b.beta - 1e-3 < slope < 1 / a.beta + 1e-3


def test_no_code_lies_above_the_curve(channels: Any) -> None:
    """Random codes, of which none may beat what annealing found; a curve from one start alone would be beaten."""
    draw = np.random.default_rng(2)
    for joint, codes in channels:
        best = hull(np.array([c.complexity for c in codes]), np.array([c.relevance for c in codes]))
        for sharp in draw.uniform(0.5, 20, 300):
            q = draw.dirichlet(np.full(6, 1 / sharp), size=6)
            coded = (joint.sum(1)[:, None] * q).T
            x, y = information_of(coded), information_of(q.T @ joint)
            assert y <= np.interp(x, *best.T) + 2e-3  # the hull of ten codes cuts corners


@pytest.mark.filterwarnings("ignore")
def test_dit_finds_the_same_curve() -> None:
    """On two channels; `bench/bound.py` has twenty."""
    import dit
    from dit.rate_distortion import IBCurve

    np.random.seed(0)  # noqa: NPY002 (dit starts its optimiser there)
    for seed in range(2):
        joint = np.random.default_rng([3, seed]).dirichlet(np.full(16, 0.3)).reshape(4, 4)
        words = [f"{x}{y}" for x in range(4) for y in range(4)]
        ours = anneal(source(joint), 4, np.geomspace(1.2, 8, 30), starts=2, tolerance=1e-10)
        best = hull(np.array([c.complexity for c in ours]), np.array([c.relevance for c in ours]))
        for _ in range(4):  # its optimiser may stop short of the curve; it never lies above it
            theirs = IBCurve(dit.Distribution(words, joint.ravel()), rvs=[[0], [1]], beta_min=2, beta_max=3, beta_num=2)
            reached = np.interp(np.asarray(theirs.complexities) * np.log(2), *best.T)
            short = reached - np.asarray(theirs.relevances) * np.log(2)
            assert short.min() > -1e-3
            if short.max() < 1e-3:
                break
        assert short.max() < 1e-3


def test_a_hull_is_concave_and_begins_at_the_origin() -> None:
    assert hull(np.array([0.5, 1.0, 2.0, 3.0]), np.array([0.1, 0.6, 0.7, 0.65])).tolist() == [
        [0, 0],
        [1, 0.6],
        [2, 0.7],
    ]
    assert hull(np.array([-0.1]), np.array([0.2])).tolist() == [[0, 0]]


# ---------------------------------------------------------------------- ladders


def test_a_ladder_backs_off_and_its_sums_are_those_of_the_dense_table() -> None:
    draw = np.random.default_rng(4)
    n, words = 400, 7
    last, before = draw.integers(0, 5, n), draw.integers(0, 5, n)
    pair = last * 5 + before
    y = draw.integers(0, words, n)
    ladder = Ladder.of([last, pair], y, (2.0, 0.5))
    unigram = np.bincount(y, minlength=words) / n
    dense = np.zeros((25, words))
    for code in np.unique(pair):
        one = np.bincount(y[last == code // 5], minlength=words)
        short = (one + 2.0 * unigram) / (one.sum() + 2.0)
        two = np.bincount(y[pair == code], minlength=words)
        dense[code] = (two + 0.5 * short) / (two.sum() + 0.5)
    f = draw.normal(size=(words, 3))
    table = ladder.table(f)
    place, known = ladder.known.places([np.array([0, 1, 99]), np.array([3, 77, 99])])
    np.testing.assert_allclose(table[place[0]], dense[3] @ f)
    one = np.bincount(y[last == 1], minlength=words)
    np.testing.assert_allclose(table[place[1]], ((one + 2.0 * unigram) / (one.sum() + 2.0)) @ f)
    np.testing.assert_allclose(table[place[2]], unigram @ f)
    assert known.tolist() == [2, 1, 0]
    # spreading is the transpose of taking means
    w = draw.normal(size=(25, 2))
    out, left = np.zeros((words, 2)), np.zeros(2)
    for piece in ladder.pieces:
        left += piece.spread(w[piece.rungs[-1].code], out)
    np.testing.assert_allclose(out + unigram[:, None] * left, dense.T @ w, atol=1e-12)


def test_a_ladder_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from infoplane.bottleneck import backoff as module

    draw = np.random.default_rng(5)
    last = draw.integers(0, 40, 3000)
    pair = last * 40 + draw.integers(0, 40, 3000)
    y, f = draw.integers(0, 30, 3000), draw.normal(size=(30, 4))
    whole = Ladder.of([last, pair], y, (1.0, 1.0))
    monkeypatch.setattr(module, "_PIECE", 100)
    parts = Ladder.of([last, pair], y, (1.0, 1.0))
    assert len(whole.pieces) == 1 and len(parts.pieces) > 10
    at = [last[:50], pair[:50]]
    np.testing.assert_allclose(whole.table(f)[whole.known.places(at)[0]], parts.table(f)[parts.known.places(at)[0]])
    for a, b in zip(anneal(whole, 5, (3.0,)), anneal(parts, 5, (3.0,)), strict=True):
        assert a.relevance == pytest.approx(b.relevance, rel=0.05)  # other starts


def test_the_smoothing_that_foretells_best_is_chosen() -> None:
    draw = np.random.default_rng(6)
    x = draw.integers(0, 20, 4000)
    same = draw.integers(0, 10, 4000)  # x says nothing: all the weight to the shorter k-gram
    tells = np.where(draw.random(4000) < 0.9, x % 10, same)
    assert choose_alphas([x], same)[0][0] > 500 > 20 > choose_alphas([x], tells)[0][0]


# ---------------------------------------------------------------------- the frontier of a text


@pytest.fixture(scope="module")
def known() -> tuple[Windows, Floats, tuple[Frontier, ...]]:
    windows, joint = chain(400)
    return windows, joint, fit_frontiers(windows, (1, 2), m=8)


def test_the_frontier_of_a_known_source_is_near_the_truth(known: Any) -> None:
    """24,000 tokens of a Markov chain: the last token has it all, so both orders have one and the same curve."""
    _, joint, found = known
    truth = true_curve(joint, 8)
    assert {(f.order, f.positions) for f in found} == {(1, "all"), (1, "seen"), (2, "all"), (2, "seen")}
    for f in found:
        for x in (0.3, 0.8, 1.4):
            reached = f.at(np.full(f.complexity.shape[1], x))
            error = np.sqrt((len(reached) - 2) * reached[1:].var())
            assert 0 < error < 0.03
            want = float(np.interp(x, *truth.T))
            assert want - 0.05 < reached[0] < want + 3 * error
        if f.order == 1:
            assert f.seen == 1.0
            low, high = f.saturation
            assert low - 0.02 < information_of(joint) < high + 0.02


def test_held_out_lies_below_training_at_like_complexity() -> None:
    """Ten texts of few tokens and many words, order 2: what was fitted is flattered by its own text."""
    below = []
    for seed in range(10):
        windows, _ = chain(40, seed, words=40)
        f = next(f for f in fit_frontiers(windows, (2,), m=8, betas=(2.0, 5.0)) if f.positions == "all")
        from infoplane.bottleneck.cross_fitting import Positions

        p = Positions.of(Joined.of(windows, 2), 2)
        fit = p.half == 0
        codes = anneal(Ladder.of([g[fit] for g in p.grams], p.y[fit], (0.0, 0.0)), 8, (2.0, 5.0))
        trained = hull(np.array([c.complexity for c in codes]), np.array([c.relevance for c in codes]))
        below.append(float(np.interp(1.0, *trained.T) - f.at(np.ones(f.complexity.shape[1]))[0]))
    assert np.mean(below) > 0.1 and min(below) > 0


def test_a_projection_lies_below_the_curve_of_its_own_joint() -> None:
    """`plugin` for both: mean assignments of each k-gram are a code like any other."""
    draw = np.random.default_rng(9)
    for _ in range(5):
        counts = draw.poisson(0.5, size=(30, 12)) + np.eye(30, 12)
        p = counts / counts.sum()
        mean = draw.dirichlet(np.full(6, 0.3), size=30)  # what any model's code is on the average
        x, y = information_of(p.sum(1)[:, None] * mean), information_of(mean.T @ p)
        curve = true_curve(p, 6)
        assert y <= np.interp(x, *curve.T) + 1e-3


# ---------------------------------------------------------------------- a model's place


def placed(windows: Windows, rows: Floats, frontiers: Any) -> dict[tuple[str, int], Any]:
    capture = held(windows, rows)
    found = measure_capture(capture, orders=(1, 2), unit="nats", controls=False)
    whole = with_bound(found, capture, frontiers)
    assert [b["order"] for b in whole.provenance["bound"]] == [f.order for f in frontiers]
    return {(r.quantity, r.order): r for r in whole.select(layer="block.0") if r.position_set.endswith(" seen")}


def test_a_code_of_the_token_gains_nothing_from_context_and_lies_below_the_frontier(known: Any) -> None:
    windows, _, frontiers = known
    code = np.random.default_rng(10).dirichlet(np.full(8, 0.3), size=WORDS)
    rows = placed(windows, code[at_positions(windows, 0)], frontiers)
    for order in (1, 2):
        gain = rows["context_gain", order]
        assert gain.value == pytest.approx(0, abs=1e-3)
        gap = rows["gap", order]
        assert gap.value > -2 * gap.standard_error
        assert gap.value == pytest.approx(rows["frontier", order].value - rows["projection", order].value)
        assert gap.interval[0] < gap.value < gap.interval[1] and gap.n and gap.repeated_mass


def test_a_code_of_the_next_token_gains_all_from_context(known: Any) -> None:
    """Z' that names Y: its projection to the token is p(y | x), whose information about Y is known exactly."""
    windows, joint, frontiers = known
    to_code = np.random.default_rng(11).dirichlet(np.full(8, 0.1), size=WORDS)
    rows = placed(windows, to_code[at_positions(windows, 1)], frontiers)
    p = joint / joint.sum()
    given = (p / p.sum(1, keepdims=True)) @ to_code  # p(j | x)
    assert rows["projection", 1].value == pytest.approx(information_of(given.T @ p), abs=0.02)
    assert rows["projection_complexity", 1].value == pytest.approx(information_of(p.sum(1)[:, None] * given), abs=0.02)
    whole = information_of(p.sum(0)[:, None] * to_code)
    assert rows["context_gain", 1].value == pytest.approx(whole - information_of(given.T @ p), abs=0.03)
    assert rows["context_gain", 1].interval[0] > 0


def test_what_a_position_itself_goes_on_with_is_not_in_its_projection() -> None:
    """Rare bigrams, and a code that names Y: means over a bigram's own occurrences would tell Y back."""
    windows, joint = chain(150, 2, words=60)
    frontiers = fit_frontiers(windows, (2,), m=8, betas=(2.0, 5.0))
    to_code = np.random.default_rng(12).dirichlet(np.full(8, 0.1), size=60)
    rows = placed(windows, to_code[at_positions(windows, 1)], frontiers)
    p = joint / joint.sum()
    given = (p / p.sum(1, keepdims=True)) @ to_code
    projection = rows["projection", 2]
    assert projection.n < 8_000 and projection.repeated_mass < 0.9
    assert projection.value == pytest.approx(information_of(given.T @ p), abs=3 * projection.standard_error)
    assert rows["context_gain", 2].value > 0.3


# ---------------------------------------------------------------------- stored, and on the command line


def test_a_bound_is_stored_and_read_again(known: Any, tmp_path: Path) -> None:
    windows, _, frontiers = known
    bound = Bound(frontiers, {"windows_hash": windows.hash})
    bound.save(tmp_path)
    again = Bound.load(tmp_path)
    assert again.provenance == bound.provenance
    for a, b in zip(again.frontiers, frontiers, strict=True):
        assert (a.order, a.positions, a.n, a.codes, a.saturation, a.m) == (
            b.order, b.positions, b.n, b.codes, b.saturation, b.m
        )  # fmt: skip
        np.testing.assert_array_equal(a.complexity, b.complexity)
        np.testing.assert_array_equal(a.at(np.full(33, 0.7)), b.at(np.full(33, 0.7)))
    assert again.get(2, "seen").order == 2
    with pytest.raises(ResultError, match="no frontier of order 3"):
        again.get(3)
    (tmp_path / "bound.json").write_text("{}")
    with pytest.raises(ResultError, match="this version reads 'infoplane/bound/3'"):
        Bound.load(tmp_path)
    with pytest.raises(ResultError, match="no bound at"):
        Bound.load(tmp_path / "nowhere")


def run_cli(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from infoplane.cli import app

    return CliRunner().invoke(app, list(arguments))


def test_bound_measure_and_trace_on_the_command_line(tmp_path: Path) -> None:
    tiny, text = tmp_path / "run" / "checkpoint-1", tmp_path / "text.jsonl"
    draw = np.random.default_rng(13)
    # few letters, so that bytes recur
    lines = [json.dumps({"text": "".join(draw.choice(list("abcd efgh"), 60))}) for _ in range(60)]
    text.write_text("\n".join(lines))
    for number, seed in ((1, 0), (2, 1)):
        place = tiny.with_name(f"checkpoint-{number}")
        tiny_model(seed=seed).save_pretrained(place)
        byte_tokenizer().save_pretrained(place)
    asked = ["--text", str(text), "--tokens", "4000", "--context", "64", "-m", "5", "--bound", "--unit", "nats"]
    result = run_cli("bound", str(text), "--tokenizer", str(tiny), "--tokens", "4000", "--context", "64", "-m", "5",
                     "--orders", "1", "--out", str(tmp_path / "bound"))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Most about the next token" in result.output
    alone = Bound.load(tmp_path / "bound").get(1, "seen")

    result = run_cli("measure", str(tiny), *asked, "--orders", "1", "--out", str(tmp_path / "measured"))
    assert result.exit_code == 0, result.output
    found = Measurement.load(tmp_path / "measured")
    gap = found.get("gap", order=1)
    assert gap.n == alone.n and gap.unit == "nats" and len(gap.replicates) == 32
    assert found.get("context_gain", "embed", order=1).value == pytest.approx(0, abs=1e-3)
    hulls = {b["positions"]: b["hull"] for b in found.provenance["bound"]}
    assert hulls["seen"] == alone.hull().tolist()
    page = (tmp_path / "measured/report.html").read_text("utf-8")
    assert "the best code of 5 symbols" in page

    result = run_cli("trace", str(tmp_path / "run"), *asked, "--orders", "1", "--out", str(tmp_path / "traced"))
    assert result.exit_code == 0, result.output
    run = Trajectory.load(tmp_path / "traced")
    series = run.series("gap", order=1)
    assert series.steps.tolist() == [1, 2] and series.values[0] == pytest.approx(gap.value, abs=1e-9)
    assert Bound.load(tmp_path / "traced/bound").get(1, "seen").hull().tolist() == hulls["seen"]


# ---------------------------------------------------------------------- bad input


def test_what_has_no_bound_is_said(known: Any) -> None:
    windows, _, frontiers = known
    with pytest.raises(TextError, match=r"1 document .* give two or more"):
        fit_frontiers(windows_of([np.arange(50) % 5]), (1,), m=2)
    with pytest.raises(TextError, match="one symbol only"):
        fit_frontiers(windows_of([np.zeros(50)] * 4), (1,), m=2)
    with pytest.raises(SettingError, match="m = 1: a code of one symbol, or of none, says nothing"):
        fit_frontiers(windows, (1,), m=1)
    with pytest.raises(SettingError, match=r"m = 100 symbols, .* only 12 different tokens: choose an m of at most 12"):
        fit_frontiers(windows, (1,), m=100)
    with pytest.raises(SettingError, match=r"orders \[4\]: the bound is there for orders 1 to 3"):
        fit_frontiers(windows, (4,), m=8)
    with pytest.raises(TextError, match="no position of order 3"):
        fit_frontiers(windows_of([np.arange(4)] * 4), (3,), m=2)
    rows = np.full((windows.n_positions, 4), 0.25)
    found = measure_capture(held(windows, rows), orders=(1,), controls=False)
    with pytest.raises(SettingError, match=r"codes of 8 symbols, .* 4 reference points"):
        with_bound(found, held(windows, rows), frontiers)
    other, _ = chain(300, 1)
    rows = np.full((other.n_positions, 8), 0.125)
    with pytest.raises(SettingError, match=r"order 1 was fitted to other windows \(.*\) than those of the capture"):
        with_bound(found, held(other, rows), frontiers)
    bare = [replace(f, windows_hash=None) for f in frontiers]  # made by hand
    with pytest.raises(SettingError, match="it was fitted to other text"):
        with_bound(found, held(other, rows), bare)


def test_windows_of_the_same_shape_are_other_windows(known: Any, tmp_path: Path) -> None:
    """As many positions, as many of them seen: only the hash tells that the bound is of another text."""
    windows, _, frontiers = known
    swapped = replace(windows, tokens=(WORDS - 1 - windows.tokens).astype(np.int32))
    rows = np.full((windows.n_positions, 8), 0.125)
    found = measure_capture(held(swapped, rows), orders=(1,), controls=False)
    Bound(frontiers, {"windows_hash": windows.hash}).save(tmp_path)
    for fitted in (frontiers, Bound.load(tmp_path).frontiers):
        with pytest.raises(SettingError, match=r"fit it to the windows of the capture, bound_of\(capture.windows"):
            with_bound(found, held(swapped, rows), fitted)
        assert with_bound(found, held(windows, rows), fitted).provenance["bound"]


def test_a_stored_bound_of_other_windows_is_fitted_anew(tmp_path: Path) -> None:
    windows, _ = chain(60)
    swapped = replace(windows, tokens=(WORDS - 1 - windows.tokens).astype(np.int32))
    first = stored_or_fitted(tmp_path, windows, (1,), m=4)
    assert stored_or_fitted(tmp_path, windows, (1,), m=4).provenance == first.provenance
    other = stored_or_fitted(tmp_path, swapped, (1,), m=4)
    assert other.provenance["windows_hash"] == swapped.hash != first.provenance["windows_hash"]
    assert {f.windows_hash for f in Bound.load(tmp_path).frontiers} == {swapped.hash}


def test_wider_targets_are_there_where_they_recur_and_tell_more_than_the_next_token() -> None:
    random = np.random.default_rng(3)
    words = ["some", "other", "text", "of", "few", "words", "so", "that", "pairs", "recur"]
    plain = [" ".join(random.choice(words, 40)) for _ in range(40)]
    windows = make_windows(read_text(plain), byte_tokenizer(), tokens=4_096)
    found = bound_of(windows, (1, 2), m=8, wide=True, betas=(2.0, 5.0))
    next_one, next_two = (found.get(2, target=t).hull()[-1] for t in (1, 2))
    assert next_two[1] > next_one[1] > 0
    noise = ["".join(chr(c) for c in random.integers(33, 127, 200)) for _ in range(20)]
    windows = make_windows(read_text(noise), byte_tokenizer(), tokens=2_048)
    rare = bound_of(windows, (2,), m=8, wide=True, betas=(2.0, 5.0))
    assert {f.target for f in rare.frontiers} == {1}
