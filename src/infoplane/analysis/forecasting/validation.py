r"""Forecasts against what is known anyway: validation on families left out, and predictions for new models.

Each score is predicted by ridge regression (`infoplane.analysis.forecasting.family_ridge`) on several sets of features,
on the same models: the mean alone, each baseline, the first two baselines, ..., all baselines, structure, and both.
Every prediction is made without the model's family. Errors are RMSE, MAE and R^2 = 1 - sum e^2 / sum e_mean^2, with
e_mean those of the mean of the other families. RMSE is compared with that of all baselines, families left out of the
comparison in turn for its interval; the fits are not repeated, so it tells how well these families know the difference,
not how well others would.

A new model is predicted only inside the reference set: every feature between its least and greatest value there, and
its leverage h = 1/n + (x - mean)' S^-1 (x - mean), S the sums of squares and products, no larger than the largest of
a reference model (with two features that go together, a model can be odd in neither and odd in both). Nearest models
are those of least distance in features divided by their standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.analysis.forecasting.case_table import Cases, Sample
from infoplane.analysis.forecasting.family_ridge import FamilyRidge, families_for, fit_ridge
from infoplane.uncertainty import Floats, infer

MEAN, STRUCTURE, BASELINES, BOTH = "mean", "structure", "baselines", "baselines + structure"
NEAREST = 3


@dataclass(frozen=True)
class Validation:
    """How well one set of features predicts one score on families left out.

    Attributes:
        score, predictor, features: the set has a name.
        n, families: models and families, the same for all predictors of a score.
        rmse, mae: in units of the score.
        r2: held out; below 0 is worse than the mean.
        difference: RMSE less that of `baselines`; None for themselves.
        interval: of the difference, 95 %, jackknife over families; None with too few.
        level, coverage: of the intervals at that level, the share that held the score of a family left out (families
            count alike); None where there are too few families for it.
    """

    score: str
    predictor: str
    features: tuple[str, ...]
    n: int
    families: int
    rmse: float
    mae: float
    r2: float
    difference: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    coverage: float | None = None


@dataclass(frozen=True)
class HeldOut:
    """One model predicted without its family; the interval is made from the other families alone."""

    model: str
    family: str
    score: str
    predictor: str
    actual: float
    predicted: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Prediction:
    """A score of a new model.

    Attributes:
        model, score, predictor: for what, and from which features.
        value, interval, level: None where it is refused; no interval where the families are too few for the level.
        nearest: names of the nearest reference models, with distances in standard deviations.
        refused: why there is no prediction.
    """

    model: str
    score: str
    predictor: str
    value: float | None
    interval: tuple[float, float] | None
    level: float
    nearest: tuple[tuple[str, float], ...]
    refused: str | None


def predictors(baselines: Sequence[str], structure: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The sets of features that are compared, by name."""
    sets: dict[str, tuple[str, ...]] = {MEAN: ()}
    sets |= {name: (name,) for name in baselines if len(baselines) > 1}
    sets |= {" + ".join(baselines[:i]): tuple(baselines[:i]) for i in range(2, len(baselines))}
    if baselines:
        sets[BASELINES] = tuple(baselines)
    if structure:
        sets[STRUCTURE] = tuple(structure)
    if baselines and structure:
        sets[BOTH] = (*baselines, *structure)
    return sets


def validate(
    cases: Cases,
    score: str,
    baselines: Sequence[str],
    structure: Sequence[str],
    level: float = 0.9,
    strict: bool = False,
) -> tuple[tuple[Validation, ...], tuple[HeldOut, ...]]:
    """All sets of features on one score, and the models predicted by `baselines` and by the largest set.

    `level` and `strict` are those of `FamilyRidge.interval`.

    Raises:
        ResultError: too few models or families.
    """
    everything = (*baselines, *structure)
    sample = cases.sample(everything, score)
    sets = predictors(baselines, structure)
    fits = {name: fit_ridge(_columns(sample, everything, columns)) for name, columns in sets.items()}
    from_mean = float(np.sum(fits[MEAN].residuals ** 2))
    reference = BASELINES if BASELINES in fits else MEAN
    rows, held = [], list[HeldOut]()
    for name, columns in sets.items():
        residuals = fits[name].residuals
        difference, interval = None, None
        if name != reference:
            difference, interval = _difference(residuals, fits[reference].residuals, sample)
        coverage = None
        if name in (BASELINES, list(sets)[-1]):
            inside, drawn = _held_out(
                cases, _columns(sample, everything, columns), fits[name], score, name, level, strict
            )
            held += drawn
            if inside is not None:
                size = np.bincount(sample.family)[sample.family]
                coverage = float(np.sum(inside / size) / sample.families)
        rows.append(
            Validation(
                score,
                name,
                columns,
                len(sample.y),
                sample.families,
                float(np.sqrt(np.mean(residuals**2))),
                float(np.mean(np.abs(residuals))),
                1 - float(np.sum(residuals**2)) / from_mean,
                difference,
                interval,
                None if coverage is None else level,
                coverage,
            )
        )
    return tuple(rows), tuple(held)


def predict(
    cases: Cases,
    new: Cases,
    score: str,
    baselines: Sequence[str],
    structure: Sequence[str],
    level: float = 0.9,
    strict: bool = False,
) -> tuple[Prediction, ...]:
    """A score of new models, from the baselines and from the largest set of features.

    `level` and `strict` are those of `FamilyRidge.interval`.

    Raises:
        ResultError: too few models or families.
    """
    everything = (*baselines, *structure)
    sample = cases.sample(everything, score)
    sets = predictors(baselines, structure)
    chosen = dict.fromkeys(name for name in (list(sets)[-1], BASELINES) if name in sets)
    supported = sample.families >= families_for(level)
    known = {cases.models[i] for i in sample.rows}
    rows = []
    for name in chosen:
        columns = sets[name]
        reference, values = _columns(sample, everything, columns), new.matrix(columns, new.features)
        fit = fit_ridge(reference)
        for model, x in zip(new.models, values, strict=True):
            refused = _outside(x, reference.x, columns)
            if model in known:
                refused = "a reference model: the table of families left out has its forecast without its family"
            missing = not np.isfinite(x).all()
            value = None if refused else float(fit.predict(x[None])[0])
            ends = fit.interval(x[None], level, strict)[0] if supported and not refused else None
            rows.append(
                Prediction(
                    model,
                    score,
                    name,
                    value,
                    None if ends is None else (float(ends[0]), float(ends[1])),
                    level,
                    () if missing else _nearest(x, reference, cases),
                    refused,
                )
            )
    return tuple(rows)


def _columns(sample: Sample, everything: Sequence[str], columns: Sequence[str]) -> Sample:
    """The sample with some of its features; without any, with one that is 0 and leaves the mean."""
    x = sample.x[:, [list(everything).index(c) for c in columns]] if columns else np.zeros((len(sample.y), 1))
    return Sample(sample.rows, x, sample.y, sample.family)


def _difference(residuals: Floats, reference: Floats, sample: Sample) -> tuple[float, tuple[float, float] | None]:
    def statistic(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        return np.asarray(np.sqrt(weights @ residuals**2 / total) - np.sqrt(weights @ reference**2 / total))

    inference = infer(statistic, sample.family, seed=0, draws=0, correlation=False)
    return inference.value, inference.interval if inference.unit == "families" else None


def _held_out(
    cases: Cases, sample: Sample, fit: FamilyRidge, score: str, name: str, level: float, strict: bool
) -> tuple[Floats | None, list[HeldOut]]:
    """Whether each model lies in the interval that the other families give, and the predictions."""
    ends = np.full((len(sample.y), 2), np.nan)
    enough = sample.families - 1 >= families_for(level)
    for f in range(sample.families if enough else 0):
        out = sample.family == f
        codes = np.unique(sample.family[~out], return_inverse=True)[1].reshape(-1)
        others = Sample(sample.rows[~out], sample.x[~out], sample.y[~out], codes)
        ends[out] = fit_ridge(others).interval(sample.x[out], level, strict)
    rows = [
        HeldOut(
            cases.models[i],
            cases.families[i],
            score,
            name,
            float(y),
            float(predicted),
            (float(low), float(high)) if enough else None,
        )
        for i, y, predicted, (low, high) in zip(sample.rows, sample.y, fit.held_out, ends, strict=True)
    ]
    inside = ((ends[:, 0] <= sample.y) & (sample.y <= ends[:, 1])).astype(np.float64) if enough else None
    return inside, rows


def _outside(x: Floats, reference: Floats, columns: Sequence[str]) -> str | None:
    """Why a model lies outside the reference set, or None."""
    if unknown := [c for c, value in zip(columns, x, strict=True) if not np.isfinite(value)]:
        return f"not known: {', '.join(unknown)}"
    low, high = reference.min(axis=0), reference.max(axis=0)
    if out := [
        f"{c} = {value:.4g} lies outside {least:.4g} to {most:.4g}"
        for c, value, least, most in zip(columns, x, low, high, strict=True)
        if not least <= value <= most
    ]:
        return "; ".join(out)
    here, most = leverage(np.vstack([x, reference]), reference)[0], leverage(reference, reference).max()
    if here > most * (1 + 1e-9):
        return (
            f"each feature lies in its range, but not together: leverage {here:.2f}, and at most {most:.2f} in the "
            "reference set"
        )
    return None


def leverage(x: Floats, reference: Floats) -> Floats:
    """(n',) leverage of features against (n, p) reference models: 1/n + squared Mahalanobis distance / (n - 1)."""
    scale = np.where(reference.std(axis=0) > 0, reference.std(axis=0), 1)
    centred = (reference - reference.mean(axis=0)) / scale
    away = (x - reference.mean(axis=0)) / scale
    inverse = np.linalg.pinv(centred.T @ centred, hermitian=True)
    return np.asarray(1 / len(reference) + np.einsum("ni,ij,nj->n", away, inverse, away))


def _nearest(x: Floats, reference: Sample, cases: Cases) -> tuple[tuple[str, float], ...]:
    scale = reference.x.std(axis=0)
    distance = np.sqrt(np.sum(((reference.x - x) / np.where(scale > 0, scale, 1)) ** 2, axis=1))
    order = np.argsort(distance, kind="stable")[:NEAREST]
    return tuple((cases.models[reference.rows[i]], float(distance[i])) for i in order)
