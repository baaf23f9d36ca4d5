"""Where the numbers of a measurement come from, as types: the part of its provenance that code reads.

A record of an earlier version, or a difference, may lack any of it: what is not there is None, or an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from infoplane.information import FITTED
from infoplane.storage import Hint

T = TypeVar("T")


@dataclass(frozen=True)
class ModelOrigin:
    """Which model was measured."""

    source: str | None = None
    name: str | None = None
    revision: str | None = None
    commit: str | None = None
    file_sha256: str | None = None
    adapter_sha256: str | None = None
    architecture: str | None = None
    parameters: int | None = None
    width: int | None = None
    blocks: int | None = None
    dtype: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class BytesOrigin:
    """A budget of bytes, and what was read of it."""

    budget: int | None = None
    read: int | None = None
    ended: bool | None = None


@dataclass(frozen=True)
class TextOrigin:
    """Which text was read."""

    source: str | None = None
    kind: str | None = None
    sha256: str | None = None
    bytes: BytesOrigin = field(default_factory=BytesOrigin)


@dataclass(frozen=True)
class TokenizerOrigin:
    """Whose tokens."""

    name: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class WindowsOrigin:
    """How the text was cut."""

    token_budget: int | None = None
    context: int | None = None
    seed: int | None = None
    tokenizer: TokenizerOrigin = field(default_factory=TokenizerOrigin)


@dataclass(frozen=True)
class KeptOrigin:
    """Whose fitted code a model was read with."""

    of: str | None = None


@dataclass(frozen=True)
class PointsOrigin:
    """The reference points: the code that they make, how many, in how many dimensions, whether layers share them."""

    code: str | None = None
    m: int | None = None
    d: int | None = None
    seed: int | None = None
    calibration: str | None = None
    eps: float | None = None
    sets: int | None = None
    shared: bool | None = None
    hash: str | None = None
    directions_hash: str | None = None
    capacity: float | None = None
    kept: KeptOrigin = field(default_factory=KeptOrigin)

    @property
    def draws(self) -> tuple[object, ...] | None:
        """What decides the points of a layer and a set: equal ones are the same points; None where it is not known."""
        if self.seed is None:
            return None
        return self.m, self.d, self.seed, self.calibration, self.shared


@dataclass(frozen=True)
class ProtocolOrigin:
    """The protocol of a measurement: its name and version, and which settings are other than its own."""

    name: str | None = None
    version: int | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuestionsOrigin:
    """What the capture was asked."""

    orders: tuple[int, ...] = ()
    estimators: tuple[str, ...] = ()
    corrected: str | None = None

    def spoken(self, estimator: str | None) -> str | None:
        """How an estimator is called: `corrected` the one that this record calls so, another by its id."""
        return "corrected" if estimator and estimator == self.corrected else estimator

    weights: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    text_labels: tuple[str, ...] = ()
    unit: str | None = None
    blocks: int | None = None


@dataclass(frozen=True)
class CheckpointOrigin:
    """Which checkpoint of a run it is."""

    name: str | None = None
    step: int | None = None
    training_tokens: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a measurement come from."""

    model: ModelOrigin = field(default_factory=ModelOrigin)
    dtype: str | None = None
    text: TextOrigin = field(default_factory=TextOrigin)
    windows: WindowsOrigin = field(default_factory=WindowsOrigin)
    windows_hash: str | None = None
    blocks_hash: str | None = None
    points: PointsOrigin = field(default_factory=PointsOrigin)
    points_hash: str | None = None
    other_codes: tuple[PointsOrigin, ...] = ()
    run_id: str | None = None
    tokens: int | None = None
    positions: int | None = None
    documents: int | None = None
    settings: QuestionsOrigin = field(default_factory=QuestionsOrigin)
    protocol: ProtocolOrigin = field(default_factory=ProtocolOrigin)
    checkpoint: CheckpointOrigin = field(default_factory=CheckpointOrigin)

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Origin:
        """That of a record, whose types were checked when it was read."""
        return _of(cls, provenance)

    @property
    def codes(self) -> tuple[PointsOrigin, ...]:
        """The codes, the primary one first."""
        return self.points, *self.other_codes

    def has_points_of(self, other: Origin, code: str | None = None) -> bool:
        """Whether layers of one name, in sets of one number, have the same reference points as in another one.

        Args:
            other: the other one.
            code: the kind of code; the primary one by default.
        """
        mine, theirs = self._of_kind(code), other._of_kind(code)
        if FITTED in (mine.code, theirs.code):  # which depends on the model too
            return bool(mine.directions_hash) and mine.directions_hash == theirs.directions_hash
        if mine.hash is not None and mine.hash == theirs.hash:
            return True
        return mine.draws is not None and mine.draws == theirs.draws

    def _of_kind(self, code: str | None) -> PointsOrigin:
        return next((each for each in self.codes if each.code == code), self.points)


def _of(kind: type[T], record: Mapping[str, Any]) -> T:
    hints, values = get_type_hints(kind), dict[str, Any]()
    for name in (declared.name for declared in fields(kind)):  # type: ignore[arg-type]  # all are dataclasses
        value = record.get(name)
        if value is None:
            continue
        if is_dataclass(hints[name]):
            value = _of(hints[name], value) if isinstance(value, Mapping) else None
        elif isinstance(value, list):
            of = next((each for each in get_args(hints[name]) if isinstance(each, type) and is_dataclass(each)), None)
            value = tuple(value if of is None else (_of(of, each) for each in value))
        if value is not None:
            values[name] = value
    return kind(**values)


def hints_of(kind: type) -> dict[str, Hint]:
    """What a record holds of a kind, where it holds it, as `infoplane.storage.schema` reads it."""
    hints = get_type_hints(kind)
    return {
        declared.name: hints_of(hint) if is_dataclass(hint) and isinstance(hint, type) else _without_none(hint)
        for declared in fields(kind)
        if (hint := hints[declared.name])
    }


def _without_none(hint: type) -> Hint:
    known = [each for each in get_args(hint) if each is not type(None)]
    return known[0] if type(None) in get_args(hint) else hint
