"""Matching measured models with scored ones: names, steps, precisions, chat templates; and the family of a model.

Names are looked up as `infoplane.analysis.scores.name_keys` says: exactly, then in another case, then by a key that
spellings of one name share. Whatever had to be chosen is said in the match's notes; what cannot be decided is refused
with the nearest names. Nothing is averaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from infoplane.analysis.scores.name_keys import ALIASES, NameIndex
from infoplane.analysis.scores.score_table import Scores, near, spoken_near, step_of
from infoplane.errors import ScoreError

MAIN_STEPS = {"eleutherai/pythia-": 143_000}
"""Step of the `main` revision, by how the id begins, where checkpoints are published by step (the models' cards)."""
_FLOATS = ("bfloat16", "float16", "float32", "float64")
_HASH = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Measured:
    """A model that was measured.

    Attributes:
        model: hub id, folder, .gguf file, or a name of our own.
        revision: that was asked for, None for the default.
        dtype: that it ran in.
    """

    model: str
    revision: str | None = None
    dtype: str | None = None

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Measured:
        """The model that a measurement is of, from its provenance.

        Raises:
            ScoreError: an untrained twin, which nobody scored, or a difference of two measurements.
        """
        model = provenance.get("model") or {}
        if "source" not in model:
            raise ScoreError("the measurement does not say which model it is of (a difference does not)")
        if model.get("random_init"):
            raise ScoreError(f"{model['source']} was measured with random weights: the scores are of the trained model")
        name = model.get("name") if model["source"] == "module" else None
        return cls(str(name or model["source"]), model.get("revision"), model.get("dtype"))

    @property
    def step(self) -> int | None:
        """Training step that the revision or folder tells."""
        return step_of(self.revision, self.model)


@dataclass(frozen=True)
class Match:
    """One measured model and its scores.

    Attributes:
        measured: the model.
        model: its name among the scores.
        how: `exact`, `case` or `key`.
        scores: its rows, of one precision and with or without chat template.
        notes: what was chosen, and what else there is.
    """

    measured: Measured
    model: str
    how: str
    scores: Scores
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unmatched:
    """A measured model without scores: why, and up to three names that are near."""

    measured: Measured
    reason: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = self.measured.model + (f" ({self.measured.revision})" if self.measured.revision else "")
        return f"{named}: {self.reason}" + (f"; {spoken_near(self.near)}" if self.near else "")


@dataclass(frozen=True)
class Matching:
    """What `match` found: `matched` models with their scores, and the `unmatched` ones."""

    matched: tuple[Match, ...]
    unmatched: tuple[Unmatched, ...]

    def refuse_none(self) -> Matching:
        """Itself, if anything matched.

        Raises:
            ScoreError: nothing did, with the reason for each model.
        """
        if not self.matched:
            reasons = "\n  ".join(str(u) for u in self.unmatched)
            raise ScoreError(f"none of the {len(self.unmatched)} measured models has scores:\n  {reasons}")
        return self


def match_models(measured: Iterable[Measured | str], scores: Scores, chat_template: bool | None = None) -> Matching:
    """Find the scores of measured models.

    Args:
        measured: the models; a string is the name of one.
        scores: of any models.
        chat_template: whether scores with a chat template are wanted. None: without, if there are both.
    """
    models = [Measured(named) if isinstance(named, str) else named for named in measured]
    index = NameIndex.of(scores.models)
    places = [_place(named, index) for named in models]
    wanted = {located[0] for located in places if not isinstance(located, str)}
    rows = scores.table.filter(pl.col("model").is_in(wanted)).partition_by("model", as_dict=True)
    found = [
        _match(named, located, scores, rows, chat_template)
        if not isinstance(located, str)
        else Unmatched(named, located, near(ALIASES.get(named.model, named.model), scores.models))
        for named, located in zip(models, places, strict=True)
    ]
    return Matching(
        tuple(named for named in found if isinstance(named, Match)),
        tuple(named for named in found if isinstance(named, Unmatched)),
    )


def find_scores(name: str, names: Sequence[str]) -> str:
    """The one name among `names` that is meant by `name`: itself, in another case, or the only one of its key.

    Raises:
        ScoreError: none, or more than one, with near names.
    """
    match = NameIndex.of(names).find(name)
    if isinstance(match, str):
        raise ScoreError(f"no scores of {name!r}: {match}; {spoken_near(near(name, names))}")
    return match[0]


def _place(measured: Measured, index: NameIndex) -> tuple[str, str, tuple[str, ...]] | str:
    """Where a model is among the scores; the folder of a checkpoint may be scored as a revision of its run."""
    match = index.find(measured.model)
    run = measured.model.rstrip("/").rpartition("/")[0]
    if isinstance(match, str) and run and measured.revision is None and measured.step is not None:
        of_run = index.find(run)
        return match if isinstance(of_run, str) else of_run
    return match


# ---------------------------------------------------------------------- rows


def _match(
    measured: Measured,
    located: tuple[str, str, tuple[str, ...]],
    scores: Scores,
    by_model: Mapping[tuple[object, ...], pl.DataFrame],
    chat: bool | None,
) -> Match | Unmatched:
    model, how, notes = located
    rows = by_model[(model,)]
    for choose in (_at_the_step, _of_the_revision):
        kept = choose(measured, model, rows)
        if isinstance(kept, str):
            return Unmatched(measured, kept)
        rows, more = kept
        notes += more
    rows, more = _one_variant(measured, rows, chat)
    return Match(measured, model, how, Scores(rows, scores.remarks), notes + more)


_Kept = tuple[pl.DataFrame, tuple[str, ...]] | str


def _at_the_step(measured: Measured, model: str, rows: pl.DataFrame) -> _Kept:
    """Rows of the measured step; rows that name none are of the finished model."""
    main = next((step for start, step in MAIN_STEPS.items() if model.lower().startswith(start)), None)
    steps = rows["step"].drop_nulls().unique().sort().to_list()
    if measured.step is not None:
        kept = rows.filter(pl.col("step") == measured.step)
        if kept.height:
            return kept, ()
        if steps:
            around = [s for s in steps if s < measured.step][-1:] + [s for s in steps if s > measured.step][:1]
            return f"no scores at step {measured.step}; the nearest are at {' and '.join(map(str, around))}"
        if measured.step != main:
            return f"the scores are of the finished model, not of step {measured.step}"
        return rows, (f"step {main} is the finished model of {model}",)
    finished = rows.filter(pl.col("step").is_null())
    if finished.height:
        return finished, ()
    if main in steps:
        return rows.filter(pl.col("step") == main), (f"the finished {model} is step {main}",)
    return f"its scores are at steps {steps[0]} to {steps[-1]}: name a revision that tells the step"


def _of_the_revision(measured: Measured, model: str, rows: pl.DataFrame) -> _Kept:
    """Rows of the measured revision, where no step tells more; a commit cannot contradict the name of a branch."""
    if measured.step is not None or rows["step"].null_count() < rows.height:
        return rows, ()
    revision = pl.col("revision").fill_null("main")
    wanted = measured.revision or "main"
    kept = rows.filter(revision == wanted)
    if kept.height:
        return kept, ()
    there = sorted(set(rows.select(revision).to_series()))
    if len(there) == 1 and (_HASH.fullmatch(wanted) or _HASH.fullmatch(there[0])):
        return rows, (f"measured at revision {wanted}, scored at {there[0]}",)
    return f"its scores are of revision {', '.join(there)}, not of {wanted}"


def _one_variant(measured: Measured, rows: pl.DataFrame, chat: bool | None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows of one precision and one use of the chat template, and a note where there are others."""
    variants = sorted(
        rows.select("precision", "chat_template").unique().iter_rows(),
        key=lambda v: (_misses_chat(v[1], chat), _misses_precision(v[0], measured.dtype), str(v)),
    )
    precision, template = variants[0]
    kept = rows.filter(
        pl.col("precision").eq_missing(pl.lit(precision, pl.String)),
        pl.col("chat_template").eq_missing(pl.lit(template, pl.Boolean)),
    )
    notes = []
    if len(variants) > 1:
        notes.append(
            f"taken: {_variant(*variants[0])}; there is also: {', or '.join(_variant(*v) for v in variants[1:])}"
        )
    if precision is not None and precision not in _FLOATS:
        notes.append(f"the scores are of quantised weights ({precision})")
    if chat is not None and template is not None and template != chat:
        notes.append(f"no scores {'with' if chat else 'without'} chat template")
    return kept, tuple(notes)


def _misses_chat(template: bool | None, wanted: bool | None) -> int:
    return 1 if template is None else 2 * (template != bool(wanted))


def _misses_precision(precision: str | None, dtype: str | None) -> int:
    """0 the measured dtype, then bfloat16, float16, wider ones, not told, quantised."""
    if precision == dtype and dtype is not None:
        return 0
    return 1 + (_FLOATS.index(precision) if precision in _FLOATS else 4 if precision is None else 5)


def _variant(precision: str | None, template: bool | None) -> str:
    how = {True: "with chat template", False: "without chat template", None: "chat template not told"}[template]
    return f"{precision or 'precision not told'} {how}"


# ---------------------------------------------------------------------- families
