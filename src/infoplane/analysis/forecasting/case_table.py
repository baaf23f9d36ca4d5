"""Cases: a table of models, each with its family, features and scores; what a forecast is made from.

A case is one model. Features are what is known of it without a benchmark: structure (optimality, complexity,
preference information) and the baselines that any forecast must beat (parameters, training tokens, bits per byte).
Scores are what benchmarks gave it. The family is the unit that is drawn: models of one family share data, tokenizer
and recipe, so they are not independent cases.

A name `log:COLUMN` stands for log10 of that column, `square:COLUMN` and `cube:COLUMN` for its powers: a baseline whose
line bends needs them, or whatever bends the same way will seem to say more. `square:log:COLUMN` is that of the log. A
column `NAME_se` holds the standard errors of NAME.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from infoplane.errors import ResultError, SettingError
from infoplane.storage import TABLE, local_copy, plain_cell, read_bytes, read_parquet, reason, to_path

MIN_MODELS = 10
"""Fewer complete cases than this are not analysed: with 10, only |r| above 0.78 is found with a power of 0.8."""
REFERENCE = {"small-models": Path(__file__).parents[2] / "data" / "small-models.csv"}
"""Tables of models that come with the package; how they were made is in docs/findings/forecast.md."""
LOG, POWERS, ERROR = "log:", {"square:": 2, "cube:": 3}, "_se"
_MISSING = ["", "NA", "NaN", "nan", "null"]
_GAP = 10.0  # between the largest score up to 1 and the smallest above: fractions and percent are 100 apart

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Complete cases of one analysis.

    Attributes:
        rows: (n,) which cases.
        x: (n, p) features, float64.
        y: (n,) the score.
        family: (n,) int, codes 0 .. G-1 of the families that are there.
    """

    rows: npt.NDArray[np.int64]
    x: Floats
    y: Floats
    family: npt.NDArray[np.int64]

    @property
    def families(self) -> int:
        return int(self.family.max()) + 1


@dataclass(frozen=True)
class Cases:
    """A table of models with their families, features and scores.

    Attributes:
        models: names of the n models, all different.
        families: the family of each model.
        features: n rows, a Float64 column for each feature; null where unknown.
        scores: n rows, a Float64 column for each score; null where unknown.
        feature_errors, score_errors: standard errors of some of these columns, under the same names.
        warnings: what was left out, and why.

    Raises:
        ResultError: not one row and one family for each model, a column of another type or with NaN or infinity, or a
            model that occurs twice.
        SettingError: a column that is both a feature and a score.
    """

    models: tuple[str, ...]
    families: tuple[str, ...]
    features: pl.DataFrame
    scores: pl.DataFrame
    feature_errors: pl.DataFrame | None = None
    score_errors: pl.DataFrame | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.models)
        frames = {"features": self.features, "scores": self.scores}
        frames |= {"feature_errors": self.feature_errors} if self.feature_errors is not None else {}
        frames |= {"score_errors": self.score_errors} if self.score_errors is not None else {}
        for what, frame in frames.items():
            if frame.width and frame.height != n:
                raise ResultError(f"{n} models, but {what} has {frame.height} rows: expected one a model")
            for name, kind in frame.schema.items():
                if kind != pl.Float64:
                    raise ResultError(f"{what} column {name!r} is {kind}; expected numbers (Float64)")
                if not frame[name].drop_nulls().is_finite().all():
                    raise ResultError(f"{what} column {name!r} holds NaN or infinity: leave unknown cells empty")
        if len(self.families) != n:
            raise ResultError(f"{n} models, but {len(self.families)} families: expected one a model")
        if twice := [name for name, times in Counter(self.models).items() if times > 1]:
            raise ResultError(f"models that occur more than once: {_listed(twice)}; keep one row of each")
        if blank := [m for m, f in zip(self.models, self.families, strict=True) if not f]:
            raise ResultError(f"models without a family: {_listed(blank)}; a model alone is a family of its own name")
        if both := sorted(set(self.features.columns) & set(self.scores.columns)):
            raise SettingError(f"{both[0]!r} is asked as a feature and as a score: it can be only one")

    @classmethod
    def read(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        features: Sequence[str],
        scores: Sequence[str] = (),
        model: str = "model",
        family: str = "family",
        score_unit: str | None = None,
    ) -> Cases:
        """Read a table of models from CSV or Parquet files.

        Args:
            path: a file with one row per model, or `small-models`, a table that comes with the package; or several of
                these, whose rows are put together.
            features, scores: names of columns; `log:NAME` (base 10), `square:NAME` and `cube:NAME` are computed from
                the column NAME. Where there is a column with `_se` appended to the name, it holds the standard errors.
            model, family: the columns with the names of models and families.
            score_unit: `percent` or `fraction`, if all scores are known to have that unit.

        Raises:
            ResultError: an unreadable file, a missing column, a cell that is not a number, a model that occurs twice,
                percent and fractions in one column, or scores outside `score_unit`.
            SettingError: an unknown `score_unit`, or a column that is both a feature and a score.
        """
        paths = [path] if isinstance(path, str | Path) else list(path)
        tables = [_table(p) for p in paths]
        table = pl.concat(tables, how="diagonal_relaxed") if len(tables) > 1 else tables[0]
        listed = " and ".join(map(str, paths))
        names = [_column(table, name, listed) for name in (model, family)]
        models = tuple(table[names[0]].fill_null("").cast(pl.String).to_list())
        if blank := [i + 1 for i, m in enumerate(models) if not m]:
            raise ResultError(f"{listed}: rows without a model name: {_listed(map(str, blank))}")
        groups = tuple(table[names[1]].cast(pl.String).fill_null("").to_list())
        x, y = (pl.DataFrame([_numbers(table, n, listed) for n in dict.fromkeys(w)]) for w in (features, scores))
        x_errors, y_errors = (
            pl.DataFrame([_numbers(table, n + ERROR, listed).alias(n) for n in f.columns if n + ERROR in table])
            for f in (x, y)
        )
        for name in y.columns:
            _one_unit(y[name], models, score_unit)
        return cls(models, groups, x, y, x_errors if x_errors.width else None, y_errors if y_errors.width else None)

    @property
    def family_count(self) -> int:
        """Number of families."""
        return len(set(self.families))

    def varying(self) -> Cases:
        """The same cases without constant and empty columns, which are named in `warnings`.

        Raises:
            ResultError: no feature or no score is left.
        """
        warnings, kept = list(self.warnings), []
        for what, frame in (("feature", self.features), ("score", self.scores)):
            flat = [name for name in frame.columns if frame[name].drop_nulls().n_unique() < 2]
            warnings += [f"{what} {name!r} has fewer than two different values and was left out" for name in flat]
            kept.append(frame.drop(flat))
            if frame.width and not kept[-1].width:
                raise ResultError(f"no {what} is left: {', '.join(flat)} is constant or empty")
        return replace(self, features=kept[0], scores=kept[1], warnings=tuple(warnings))

    def sample(self, features: Sequence[str], score: str, at_least: int = MIN_MODELS) -> Sample:
        """The models for which some features and one score are all known.

        Raises:
            ResultError: there are fewer than `at_least`.
        """
        table = self.matrix([*features], self.features), self.matrix([score], self.scores)
        values = np.column_stack(table)
        rows = np.flatnonzero(np.isfinite(values).all(axis=1))
        if len(rows) < at_least:
            raise ResultError(
                f"{len(rows)} models have {', '.join((*features, score))}; at least {at_least} are needed: "
                "measure and score more models"
            )
        names = np.array(self.families)[rows]
        codes = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return Sample(rows, values[rows, :-1], values[rows, -1], codes)

    def matrix(self, columns: Sequence[str], frame: pl.DataFrame) -> Floats:
        """(n, p) float64 values of p columns of `features` or `scores`, NaN where unknown.

        Raises:
            SettingError: a column that does not exist; the message suggests similar names.
        """
        for name in columns:
            if name not in frame.columns:
                raise SettingError(f"no column {name!r}{_near(name, frame.columns)}")
        if not columns:
            return np.empty((len(self.models), 0))
        return np.column_stack([frame[name].to_numpy().astype(np.float64) for name in columns])

    def reliability(self, name: str) -> float | None:
        """Share of a column's variance that its standard errors do not explain, 1 - mean(SE^2) / var; None if unknown.

        An observed correlation is the true one times the root of the product of both reliabilities (Spearman 1904).
        """
        for frame, errors in ((self.features, self.feature_errors), (self.scores, self.score_errors)):
            if name in frame.columns and errors is not None and name in errors.columns:
                both = pl.DataFrame([frame[name].alias("value"), errors[name].alias("se")]).drop_nulls()
                if both.height < 2:
                    return None
                value, se = both["value"].to_numpy(), both["se"].to_numpy()
                return float(1 - np.mean(se**2) / np.var(value, ddof=1))
        return None


def _table(named: str | Path) -> pl.DataFrame:
    path = to_path(REFERENCE.get(str(named), named))
    try:
        if path.suffix.lower() == ".parquet":
            return read_parquet(path)
        if path.suffix.lower() == ".csv":
            table = pl.read_csv(
                read_bytes(local_copy(path, fresh=True), TABLE), infer_schema=False, null_values=_MISSING
            )
            return table.with_columns(pl.col(pl.String).map_elements(plain_cell, pl.String))
    except FileNotFoundError:
        raise ResultError(f"no table at {path}{_near_table(str(named))}") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ResultError(f"{path} cannot be read: {reason(error)}") from None
    raise ResultError(f"{path}: expected a .csv or .parquet file, one row a model{_near_table(str(named))}")


def _column(table: pl.DataFrame, name: str, path: str) -> str:
    if name not in table.columns:
        raise ResultError(f"{path} has no column {name!r}{_near(name, table.columns)}")
    return name


def _numbers(table: pl.DataFrame, name: str, path: str) -> pl.Series:
    if name not in table.columns:
        for prefix, power in POWERS.items():
            if name.startswith(prefix):
                return (_numbers(table, name.removeprefix(prefix), path) ** power).alias(name)
    logged = name.startswith(LOG) and name not in table.columns
    source = _column(table, name.removeprefix(LOG) if logged else name, path)
    raw = table[source]
    text = raw.dtype == pl.String
    values = raw.str.strip_chars().cast(pl.Float64, strict=False) if text else raw.cast(pl.Float64, strict=False)
    if bad := [(i + 1, v) for i, (v, x) in enumerate(zip(raw, values, strict=True)) if v is not None and x is None]:
        raise ResultError(
            f"{path}, column {source!r}, row {bad[0][0]}: {bad[0][1]!r} is not a number; leave unknown cells empty"
        )
    values = values.fill_nan(None)
    if not logged:
        return values.alias(name)
    if not (values.drop_nulls() > 0).all():
        raise ResultError(f"{path}: {name} needs values above 0, and {source!r} holds {values.min()!r}")
    return values.log(10.0).alias(name)


def _one_unit(score: pl.Series, models: Sequence[str], unit: str | None) -> None:
    """Refuse a column that holds percent for some models and fractions for others."""
    x = score.to_numpy().astype(np.float64)
    known = x[np.isfinite(x)]
    if unit not in (None, "percent", "fraction"):
        raise SettingError(f"score unit {unit!r}: expected percent or fraction")
    if unit is not None:
        most = 100 if unit == "percent" else 1
        if len(known) and (known.min() < 0 or known.max() > most):
            raise ResultError(f"score {score.name!r} runs from {known.min():g} to {known.max():g}: that is no {unit}")
        return
    small, large = known[(known > 0) & (known <= 1)], known[known > 1]
    if not len(small) or not len(large) or known.min() < 0 or large.max() > 100:
        return
    if large.min() >= _GAP * small.max():
        odd = [m for m, v in zip(models, x, strict=True) if 0 < v <= 1]
        raise ResultError(
            f"score {score.name!r} seems to mix fractions and percent: {_listed(odd)} "
            f"{'lies' if len(odd) == 1 else 'lie'} at or below {small.max():g}, all others at or above "
            f"{large.min():g}; make the column one unit, or say that it is with --score-unit"
        )


def _near_table(name: str) -> str:
    """Whether a table that comes along may be meant."""
    near = difflib.get_close_matches(name, REFERENCE, n=1)
    return f"; did you mean {near[0]}, which comes along?" if near else ""


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; near names: {', '.join(near)}" if near else f"; it has: {', '.join(known)}"


def _listed(names: object, most: int = 5) -> str:
    words = [str(name) for name in names]  # type: ignore[attr-defined]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
