"""A measurement of the rows of each code of a capture: with where they come from, and what must be known of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from infoplane.information import ESTIMATORS
from infoplane.measurement.estimate_rows import Record
from infoplane.measurement.loss_rows import loss_rows
from infoplane.measurement.reading_warnings import few_documents, of_the_text, outgrown
from infoplane.measurement.results import Measurement
from infoplane.storage import Json, versions
from infoplane.storage import atomic_files as files


def measurement_of(records: Sequence[Record], started: float) -> Measurement:
    """The measurement of a capture.

    Args:
        records: one of each of its codes, the primary one first.
        started: when asking began, by the monotonic clock.
    """
    rows = [row for record in records for row in record.rows()]
    primary = records[0]
    losses, more = loss_rows(primary.capture, primary.blocks)
    windows = primary.capture.windows
    warnings = few_documents(windows, primary.documents) if primary.blocks is None else []
    warnings += [*(w for record in records for w in record.warnings), *more, *of_the_text(windows)]
    return Measurement((*rows, *losses), _provenance(primary, records[1:], warnings, time.monotonic() - started))


def is_outgrown(measurement: Measurement) -> bool:
    """Whether a kept code of a measurement is of other states than those of some layer (`outgrown`)."""
    kept = next((code for code in measurement.origin.codes if code.kept.of is not None), None)
    if kept is None or kept.capacity is None or kept.m is None:
        return False
    rows = [row for row in measurement if row.code == kept.code]
    return bool(outgrown(rows, kept.capacity, kept.m))


def code_of(record: Record) -> dict[str, Json]:
    """The code that a capture was read with, for the provenance; where it was fitted, how sharp it is in each layer."""
    capture = record.capture
    code = dict[str, Json](capture.record.items())  # type: ignore[arg-type]  # JSON, as it was read
    if not capture.fitted:
        return code
    k = record.answers.temperatures
    by_layer: dict[str, Json] = {layer: [k[layer, s] for s in range(capture.sets)] for layer in capture.layers}
    kept = capture.record["kept"]
    of: dict[str, Json] = {} if kept is None else {"kept": {"of": kept["of"]}}
    told: dict[str, Json] = {"capacity": capture.capacity, "inverse_temperatures": by_layer, **of}
    return {**code, **told, "directions_hash": capture.fitted_hash}


def _provenance(record: Record, others: Sequence[Record], warnings: Sequence[str], seconds: float) -> dict[str, Json]:
    manifest, w = record.capture.manifest, record.capture.windows
    blocks = record.blocks if record.blocks is not None else np.zeros(0, np.int32)
    return {
        "model": manifest["model"],
        "dtype": manifest["model"].get("dtype"),
        "text": w.provenance.get("text"),
        "windows": {k: v for k, v in w.provenance.items() if k != "text"},
        "windows_hash": manifest["windows_hash"],
        "blocks_hash": files.hash_of([record.documents, blocks.tolist()]),
        "points": code_of(record),
        "other_codes": [code_of(other) for other in others],
        "points_hash": record.capture.record["hash"],
        "run_id": manifest["run_id"],
        "batch_tokens": manifest.get("batch_tokens"),
        "tokens": int(np.count_nonzero(w.is_text)),
        "positions": w.n_positions,
        "documents": record.documents,
        "settings": {
            "orders": list(record.questions.orders),
            "estimators": list(record.estimators),
            "corrected": ESTIMATORS["corrected"],
            "weights": list(record.weights),
            "labels": sorted(q.side.removeprefix("label:") for q in record.questions.of_columns),
            "text_labels": list(record.questions.of_texts),
            "unit": record.unit,
            "blocks": int(blocks.max()) + 1 if len(blocks) else 0,
        },
        "versions": {**manifest["versions"], **versions("scipy", "polars")},
        "wall_time": {"measuring_s": round(seconds, 2)},
        # captures of before they kept the model's have none
        "warnings": list(dict.fromkeys([*manifest.get("warnings", ()), *warnings])),
    }
