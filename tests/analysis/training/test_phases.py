"""Phases of runs whose truth is known: exact shapes, false alarms, power, coverage (more draws: `bench/phases.py`)."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from infoplane.analysis.training import optimiser_noise as wandering
from infoplane.analysis.training.phases import Phases, claim, find_phases, phases_of_seeds
from infoplane.errors import SettingError

Floats = npt.NDArray[np.float64]
STEPS = {20: [*range(1, 8), 9, 13, 21, 36, 65, 117, 216, 400, 745, 1_390, 2_600, 5_000, 10_000]}
STEPS[40] = [*range(0, 16), *np.round(np.geomspace(18, 10_000, 24)).astype(int).tolist()]


def curve(steps: list[int], *knots: tuple[int, float]) -> Floats:
    """Linear in log(1 + step) between (index of a checkpoint, height)."""
    x = np.log1p(steps)
    return np.interp(x, x[[k for k, _ in knots]], [height for _, height in knots])


def wander(rng: np.random.Generator, n: int, level: float, walk: bool = False) -> Floats:
    z = rng.normal(size=n + 100)
    for i in range(1, len(z)):
        z[i] = level * z[i - 1] + np.sqrt(1 - level**2) * z[i]
    return np.cumsum(z[-n:]) if walk else z[-n:]


def kinds(found: Phases) -> list[str]:
    return [s.kind for s in found.segments]


SHAPES = {
    "fitting compression plateau": [(0, 0.0), (11, 2.0), (15, 1.0), (19, 1.0)],
    "plateau fitting compression plateau": [(0, 0.0), (9, 0.0), (13, 2.0), (16, 1.0), (19, 1.0)],
    "fitting plateau": [(0, 0.0), (12, 2.0), (19, 2.0)],
    "plateau compression": [(0, 0.0), (12, 0.0), (19, -2.0)],
    "compression fitting": [(0, 0.0), (12, -1.0), (19, 2.0)],
    "fitting": [(0, 0.0), (19, 1.0)],
    "plateau": [(0, 3.0), (19, 3.0)],
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_shapes_without_noise_are_found_exactly(name: str, scale: float) -> None:
    steps, knots = STEPS[20], SHAPES[name]
    found = find_phases(steps, scale * curve(steps, *knots))
    assert kinds(found) == name.split()
    assert found.compression.found == ("compression" in name)
    assert found.fitting.found == ("fitting" in name)
    for change, (index, _) in zip(found.changes, knots[1:-1], strict=True):
        assert change.step == pytest.approx(steps[index], rel=1e-6)
        assert steps[index - 1] < change.interval[0] <= steps[index] <= change.interval[1] < steps[index + 1]
    for segment, (_, before), (_, after) in zip(found.segments, knots[:-1], knots[1:], strict=True):
        assert segment.change == pytest.approx(scale * (after - before), abs=1e-6 * scale)
        assert segment.interval == pytest.approx((segment.change,) * 2, abs=1e-6 * scale)


def test_what_moves_all_checkpoints_alike_changes_nothing() -> None:
    rng, steps = np.random.default_rng(0), STEPS[20]
    values = curve(steps, *SHAPES["fitting compression plateau"]) + 0.02 * rng.normal(size=20)
    replicates = values[:, None] + 0.003 * rng.normal(size=(20, 32))
    plain = find_phases(steps, values, replicates)
    shifted = find_phases(steps, values + 1, replicates + rng.normal(size=32))
    assert plain.compression.found
    for a, b in zip(plain.segments, shifted.segments, strict=True):
        assert (a.kind, a.p_value) == (b.kind, b.p_value)
        assert (a.start_step, a.end_step, a.change) == pytest.approx((b.start_step, b.end_step, b.change), rel=1e-6)
        assert a.interval == pytest.approx(b.interval, rel=1e-6, abs=1e-9)
    assert plain == find_phases(steps, values, replicates)  # the same seed gives the same answer
    no_text = find_phases(steps, values, replicates[:, :0])
    assert no_text == find_phases(steps, values) == find_phases(steps, values, np.ones((20, 32)) * rng.normal(size=32))


def test_upside_down_compression_is_fitting() -> None:
    steps = STEPS[20]
    values = curve(steps, *SHAPES["fitting compression plateau"]) + 0.01 * np.random.default_rng(1).normal(size=20)
    up, down = find_phases(steps, values), find_phases(steps, -values)
    assert up.compression.found and down.compression.found and up.fitting.found and down.fitting.found
    assert up.compression.amount == pytest.approx(1, abs=0.1)
    assert down.fitting.amount == pytest.approx(up.compression.amount, rel=0.1)


@pytest.mark.parametrize(
    ("level", "walk"), [(0.0, False), (0.5, False), (0.8, False), (0.0, True), (0.5, True)],
    ids=["white", "AR 0.5", "AR 0.8", "random walk", "walk of AR 0.5 increments"],
)  # fmt: skip
@pytest.mark.parametrize("rise", [0, 20])
def test_jitter_is_not_a_phase(level: float, walk: bool, rise: int) -> None:
    """60 runs: 3 false alarms are expected at most, 9 come of 5 % in 3 of 1,000 tries."""
    steps, alarms = STEPS[20], np.zeros(2)
    for seed in range(60):
        noise = wander(np.random.default_rng([7, seed]), 20, level, walk)
        found = find_phases(steps, rise * curve(steps, (0, 0), (12, 1), (19, 1)) + noise)
        alarms += found.compression.found, found.fitting.found and not rise
    assert alarms.max() <= 8


def test_a_walk_taken_for_white_noise_is_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: without the kinds of wandering it would."""
    monkeypatch.setattr(wandering, "KINDS", ((0, 0.0, 0.0, 0),))
    wandering.frame_of.cache_clear()
    alarms = sum(
        find_phases(STEPS[20], wander(np.random.default_rng([7, s]), 20, 0.5, True)).compression.found
        for s in range(30)
    )
    wandering.frame_of.cache_clear()
    assert alarms > 10


def test_a_real_fall_is_found_and_its_steps_are_covered() -> None:
    steps, hits, shown = STEPS[40], [], 0
    for seed in range(40):
        noise = wander(np.random.default_rng([8, seed]), 40, 0.5)
        found = find_phases(steps, 30 * curve(steps, (0, -1), (19, 1), (29, 0), (39, 0)) + noise)
        shown += found.compression.found
        if kinds(found) == ["fitting", "compression", "plateau"]:
            true = (steps[19], steps[29])
            hits += [c.interval[0] <= t <= c.interval[1] for c, t in zip(found.changes, true, strict=True)]
            fall = found.segments[1]
            assert fall.p_value <= 0.05 and fall.interval[0] < fall.change < fall.interval[1] < 0
    assert shown >= 36
    assert len(hits) >= 60
    assert np.mean(hits) >= 0.88


def test_a_fall_that_other_text_may_not_show_is_not_claimed() -> None:
    """The blocks disagree about the fall: seen from the values alone it is clear."""
    rng, steps = np.random.default_rng(2), STEPS[20]
    rise, fall = curve(steps, (0, 0), (11, 2), (19, 2)), curve(steps, (0, 0), (11, 0), (15, -1), (19, -1))
    values = rise + fall + 0.01 * rng.normal(size=20)
    share = rng.normal(size=32) - 0.3
    share -= share.mean()
    sure = values[:, None] + 1e-3 * share * fall[:, None]
    unsure = values[:, None] + 0.7 / np.sqrt((share**2).sum()) * share * fall[:, None]
    assert find_phases(steps, values).compression.found
    assert find_phases(steps, values, sure).compression.found
    found = find_phases(steps, values, unsure)
    assert found.fitting.found and not found.compression.found


def test_a_run_that_goes_on_is_censored() -> None:
    rng, steps = np.random.default_rng(3), STEPS[20]
    values = curve(steps, (0, 0), (12, 2), (19, 2)) + 0.01 * rng.normal(size=20)
    falling = curve(steps, (0, 10), (19, 3)) + 0.02 * rng.normal(size=20)
    ended = curve(steps, (0, 10), (10, 3), (19, 3)) + 0.02 * rng.normal(size=20)
    going, done, unknown = (find_phases(steps, values, loss=loss) for loss in (falling, ended, None))
    assert (going.saturated, done.saturated, unknown.saturated) == (False, True, None)
    assert (going.censored, done.censored, unknown.censored) == (True, False, False)
    assert "no compression phase found; the loss is still falling, so it may yet come" in going.verdict
    assert "so none is to be expected" in done.verdict and "not known" in unknown.verdict
    assert "fitting until step 117 (" in done.verdict
    assert find_phases(steps, values, loss=np.linspace(9, 8, 20)).saturated is False
    assert find_phases(steps, values, loss=np.ones(20)).saturated is True


def test_a_claim_needs_two_of_three_seeds() -> None:
    steps = STEPS[20]
    shows = find_phases(steps, curve(steps, *SHAPES["fitting compression plateau"]))
    lacks = find_phases(steps, curve(steps, *SHAPES["fitting plateau"]), loss=np.linspace(9, 8, 20))
    two, one = claim([shows, lacks, shows]), claim([shows, lacks, lacks])
    assert two.compression and two.fitting and not one.compression and one.fitting
    assert two.then_compresses and "compression after fitting claimed: 2 of 3" in two.text and not one.then_compresses
    before = find_phases(steps, curve(steps, *SHAPES["compression fitting"]))
    assert not before.then_compresses and not claim([before] * 3).then_compresses and claim([before] * 3).compression
    assert "2 of 3 seeds" in two.text and "1 censored" in two.text and "2 censored" in one.text
    assert not claim([shows]).compression and claim([shows, shows]).compression
    assert not claim([shows, shows, lacks, lacks]).compression
    with pytest.raises(SettingError, match="no seeds"):
        claim([])


def seeds_of(trend: Floats, start: int, level: float, walk: bool = False) -> list[Floats]:
    return [trend + wander(np.random.default_rng([9, start, s]), len(trend), level, walk) for s in range(3)]


def test_seeds_show_a_fall_that_one_run_cannot() -> None:
    """A fall of ten times the noise, 20 checkpoints: told from wandering by what the seeds do differently."""
    steps, alone, together = STEPS[20], 0, 0
    trend = 10 * curve(steps, (0, -1), (8, 1), (14, 0), (19, 0))
    for start in range(20):
        values = seeds_of(trend, start, 0.5)
        alone += find_phases(steps, values[0]).compression.found
        together += claim(phases_of_seeds(steps, values)).compression
    assert together >= 18 > 10 > alone


@pytest.mark.parametrize(("level", "walk"), [(0.0, False), (0.8, False), (0.0, True), (0.8, True)])
def test_seeds_that_wander_show_no_phase(level: float, walk: bool) -> None:
    """40 runs: 9 alarms come of 5 % in fewer than 1 of 1,000 tries."""
    steps, alarms = STEPS[20], np.zeros(2)
    for start in range(40):
        found = phases_of_seeds(steps, seeds_of(np.zeros(20), start, level, walk))[0]
        alarms += found.compression.found, found.fitting.found
    assert alarms.max() <= 7


def test_what_all_seeds_do_alike_is_trend_and_what_one_does_is_not() -> None:
    steps, rng = STEPS[20], np.random.default_rng(4)
    fall = curve(steps, (0, 0), (9, 0), (14, -1), (19, -1))
    noise = 0.02 * rng.normal(size=(3, 20))
    assert all(p.compression.found for p in phases_of_seeds(steps, fall + noise))
    one = noise.copy()
    one[0] += fall
    found = phases_of_seeds(steps, one)
    assert not claim(found).compression and "1 of 3 seeds" in claim(found).text
    assert not any(p.compression.found for p in found[1:])


def test_seeds_in_any_order_are_judged_alike() -> None:
    steps = STEPS[20]
    values = np.array(seeds_of(10 * curve(steps, *SHAPES["fitting compression plateau"]), 0, 0.0))
    replicates = values[:, :, None] + np.random.default_rng(5).normal(size=(3, 20, 32)) / 40
    plain, turned = phases_of_seeds(steps, values, replicates), phases_of_seeds(steps, values[::-1], replicates[::-1])
    assert [p.compression.found for p in plain] == [p.compression.found for p in turned[::-1]]
    for a, b in zip(plain, turned[::-1], strict=True):
        assert a.changes[0].step == pytest.approx(b.changes[0].step)
        assert a.compression.p_value == pytest.approx(b.compression.p_value, abs=0.02)  # other draws for its others
    assert plain == phases_of_seeds(steps, values, replicates)


def test_seeds_that_are_equal_leave_no_noise() -> None:
    steps = STEPS[20]
    found = phases_of_seeds(steps, [curve(steps, *SHAPES["fitting compression plateau"])] * 3)
    assert kinds(found[0]) == ["fitting", "compression", "plateau"]


def test_text_that_all_seeds_read_is_counted() -> None:
    """The blocks disagree about a fall that all seeds show: other text may not have it."""
    rng, steps = np.random.default_rng(6), STEPS[20]
    rise, fall = curve(steps, (0, 0), (11, 2), (19, 2)), curve(steps, (0, 0), (11, 0), (15, -1), (19, -1))
    values = rise + fall + 0.01 * rng.normal(size=(3, 20))
    share = rng.normal(size=32)
    share -= share.mean()
    unsure = values[:, :, None] + 0.7 / np.sqrt((share**2).sum()) * share * fall[:, None]
    assert claim(phases_of_seeds(steps, values)).compression
    found = claim(phases_of_seeds(steps, values, unsure))
    assert found.fitting and not found.compression


def test_seeds_are_checked() -> None:
    with pytest.raises(SettingError, match=r"1 run: .* find_phases\(\) takes one"):
        phases_of_seeds(GOOD, [GOOD])
    with pytest.raises(SettingError, match="losses of 1 runs, values of 2"):
        phases_of_seeds(GOOD, [GOOD, GOOD], losses=[GOOD])
    with pytest.raises(SettingError, match=r"of \[2, 32\] columns"):
        phases_of_seeds(GOOD, [GOOD, GOOD], [np.ones((10, 2)), np.ones((10, 32))])
    with pytest.raises(SettingError, match=r"values have shape \(9,\)"):
        phases_of_seeds(GOOD, [GOOD, GOOD[:9]])


def test_phases_travel_through_json() -> None:
    steps = STEPS[20]
    found = find_phases(steps, curve(steps, *SHAPES["fitting compression plateau"]), loss=np.linspace(9, 8, 20))
    assert Phases.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found
    with pytest.raises(SettingError, match="not a record of phases"):
        Phases.from_dict({"segments": []})


@pytest.mark.parametrize("n", [8, 9, 60, 154])
def test_few_and_many_checkpoints(n: int) -> None:
    steps = np.r_[0, np.arange(1, n) * 1000]
    found = find_phases(steps, curve(steps.tolist(), (0, 0), (n // 2, 1), (n - 1, 0)), draws=99)
    assert kinds(found)[0] == "fitting" and found.segments[-1].end_step == pytest.approx(steps[-1])


GOOD = list(range(10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [1.0, 2.0]), "2 checkpoints: phases need at least 8"),
        (([0, 1, 3, 2, *range(4, 10)], GOOD), "2 follows 3; sort them"),
        (([0, 1, 1, *range(3, 10)], GOOD), "1 follows 1; sort them, and drop duplicates"),
        ((GOOD, [*range(9), float("nan")]), r"values\[9\] is not finite"),
        ((GOOD, GOOD, np.full((10, 32), np.inf)), r"replicates\[0\] is not finite"),
        ((GOOD, GOOD[:9]), r"values have shape \(9,\): expected \(10,\)"),
        ((GOOD, GOOD, np.ones((32, 10))), r"replicates have shape \(32, 10\): expected \(10, blocks\)"),
        ((GOOD, GOOD, np.ones((10, 1))), "replicates have one block"),
        (([*range(9), 9.5], GOOD), "whole numbers"),
        (([-1, *range(1, 10)], GOOD), "0 or more"),
        ((["a"] * 10, GOOD), "steps are not numbers"),
    ],
)
def test_errors_say_what_to_do(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        find_phases(*arguments)  # type: ignore[arg-type]


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="loss have shape"):
        find_phases(GOOD, GOOD, loss=GOOD[:5])
    with pytest.raises(SettingError, match="level is 5"):
        find_phases(GOOD, GOOD, level=5)
    with pytest.raises(SettingError, match="give at least 126"):
        find_phases(GOOD, GOOD, level=0.01, draws=50)
