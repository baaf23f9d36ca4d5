"""What the manifest of a capture holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from infoplane.information import FITTED


class KeptRecord(TypedDict):
    """Whose fitted code it is, what share of log m it held there, and at which inverse temperatures, one a fit."""

    of: str
    capacity: float
    inverse_temperatures: Mapping[str, list[float]]


class CodeRecord(TypedDict):
    """A code: of each set m reference points in d dimensions, their temperature, and the hash of all.

    `code` is its kind: `random` directions, `fitted` or `given` ones. `shared` says whether all layers have the same. A
    fitted code has no temperature yet, and its hash is that of what it is fitted on; `kept` is there where it is that
    of another model.
    """

    code: str
    seed: int | None
    m: int
    d: int
    calibration: str
    eps: float | None
    sets: int
    shared: bool
    hash: str
    kept: KeptRecord | None


class Manifest(TypedDict):
    """The manifest of a capture; keys are those of `manifest.json`.

    `codes` are what states were read with, the primary one first; `shards` the windows (first, last + 1) of each shard;
    `text` is the hash of the text of the windows, `run_id` that of everything that decides the numbers, and
    `batch_tokens` the tokens of a batch, as asked at first.
    """

    schema: str
    run_id: str
    model: Mapping[str, Any]
    windows: Mapping[str, Any]
    windows_hash: str
    documents: list[str]
    text: str
    layers: list[str]
    codes: list[CodeRecord]
    loss: bool
    warnings: list[str]
    shards: list[list[int]]
    versions: Mapping[str, str | None]
    batch_tokens: int


def array_name(layer: str, code: str, number: int) -> str:
    """What the array of a layer, a kind of code and a set is called in a shard."""
    return f"{layer}/{FITTED}/{number}" if code == FITTED else f"{layer}/{number}"
