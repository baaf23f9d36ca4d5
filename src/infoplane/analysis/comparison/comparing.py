"""Several measured models beside each other: which of their figures compare, and by how much they differ.

A figure is comparable where it is about the same thing on the same sample. Token labels are, if the models read the
same windows: one tokenizer, one cut. Labels of the text (`word:1`, `byte:4`) are, if the text is the same and so are
the positions, but for the few at the edges of windows. Otherwise the table shows the figures and says that they are
not to be compared. Preference information is about the same question for all models that read the same pairs, but on
their own tokens.

The error of a difference a - b. Where the blocks of documents are the same, both share what the documents do, so
replicates are subtracted block by block: `SE^2 = (B - 1) / B sum_b (d_b - mean d)^2`, with d_b = a_b - b_b. Elsewhere
the two errors add up, which is more than it need be where texts overlap. So it is with reference points: layers of one
name and width have the same ones, and what these contribute is subtracted set by set; that of others adds up. Where a
model was measured with a single set it is unknown, and no difference is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import polars as pl

from infoplane.analysis.comparison.comparison import _DIFFERENCE, _MEMBER, _VALUE, Comparison
from infoplane.analysis.comparison.fairness import fair, positions_of
from infoplane.analysis.comparison.verdicts import verdict_of
from infoplane.errors import ResultError
from infoplane.measurement import (
    Estimate,
    Measurement,
    Member,
    difference_of,
    refuse_other_estimators,
    refuse_other_protocols,
)
from infoplane.storage import Json

_Rows: TypeAlias = dict[tuple[str, str | None, str | None], Estimate]
PREFERENCES = ("preference", "preference_given_token")
QUANTITIES = ("entropy", "ceiling", "complexity", "expressivity", "optimality", "information", *PREFERENCES)
SHOWN = ("complexity", "expressivity", "optimality", "ceiling", *PREFERENCES)
"""Those of them that tables show."""


def compare(members: Sequence[Member]) -> Comparison:
    """Compare measured models with the first of them.

    Args:
        members: two models or more. One that cannot be compared with the first (another unit, protocol or estimator, a
            difference of two measurements, or no labels in common) is listed in `apart`, with the reason.

    Raises:
        ResultError: fewer than two models, two of the same name, none that can be compared with the first, or a first
            one that is a difference.
    """
    members, rows, apart = _comparable(members)
    first, *others = members
    named = dict.fromkeys(row.position_set for row in rows[first.name].values() if row.position_set is not None)
    fairness, compares = dict[str, tuple[bool, str]](), set[tuple[str, str]]()
    for s in named:
        having = [m for m in others if any(key[1] == s for key in rows[m.name])]
        if having:
            fairness[s], alike = _fairness(s, [first, *having], rows)
            compares |= {(name, s) for name in alike}
    values = [
        {"name": m.name, **_value(row)} for m in members for (_, s, _), row in rows[m.name].items() if s in fairness
    ]
    differences = [
        {"name": m.name, "from": first.name, **_difference(m.measurement, row, first.measurement, match)}
        for m in others
        for key, row in rows[m.name].items()
        if (m.name, key[1]) in compares and (match := rows[first.name].get(key)) is not None
    ]
    return Comparison(
        pl.DataFrame([_member(m) for m in members], schema=_MEMBER),
        pl.DataFrame(values, schema=_VALUE),
        pl.DataFrame(differences, schema=_DIFFERENCE),
        fairness,
        tuple(verdict_of(first, m) for m in others),
        apart,
        tuple(_warnings(members)),
    )


def _fairness(
    position_set: str, members: Sequence[Member], rows: Mapping[str, _Rows]
) -> tuple[tuple[bool, str], list[str]]:
    """Whether figures of a set of positions compare, and why; and the models whose do, with those of the first."""
    n = {m.name: positions_of(rows[m.name], position_set) for m in members}

    def of(some: Sequence[Member]) -> tuple[bool, str]:
        return fair(some, [n[m.name] for m in some], position_set)

    first, *others = members
    pairs = {m.name: of([first, m]) for m in others}
    alike = [m for m in others if pairs[m.name][0]]
    if not alike:
        return of(members), []
    good, why = of([first, *alike])
    if not good:  # each is near enough to the first, but not all to each other
        counts = [n[m.name] for m in (first, *alike)]
        why = f"the same text, {min(counts):,} to {max(counts):,} positions (windows end at different places)"
    why += "".join(f"; not {name}: {reason}" for name, (good, reason) in pairs.items() if not good)
    return (True, why), [m.name for m in alike]


def _comparable(members: Sequence[Member]) -> tuple[Sequence[Member], dict[str, _Rows], dict[str, str]]:
    """The models that compare with the first by any of their labels, and their rows; and of each other one, why not."""
    if len(members) < 2:
        raise ResultError(f"{len(members)} measurement: a comparison needs two or more")
    names = [m.name for m in members]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ResultError(f"two measurements are called {twice[0]!r}: name them, NAME=FOLDER")
    first, *others = members
    _refuse_difference(first)
    rows, apart = {first.name: _rows(first.measurement)}, dict[str, str]()
    for m in others:
        try:
            rows[m.name] = _rows_in_common(first, m, rows[first.name])
        except ResultError as error:
            apart[m.name] = str(error)
    if len(rows) == 1:
        raise ResultError(next(iter(apart.values())))
    return [m for m in members if m.name in rows], rows, apart


def _refuse_difference(m: Member) -> None:
    if m.measurement.provenance.get("difference"):
        raise ResultError(f"{m.name} is a difference of two measurements already: name the measurements themselves")


def _rows_in_common(first: Member, other: Member, rows: _Rows) -> _Rows:
    """Rows of a model, some of which are about what those of the first are about."""
    _refuse_difference(other)
    both = (first, other)
    units = {m.name: str(m.measurement.origin.settings.unit) for m in both}
    if len(set(units.values())) > 1:
        listed = ", ".join(f"{name} in {unit}" for name, unit in units.items())
        raise ResultError(f"the measurements are in different units ({listed}): measure again with one --unit")
    points = {m.name: m.measurement.origin.points.m for m in both}
    if len(set(points.values())) > 1:
        listed = ", ".join(f"{name} by {count}" for name, count in points.items())
        raise ResultError(
            f"the measurements have different numbers of reference points ({listed}), and their codes are not equally "
            "fine: measure again with one --points"
        )
    refuse_other_protocols({m.name: m.measurement for m in both})
    refuse_other_estimators({m.name: m.measurement for m in both})
    found = _rows(other.measurement)
    if not ({key[1] for key in rows} & {key[1] for key in found}) - {None}:
        raise ResultError(
            "the measurements have no quantity in common: measure them with the same --orders, --text-labels and "
            "--estimator"
        )
    return found


def _rows(measurement: Measurement) -> _Rows:
    """Whole-model rows by quantity, position set and side: of the first estimator, frequency weights, own positions."""
    named = measurement.origin.settings.estimators or (None,)
    rows: _Rows = {}
    for row in measurement.select(layer="model"):
        if row.quantity not in QUANTITIES or row.weight not in (None, "frequency"):
            continue
        if row.quantity not in PREFERENCES and row.estimator != named[0]:  # of preferences the first row is the one
            continue
        own = row.order is None or row.position_set is None or row.position_set.endswith(str(row.order))
        if own:
            rows.setdefault((row.quantity, row.position_set, row.side), row)
    return rows


def _value(row: Estimate) -> dict[str, Json]:
    low, high = row.interval or (None, None)
    return {
        "quantity": row.quantity,
        "position_set": row.position_set,
        "side": row.side,
        "unit": row.unit,
        "estimator": row.estimator,
        "value": row.value,
        "standard_error": row.standard_error,
        "low": low,
        "high": high,
        "points_error": row.points_error,
        "total_error": row.total_error,
        "n": row.n,
        "warning": row.warning,
    }


def _difference(mine: Measurement, row: Estimate, theirs: Measurement, other: Estimate) -> dict[str, Json]:
    a, b = mine.origin, theirs.origin
    same_documents = a.blocks_hash == b.blocks_hash and a.text.sha256 == b.text.sha256
    same_points = a.has_points_of(b)
    difference = difference_of(row, other, same_points, same_documents)
    low, high = difference.interval or (None, None)
    known = difference.points_error is not None
    return {
        "quantity": row.quantity,
        "position_set": row.position_set,
        "side": row.side,
        "unit": row.unit,
        "difference": difference.value,
        "standard_error": difference.standard_error,
        "points_error": difference.points_error,
        "total_error": difference.total_error,
        "low": low,
        "high": high,
        "paired": bool(difference.replicates),
        "points": ("paired" if same_points else "added") if known else "unknown",
        "claimed": bool(low is not None and high is not None and known and (low > 0 or high < 0)),
    }


def _member(m: Member) -> dict[str, Json]:
    origin = m.measurement.origin

    def of(quantity: str) -> float | None:
        rows = m.measurement.select(quantity=quantity, layer="model")
        return rows[0].value if rows else None

    return {
        "name": m.name,
        "family": m.family,
        "model": str(origin.model.source),
        "revision": origin.model.revision,
        "parameters": m.parameters,
        "width": origin.model.width,
        "dtype": origin.dtype,
        "tokens": origin.tokens,
        "documents": origin.documents,
        "bits_per_byte": of("bits_per_byte"),
        "loss": of("loss"),
        "reference_sets": origin.points.sets,
    }


def _warnings(members: Sequence[Member]) -> list[str]:
    warnings = []
    origins = {m.name: m.measurement.origin for m in members}

    def differ(what: str, of: Mapping[str, str | int | None], more: str) -> None:
        if len({str(v) for v in of.values()}) > 1:
            warnings.append(f"{what} ({', '.join(f'{name}: {v}' for name, v in of.items())}): {more}")

    differ("different dtypes", {n: o.dtype for n, o in origins.items()}, "rounding differs, measure in one")
    estimators = {n: next(iter(o.settings.estimators), None) for n, o in origins.items()}
    differ("different estimators", estimators, "their figures do not compare")
    if single := [n for n, o in origins.items() if (o.points.sets or 1) < 2]:
        warnings.append(
            f"{', '.join(single)}: measured with a single set of reference points, whose error is unknown: no "
            "difference is claimed; leave --reference-sets out"
        )
    return warnings
