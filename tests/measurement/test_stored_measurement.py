"""What a measurement holds, and what is refused when it is read."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from report_factory import minimal_measurement

from infoplane.errors import ResultError
from infoplane.measurement.results import Measurement


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_by_name(value: float) -> None:
    found = minimal_measurement()
    rows = [dataclasses.replace(found.estimates[0], value=value), *found.estimates[1:]]
    named = f"the {rows[0].quantity} of {rows[0].layer} is {value}"
    with pytest.raises(ResultError, match=named):
        Measurement(tuple(rows), found.provenance)


@pytest.mark.parametrize(
    "bound",
    [1, {}, [1], [[]], [{}], [{"order": 1}], [{"order": 1, "target": 1, "positions": "all", "seen": 1.0, "m": "x"}]],
)
def test_a_bound_that_a_page_cannot_draw_is_refused_when_it_is_read(tmp_path: Path, bound: Any) -> None:
    minimal_measurement().save(tmp_path)
    path = tmp_path / "measurement.json"
    record = json.loads(path.read_text("utf-8"))
    record["provenance"]["bound"] = bound
    del record["sha256"]
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(ResultError, match="does not hold what schema"):
        Measurement.load(tmp_path)
