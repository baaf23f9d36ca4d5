"""What the manifest of a capture holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class PointsRecord(TypedDict):
    """The reference points: of each set m in d dimensions, their temperature, and the hash of all.

    `code` is the kind of code that they make: `random` directions, `fitted` or `given` ones. `shared` says whether all
    layers have the same. A fitted code has no temperature yet, and its hash is that of what it is fitted on.
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


class Manifest(TypedDict):
    """The manifest of a capture; keys are those of `manifest.json`.

    `shards` are the windows (first, last + 1) of each shard; `text` is the hash of the text of the windows, `run_id`
    that of everything that decides the numbers, and `batch_tokens` the tokens of a batch, as asked at first.
    """

    schema: str
    run_id: str
    model: Mapping[str, Any]
    windows: Mapping[str, Any]
    windows_hash: str
    documents: list[str]
    text: str
    layers: list[str]
    points: PointsRecord
    loss: bool
    warnings: list[str]
    shards: list[list[int]]
    versions: Mapping[str, str | None]
    batch_tokens: int
