"""Measurement: tidy rows and where they come from.

A value never travels alone: with it go its unit, sample size, standard error, interval, controls,
estimator, order, position set, layer, side and the errors of text and reference points. A measurement is frozen; it is
written whole as `measurement.json` (rows and provenance) and `measurement.parquet` (the rows again,
with what paired differences need: the jackknife replicates, and the part of each set of reference points).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import polars as pl

from infoplane.errors import ResultError
from infoplane.measurement.estimate import Estimate, EstimateFields, RowFields, with_layers_borrowing
from infoplane.measurement.origin import Origin, hints_of
from infoplane.measurement.protocols import refuse_other_protocols
from infoplane.measurement.row_differences import difference_of, difference_warnings
from infoplane.measurement.row_table import Kept, read_table, table_of
from infoplane.showing import Shown
from infoplane.storage import OBJECT, OBJECTS, Hint, Json, ResultFiles, check_schema, fields_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

SCHEMA = "infoplane/measurement/5"
JSON_NAME = "measurement.json"
TABLE_NAME = "measurement.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "measurement", "measure")


@dataclass(frozen=True)
class Measurement(Shown):
    """The figures of one model on one text, with their errors and provenance.

    Attributes:
        estimates: the rows, in a stable order.
        provenance: model, text, reference points, settings, versions and times, as JSON values.

    Raises:
        ResultError: a value is not a finite number.
    """

    estimates: tuple[Estimate, ...]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        wrong = next((row for row in self.estimates if not math.isfinite(row.value)), None)
        if wrong is not None:
            raise ResultError(
                f"the {wrong.quantity} of {wrong.layer} is {wrong.value}: a measurement holds finite numbers alone"
            )

    def __repr__(self) -> str:
        origin = self.origin
        name = (
            origin.model.source or origin.model.name or ("a difference" if self.provenance.get("difference") else "?")
        )
        return (
            f"<Measurement of {name}: {len(self.estimates)} rows, {len(self.layers)} layers, {origin.tokens or 0:,} "
            f"tokens of {origin.documents or 0:,} documents>"
        )

    @property
    def origin(self) -> Origin:
        """Where the numbers come from: the provenance as typed fields."""
        return Origin.of(self.provenance)

    def __len__(self) -> int:
        return len(self.estimates)

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self.estimates)

    def select(self, **fields: Unpack[EstimateFields]) -> tuple[Estimate, ...]:
        """Select the rows with given values of their fields, as in `select(quantity="complexity", layer="model")`.

        `estimator="corrected"` selects the estimator that goes by that name in this measurement. If `code` is not
        given, rows of codes other than the primary one, the first recorded, are left out.

        Raises:
            ResultError: an unknown field.
        """
        known = {f.name for f in dataclasses.fields(Estimate)}
        if unknown := sorted(set(fields) - known):
            raise ResultError(f"unknown field {unknown[0]!r}; a row has: {', '.join(sorted(known))}")
        if fields.get("estimator") == "corrected":
            fields["estimator"] = self.origin.settings.corrected
        rows = self.estimates
        if "code" not in fields:
            primary = self.codes[0]
            rows = tuple(row for row in rows if row.code in (None, primary))
        return tuple(row for row in rows if all(getattr(row, name) == want for name, want in fields.items()))

    @property
    def codes(self) -> tuple[str | None, ...]:
        """The kinds of code that the rows are of, the primary one first."""
        return tuple(dict.fromkeys(row.code for row in self.estimates if row.code)) or (None,)

    def by_code(self) -> tuple[Measurement, ...]:
        """A measurement for each code, the primary one first; only it has the rows without a code (the loss)."""
        primary, *others = (self.of_code(code) for code in self.codes)
        return primary, *(
            dataclasses.replace(each, estimates=tuple(row for row in each if row.code is not None)) for each in others
        )

    def with_code(self, other: Measurement, code: str) -> Measurement:
        """Add the rows of another measurement of the same model and text, as those of a further kind of code.

        Args:
            other: a measurement with a single code.
            code: the name for that code here.
        """
        rows = tuple(dataclasses.replace(row, code=code) for row in other if row.code is not None)
        records = [*(self.provenance.get("other_codes") or ()), {**other.provenance["points"], "code": code}]
        warnings = [*self.provenance["warnings"], *other.provenance["warnings"]]
        more = {"other_codes": records, "warnings": list(dict.fromkeys(warnings))}
        return Measurement((*self.estimates, *rows), {**self.provenance, **more})

    def of_code(self, code: str | None) -> Measurement:
        """The rows of one kind of code and those that depend on none, with the provenance of that code only.

        Raises:
            ResultError: there are no rows of that code.
        """
        if self.codes == (code,):
            return self
        if code not in self.codes:
            raise ResultError(f"no rows of the code {code!r}: there are {', '.join(map(str, self.codes))}")
        rows = tuple(row for row in self.estimates if row.code in (None, code))
        records = [self.provenance.get("points") or {}, *(self.provenance.get("other_codes") or ())]
        points = next((each for each in records if each.get("code") == code), records[0])
        more = {"points": points, "points_hash": points.get("hash"), "other_codes": []}
        return Measurement(rows, {**self.provenance, **more})

    def get(self, quantity: str, layer: str = "model", **fields: Unpack[RowFields]) -> Estimate:
        """Get the one row with given values of its fields.

        By default the estimator and the code are the first recorded, the position set is that of the order, `P_<order>`
        (`P_1` without one), and the weight is `frequency`.

        Raises:
            ResultError: no row fits, or more than one; or an unknown field.
        """
        rows = self.select(quantity=quantity, layer=layer, **fields)
        if "estimator" not in fields and rows:
            rows = tuple(row for row in rows if row.estimator == rows[0].estimator)
        if "position_set" not in fields:
            own = tuple(r for r in rows if r.position_set == f"P_{r.order or 1}")
            rows = own or rows
        if "weight" not in fields and len(rows) > 1:
            rows = tuple(r for r in rows if r.weight in (None, "frequency")) or rows
        if len(rows) != 1:
            raise ResultError(
                f"{len(rows)} rows fit quantity={quantity!r}, layer={layer!r}, {fields}; expected one: "
                + (
                    self._hint(quantity, layer, fields)
                    or "name more fields (side, order, position_set, estimator, weight)"
                )
            )
        return rows[0]

    def _hint(self, quantity: str, layer: str, fields: RowFields) -> str:
        """What is there in place of a value that no row has; nothing where each value alone is had by some row."""
        for name, value in {"quantity": quantity, "layer": layer, **fields}.items():
            every = dict.fromkeys(getattr(row, name) for row in self.estimates)
            if value not in every:
                there = [known for known in every if known is not None]
                near = difflib.get_close_matches(str(value), list(map(str, there)), n=1)
                shown = f"did you mean {near[0]!r}? " if near else ""
                return f"{shown}there is {name} {', '.join(map(repr, there[:12]))}{', ...' if len(there) > 12 else ''}"
        return ""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the model, without `model`."""
        return tuple(dict.fromkeys(row.layer for row in self.estimates if row.layer != "model"))

    # ------------------------------------------------------------------ tables

    def table(self) -> pl.DataFrame:
        """The rows as a tidy polars table, one row per estimate, with `interval` as two columns."""
        return table_of(self.estimates)

    # ------------------------------------------------------------------ differences

    def minus(self, other: Measurement) -> Measurement:
        """Subtract another measurement of the same text: differences row by row, with paired errors.

        The documents are the same, so replicates are subtracted block by block; where layers have the same reference
        points, their contributions are subtracted set by set. This makes the error of a difference much smaller than
        the errors of the two values suggest. Rows that the other measurement lacks are left out.

        Raises:
            ResultError: the two differ in windows, blocks, protocol or code, or have no row in common.
        """
        refuse_other_protocols({"the one": self, "the other": other})
        for what in ("windows_hash", "blocks_hash"):
            mine, theirs = self.provenance.get(what), other.provenance.get(what)
            if mine is None or mine != theirs:
                raise ResultError(
                    f"paired differences need the same text: {what} is {mine} here and {theirs} there; "
                    "measure both models with the same --text, --tokens, --context, --seed and tokenizer"
                )
        theirs_by_key = {row.key: row for row in other.estimates}
        mine, theirs = self.origin, other.origin
        rows = []
        for row in self.estimates:
            match = theirs_by_key.get(row.key)
            if match is None:
                continue
            rows.append(difference_of(row, match, mine.has_points_of(theirs, row.code)))
        if not rows:
            raise ResultError("the two measurements have no row in common: other orders or estimators")
        provenance = {
            "difference": True,
            "same_reference_points": mine.has_points_of(theirs),
            "windows_hash": self.provenance["windows_hash"],
            "blocks_hash": self.provenance["blocks_hash"],
            "minuend": dict(self.provenance),
            "subtrahend": dict(other.provenance),
            "warnings": difference_warnings(self, other),
        }
        return Measurement(tuple(with_layers_borrowing(rows)), provenance)

    # ------------------------------------------------------------------ files

    def to_dict(self) -> dict[str, Json]:
        """`schema`, `provenance` and `estimates` (without `replicates` and `points`) as plain JSON values."""
        rows = []
        for row in self.estimates:
            record = {f.name: getattr(row, f.name) for f in dataclasses.fields(Estimate)}
            del record["replicates"], record["points"]  # they live in the table
            record["interval"] = list(row.interval) if row.interval else None
            rows.append(record)
        return {"schema": SCHEMA, "provenance": dict(self.provenance), "estimates": rows}

    def to_json(self, indent: int | None = 1) -> str:
        """`to_dict()` as JSON text; NaN and infinity raise a ValueError."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `measurement.parquet`, the table, then `measurement.json`, each completely or not at all.

        Args:
            folder: a folder or an address such as s3://bucket/run.

        Returns:
            The paths of the JSON file and of the Parquet file.
        """
        return FILES.write(folder, self.to_dict(), self.table())

    @classmethod
    def load(cls, path: str | Path) -> Measurement:
        """Read a stored measurement.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (source, record):
            check_schema(record, _RECORD)
            kept = read_table(source.parent / TABLE_NAME, len(record["estimates"]))
            for summary in record["provenance"].get("bound") or ():
                needed = [summary.get(name) for name in ("order", "target", "positions", "seen", "m")]
                check_schema(needed, tuple[int, int, str, float, int], "the order, target, ... of a frontier")
            return cls(rows_of(record["estimates"], kept), record["provenance"])


class _Frontier(TypedDict):
    """What pages draw of a frontier."""

    hull: list[tuple[float, float]]
    saturation: tuple[float, float]
    seen: float
    m: int


def rows_of(records: Sequence[object], kept: Sequence[Kept] | None = None) -> tuple[Estimate, ...]:
    """Rows of their records, with their replicates and the parts of their reference points where these are given.

    Raises:
        ValueError: a record is not what the schema promises.
    """
    hints, rows = fields_of(Estimate, "replicates", "points"), []
    beside = [((), None)] * len(records) if kept is None else kept
    for record, (replicates, points) in zip(records, beside, strict=True):
        fields = check_schema(record, hints, "a row")
        interval = tuple(fields["interval"]) if fields["interval"] else None
        row = Estimate(**{**fields, "interval": interval}, replicates=replicates, points=points)
        check_schema([row.quantity, row.layer, row.value, row.unit], tuple[str, str, float, str], "a row")
        rows.append(row)
    return tuple(rows)


_RECORD: Mapping[str, Hint] = {
    "estimates": OBJECTS,
    "provenance": {
        **hints_of(Origin),
        "versions": dict[str, str | None],
        "wall_time": dict[str, float],
        "warnings": list[str],
        "bound": list[_Frontier],
        "until_se": OBJECT,
        "survey": OBJECT,
        "asked": OBJECT,
    },
}
"""What a record holds, where it holds it: readers trust these types."""
