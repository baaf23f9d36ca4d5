"""Correlations, partial correlations, ridge, intervals and power against truths known by other means."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.regression.linear_model import OLS
from synthetic import models, regression

from infoplane.analysis.forecasting.case_table import Cases, Sample
from infoplane.analysis.forecasting.correlations import correlations, false_discovery
from infoplane.analysis.forecasting.family_ridge import ALPHAS, families_for, fit_ridge
from infoplane.analysis.forecasting.partial_correlations import FAMILY, baseline_sets, partials
from infoplane.analysis.forecasting.power import design_effect, detectable, models_needed
from infoplane.analysis.forecasting.printed_correlations import (
    N_PUBLISHED,
    PUBLISHED,
    consistency,
    fisher_interval,
    published_p,
)
from infoplane.errors import ResultError, SettingError
from infoplane.uncertainty.family_resampling import correlation_of, covariances, icc, infer, midranks


def cases(x: Any, y: Any, family: Any, **more: Any) -> Cases:
    return Cases(
        tuple(f"m{i}" for i in range(len(y))), tuple(f"f{f}" for f in family),
        pl.DataFrame({"x": x, **more}), pl.DataFrame({"y": y}),
    )  # fmt: skip


# ---------------------------------------------------------------------- published figures


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_p_is_the_integral_of_students_density(name: str) -> None:
    r, d = PUBLISHED[name][0], N_PUBLISHED - 2
    t = abs(r) * mpmath.sqrt(d / (1 - mpmath.mpf(r) ** 2))
    half = mpmath.betainc(mpmath.mpf(d) / 2, mpmath.mpf(1) / 2, 0, d / (d + t**2), regularized=True)
    assert published_p(r, N_PUBLISHED) == pytest.approx(float(half), rel=1e-12)


def test_one_published_pair_cannot_be_true_together_with_47_models() -> None:
    said = {name: consistency(r, N_PUBLISHED, p) for name, (r, p) in PUBLISHED.items() if p is not None}
    assert [name for name, c in said.items() if not c.consistent] == ["complexity"]
    least, most = said["complexity"].n_that_fit or (0, 0)
    assert least > N_PUBLISHED and published_p(0.385, least) <= 0.0065 < published_p(0.385, least - 1)
    assert published_p(0.375, most) >= 0.0055 > published_p(0.375, most + 1)


@pytest.mark.parametrize("n", [5, 20, 47, 200])
def test_a_p_that_was_computed_is_consistent_however_it_is_rounded(n: int) -> None:
    random = np.random.default_rng(n)
    for _ in range(200):
        r, p = stats.pearsonr(*random.standard_normal((2, n)))
        for digits in (2, 3):
            assert consistency(round(r, 2), n, f"{p:.{digits}f}").consistent
        assert consistency(round(r, 2), n, "<0.05" if p < 0.05 else f"{p:.2f}").consistent
        wrong = 1 - p if abs(p - 0.5) > 0.2 else p / 3  # another tail of the same t, or one test of three
        assert not consistency(round(r, 3), n, f"{wrong:.3f}", digits=3).consistent or abs(wrong - p) < 0.02


def test_fishers_interval_is_scipys_and_covers() -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 30))
    found = stats.pearsonr(x, x + y)
    assert fisher_interval(found.statistic, 30) == pytest.approx(tuple(found.confidence_interval(0.95)), rel=1e-9)
    rho, n, draws = 0.6, 20, 20_000
    z = random.standard_normal((2, draws, n))
    a, b = z[0], rho * z[0] + math.sqrt(1 - rho**2) * z[1]
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    r = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    ends = np.array([fisher_interval(v, n) for v in r])
    assert np.mean((ends[:, 0] <= rho) & (rho <= ends[:, 1])) == pytest.approx(0.95, abs=0.007)


def test_impossible_published_figures_are_refused() -> None:
    for wrong, match in (((1.2, 47, "0.01"), "between -1 and 1"), ((0.5, 3, "0.1"), "4 cases or more")):
        with pytest.raises(SettingError, match=match):
            consistency(*wrong)
    for p in ("n.s.", "1.5", "", "nan"):
        with pytest.raises(SettingError, match="expected a printed p"):
            consistency(0.5, 47, p)
    with pytest.raises(SettingError, match="level"):
        fisher_interval(0.5, 47, 95)


# ---------------------------------------------------------------------- resampling


def test_weights_count_models_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    z, family = random.standard_normal((12, 4)), np.repeat(np.arange(4), 3)
    times = np.repeat([2, 0, 3, 1], 3)
    again = np.repeat(np.arange(12), times)
    drawn = z[again] - z[again].mean(axis=0)
    weights = times[None].astype(float)
    assert covariances(z, weights)[0] == pytest.approx(drawn.T @ drawn)
    inside = z[again] - np.stack([z[again][family[again] == f].mean(axis=0) for f in family[again]])
    assert covariances(z, weights, family)[0] == pytest.approx(inside.T @ inside)
    x = np.round(z[:, 0])  # ties
    assert midranks(x, weights)[0][again] == pytest.approx(stats.rankdata(x[again]))


def test_the_jackknife_and_bootstrap_of_a_mean_are_those_of_the_book() -> None:
    random = np.random.default_rng(2)
    y, family = random.standard_normal(40) + 3, np.arange(40)
    found = infer(lambda w: (w @ y) / w.sum(axis=1), family, seed=0, draws=20_000, correlation=False)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 39, y.mean(), stats.sem(y)))
    assert found.p == pytest.approx(stats.ttest_1samp(y, 0).pvalue)
    book = stats.bootstrap((y,), np.mean, n_resamples=20_000, method="percentile", rng=random).confidence_interval
    assert found.bootstrap == pytest.approx(tuple(book), abs=0.02)


def test_the_bootstrap_draws_families_whole_and_repeats_by_its_seed() -> None:
    family = np.repeat(np.arange(6), 5)
    y = family.astype(float)  # constant inside families: models drawn alone would hardly move the mean
    whole = infer(lambda w: (w @ y) / w.sum(axis=1), family, seed=3, correlation=False)
    same = infer(lambda w: (w @ y) / w.sum(axis=1), family, seed=3, correlation=False)
    assert whole == same
    assert whole.bootstrap is not None and whole.unit == "families"
    spread = whole.bootstrap[1] - whole.bootstrap[0]
    assert spread == pytest.approx(2 * 1.96 * np.std(range(6)) / math.sqrt(6), rel=0.1)
    x = np.random.default_rng(0).standard_normal(30)
    drawn = [infer(lambda w: (w @ x) / w.sum(axis=1), family, seed=s, correlation=False).bootstrap for s in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    four = np.repeat(np.arange(4), 5)
    inside = infer(lambda w: (w @ four) / w.sum(axis=1), four, seed=3, correlation=False)
    assert inside.unit == "models" and inside.bootstrap == pytest.approx((1.5, 1.5))  # each family keeps its models


# ---------------------------------------------------------------------- correlations


def test_correlations_are_scipys() -> None:
    table = models("size alone", 9, 0)
    x, y = table.features["s0"].to_numpy(), np.round(table.scores["score"].to_numpy())  # ties
    p, s = correlations(cases(x, y, table.families), ["x"], ["y"], draws=100)
    for row, known in ((p, stats.pearsonr(x, y)), (s, stats.spearmanr(x, y))):
        assert (row.value, row.p) == pytest.approx((known.statistic, known.pvalue))
        assert row.n == len(y) and row.families == 9 and row.unit == "families" and row.warning is None


def covered(families: int, kind: str, draws: int) -> tuple[float, float]:
    """How often the interval over families, and Fisher's, hold a correlation of 0 between clustered columns."""
    inside = np.zeros(2)
    for seed in range(draws):
        table = models(kind, families, seed)
        s = table.sample(["s0"], "score")
        z = np.column_stack([s.x[:, 0], s.y])
        found = infer(lambda w, z=z: correlation_of(covariances(z, w)), s.family, seed=0, draws=0)
        assert found.interval is not None
        for i, (low, high) in enumerate((found.interval, fisher_interval(found.value, len(s.y)))):
            inside[i] += low <= 0 <= high
    return float(inside[0] / draws), float(inside[1] / draws)


def test_intervals_over_families_cover_where_those_over_models_do_not() -> None:
    over_families, over_models = covered(12, "nothing", 300)
    assert 0.91 <= over_families <= 0.98
    assert over_models < 0.88


def test_false_discoveries_are_held_down_where_nothing_is_there() -> None:
    any_q = any_p = 0
    draws = 150
    for seed in range(draws):
        table = models("nothing", 12, seed, features=6)
        rows = [
            r for r in correlations(table, [f"s{i}" for i in range(6)], ["score"], draws=1) if r.method == "pearson"
        ]
        any_q += any(r.q is not None and r.q <= 0.05 for r in rows)
        any_p += any(r.p is not None and r.p <= 0.05 for r in rows)
    assert any_q / draws < 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / draws)
    assert any_p / draws > 0.3  # models taken for independent, no correction: the test can fail


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = [0.01, None, 0.04, 0.03, 0.5]
    known = stats.false_discovery_control([v for v in p if v is not None])
    assert [v for v in false_discovery(p) if v is not None] == pytest.approx(list(known))
    assert false_discovery(p)[1] is None and false_discovery([None]) == [None]


def test_few_families_are_said_and_a_constant_pair_has_no_correlation() -> None:
    random = np.random.default_rng(5)
    x, y = random.standard_normal((2, 20))
    row = correlations(cases(x, y, np.repeat([0, 1], 10)), ["x"], ["y"], draws=50)[0]
    assert row.unit == "models" and "2 families, and 5 are needed" in (row.warning or "")
    gaps = pl.Series([1.0] * 12 + [2.0] * 8)
    half = Cases(
        tuple(map(str, range(20))), tuple("abcde" * 4), pl.DataFrame({"x": gaps}),
        pl.DataFrame({"y": [*y[:12], *[None] * 8]}),
    )  # fmt: skip
    row = correlations(half, ["x"], ["y"])[0]
    assert row.value is None and row.n == 12 and "constant" in (row.warning or "")


# ---------------------------------------------------------------------- partial correlations


def test_a_partial_correlation_is_the_closed_form_of_the_covariance() -> None:
    random = np.random.default_rng(6)
    r = np.array([[1, 0.6, 0.5], [0.6, 1, 0.7], [0.5, 0.7, 1]])
    z = random.standard_normal((60, 3))
    z = z - z.mean(axis=0)
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / 60), z.T).T @ np.linalg.cholesky(r).T  # exactly r
    table = cases(z[:, 0], z[:, 1], np.arange(60) % 10, b=z[:, 2])
    row = partials(table, ["x"], ["y"], ["b"], draws=50)[0]
    closed = (0.6 - 0.5 * 0.7) / math.sqrt((1 - 0.25) * (1 - 0.49))
    assert row.value == pytest.approx(closed) and row.baselines == ("b",)
    assert row.r2 == pytest.approx(0.49) and row.explained == pytest.approx(0.25)
    full = (0.36 + 0.49 - 2 * 0.6 * 0.7 * 0.5) / (1 - 0.25)
    assert row.gain == pytest.approx((1 - (1 - full) * 59 / 57) - (1 - 0.51 * 59 / 58))


def test_within_families_is_regression_with_a_mean_for_each() -> None:
    table = models("structure too", 8, 1)
    s = table.sample(["s0", "size"], "score")
    row = {r.baselines: r for r in partials(table, ["s0"], ["score"], ["size"], draws=50)}[("size", FAMILY)]
    dummies = np.eye(8)[s.family]
    fit = OLS(s.y, np.column_stack([dummies, s.x])).fit()
    t = fit.tvalues[8]
    assert row.value == pytest.approx(t / math.sqrt(t * t + fit.df_resid))
    assert row.p == pytest.approx(fit.pvalues[8])
    assert row.held_out_gain is None and row.n == len(s.y)


def test_the_gain_on_families_left_out_is_that_of_refitting() -> None:
    table = models("structure too", 7, 2)
    s = table.sample(["s0", "size"], "score")
    row = partials(table, ["s0"], ["score"], ["size"], draws=50)[0]
    total = left = full = 0.0
    for f in range(7):
        train, test = s.family != f, s.family == f
        ones = np.ones((len(s.y), 1))
        for design, full_model in ((np.hstack([ones, s.x[:, 1:]]), False), (np.hstack([ones, s.x]), True)):
            error = np.sum((s.y[test] - OLS(s.y[train], design[train]).fit().predict(design[test])) ** 2)
            full, left = (full + error, left) if full_model else (full, left + error)
        total += np.sum((s.y[test] - s.y[train].mean()) ** 2)
    assert row.held_out_r2 == pytest.approx(1 - left / total)
    assert row.held_out_gain == pytest.approx((left - full) / total)


def test_size_alone_leaves_nothing_and_a_true_effect_stays() -> None:
    inside, found = 0, 0
    for seed in range(60):
        none = partials(models("size alone", 12, seed), ["s0"], ["score"], ["size"], draws=1)[0]
        some = partials(models("structure too", 12, seed), ["s0"], ["score"], ["size"], draws=1)[0]
        assert none.interval is not None and some.interval is not None
        inside += none.interval[0] <= 0 <= none.interval[1]
        found += some.interval[0] > 0
    assert inside >= 52  # 57 expected
    assert found >= 57


def test_baselines_that_determine_a_feature_are_said() -> None:
    random = np.random.default_rng(7)
    b, y = random.standard_normal((2, 40))
    family = np.arange(40) % 8
    same = partials(cases(2 * b + 1, y, family, b=b), ["x"], ["y"], ["b"], draws=20)[0]
    assert same.value is None and "determine" in (same.warning or "")
    near = partials(cases(b + 0.01 * random.standard_normal(40), y, family, b=b), ["x"], ["y"], ["b"], draws=20)[0]
    assert near.value is not None and "little of its own is left" in (near.warning or "")
    assert baseline_sets(["a", "b"], 3) == (("a",), ("a", "b"), (FAMILY,), ("a", "b", FAMILY))
    assert baseline_sets(["a"], 1) == (("a",),) and baseline_sets([], 3) == ((FAMILY,),)


# ---------------------------------------------------------------------- ridge and its intervals


def test_nested_ridge_is_scikit_learns_refitted_family_by_family() -> None:
    sample, _ = regression(6, 0, 1.0, True, False)
    fit = fit_ridge(sample)

    def errors(x: Any, y: Any, family: Any, alpha: float) -> float:
        total = 0.0
        for f in np.unique(family):
            model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x[family != f], y[family != f])
            total += float(np.sum((y[family == f] - model.predict(x[family == f])) ** 2))
        return total

    for f in range(6):
        train = sample.family != f
        x, y, family = sample.x[train], sample.y[train], sample.family[train]
        alpha = min(ALPHAS, key=lambda a: errors(x, y, family, a))
        model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x, y)
        assert fit.held_alpha[f] == alpha
        assert fit.held_out[~train] == pytest.approx(model.predict(sample.x[~train]))
    alpha = min(ALPHAS, key=lambda a: errors(sample.x, sample.y, sample.family, a))
    model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(sample.x, sample.y)
    assert fit.alpha == alpha and fit.predict(sample.x) == pytest.approx(model.predict(sample.x))


def test_with_one_model_a_family_the_strict_interval_is_the_jackknife_plus() -> None:
    random = np.random.default_rng(8)
    n = 19
    sample = Sample(np.arange(n), random.standard_normal((n, 2)), random.standard_normal(n), np.arange(n))
    fit, x = fit_ridge(sample), random.standard_normal((5, 2))
    near = fit.held_intercept[:, None] + fit.held_coefficients @ x.T
    spread = np.abs(fit.residuals)[:, None]
    k = math.ceil(0.9 * (n + 1)) - 1  # Barber et al.: the ceil((1 - alpha)(n + 1))-th smallest, and its mirror
    known = np.column_stack([np.sort(near - spread, axis=0)[n - 1 - k], np.sort(near + spread, axis=0)[k]])
    assert fit.interval(x, 0.9, strict=True) == pytest.approx(known)
    assert fit.interval(x, 0.9) == pytest.approx(known)  # 0.9 * 20 is whole: nothing to interpolate


@pytest.mark.parametrize("families, effect, heavy", [(12, 1.0, True), (24, 1.0, False)])
def test_nominal_90_percent_intervals_cover_families_left_out(families: int, effect: float, heavy: bool) -> None:
    inside, strict, draws = 0.0, 0.0, 400
    for seed in range(draws):
        sample, other = regression(families, seed, effect, heavy, even=False)
        fit = fit_ridge(sample)
        for narrow in (False, True):
            ends = fit.interval(other.x, 0.9, strict=not narrow)
            held = float(np.mean((ends[:, 0] <= other.y) & (other.y <= ends[:, 1])))
            inside, strict = (inside + held, strict) if narrow else (inside, strict + held)
    assert 0.87 <= inside / draws <= 0.93
    assert strict / draws > inside / draws  # what the guarantee costs


def test_levels_that_the_families_cannot_support_are_refused() -> None:
    assert [families_for(level) for level in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
    sample, other = regression(8, 0, 0.0, False, True)
    fit = fit_ridge(sample)
    with pytest.raises(ResultError, match=r"8 families cannot support 90% intervals, which need 9.* is 88 %"):
        fit.interval(other.x, 0.9)
    assert np.isfinite(fit.interval(other.x, 0.88)).all() and np.isfinite(fit.interval(other.x, 0.8, strict=True)).all()
    with pytest.raises(ResultError, match="2 families: a forecast is validated on families left out, and needs 3"):
        fit_ridge(Sample(np.arange(10), np.ones((10, 1)), np.arange(10.0), np.arange(10) % 2))


# ---------------------------------------------------------------------- power


def test_the_models_needed_find_the_correlation_as_often_as_was_asked() -> None:
    assert models_needed(0.3) == 85  # Cohen (1988) and every table since
    random = np.random.default_rng(9)
    for r, power in ((0.4, 0.8), (0.6, 0.9)):
        n = models_needed(r, power)
        x, e = random.standard_normal((2, 8_000, n))
        y = r * x + math.sqrt(1 - r * r) * e
        found = stats.pearsonr(x, y, axis=1).pvalue <= 0.05
        assert found.mean() == pytest.approx(power, abs=0.03)
    least = detectable(47)
    assert least is not None and models_needed(least) == 47 and detectable(3) is None
    assert models_needed(0.3, tests=6) > models_needed(0.3)
    assert models_needed(0.3, design=2.0) == pytest.approx(2 * 85 - 3, abs=1)
    for wrong in ({"r": 0.0}, {"r": 1.0}, {"r": 0.3, "power": 80}, {"r": 0.3, "tests": 0}, {"r": 0.3, "design": 0.5}):
        with pytest.raises(SettingError, match="expected"):
            models_needed(**wrong)


def test_the_design_effect_is_the_variance_that_families_add() -> None:
    random = np.random.default_rng(10)
    family, draws = np.repeat(np.arange(15), 4), 3_000
    shared, own = random.standard_normal((2, 2, draws, 15))[0], random.standard_normal((2, draws, 60))
    x, y = (math.sqrt(0.7) * shared[i][:, family] + math.sqrt(0.3) * own[i] for i in range(2))
    r = stats.pearsonr(x, y, axis=1).statistic
    seen = float(np.var(r) * 59)  # of independent models the variance is 1 / (n - 1)
    told = float(np.mean([design_effect(a, b, family) for a, b in zip(x[:400], y[:400], strict=True)]))
    assert told == pytest.approx(seen, rel=0.12) and seen > 2
    assert np.mean([icc(a, family) for a in x[:400]]) == pytest.approx(0.7, abs=0.03)
    assert icc(own[0, 0], np.arange(60)) == 0 and design_effect(x[0], y[0], np.arange(60)) == 1
