"""Published tables of benchmark scores that come with the package, and what they tell of the models.

The tables are kept as they were published (`data/scores`, sources and licences in `data/NOTICE`); this module says what
their columns mean and which cells are not believed. Shots are those of the task files that made the scores: Open LLM
Leaderboard 1 (ARC 25, HellaSwag 10, MMLU 5, TruthfulQA 0, Winogrande 5, GSM8K 5) and 2 (lm-evaluation-harness,
`tasks/leaderboard`: IFEval 0, BBH 3, MATH 4, GPQA 0, MuSR 0, MMLU-Pro 5).
"""

from __future__ import annotations

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from infoplane.analysis.scores.score_files import read_scores
from infoplane.analysis.scores.score_table import SCHEMA, Scores, near, some, spoken_near
from infoplane.analysis.scores.table_list import FACTS_FROM, FAMILIES, TABLES, Table
from infoplane.errors import ScoreError, SettingError
from infoplane.storage import Json

FOLDER = Path(__file__).parents[2] / "data" / "scores"
FACTS = pl.Schema(
    {
        "model": pl.String,
        "family": pl.String,
        "kind": pl.String,
        "parameters_b": pl.Float64,
        "training_tokens_t": pl.Float64,
        "flops_1e21": pl.Float64,
        "base_model": pl.String,
        "organisation": pl.String,
        "upload_date": pl.String,
        "licence": pl.String,
        "source": pl.String,
    }
)
"""Columns of the facts. parameters_b: billions; training_tokens_t: trillions; flops_1e21: 10^21 floating point
operations of pre-training, 6 x parameters x tokens; kind: pretrained, chat, merge, ...; base_model: what it was made
from."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of models beside their scores.

    Attributes:
        table: one row a model, columns as in `FACTS`, null where nothing is told.
        warnings: which published cells were withheld, and why.
    """

    table: pl.DataFrame
    warnings: tuple[str, ...] = ()

    def get(self, model: str) -> dict[str, Json] | None:
        """The facts of one model by its exact name, None where there are none."""
        rows = self.table.filter(pl.col("model") == model)
        return rows.row(0, named=True) if rows.height else None


@functools.cache
def published(name: str) -> Scores:
    """The scores of a published table that comes with the package.

    Args:
        name: `open-llm-leaderboard`, `base-llm-benchmarks`, `self-reported-benchmarks` or `pythia-checkpoint-scores`.

    Raises:
        ScoreError: there is no such table.
    """
    table, raw = _table(name), _raw(name)
    columns = [c for c in ("step", "precision", "chat_template") if c in raw.columns]
    flat = (
        raw.filter(~pl.col("model").is_in(table.left_out))
        .select("model", *columns, *table.scores)
        .unpivot(list(table.scores), index=["model", *columns], variable_name="column")
        .drop_nulls("value")
    )
    column = pl.col("column")
    tasks, metrics, shots, over = ({c: scored[i] for c, scored in table.scores.items()} for i in range(4))
    rows = flat.select(
        "model",
        *columns,
        task=column.replace_strict(tasks, return_dtype=pl.String),
        metric=column.replace_strict(metrics, return_dtype=pl.String),
        n_shot=column.replace_strict(shots, return_dtype=pl.Int64),
        value=pl.col("value") / column.replace_strict(over, return_dtype=pl.Float64),
        source=pl.lit(name),
    )
    missing = [pl.lit(None, dtype).alias(column) for column, dtype in SCHEMA.items() if column not in rows.columns]
    rows = rows.with_columns(missing).select(pl.col(column).cast(dtype) for column, dtype in SCHEMA.items())
    return Scores(rows, table.remarks)


@functools.cache
def model_facts(name: str | None = None) -> Facts:
    """Family, parameters, training tokens, FLOPs and more of the models in one table, or in all of them.

    Of a model with several rows the first fact told counts, bfloat16 before float16 before others. With all tables
    together a fact is taken from the first table that tells it, in the order of `FACTS_FROM`, and `source` names the
    tables that have the model. Families go by the names of open-llm-leaderboard.

    Raises:
        ScoreError: no such table.
    """
    if name is not None:
        _table(name)
    parts = [_facts(source) for source in (FACTS_FROM if name is None else (name,))]
    together = pl.concat([part.table for part in parts])
    warnings = [w for part in parts for w in part.warnings]
    sizes = together.drop_nulls("parameters_b").group_by("model", maintain_order=True).agg("parameters_b", "source")
    for model, counts, sources in sizes.iter_rows():
        if max(counts) > 1.3 * min(counts):
            listed = " and ".join(f"{count:g}" for count in counts)
            warnings.append(f"{model}: {listed} billion parameters in {' and '.join(sources)}; the first is taken")
    first = together.group_by("model", maintain_order=True).agg(
        *(pl.col(c).drop_nulls().first() for c in FACTS if c not in ("model", "source")),
        pl.col("source").unique(maintain_order=True).str.join(", "),
    )
    return Facts(first.select(list(FACTS)), tuple(warnings))


@functools.cache
def _facts(name: str) -> Facts:
    table, raw = _table(name), _raw(name)
    if "precision" in raw.columns:
        rank = pl.col("precision").replace_strict({"bfloat16": 0, "float16": 1}, default=2, return_dtype=pl.Int64)
        raw = raw.sort(rank, maintain_order=True)
    warnings = []
    for model, columns, why in table.withheld:
        here = pl.col("model") == model
        raw = raw.with_columns(pl.when(~here).then(pl.col(c)).alias(c) for c in columns)
        warnings.append(f"{name}: {', '.join(columns)} of {model} withheld: {why}")
    if (size := table.facts.get("parameters_b")) is not None:
        unknown = raw.filter(pl.col(size) <= 0)["model"].n_unique()  # -1 and 0 stand for: not told
        raw = raw.with_columns(pl.when(pl.col(size) > 0).then(pl.col(size)).alias(size))
        if unknown:
            warnings.append(f"{name}: {unknown} models have no parameter count (0 or less stands there)")
    expressions = {fact: pl.col(column) for fact, column in table.facts.items()}
    if "family" in expressions:
        expressions["family"] = expressions["family"].replace(FAMILIES)
    rest = {c: dtype for c, dtype in FACTS.items() if c not in ("model", "source")}
    frame = raw.select(
        "model",
        *(expressions.get(c, pl.lit(None)).cast(dtype).alias(c) for c, dtype in rest.items()),
        source=pl.lit(name),
    )
    first = frame.group_by("model", maintain_order=True).agg(
        pl.col(*rest).drop_nulls().first(), pl.col("source").first()
    )
    return Facts(first.select(list(FACTS)), tuple(warnings))


def _table(name: str) -> Table:
    if name not in TABLES:
        raise ScoreError(f"no published table {name!r}; there are {some(list(TABLES), name)}")
    return TABLES[name]


def scores_from(source: str, *, percent: bool = False, latest: bool = False, model: str | None = None) -> Scores:
    """The scores of a published table, or those of a file or folder, as `read_scores` reads them.

    Raises:
        ScoreError: neither; near names of tables are told.
        SettingError: a setting of files with a table.
    """
    if source in TABLES:
        if percent or latest or model is not None:
            raise SettingError(f"{source} is a published table: --percent, --latest and --model-name are for files")
        return published(source)
    if not Path(source).expanduser().exists():
        close = near(source, TABLES)
        raise ScoreError(
            f"{source!r} is no file and no published table ({', '.join(TABLES)})"
            + (f"; {spoken_near(close)}" if close else "")
        )
    return read_scores(source, percent=percent, latest=latest, model=model)


@functools.cache
def _raw(name: str) -> pl.DataFrame:
    """The file as it was published. Each column is read whole before its type is settled."""
    content = gzip.decompress((FOLDER / f"{name}.csv.gz").read_bytes())
    frame = pl.read_csv(content, infer_schema_length=None)
    if "chat_template" in frame.columns and frame["chat_template"].dtype == pl.String:
        frame = frame.with_columns(pl.col("chat_template").replace_strict({"True": True, "False": False}, default=None))
    return frame
