"""Numbers, ids and keys that no change of the house may move: those of committed captures and a committed model.

What is compared was written by `python tests/promises/golden/work.py`, before any module was moved. A change that is
meant to move them writes `tests/promises/golden/*.json` anew, and says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import GOLDEN

TOLERANCE = {"bound": 1e-3}
"""Where not 1e-9: frontiers are fitted in float32, and kernels of processors differ by up to 3e-5 in these."""


def differences(there: Any, here: Any, tolerance: float, where: str = "") -> list[str]:
    """Where two values differ, by the names and numbers on the way."""
    if isinstance(there, dict) and isinstance(here, dict) and there.keys() == here.keys():
        return [one for k in there for one in differences(there[k], here[k], tolerance, f"{where}/{k}")]
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = enumerate(zip(there, here, strict=True))
        return [one for i, (a, b) in pairs for one in differences(a, b, tolerance, f"{where}/{i}")]
    if isinstance(there, float) and isinstance(here, int | float):
        return [] if abs(there - here) <= tolerance * max(1.0, abs(there)) else [f"{where}: {there!r}, now {here!r}"]
    return [] if there == here else [f"{where}: {there!r}, now {here!r}"]


@pytest.mark.parametrize("what", ["numbers", "ids"])
def test_what_was_measured_before_is_measured_now(what: str, tmp_path: Path) -> None:
    if what == "ids":
        pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, GOLDEN / "work.py", what, tmp_path], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    there, here = json.loads((GOLDEN / f"{what}.json").read_text()), json.loads(done.stdout.splitlines()[-1])
    assert there.keys() == here.keys()
    for name in there:
        assert differences(there[name], here[name], TOLERANCE.get(name, 1e-9), name) == []


def test_a_difference_is_seen() -> None:
    there = {"a": [1.0, 2.0], "b": "x"}
    assert differences(there, {"a": [1.0 + 1e-10, 2.0], "b": "x"}, 1e-9) == []
    assert differences(there, {"a": [1.0 + 2e-9, 2.0], "b": "y"}, 1e-9) == [
        "/a/0: 1.0, now 1.000000002",
        "/b: 'x', now 'y'",
    ]
    assert differences(there, {"a": [1.0], "b": "x"}, 1e-9) and differences(there, {"b": "x"}, 1e-9)
