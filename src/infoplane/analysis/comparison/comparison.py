"""Several measured models beside each other, as one stored thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from infoplane.analysis.comparison.fairness import kind_of_labels
from infoplane.analysis.comparison.verdicts import Verdict
from infoplane.showing import Shown
from infoplane.storage import OBJECTS, Hint, Json, ResultFiles, check_schema

SCHEMA = "infoplane/comparison/4"
JSON_NAME, TABLE_NAME = "comparison.json", "comparison.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "comparison", "compare", sealed=False)
_RECORD: Mapping[str, Hint] = {
    "members": OBJECTS,
    "values": OBJECTS,
    "differences": OBJECTS,
    "fairness": dict[str, dict[str, bool | str]],
    "verdicts": OBJECTS,
    "apart": dict[str, str],
    "warnings": list[str],
}
_MEMBER = pl.Schema(
    {
        "name": pl.String,
        "family": pl.String,
        "model": pl.String,
        "revision": pl.String,
        "parameters": pl.Int64,
        "width": pl.Int64,
        "dtype": pl.String,
        "tokens": pl.Int64,
        "documents": pl.Int64,
        "bits_per_byte": pl.Float64,
        "loss": pl.Float64,
        "reference_sets": pl.Int64,
    }
)
_VALUE = pl.Schema(
    {
        "name": pl.String,
        "quantity": pl.String,
        "position_set": pl.String,
        "side": pl.String,
        "unit": pl.String,
        "estimator": pl.String,
        "value": pl.Float64,
        "standard_error": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "points_error": pl.Float64,
        "total_error": pl.Float64,
        "n": pl.Int64,
        "warning": pl.String,
    }
)
_DIFFERENCE = pl.Schema(
    {
        "name": pl.String,
        "from": pl.String,
        "quantity": pl.String,
        "position_set": pl.String,
        "side": pl.String,
        "unit": pl.String,
        "difference": pl.Float64,
        "standard_error": pl.Float64,
        "points_error": pl.Float64,
        "total_error": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "paired": pl.Boolean,
        "points": pl.String,
        "claimed": pl.Boolean,
    }
)


@dataclass(frozen=True)
class Comparison(Shown):
    """Several measured models, each compared with the first.

    Attributes:
        members: one row per model: its name, family, source, revision, parameters, width, dtype, tokens, documents,
            bits per byte, loss and number of reference sets.
        values: one row per model, quantity and position set: the figure of the whole model, with its errors.
        differences: one row per model except the first, quantity and position set: that model minus the first.
        fairness: for each position set, whether its figures can be compared, and why.
        verdicts: for each model except the first, whether it differs from the first, how sure that is, and in which
            layers.
        apart: the models that cannot be compared with the first at all, and why.
        warnings: what else a reader should know.
    """

    members: pl.DataFrame
    values: pl.DataFrame
    differences: pl.DataFrame
    fairness: Mapping[str, tuple[bool, str]]
    verdicts: tuple[Verdict, ...]
    apart: Mapping[str, str]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        names = ", ".join(self.names[:4]) + (", ..." if len(self.names) > 4 else "")
        return f"<Comparison of {len(self.names)} models: {names}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the compared models, in the order given."""
        return tuple(self.members["name"])

    @property
    def best_set(self) -> str:
        """The position set to look at first: one whose figures can be compared, or else the first.

        Sets of labels of the text (words, then characters, then bytes) come after all others.
        """
        fair = [name for name, (good, _) in self.fairness.items() if good]
        order = sorted(fair, key=lambda name: ("P_", "word", "char", "byte").index(kind_of_labels(name)))
        return (order or list(self.fairness))[0]

    def comparable(self, position_set: str) -> tuple[str, ...]:
        """The models whose figures on a position set can be compared, the first model included; or none."""
        of_set = self.differences.filter(pl.col("position_set") == position_set)["name"]
        alike = set(of_set.to_list())
        return tuple(name for name in self.names if name in alike or (alike and name == self.names[0]))

    def table(self) -> pl.DataFrame:
        """The values: one row per model, quantity and position set."""
        return self.values

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `comparison.parquet`, the values, then `comparison.json`, each completely or not at all.

        Args:
            folder: a folder or an address such as s3://bucket/run.

        Returns:
            The paths of the JSON file and of the Parquet file.
        """
        return FILES.write(folder, self.to_dict(), self.values)

    def to_dict(self) -> dict[str, Json]:
        """The comparison as plain JSON values."""
        return {
            "schema": SCHEMA,
            "members": self.members.to_dicts(),
            "values": self.values.to_dicts(),
            "differences": self.differences.to_dicts(),
            "fairness": {name: {"compares": good, "why": why} for name, (good, why) in self.fairness.items()},
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "apart": dict(self.apart),
            "warnings": list(self.warnings),
        }

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read a stored comparison.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (_, record):
            check_schema(record, _RECORD)
            for m in record["members"]:
                check_schema([m["name"], m["parameters"]], tuple[str, int | None], "a model")
                if m["parameters"] is not None and m["parameters"] < 1:
                    raise ValueError(f"{m['name']} has {m['parameters']} parameters")
            for row in (*record["values"], *record["differences"]):
                value = row["difference" if "difference" in row else "value"]
                cells = [row["name"], row["quantity"], row["position_set"], row["unit"], value]
                check_schema(cells, tuple[str, str, str, str, float], "a row")
                if "difference" in row:
                    check_schema([row["from"], row["points"]], tuple[str, str], "a difference")
                if (row["low"] is None) != (row["high"] is None):
                    raise ValueError(f"half an interval of {row['quantity']}")
            return cls(
                pl.DataFrame(record["members"], schema=_MEMBER),
                pl.DataFrame(record["values"], schema=_VALUE),
                pl.DataFrame(record["differences"], schema=_DIFFERENCE),
                {
                    name: (check_schema(f["compares"], bool, name), check_schema(f["why"], str, name))
                    for name, f in record["fairness"].items()
                },
                tuple(Verdict.from_dict(verdict) for verdict in record["verdicts"]),
                record["apart"],
                tuple(record["warnings"]),
            )
