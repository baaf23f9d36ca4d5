"""Several measured models beside each other: which of their figures compare, and by how much they differ.

A figure is comparable where it is about the same thing on the same sample. Token labels are, if the models read the
same windows: one tokenizer, one cut. Labels of the text (`word:1`, `byte:4`) are, if the text is the same and so are
the positions, but for the few at the edges of windows. Otherwise the table shows the figures and says that they are
not to be compared. Preference information is about the same question for all models that read the same pairs, but on
their own tokens.

The error of a difference a - b. Where the blocks of documents are the same, both share what the documents do, so
replicates are subtracted block by block: `SE^2 = (B - 1) / B sum_b (d_b - mean d)^2`, with d_b = a_b - b_b. Elsewhere
the two errors add up, which is more than it need be where texts overlap. Models of different width have different
reference points, whose spread counts as well, `SE^2 + r_a^2 + r_b^2`; where it is unknown no difference is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infoplane.errors import ResultError
from infoplane.measurement.results import Estimate, Measurement
from infoplane.storage import atomic_files as files
from infoplane.storage.address import place
from infoplane.storage.locations import record_in
from infoplane.storage.parquet import write_parquet
from infoplane.storage.records import read_record
from infoplane.storage.schema import checked
from infoplane.uncertainty.document_jackknife import error_and_interval, interval_of

SCHEMA = "infoplane/comparison/1"
JSON_NAME, TABLE_NAME = "comparison.json", "comparison.parquet"
PREFERENCES = ("preference", "preference_given_token")
QUANTITIES = ("entropy", "ceiling", "complexity", "expressivity", "optimality", "information", *PREFERENCES)
SHOWN = ("complexity", "expressivity", "optimality", "ceiling", *PREFERENCES)
"""Those of them that tables show."""
ALIKE = 0.02
"""Part by which the numbers of positions may differ, of what is called the same sample."""
_RECORD: Mapping[str, Any] = {
    "members": list[dict[str, Any]], "values": list[dict[str, Any]], "differences": list[dict[str, Any]],
    "fairness": dict[str, dict[str, Any]], "warnings": list[str],
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One of the models that are compared.

    Attributes:
        name: shown; no two have the same.
        family: None where it is not known.
        measurement: of it.
    """

    name: str
    family: str | None
    measurement: Measurement

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        found = (self.measurement.provenance.get("model") or {}).get("parameters")
        return None if found is None else int(found)


@dataclass(frozen=True)
class Comparison:
    """What several measurements say together; everything that a page or a table shows.

    Attributes:
        members: of each model the name, family, parameters, width, dtype, tokens, documents, bits per byte and loss.
        values: one row for each model, quantity and set of positions: the estimate of the whole model.
        differences: one row for each model but the first, quantity and set: that model less the first.
        fairness: for each set of positions whether its figures compare, and why.
        warnings: what else should be known.
    """

    members: pl.DataFrame
    values: pl.DataFrame
    differences: pl.DataFrame
    fairness: Mapping[str, tuple[bool, str]]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        names = ", ".join(self.names[:4]) + (", ..." if len(self.names) > 4 else "")
        return f"<Comparison of {len(self.names)} models: {names}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models, in the order given."""
        return tuple(self.members["name"])

    @property
    def best_set(self) -> str:
        """The set of positions to look at first: one that compares, of words rather than bytes, or else the first."""
        fair = [name for name, (good, _) in self.fairness.items() if good]
        order = sorted(fair, key=lambda name: ("P_", "word", "char", "byte").index(_kind(name)))
        return (order or list(self.fairness))[0]

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `comparison.parquet`, the values, then `comparison.json`, each whole or not at all."""
        folder = place(folder)
        write_parquet(folder / TABLE_NAME, self.values)
        files.write_record(folder / JSON_NAME, self.to_dict())
        return folder / JSON_NAME, folder / TABLE_NAME

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema": SCHEMA, "members": self.members.to_dicts(), "values": self.values.to_dicts(),
            "differences": self.differences.to_dicts(),
            "fairness": {name: {"compares": good, "why": why} for name, (good, why) in self.fairness.items()},
            "warnings": list(self.warnings),
        }  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read a comparison from its folder.

        Raises:
            ResultError: nothing there, unreadable, or a schema that this version does not know.
        """
        source = record_in(path, JSON_NAME)
        record = read_record(source, SCHEMA, "comparison", "compare")
        try:
            checked(record, _RECORD)
            for m in record["members"]:
                checked([m["name"], m["parameters"]], tuple[str, int | None], "a model")
                if m["parameters"] is not None and m["parameters"] < 1:
                    raise ValueError(f"{m['name']} has {m['parameters']} parameters")
            for row in (*record["values"], *record["differences"]):
                value = row["difference" if "difference" in row else "value"]
                told = [row["name"], row["quantity"], row["position_set"], row["unit"], value]
                checked(told, tuple[str, str, str, str, float], "a row")
                if "difference" in row:
                    checked([row["from"], row["reference_error"]], tuple[str, str], "a difference")
                if (row["low"] is None) != (row["high"] is None):
                    raise ValueError(f"half an interval of {row['quantity']}")
            return cls(
                pl.DataFrame(record["members"], schema=_MEMBER),
                pl.DataFrame(record["values"], schema=_VALUE),
                pl.DataFrame(record["differences"], schema=_DIFFERENCE),
                {
                    name: tuple(checked([f["compares"], f["why"]], tuple[bool, str], name))
                    for name, f in record["fairness"].items()
                },
                tuple(record["warnings"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError) as error:
            raise ResultError(f"{source} does not hold what schema {SCHEMA!r} promises: {error!r}") from None


def compare(members: Sequence[Member]) -> Comparison:
    """Put measurements beside each other.

    Args:
        members: two or more; differences are from the first.

    Raises:
        ResultError: fewer than two, two of one name, a difference instead of a measurement, another unit, or no
            quantity that all of them have.
    """
    _check(members)
    rows = {m.name: _rows(m.measurement) for m in members}
    named = dict.fromkeys(row.position_set for found in rows.values() for row in found.values())
    sets = [s for s in named if s is not None and all(any(k[1] == s for k in found) for found in rows.values())]
    if not sets:
        raise ResultError(
            "the measurements have no quantity in common: measure them with the same --orders, --text-labels and "
            "--estimator"
        )
    fairness = {s: _fair(members, [_n(rows[m.name], s) for m in members], s) for s in sets}
    values = [
        {"name": m.name, **_value(row)}
        for m in members for (_, s, _), row in rows[m.name].items() if s in fairness
    ]  # fmt: skip
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
    units = {m.name: str((m.measurement.provenance.get("settings") or {}).get("unit")) for m in members}
    if len(set(units.values())) > 1:
        said = ", ".join(f"{name} in {unit}" for name, unit in units.items())
        raise ResultError(f"the measurements are in different units ({said}): measure again with one --unit")


def _rows(found: Measurement) -> dict[tuple[str, str | None, str | None], Estimate]:
    """Whole-model rows by quantity, position set and side: of the first estimator, frequency weights, own positions."""
    named = found.provenance.get("settings", {}).get("estimators") or [None]
    rows: dict[tuple[str, str | None, str | None], Estimate] = {}
    for row in found.select(layer="model"):
        if row.quantity not in QUANTITIES or row.weight not in (None, "frequency"):
            continue
        if row.quantity not in PREFERENCES and row.estimator != named[0]:  # of preferences the first row is the one
            continue
        own = row.order is None or row.position_set is None or row.position_set.endswith(str(row.order))
        if own:
            rows.setdefault((row.quantity, row.position_set, row.side), row)
    return rows


def _n(rows: Mapping[Any, Estimate], position_set: str) -> int:
    return next(row.n or 0 for (_, s, _), row in rows.items() if s == position_set)


def _kind(position_set: str) -> str:
    kind = position_set.partition(":")[0]
    return kind if kind in ("word", "char", "byte") else "P_"


def _fair(members: Sequence[Member], n: Sequence[int], position_set: str) -> tuple[bool, str]:
    """Whether figures of a set of positions compare, and why (not)."""
    records = [m.measurement.provenance for m in members]
    if len({str(p.get("windows_hash")) for p in records}) == 1:
        return True, f"the same {n[0]:,} positions of the same windows"
    if position_set in ("answers", "matched"):
        return False, "preferences are about the same question, but on the tokens of different windows"
    if _kind(position_set) == "P_":
        return False, "labels and positions are those of different windows" + (
            ": the tokenizers differ" if len({_tokenizer(p) for p in records}) > 1 else ", cut of different text"
        )
    if len({str((p.get("text") or {}).get("sha256")) for p in records}) > 1:
        return False, "the texts are not the same: measure all models on one text, cut to the same --bytes"
    if max(n) - min(n) > ALIKE * max(n):
        return False, f"the same text, but {min(n):,} to {max(n):,} positions: cut it to the same --bytes"
    if min(n) == max(n):
        return True, f"the same {n[0]:,} positions of the same text, whatever the tokenizer"
    return True, f"the same text, {min(n):,} to {max(n):,} positions (windows end at different places)"


def _tokenizer(provenance: Mapping[str, Any]) -> str:
    return str(((provenance.get("windows") or {}).get("tokenizer") or {}).get("hash"))


def _value(row: Estimate) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {
        "quantity": row.quantity, "position_set": row.position_set, "side": row.side, "unit": row.unit,
        "estimator": row.estimator, "value": row.value, "standard_error": row.standard_error, "low": low, "high": high,
        "reference_error": row.reference_error, "n": row.n, "warning": row.warning,
    }  # fmt: skip


def _difference(mine: Measurement, row: Estimate, theirs: Measurement, other: Estimate) -> dict[str, Any]:
    a, b = mine.provenance, theirs.provenance
    value = row.value - other.value
    same_documents = a.get("blocks_hash") == b.get("blocks_hash") and (a.get("text") or {}).get("sha256") == (
        (b.get("text") or {}).get("sha256")
    )
    paired = same_documents and len(row.replicates) == len(other.replicates) > 0
    if paired:
        error = error_and_interval(value, np.subtract(row.replicates, other.replicates))[0]
    elif row.standard_error is None or other.standard_error is None:
        error = None
    else:
        error = math.hypot(row.standard_error, other.standard_error)
    spread = (row.reference_error, other.reference_error)
    same_points = a.get("points_hash") == b.get("points_hash")
    known = None not in spread
    if error is not None and known:
        error = math.sqrt(error**2 + sum(r**2 for r in spread if r is not None))
    low, high = (None, None) if error is None else interval_of(value, error, max(len(row.replicates), 2))
    return {
        "quantity": row.quantity, "position_set": row.position_set, "side": row.side, "unit": row.unit,
        "difference": value, "standard_error": error, "low": low, "high": high, "paired": paired,
        "reference_error": "counted" if known else "shared points" if same_points else "unknown",
        "claimed": bool(low is not None and high is not None and (known or same_points) and (low > 0 or high < 0)),
    }  # fmt: skip


def _member(m: Member) -> dict[str, Any]:
    p = m.measurement.provenance
    model = p.get("model") or {}

    def of(quantity: str) -> float | None:
        found = m.measurement.select(quantity=quantity, layer="model")
        return found[0].value if found else None

    return {
        "name": m.name, "family": m.family, "model": str(model.get("source")), "revision": model.get("revision"),
        "parameters": m.parameters, "width": model.get("width"), "dtype": p.get("dtype"), "tokens": p.get("tokens"),
        "documents": p.get("documents"), "bits_per_byte": of("bits_per_byte"), "loss": of("loss"),
        "reference_sets": (p.get("points") or {}).get("sets"),
    }  # fmt: skip


def _warnings(members: Sequence[Member]) -> list[str]:
    said = []
    records = {m.name: m.measurement.provenance for m in members}

    def differ(what: str, of: dict[str, Any], more: str) -> None:
        if len({str(v) for v in of.values()}) > 1:
            said.append(f"{what} ({', '.join(f'{name}: {v}' for name, v in of.items())}): {more}")

    differ("different dtypes", {n: p.get("dtype") for n, p in records.items()}, "rounding differs, measure in one")
    differ(
        "different numbers of reference points", {n: (p.get("points") or {}).get("m") for n, p in records.items()},
        "the codes are not equally fine, so no figure compares",
    )  # fmt: skip
    estimators = {n: ((p.get("settings") or {}).get("estimators") or [None])[0] for n, p in records.items()}
    differ("different estimators", estimators, "their figures do not compare")
    widths = {n: (p.get("model") or {}).get("width") for n, p in records.items()}
    few = [n for n, p in records.items() if ((p.get("points") or {}).get("sets") or 1) < 5]
    if len(set(widths.values())) > 1 and few:
        said.append(
            "models of different width share no reference points, and the error of those is unknown for "
            f"{', '.join(few)}: between widths no difference is claimed; measure with --reference-sets 5 or more"
        )
    return said


_MEMBER: dict[str, Any] = {
    "name": pl.String, "family": pl.String, "model": pl.String, "revision": pl.String, "parameters": pl.Int64,
    "width": pl.Int64, "dtype": pl.String, "tokens": pl.Int64, "documents": pl.Int64, "bits_per_byte": pl.Float64,
    "loss": pl.Float64, "reference_sets": pl.Int64,
}  # fmt: skip
_VALUE: dict[str, Any] = {
    "name": pl.String, "quantity": pl.String, "position_set": pl.String, "side": pl.String, "unit": pl.String,
    "estimator": pl.String, "value": pl.Float64, "standard_error": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "reference_error": pl.Float64, "n": pl.Int64, "warning": pl.String,
}  # fmt: skip
_DIFFERENCE: dict[str, Any] = {
    "name": pl.String, "from": pl.String, "quantity": pl.String, "position_set": pl.String, "side": pl.String,
    "unit": pl.String, "difference": pl.Float64, "standard_error": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "paired": pl.Boolean, "reference_error": pl.String, "claimed": pl.Boolean,
}  # fmt: skip
