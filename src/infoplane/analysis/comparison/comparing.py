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

import polars as pl

from infoplane.analysis.comparison.comparison import _DIFFERENCE, _MEMBER, _VALUE, Comparison
from infoplane.analysis.comparison.fairness import fair, positions_of
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

PREFERENCES = ("preference", "preference_given_token")
QUANTITIES = ("entropy", "ceiling", "complexity", "expressivity", "optimality", "information", *PREFERENCES)
SHOWN = ("complexity", "expressivity", "optimality", "ceiling", *PREFERENCES)
"""Those of them that tables show."""


def compare(members: Sequence[Member]) -> Comparison:
    """Put measurements beside each other.

    Args:
        members: two or more; differences are from the first.

    Raises:
        ResultError: fewer than two, two of one name, a difference instead of a measurement, another unit or
            estimator, or no quantity that all of them have.
    """
    _check(members)
    rows = {m.name: _rows(m.measurement) for m in members}
    named = dict.fromkeys(row.position_set for by_key in rows.values() for row in by_key.values())
    sets = [s for s in named if s is not None and all(any(k[1] == s for k in by_key) for by_key in rows.values())]
    if not sets:
        raise ResultError(
            "the measurements have no quantity in common: measure them with the same --orders, --text-labels and "
            "--estimator"
        )
    fairness = {s: fair(members, [positions_of(rows[m.name], s) for m in members], s) for s in sets}
    values = [
        {"name": m.name, **_value(row)} for m in members for (_, s, _), row in rows[m.name].items() if s in fairness
    ]
    first = members[0]
    differences = [
        {"name": m.name, "from": first.name, **_difference(m.measurement, row, first.measurement, match)}
        for m in members[1:]
        for key, row in rows[m.name].items()
        if key[1] in fairness and fairness[key[1]][0] and (match := rows[first.name].get(key)) is not None
    ]
    return Comparison(
        pl.DataFrame([_member(m) for m in members], schema=_MEMBER),
        pl.DataFrame(values, schema=_VALUE),
        pl.DataFrame(differences, schema=_DIFFERENCE),
        fairness,
        tuple(_warnings(members)),
    )


def _check(members: Sequence[Member]) -> None:
    if len(members) < 2:
        raise ResultError(f"{len(members)} measurement: a comparison needs two or more")
    names = [m.name for m in members]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ResultError(f"two measurements are called {twice[0]!r}: name them, NAME=FOLDER")
    for m in members:
        if m.measurement.provenance.get("difference"):
            raise ResultError(f"{m.name} is a difference of two measurements already: name the measurements themselves")
    units = {m.name: str(m.measurement.origin.settings.unit) for m in members}
    if len(set(units.values())) > 1:
        listed = ", ".join(f"{name} in {unit}" for name, unit in units.items())
        raise ResultError(f"the measurements are in different units ({listed}): measure again with one --unit")
    refuse_other_protocols({m.name: m.measurement for m in members})
    refuse_other_estimators({m.name: m.measurement for m in members})


def _rows(measurement: Measurement) -> dict[tuple[str, str | None, str | None], Estimate]:
    """Whole-model rows by quantity, position set and side: of the first estimator, frequency weights, own positions."""
    named = measurement.origin.settings.estimators or (None,)
    rows: dict[tuple[str, str | None, str | None], Estimate] = {}
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
    differ(
        "different numbers of reference points",
        {n: o.points.m for n, o in origins.items()},
        "the codes are not equally fine, so no figure compares",
    )
    estimators = {n: next(iter(o.settings.estimators), None) for n, o in origins.items()}
    differ("different estimators", estimators, "their figures do not compare")
    if single := [n for n, o in origins.items() if (o.points.sets or 1) < 2]:
        warnings.append(
            f"{', '.join(single)}: measured with a single set of reference points, whose error is unknown: no "
            "difference is claimed; leave --reference-sets out"
        )
    return warnings
