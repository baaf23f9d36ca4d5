"""Benchmark scores: one tidy table, a row a score, with what must be known to compare two of them.

A score is of one model (its revision or training step, and the precision it ran in), on one task, by one metric, under
one prompt (number of shots, chat template). Rows that agree in all of these are duplicates and are refused: which of
two values is right is not ours to guess, and a mean of them would be a third. Accuracies are fractions, 0 to 1.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from infoplane.errors import ScoreError
from infoplane.models import parse_name
from infoplane.storage import Json

Cell: TypeAlias = "str | int | float | bool | None"
"""A cell of the table of scores."""
SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "revision": pl.String,
        "step": pl.Int64,
        "task": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "standard_error": pl.Float64,
        "n": pl.Int64,
        "n_shot": pl.Int64,
        "precision": pl.String,
        "chat_template": pl.Boolean,
        "source": pl.String,
    }
)
"""The columns. model: as the source names it. revision, step: of the weights. task, metric: `arc_easy`, `acc_norm`.
value: accuracies as fractions. standard_error: in the unit of the value. n: items scored. n_shot: examples in the
prompt. precision: `bfloat16`, `float16`, `4bit`. chat_template: whether the prompt was put in one. source: table or
file. All but model, task, metric, value and source may be null: not told."""
KEY = ("model", "revision", "step", "task", "metric", "n_shot", "precision", "chat_template")
"""What makes two rows the same score."""
_CHECKPOINT = re.compile(r"(global_?step|step|checkpoint|ckpt|iter)[-_]?\d", re.IGNORECASE)
_TOLD = ("model", "task", "metric", "value", "source")


@dataclass(frozen=True)
class Remark:
    """What should be known of some rows.

    Attributes:
        text: one sentence or two.
        where: (column, value) pairs; the remark is of the rows that have all of them, of all rows if empty.
    """

    text: str
    where: tuple[tuple[str, Json], ...] = ()

    def concerns(self, table: pl.DataFrame) -> bool:
        """Whether any row of a table is meant."""
        return table.filter(*(_equals(name, value) for name, value in self.where)).height > 0


@dataclass(frozen=True, eq=False)
class Scores:
    """A table of benchmark scores of models; accuracies are fractions.

    Attributes:
        table: one row per score, with the columns of `infoplane.analysis.scores.score_table.SCHEMA` in that order.
        remarks: what should be known about rows; `warnings` has those about rows of this table.

    Raises:
        ScoreError: other columns, a required value that is missing, a number that is not finite, or two rows for one
            score.
    """

    table: pl.DataFrame
    remarks: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        if dict(self.table.schema) != SCHEMA or self.table.columns != list(SCHEMA):
            have = ", ".join(f"{name} {kind}" for name, kind in self.table.schema.items())
            raise ScoreError(f"a table of scores has the columns {', '.join(SCHEMA)}, typed as in SCHEMA; got {have}")
        for name in _TOLD:
            if missing := self.table[name].null_count():
                raise ScoreError(f"{missing} of {self.table.height} scores have no {name}: expected one in every row")
        for name in ("value", "standard_error"):
            wrong = self.table.filter(pl.col(name).is_not_null() & ~pl.col(name).is_finite())
            if wrong.height:
                what = _spoken(wrong.row(0, named=True))
                raise ScoreError(f"{what}: {name} {wrong[name][0]}; expected a finite number")
        self._refuse_duplicates()

    def _refuse_duplicates(self) -> None:
        again = self.table.filter(pl.struct(KEY).is_duplicated())
        if not again.height:
            return
        shown = [
            f"{_spoken(row)}: {row['value']:g} ({row['source']})"
            for row in again.sort(KEY, maintain_order=True).head(6).iter_rows(named=True)
        ]
        more = f"\n  and {again.height - 6} more" if again.height > 6 else ""
        raise ScoreError(
            f"{again.height} rows give more than one value to the same score; keep one of each, or tell them apart by "
            "revision, step, n_shot, precision or chat_template:\n  " + "\n  ".join(shown) + more
        )

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Json]], remarks: Iterable[Remark] = ()) -> Scores:
        """Make scores from rows; columns that a row lacks are null."""
        return cls(pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], SCHEMA), tuple(remarks))

    # ------------------------------------------------------------------ what is here

    def __repr__(self) -> str:
        return f"<Scores: {self.table.height:,} of {len(self.models):,} models on {len(self.tasks):,} tasks>"

    def __len__(self) -> int:
        return self.table.height

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the table."""
        return tuple(self.table["model"].unique(maintain_order=True))

    @property
    def tasks(self) -> tuple[str, ...]:
        """All `task:metric` names, the columns of `wide`, in the order of the table."""
        return tuple(self.table.select(_NAME).unique(maintain_order=True).to_series())

    @property
    def warnings(self) -> tuple[str, ...]:
        """The remarks about rows of this table."""
        return tuple(dict.fromkeys(r.text for r in self.remarks if r.concerns(self.table)))

    # ------------------------------------------------------------------ a part of it

    def select(self, **fields: Json) -> Scores:
        """Select the rows with given values; None selects null, and a list or tuple selects any of its members.

        Raises:
            ScoreError: an unknown column.

        >>> row = {"model": "a", "task": "t", "metric": "acc", "value": 0.5, "source": "s"}
        >>> Scores.of([row]).select(step=None, task=["t", "u"]).models
        ('a',)
        """
        if unknown := sorted(set(fields) - set(SCHEMA)):
            raise ScoreError(f"unknown column {unknown[0]!r}; a score has: {', '.join(SCHEMA)}")
        return Scores(self.table.filter(*(_equals(name, want) for name, want in fields.items())), self.remarks)

    def like(self, task: str | None = None, model: str | None = None) -> Scores:
        """Select rows by glob patterns.

        Args:
            task: pattern of the task or of `task:metric`, such as `arc_*` or `*:acc_norm`.
            model: pattern of the model's name.

        Raises:
            ScoreError: nothing fits.
        """
        table = self.table
        for glob, names in ((task, ("task", _NAME)), (model, ("model",))):
            if glob is None:
                continue
            fits = pl.lit(False)
            for name in names:
                column = table.select(name).to_series()
                chosen = fnmatch.filter(column.unique().to_list(), glob)
                fits = fits | (pl.col(name) if isinstance(name, str) else name).is_in(chosen)
            kept = table.filter(fits)
            if not kept.height:
                there = list(self.tasks if names[0] == "task" else self.models)
                raise ScoreError(f"no {names[0]} fits {glob!r}; there are {some(there, glob)}")
            table = kept
        return Scores(table, self.remarks)

    def lookup(self, model: str) -> Scores:
        """Select the rows of one model by its exact name.

        `infoplane.analysis.scores.model_matching.find_scores` finds the exact name for other spellings of it.

        Raises:
            ScoreError: there is no such model; the message suggests similar names.
        """
        scores = self.select(model=model)
        if not len(scores):
            raise ScoreError(f"no scores of {model!r}; {spoken_near(near(model, self.models))}")
        return scores

    def wide(self, by: Sequence[str] = ("model",)) -> pl.DataFrame:
        """One row per model and one column per `task:metric`; null where there is no score.

        Args:
            by: the columns that identify a row, such as `("model", "step")` for scores over training.

        Raises:
            ScoreError: there are two values for one cell; the message names the columns in which they differ.
        """
        table = self.table.with_columns(_NAME)
        cells = table.group_by([*by, "name"], maintain_order=True).len().filter(pl.col("len") > 1)
        if cells.height:
            row = cells.row(0, named=True)
            both = table.filter(*(_equals(name, row[name]) for name in [*by, "name"]))
            apart = [f"{c} ({_list(both[c].unique())})" for c in KEY if c not in by and both[c].n_unique() > 1]
            raise ScoreError(
                f"{row[by[0]]} has {row['len']} values of {row['name']}, which differ in {', '.join(apart)}: select "
                f"one with select(...), or make them rows of their own with by={(*by, apart[0].split()[0])}"
            )
        return table.pivot("name", index=list(by), values="value", maintain_order=True)


def concat_scores(parts: Iterable[Scores]) -> Scores:
    """All rows of several tables; a score that stands in two of them is refused."""
    parts = list(parts)
    if not parts:
        raise ScoreError("no scores to put together")
    remarks = dict.fromkeys(r for part in parts for r in part.remarks)
    return Scores(pl.concat([part.table for part in parts]), tuple(remarks))


def constant_columns(table: pl.DataFrame, least: int = 3) -> tuple[Remark, ...]:
    """A remark for each `task:metric` that has one value in all of its rows, if they are at least so many."""
    each = table.group_by("task", "metric", maintain_order=True).agg(
        pl.len(), pl.col("value").n_unique().alias("values"), pl.col("value").first()
    )
    return tuple(
        Remark(
            f"{row['task']}:{row['metric']} is {row['value']:g} in all {row['len']} rows: nothing correlates with it",
            (("task", row["task"]), ("metric", row["metric"])),
        )
        for row in each.filter(pl.col("values") == 1, pl.col("len") >= least).iter_rows(named=True)
    )


def step_of(revision: str | None, model: str) -> int | None:
    """The training step that a revision tells, or a model named by the folder of a checkpoint.

    None for later stages of training, whose steps begin anew.

    >>> step_of("step143000", "EleutherAI/pythia-160m"), step_of(None, "runs/a/checkpoint-500"), step_of("main", "a/b")
    (143000, 500, None)
    """
    folder = model.rstrip("/").rpartition("/")[2]
    for name in (revision, folder if _CHECKPOINT.match(folder) else None):
        parsed = parse_name(name) if name else None
        if parsed is not None and parsed[2] <= (1, 0):
            return parsed[0]
    return None


# ---------------------------------------------------------------------- near names


def near(name: str, names: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """Up to `n` names that are spelled much like one, whatever their case and organisation, nearest first."""
    own = _bare(name)
    ranked = []
    for other in dict.fromkeys(names):
        bare = _bare(other)
        matcher = difflib.SequenceMatcher(None, bare, own)
        if matcher.real_quick_ratio() > 0.6 and matcher.quick_ratio() > 0.6 and (ratio := matcher.ratio()) > 0.6:
            ranked.append((-ratio, other))
    return tuple(other for _, other in sorted(ranked)[:n])


def spoken_near(names: Sequence[str]) -> str:
    """Near names as part of a sentence."""
    return f"near names: {', '.join(names)}" if names else "no name is near"


def some(names: Sequence[str], wanted: str, most: int = 8) -> str:
    """A list of names for a message: near ones if there are any, else the first."""
    shown = list(near(wanted, names)) or list(names[:most])
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _bare(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


_NAME = pl.format("{}:{}", "task", "metric").alias("name")


def _equals(name: str, want: Json) -> pl.Expr:
    column = pl.col(name)
    if isinstance(want, list | tuple | set | frozenset):
        return column.is_in([w for w in want if w is not None]) | (column.is_null() if None in want else pl.lit(False))
    return column.is_null() if want is None else column.eq(want)


def _list(values: pl.Series) -> str:
    listed = ["not told" if v is None else str(v) for v in values.sort()]
    return ", ".join(listed[:4]) + (", ..." if len(listed) > 4 else "")


def _spoken(row: Mapping[str, Json]) -> str:
    """A row of a message: what the score is of, nulls left out."""
    more = [f"{k} {row[k]}" for k in ("revision", "step", "n_shot", "precision", "chat_template") if row[k] is not None]
    return f"{row['model']} {row['task']}:{row['metric']}" + (f" [{', '.join(more)}]" if more else "")
