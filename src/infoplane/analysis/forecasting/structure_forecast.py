"""What structure forecasts: the features and scores of a table of models, judged one score after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infoplane.analysis.forecasting.case_table import Cases
from infoplane.analysis.forecasting.correlations import Correlation, correlations
from infoplane.analysis.forecasting.family_ridge import families_for
from infoplane.analysis.forecasting.forecasts import Forecast
from infoplane.analysis.forecasting.partial_correlations import partials
from infoplane.analysis.forecasting.power import Power, design_effect, detectable, models_needed
from infoplane.analysis.forecasting.validation import HeldOut, Prediction, Validation, predict, validate
from infoplane.analysis.forecasting.verdicts import of_feature, of_validation
from infoplane.errors import ResultError, SettingError, check_whole
from infoplane.storage import atomic_files as files
from infoplane.storage import versions
from infoplane.uncertainty import DRAWS, MIN_FAMILIES, Floats

_PACKAGES = ("infoplane", "numpy", "scipy", "statsmodels")


def forecast(
    cases: Cases,
    *,
    baselines: Sequence[str] = (),
    structure: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
    new: Cases | None = None,
    level: float = 0.9,
    strict: bool = False,
    power: float = 0.8,
    alpha: float = 0.05,
    seed: int = 0,
    draws: int = DRAWS,
) -> Forecast:
    """Find what features of models tell about their scores beyond the baselines, and predict scores of new models.

    Args:
        cases: the reference models.
        baselines: features that are known anyway, the simplest first: size, training tokens or FLOPs, bits per byte.
        structure: the features to judge; by default all that are not baselines.
        scores: the scores to forecast; by default all.
        new: models to predict; their scores, if they have any, are not used.
        level: level of the prediction intervals; 90 % needs 9 families.
        strict: whether prediction intervals come with a guarantee (`infoplane.analysis.forecasting.family_ridge`); they
            are wider then.
        power, alpha: power and significance level that the needed numbers of models are computed for.
        seed, draws: seed and number of draws of the bootstrap.

    Raises:
        SettingError: a column that does not exist, a feature that is both baseline and structure, no feature to judge
            or no score to forecast, a number out of range, or statsmodels is not installed.
        ResultError: no feature or no score that varies, too few models for any correlation, or no score of the new
            models that can be forecast.
    """
    _check_numbers(level, power, alpha, seed, draws)
    cases, base, features, targets = _columns(cases, scores, structure, baselines)
    plain = correlations(cases, features, targets, seed=seed, draws=draws)
    if base:  # apart, so that the plain truth that size matters does not lower the q of structure
        plain += correlations(cases, base, targets, seed=seed, draws=draws)
    partial = partials(cases, features, targets, base, seed=seed, draws=draws)
    judged = _Judged(cases, base, features, level, strict, new)
    notes = list[str]()
    for score in targets:
        for row in plain:
            if row.method == "pearson" and row.score == score and row.feature in features:
                notes.append(of_feature(row, [p for p in partial if (p.feature, p.score) == (row.feature, score)]))
        notes += judged.add(score)
    judged.refuse_none(targets)
    warnings = [*cases.warnings]
    if cases.family_count == 1:
        warnings.append("all models are of one family: nothing here speaks of other families")
    warnings += judged.warnings
    return Forecast(
        plain,
        partial,
        tuple(judged.validations),
        tuple(judged.held),
        tuple(judged.predictions),
        _power(cases, plain, base, power, alpha, len(features) * len(targets), features),
        tuple(s for s in notes if s),
        {
            "models": list(cases.models),
            "families": list(cases.families),
            "reference": _reference(cases, (*base, *features)),
            "settings": {
                "baselines": list(base),
                "structure": list(features),
                "scores": list(targets),
                "level": level,
                "strict": strict,
                "power": power,
                "alpha": alpha,
                "seed": seed,
                "draws": draws,
            },
            "table_hash": _hash(cases),
            "refused": judged.refused,
            "warnings": warnings,
            "versions": versions(*_PACKAGES),
        },
    )


def _check_numbers(level: float, power: float, alpha: float, seed: int, draws: int) -> None:
    for name, share in (("level", level), ("power", power), ("alpha", alpha)):
        if not 0 < share < 1:
            raise SettingError(f"{name} = {share}: expected a share between 0 and 1, such as 0.9")
    check_whole("seed", seed, 0)
    if draws < 1:
        raise SettingError(f"draws = {draws}: expected 1 or more, such as {DRAWS}")


_Names = tuple[str, ...]


def _columns(
    cases: Cases, scores: Sequence[str] | None, structure: Sequence[str] | None, baselines: Sequence[str]
) -> tuple[Cases, _Names, _Names, _Names]:
    """The cases without what is constant, and the baselines, features and scores that are left of those asked for."""
    named, targets = tuple(dict.fromkeys(baselines)), tuple(scores if scores is not None else cases.scores.columns)
    wanted = tuple(structure) if structure is not None else tuple(c for c in cases.features.columns if c not in named)
    if both := sorted(set(wanted) & set(named)):
        raise SettingError(f"{both[0]!r} is asked as structure and as a baseline: it can be only one")
    cases.matrix((*named, *wanted), cases.features)  # names what is not there, before what is constant is left out
    cases.matrix(targets, cases.scores)
    cases = cases.varying()
    base, features = (tuple(n for n in names if n in cases.features.columns) for names in (named, wanted))
    targets = tuple(score for score in targets if score in cases.scores.columns)
    if not features:
        raise SettingError("no structure to judge: name features that are no baseline and are not constant")
    if not targets:
        raise SettingError("no score to forecast: name one that is not constant")
    return cases, base, features, targets


class _Judged:
    """Validations of scores, one after the other, with the models held out and the new ones forecast."""

    def __init__(
        self, cases: Cases, base: _Names, features: _Names, level: float, strict: bool, new: Cases | None
    ) -> None:
        self.cases, self.base, self.features, self.level, self.strict, self.new = (
            cases,
            base,
            features,
            level,
            strict,
            new,
        )
        self.validations, self.held, self.predictions = list[Validation](), list[HeldOut](), list[Prediction]()
        self.refused, self.warnings = dict[str, str](), list[str]()

    def add(self, score: str) -> list[str]:
        """Judge a score; what is said of it."""
        try:
            rows, models = validate(self.cases, score, self.base, self.features, self.level, self.strict)
        except ResultError as error:
            self.refused[score] = str(error)
            self.warnings.append(f"{score} is not forecast: {error}")
            return []
        self.validations += rows
        self.held += models
        if rows[0].families < families_for(self.level):
            self.warnings.append(
                f"{score}: no {self.level:.0%} intervals, which need {families_for(self.level)} families; "
                f"{rows[0].families} are there"
            )
        if self.new is not None:
            self.predictions += predict(self.cases, self.new, score, self.base, self.features, self.level, self.strict)
        return [of_validation(rows)]

    def refuse_none(self, targets: _Names) -> None:
        """Refuse new models of which no score at all can be forecast."""
        if self.new is not None and len(self.refused) == len(targets):
            score, why = next(iter(self.refused.items()))
            raise ResultError(f"new models cannot be forecast: {score}: {why}")


def _power(
    cases: Cases,
    plain: Sequence[Correlation],
    base: Sequence[str],
    power: float,
    alpha: float,
    tests: int,
    features: Sequence[str],
) -> tuple[Power, ...]:
    """Plans from each Pearson correlation of structure, and from the same given all baselines."""
    rows = []
    for row in plain:
        if row.method != "pearson" or row.value is None or row.feature not in features:
            continue
        for given in dict.fromkeys(((), tuple(base))):
            try:
                sample = cases.sample([row.feature, *given], row.score)
            except ResultError:
                continue
            design = np.column_stack([np.ones(len(sample.y)), sample.x[:, 1:]])
            x, y = (v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (sample.x[:, 0], sample.y))
            spread = float(np.sqrt((x @ x) * (y @ y)))
            if spread <= 1e-9 * float(np.sqrt(np.sum(sample.x[:, 0] ** 2) * np.sum(sample.y**2))):
                continue  # the baselines determine one of the two
            r, effect, k = float(x @ y) / spread, design_effect(x, y, sample.family), len(given)
            is_proper = 1e-6 < abs(r) < 1
            models = models_needed(r, power, alpha, tests, effect) + k if is_proper else None
            each = len(sample.y) / sample.families
            rows.append(
                Power(
                    row.feature,
                    row.score,
                    given,
                    r,
                    power,
                    alpha,
                    tests,
                    len(sample.y),
                    sample.families,
                    effect,
                    models,
                    None if models is None else max(MIN_FAMILIES, int(np.ceil(models / each))),
                    detectable(len(sample.y) - k, power, alpha, tests, effect),
                )
            )
    return tuple(rows)


def _reference(cases: Cases, columns: Sequence[str]) -> dict[str, list[float]]:
    values: dict[str, Floats] = {c: cases.features[c].drop_nulls().to_numpy() for c in columns}
    return {c: [float(v.min()), float(v.max())] for c, v in values.items()}


def _hash(cases: Cases) -> str:
    frames = (cases.features, cases.scores, cases.feature_errors, cases.score_errors)
    tables = [None if f is None else f.to_dict(as_series=False) for f in frames]
    return files.hash_of([list(cases.models), list(cases.families), tables])
