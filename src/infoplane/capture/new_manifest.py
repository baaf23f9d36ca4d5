"""The manifest of a run that is captured: its shards, and the hash of everything that decides its numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from infoplane.capture.fitting import Fitting
from infoplane.capture.folder import SCHEMA, content, text_arrays
from infoplane.capture.kept_code import KeptCode
from infoplane.capture.manifest import CodeRecord, Manifest
from infoplane.information import FITTED, RANDOM, PointSets
from infoplane.storage import Json, versions
from infoplane.storage import atomic_files as files
from infoplane.text import Windows

if TYPE_CHECKING:
    from infoplane.models import Facts


SHARD_TOKENS = 8192


def plan_shards(windows: Windows, size: int = SHARD_TOKENS) -> list[tuple[int, int]]:
    """Consecutive windows (first, last + 1) of about `size` tokens each; the plan depends on the windows alone."""
    plan, first = [], 0
    while first < len(windows):
        end = windows.starts[first] + size
        last = max(first + 1, int(np.searchsorted(windows.starts, end, side="right")) - 1)
        plan.append((first, last))
        first = last
    return plan


def manifest_of(
    model: Facts,
    windows: Windows,
    codes: Sequence[PointSets | Fitting | KeptCode],
    layers: Sequence[str],
    loss: bool,
    shard_tokens: int,
    batch_tokens: int,
) -> Manifest:
    """The manifest of a run.

    Args:
        model, windows, codes, layers, loss: what decides its numbers.
        shard_tokens, batch_tokens: sizes of shards and batches.
    """
    named, records = list(layers), [_code_record(code, layers, model.width) for code in codes]
    decides = {
        "schema": SCHEMA,
        # where a model was found does not decide its numbers, if a hash says which one it is
        "model": {k: v for k, v in model.provenance.items() if k not in _location_keys(model.provenance)},
        "windows_hash": windows.hash,
        "codes": [record["hash"] for record in records],
        "layers": named,
        "loss": loss,
        "versions": versions("torch", "transformers"),
    }
    return {
        "schema": SCHEMA,
        "run_id": files.hash_of(decides),
        "model": dict(model.provenance),
        "windows": dict(windows.provenance),
        "windows_hash": windows.hash,
        "documents": list(windows.documents),
        "text": content(text_arrays(windows)),
        "layers": named,
        "codes": records,
        "loss": loss,
        "warnings": list(model.warnings),
        "shards": [list(s) for s in plan_shards(windows, shard_tokens)],
        "versions": versions("infoplane", "torch", "transformers", "numpy") | {"python": sys.version.split()[0]},
        "batch_tokens": batch_tokens,
    }


def _code_record(points: PointSets | Fitting | KeptCode, layers: Sequence[str], width: int) -> CodeRecord:
    if not isinstance(points, PointSets):
        kept = points.record if isinstance(points, KeptCode) else None
        return {
            "code": FITTED,
            "seed": points.seed,
            "m": points.m,
            "d": width,
            "calibration": "capacity" if kept is None else "kept",
            "eps": None,
            "sets": points.sets,
            "shared": False,
            "hash": points.hash,
            "kept": kept,
        }
    return {
        "code": "given" if points.given and points.seed is None else RANDOM,
        "seed": points.seed,
        "m": points.m,
        "d": points.d,
        "calibration": points.calibration,
        "eps": points.eps,
        "sets": points.sets,
        "shared": points.shared,
        "hash": points.hash(layers),
        "kept": None,
    }


def _location_keys(provenance: Mapping[str, Json]) -> tuple[str, ...]:
    """Keys that only say where a model was found, where a hash says which it is."""
    vouched = any(provenance.get(k) for k in ("file_sha256", "weights_sha256", "commit"))
    return ("source", "name", "revision") if vouched else ()
