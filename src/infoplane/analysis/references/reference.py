"""A reference model: what is kept of a measurement so that the model can stand beside others.

That is the rows of the whole model, without replicates, and the part of the provenance that says by which protocol, on
which text and with which tokens they were measured. It stands beside a measurement of the same protocol, text and
windows; of any other it says why not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from infoplane.errors import ResultError
from infoplane.information import FITTED
from infoplane.measurement import Estimate, Measurement, Origin, hints_of, rows_of
from infoplane.storage import OBJECT, OBJECTS, Hint, Json, check_schema

SCHEMA = "infoplane/reference/1"
KEPT = ("entropy", "ceiling", "complexity", "expressivity", "optimality", "loss", "bits_per_byte")
"""Quantities that are kept."""
_MODEL = (
    "name", "source", "revision", "commit", "file_sha256", "adapter_sha256", "architecture", "parameters", "width",
    "blocks", "dtype", "random_init", "init_seed", "config_sha256",
)  # fmt: skip
_POINTS = ("code", "m", "d", "seed", "calibration", "sets", "shared", "capacity", "kept")
_TEXT = ("source", "kind", "sha256", "bytes")
_WINDOWS = ("token_budget", "context", "seed", "tokenizer")
_WHOLE = ("dtype", "windows_hash", "tokens", "positions", "documents", "settings", "protocol", "versions")
_OWN = frozenset({"code", "capacity", "estimators", "weights"})
"""Settings of a protocol that each row states for itself: of several codes, one is compared."""
_RECORD: Mapping[str, Hint] = {"name": str, "provenance": OBJECT, "estimates": OBJECTS}


@dataclass(frozen=True)
class Reference:
    """One reference model.

    Attributes:
        name: shown; no two have the same.
        measurement: its figures of the whole model, and where they come from.
        shipped: whether it comes with the package.
    """

    name: str
    measurement: Measurement
    shipped: bool = False

    @classmethod
    def of(cls, measurement: Measurement, name: str) -> Reference:
        """What is kept of a measurement.

        Raises:
            ResultError: it does not say what was measured, on what or how; or it has no place on the plane.
        """
        origin = measurement.origin
        if measurement.provenance.get("difference"):
            raise ResultError(f"{name} is the difference of two models; a reference is the measurement of one")
        if origin.protocol.name is None or origin.text.sha256 is None:
            lacks = "protocol" if origin.protocol.name is None else "text"
            raise ResultError(f"{name} does not say by which {lacks} it was measured: measure the model again")
        rows = tuple(
            dataclasses.replace(row, replicates=(), points=None)
            for row in measurement
            if row.layer == "model" and row.quantity in KEPT
        )
        if missing := sorted({"complexity", "expressivity"} - {row.quantity for row in rows}):
            raise ResultError(f"{name} has no {missing[0]} of the whole model, so it has no place on the plane")
        orders = {row.order for row in rows if row.quantity == "complexity"}
        if absent := sorted(set(origin.settings.orders) - orders):
            raise ResultError(
                f"{name} says that it has figures of order {absent[0]}, and has none: measure the model again"
            )
        return cls(name, Measurement(rows, _kept(measurement.provenance)))

    @property
    def origin(self) -> Origin:
        """Where its figures come from."""
        return self.measurement.origin

    @property
    def untrained(self) -> bool:
        """Whether it is an untrained twin: an architecture with fresh weights."""
        return bool(self.measurement.provenance["model"].get("random_init"))

    def is_of(self, measurement: Measurement) -> bool:
        """Whether a measurement is of this model, with these weights; of an untrained one with any fresh weights."""
        mine, theirs = self.measurement.provenance["model"], measurement.provenance.get("model") or {}
        if bool(mine.get("random_init")) != bool(theirs.get("random_init")):
            return False
        keys = ("config_sha256",) if self.untrained else ("file_sha256", "adapter_sha256", "commit")
        return any(mine.get(key) for key in keys) and all(mine.get(key) == theirs.get(key) for key in keys)

    def why_apart(self, measurement: Measurement) -> str | None:
        """Why the model does not stand beside a measurement, such as `measured on another text`; None where it does."""
        mine, theirs = self.origin, measurement.origin
        if measurement.provenance.get("difference"):
            return "a difference of two models has no place on the plane"
        if theirs.protocol.name is None:
            return "this measurement does not say by which protocol it was made"
        if _protocol(mine) != _protocol(theirs):
            return f"measured by {_spoken(mine)}, and this by {_spoken(theirs)}"
        if mine.text.sha256 != theirs.text.sha256:
            return f"measured on another text, {mine.text.source or 'without a name'}"
        for what, own, other in (
            ("tokens", mine.windows.token_budget, theirs.windows.token_budget),
            ("bytes", mine.text.bytes.budget, theirs.text.bytes.budget),
            ("seed", mine.windows.seed, theirs.windows.seed),
            ("unit", mine.settings.unit, theirs.settings.unit),
            ("m", mine.points.m, theirs.points.m),
        ):
            if own != other:
                return f"measured with {what} = {own}, and this with {other}"
        return None

    def row(self, like: Estimate, origin: Origin) -> Estimate | None:
        """The figure that is of the same kind as one of another measurement, which comes from `origin`.

        Figures of a fitted code compare where each model was read with its own one, of one capacity.
        """
        if like.code == FITTED:
            codes = [next((code for code in o.codes if code.code == FITTED), None) for o in (self.origin, origin)]
            if any(code is None or code.kept.of for code in codes) or len({c.capacity for c in codes if c}) > 1:
                return None
        return next((row for row in self.measurement if row.key == like.key), None)

    # ------------------------------------------------------------------ records

    def to_dict(self) -> dict[str, Json]:
        """The record as plain JSON values."""
        record = self.measurement.to_dict()
        return {**record, "schema": SCHEMA, "name": self.name}

    @classmethod
    def from_dict(cls, record: Mapping[str, object], shipped: bool = False) -> Reference:
        """The reverse.

        Raises:
            ValueError: it is not what the schema promises.
            ResultError: it lacks what a reference needs.
        """
        content = check_schema(record, _RECORD)
        check_schema(content["provenance"], hints_of(Origin), "the provenance")
        check_schema(content["provenance"].get("model"), OBJECT, "the model")
        made = cls.of(Measurement(rows_of(content["estimates"]), content["provenance"]), content["name"])
        return dataclasses.replace(made, shipped=shipped)


def _kept(provenance: Mapping[str, object]) -> dict[str, Json]:
    def some(record: object, keys: tuple[str, ...]) -> dict[str, Json]:
        if not isinstance(record, Mapping):
            return {}
        return {key: record[key] for key in keys if record.get(key) is not None}

    others = provenance.get("other_codes")
    codes: list[Json] = [some(code, _POINTS) for code in others] if isinstance(others, list | tuple) else []
    return {
        "model": some(provenance.get("model"), _MODEL),
        "text": some(provenance.get("text"), _TEXT),
        "windows": some(provenance.get("windows"), _WINDOWS),
        "points": some(provenance.get("points"), _POINTS),
        "other_codes": codes,
        **some(provenance, _WHOLE),
    }


def _protocol(origin: Origin) -> tuple[object, ...]:
    changed = tuple(name for name in origin.protocol.changed if name not in _OWN)
    return origin.protocol.name, origin.protocol.version, changed, origin.windows.context if changed else None


def _spoken(origin: Origin) -> str:
    protocol = origin.protocol
    changed = [name for name in protocol.changed if name not in _OWN]
    but = f" with other {' and '.join(changed)}" if changed else ""
    return f"the protocol {protocol.name} {protocol.version}{but}"
