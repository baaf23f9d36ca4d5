"""The error of reference points, and how it combines with that of the text, against draws of known variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from infoplane.measurement.set_means import SetMean
from infoplane.uncertainty.document_jackknife import standard_error_of
from infoplane.uncertainty.drawn_points import (
    Errors,
    PointsPart,
    borrowing,
    combined,
    errors_of,
    moderated,
    points_part,
)

BLOCKS = 32


class Crossed:
    """Layers whose values hang on the text, on the points of each set, and on both together.

    A block of documents adds to a layer `text[b]`, the same for all sets, and `both[b]`, another for each set; a set
    adds `points`. So the variance over draws of all of it is known.
    """

    def __init__(self, layers: int, sets: int, text: float, points: Sequence[float], both: float) -> None:
        self.layers, self.sets, self.text, self.both = layers, sets, text, both
        self.points = np.resize(points, layers)

    @property
    def variance(self) -> tuple[float, float]:
        """Of the mean over layers: the part of the points, of a text that is held, and the whole."""
        of_both = self.both**2 / BLOCKS / self.layers / self.sets
        of_points = float((self.points**2).sum()) / self.layers**2 / self.sets
        return of_points + of_both, self.text**2 / BLOCKS + of_points + of_both

    def draw(self, seed: int, text: int | None = None) -> SetMean:
        """The mean over layers, drawn; the text by a seed of its own, where it is held."""
        of_text = np.random.default_rng([7, seed if text is None else text])
        r = np.random.default_rng([8, seed])
        common = of_text.normal(0, self.text, BLOCKS)
        figures = []
        for layer in range(self.layers):
            sets = []
            for _ in range(self.sets):
                x = 1 + r.normal(0, self.points[layer]) + common + r.normal(0, self.both, BLOCKS)
                sets.append(np.append(x.mean(), (x.sum() - x) / (BLOCKS - 1)))
            figures.append(SetMean.of_layer(f"block.{layer}", sets))
        return SetMean.over(figures)


CASES = [
    Crossed(30, 2, 0.3, [0.1], 0.5),
    Crossed(30, 2, 0.3, [0.02, 0.3], 0.2),
    Crossed(7, 3, 0.1, [0.1], 0.3),
    Crossed(2, 8, 0.3, [0.05, 0.15], 0.5),
    Crossed(1, 16, 0.1, [0.1], 0.2),
    Crossed(1, 5, 0.1, [0.1], 0.2),
]


@pytest.mark.parametrize("case", CASES)
def test_variances_are_those_of_the_draws(case: Crossed) -> None:
    draws = [case.draw(seed) for seed in range(600)]
    of_points, whole = case.variance
    estimated = [errors_of(one.columns[1:], one.points) for one in draws]
    assert np.var([one.columns[0] for one in draws]) == pytest.approx(whole, rel=0.2)  # the case is what it says
    assert np.mean([e.points**2 for e in estimated if e.points]) == pytest.approx(of_points, rel=0.1)
    assert np.mean([e.total**2 for e in estimated if e.total]) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_the_truth_as_often_as_they_say(case: Crossed) -> None:
    """600 draws: the 99 % band of a binomial of 95 % is 92.5 to 97.2 %."""
    held = {"points": 0, "total": 0}
    text = case.draw(0, text=0)
    middle = np.mean([case.draw(seed, text=0).columns[0] for seed in range(3000)])
    assert abs(middle - text.columns[0]) < 10 * case.variance[0] ** 0.5
    for seed in range(600):
        one = case.draw(seed)
        low, high = errors_of(one.columns[1:], one.points).interval(one.columns[0]) or (0, 0)
        held["total"] += low <= 1 <= high
        fixed = case.draw(10_000 + seed, text=0)
        part = fixed.points
        assert part.variance is not None and part.degrees is not None
        low, high = Errors(0.0, None, math.sqrt(part.variance), part.degrees).interval(fixed.columns[0]) or (0, 0)
        held["points"] += low <= middle <= high
    # sums of few unlike variances are known a little better than their degrees of freedom say
    assert all(0.925 <= n / 600 <= 0.985 for n in held.values()), held


def test_a_fixed_text_is_counted_once() -> None:
    """Without the part that both share, its error would come from the jackknife and from the sets."""
    case = Crossed(1, 4, 0.0, [0.0], 1.0)
    draws = [case.draw(seed) for seed in range(400)]
    true = case.variance[1]
    once = np.mean([e.total**2 for one in draws if (e := errors_of(one.columns[1:], one.points)).total])
    twice = np.mean([standard_error_of(d.columns[1:]) ** 2 + (d.points.variance or 0) for d in draws])
    assert twice == pytest.approx(2 * true, rel=0.1)
    assert true < once < 0.75 * twice  # not below it, since a variance that comes out negative counts as 0


def test_ratios_differences_and_means_carry_their_draws_along() -> None:
    r = np.random.default_rng(0)
    x, y = (
        [SetMean.of_layer(f"block.{i}", list(1 + k + 0.01 * r.standard_normal((3, 33)))) for i in range(4)]
        for k in (1, 0)
    )
    ratio = SetMean.over(y) / SetMean.over(x)
    below = SetMean.over(x).columns[0]
    above = np.mean([[y[i].by_draw[f"block.{i}"][s, 0] for i in range(4)] for s in range(3)])
    assert len(ratio.points.by_draw) == 4 and ratio.columns[0] == pytest.approx(above / below)
    # to first order what a set contributes is how far the ratio moves with it
    moved = SetMean.over([y[0].times(1.001), *y[1:]]) / SetMean.over(x)
    step = {k: np.array(v) for k, v in ratio.points.by_draw.items()}
    assert sum(float(v.mean()) for v in step.values()) == pytest.approx(0, abs=1e-12)
    change = y[0].times(0.001).times(0.25).columns[0] / below
    assert moved.columns[0] - ratio.columns[0] == pytest.approx(change, rel=1e-9)
    same = SetMean.over(x) - SetMean.over(x)
    assert same.points.variance == 0 and (same.columns == 0).all()


def test_draws_that_are_shared_are_added_before_they_are_compared() -> None:
    u = np.array([[1.0] * 33, [2.0] * 33])
    own = SetMean.over([SetMean(u.mean(0), {"a": u}), SetMean(u.mean(0), {"b": u})])
    shared = SetMean.over([SetMean(u.mean(0), {"": u}), SetMean(u.mean(0), {"": u})])
    assert own.points.variance == pytest.approx(0.125) and shared.points.variance == pytest.approx(0.25)
    assert own.points.degrees == 2 and shared.points.degrees == 1


def test_differences_are_paired_where_points_are_the_same() -> None:
    a, b = (
        PointsPart({"block.0": (1.0, 2.0, 4.0)}),
        PointsPart({"block.0": (0.5, 1.5, 3.5), "block.1": (0.0, 0.1, 0.2)}),
    )
    paired = a.minus(b, same_points=True)
    assert paired.by_draw["block.0"] == (0.5, 0.5, 0.5) and len(paired.by_draw) == 2
    assert paired.variance == pytest.approx(np.var([0.0, 0.1, 0.2], ddof=1) / 3)
    apart = a.minus(b, same_points=False)
    assert apart.variance == pytest.approx((a.variance or 0) + (b.variance or 0)) and len(apart.by_draw) == 3
    fewer = a.minus(PointsPart({"block.0": (0.5, 1.5)}), same_points=True)
    assert len(fewer.by_draw) == 2  # of other numbers of sets: their errors add up


def test_what_is_not_known_is_not_said() -> None:
    single = points_part({"block.0": np.ones((1, 33))})
    assert not single.known and single.variance is None and single.degrees is None
    replicates = np.random.default_rng(0).standard_normal(32)
    errors = errors_of(replicates, single)
    assert errors.points is None and errors.total == errors.text and errors.degrees == 31
    none = errors_of([], points_part({"block.0": np.array([[1.0], [2.0]])}))
    assert none.text is None and none.total is None and none.points == pytest.approx(0.5)
    assert none.interval(1.0) is None
    assert combined(0.3, 31, None) == Errors(0.3, None, 0.3, 31.0)
    assert not PointsPart().known


@pytest.mark.parametrize("d0", [3.0, 12.0, math.inf])
@pytest.mark.parametrize("f", [1, 4])
def test_what_variances_have_in_common_is_found(d0: float, f: int) -> None:
    """True variances are drawn from a scaled inverse chi-square of d0 degrees, estimates from a chi-square of f."""
    r = np.random.default_rng([int(min(d0, 99)), f])
    true = 0.04 * (np.ones(200_000) if math.isinf(d0) else d0 / r.chisquare(d0, 200_000))
    s0, found = moderated(true * r.chisquare(f, len(true)) / f, f)
    assert s0 == pytest.approx(0.04, rel=0.06)
    assert found > 100 if math.isinf(d0) else found == pytest.approx(d0, rel=0.25)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_intervals_of_single_layers_hold_by_borrowing(spread: float) -> None:
    """32 layers with two sets each, whose points count unlike; alone each would have one degree of freedom."""
    r = np.random.default_rng(3)
    held, width, alone = 0, [], []
    for _ in range(100):
        sd = 0.1 * np.exp(spread * r.standard_normal(32))
        parts = [PointsPart({f"block.{i}": tuple(r.normal(0, sd[i], 2).tolist())}) for i in range(32)]
        for part, (variance, degrees) in zip(parts, borrowing(parts), strict=True):
            mean = float(np.mean([*part.by_draw.values()]))
            low, high = Errors(0.0, None, math.sqrt(variance), degrees).interval(mean) or (0, 0)
            held += low <= 0 <= high
            width.append(high - low)
            low, high = Errors(0.0, None, math.sqrt(part.variance or 0), part.degrees).interval(mean) or (0, 0)
            alone.append(high - low)
    assert 0.93 <= held / 3200 <= 0.97
    assert np.mean(width) < 0.4 * np.mean(alone)


def test_who_does_not_borrow() -> None:
    two = [PointsPart({f"block.{i}": (0.1, 0.2 + i)}) for i in range(2)]
    assert borrowing(two) == [(p.variance, 1.0) for p in two]  # too few
    mixed = [PointsPart({"a": (0.1, 0.2)}), PointsPart({"b": (0.1, 0.2, 0.3)}), PointsPart({"c": (0.1, 0.4)})]
    assert borrowing(mixed) == [(p.variance, 1.0) for p in mixed]  # of other numbers of sets
    constant = [PointsPart({f"block.{i}": (0.1, 0.1)}) for i in range(5)]
    assert all(variance == 0 for variance, _ in borrowing(constant))


@pytest.mark.parametrize("noise", [1e-17, 3e-16])
def test_a_layer_that_varies_by_rounding_alone_lends_nothing(noise: float) -> None:
    """Its figure is 0 by construction; how large its rounding is must not move the errors of other layers."""
    draw = np.random.default_rng(3)
    parts = [PointsPart({f"layer {i}": tuple(0.01 * draw.standard_normal(2))}) for i in range(5)]
    still = PointsPart({"embed": (noise, -noise)})
    *others, own = borrowing([*parts, still])
    assert others == borrowing(parts) and own == (still.variance, 1.0)


def test_moderation_is_that_of_its_equations() -> None:
    from scipy import optimize, special

    variances, f = np.array([0.9, 0.02, 0.4, 0.11, 1.7, 0.3]), 2
    e = [math.log(v) - special.psi(1) + math.log(1) for v in variances]
    wanted = sum((x - sum(e) / 6) ** 2 for x in e) / 5 - special.zeta(2, 1)  # trigamma(x) is zeta(2, x)
    d0 = optimize.bisect(lambda d: special.zeta(2, d / 2) - wanted, 1e-3, 1e6, xtol=1e-14)
    s0 = math.exp(sum(e) / 6 + special.psi(d0 / 2) - math.log(d0 / 2))
    assert moderated(variances, f) == pytest.approx((s0, d0), rel=1e-9)
