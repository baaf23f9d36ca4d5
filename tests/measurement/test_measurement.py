"""The record of a measurement: it comes back as it was written, and refuses what it cannot trust."""

import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.errors import ResultError
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.uncertainty.document_jackknife import interval_of, standard_error_of


def _measurement(shift: float = 0.0, **provenance: str) -> Measurement:
    rng = np.random.default_rng(0)
    rows = []
    for order in (1, 2):
        replicates = 0.3 + shift + rng.normal(size=32) / 100
        value, error = 0.3 + shift, standard_error_of(replicates)
        for estimator in ("null-curve", "plugin"):
            rows.append(
                Estimate(
                    "complexity",
                    "model",
                    value,
                    "efficiency",
                    side="input",
                    order=order,
                    weight="frequency",
                    estimator=estimator,
                    standard_error=error,
                    interval=interval_of(value, error, 31),
                    n=1000,
                    position_set=f"P_{order}",
                    repeated_mass=0.5,
                    control_permuted=0.001,
                    replicates=tuple(replicates.tolist()),
                )
            )
    rows.append(Estimate("ceiling", "block.0", 0.4, "efficiency", position_set="P_1"))
    base = {"windows_hash": "w", "blocks_hash": "b", "points_hash": "p", "dtype": "float32"}
    return Measurement(tuple(rows), {**base, **provenance})


def test_a_measurement_comes_back_as_it_was_written(tmp_path: Path) -> None:
    measurement = _measurement()
    measurement.save(tmp_path)
    assert Measurement.load(tmp_path) == measurement
    assert Measurement.load(tmp_path / "measurement.json") == measurement
    (tmp_path / "measurement.parquet").unlink()  # the JSON alone is a full record, less the replicates
    assert Measurement.load(tmp_path).to_dict() == measurement.to_dict()


def test_rows_are_found_by_what_they_measure() -> None:
    measurement = _measurement()
    assert measurement.get("complexity", order=2).estimator == "null-curve"
    assert measurement.get("complexity", order=1, estimator="plugin").order == 1
    assert measurement.layers == ("block.0",)
    with pytest.raises(ResultError, match=r"2 rows fit .* name more fields"):
        measurement.get("complexity", estimator="plugin")
    with pytest.raises(ResultError, match="unknown field 'oder'"):
        measurement.select(oder=1)


def test_the_table_is_tidy() -> None:
    table = _measurement().table()
    assert table.height == 5
    assert table["interval_low"][0] < 0.3 < table["interval_high"][0]
    assert table["interval_low"][4] is None


def test_differences_are_paired_block_by_block() -> None:
    a, b = _measurement(shift=0.1), _measurement()
    difference = a.minus(b).get("complexity", order=1)
    assert difference.value == pytest.approx(0.1)
    # The same documents shift by the same amount: no error is left, though each value has one.
    assert difference.standard_error == pytest.approx(0, abs=1e-12)
    assert a.get("complexity", order=1).standard_error > 0.01


def test_differences_need_the_same_text_and_warn_of_the_rest() -> None:
    with pytest.raises(ResultError, match="paired differences need the same text: windows_hash"):
        _measurement().minus(_measurement(windows_hash="other"))
    warnings = _measurement().minus(_measurement(dtype="bfloat16", points_hash="q")).provenance["warnings"]
    assert "float32 and bfloat16" in warnings[0]
    assert "no significance can be claimed" in warnings[1]


def test_what_is_not_a_measurement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no measurement at"):
        Measurement.load(tmp_path)
    path = tmp_path / "measurement.json"
    path.write_text("{")
    with pytest.raises(ResultError, match="not a readable measurement"):
        Measurement.load(path)
    path.write_text(json.dumps({"schema": "infoplane/measurement/99"}))
    with pytest.raises(ResultError, match="this version reads 'infoplane/measurement/5'"):
        Measurement.load(path)
    _measurement().save(tmp_path)
    (tmp_path / "measurement.parquet").write_bytes(b"not parquet")
    with pytest.raises(ResultError, match=r"measurement\.parquet cannot be read"):
        Measurement.load(tmp_path)


def test_a_value_that_is_no_number_is_never_written() -> None:
    with pytest.raises(ResultError, match="the ceiling of model is nan"):
        Measurement((Estimate("ceiling", "model", float("nan"), "efficiency"),), {})
