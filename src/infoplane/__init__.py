"""Measure how a language model has compressed its training data.

    >>> import infoplane
    >>> found = infoplane.measure("smollm2-135m", "c4-sample")  # doctest: +SKIP
    >>> found.get("expressivity", order=1)  # doctest: +SKIP

Public names are loaded when they are first used, so that reading a stored result needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infoplane.asking import measure_capture as measure_capture
    from infoplane.assign import soft_assign as soft_assign
    from infoplane.assign import soft_entropy as soft_entropy
    from infoplane.calibration import temperature as temperature
    from infoplane.callback import watch as watch
    from infoplane.capture import open_capture as open_capture
    from infoplane.errors import InfoplaneError as InfoplaneError
    from infoplane.loading import load_model as load_model
    from infoplane.measurement import Estimate as Estimate
    from infoplane.measurement import Measurement as Measurement
    from infoplane.monitor import Monitor as Monitor
    from infoplane.pairs import read_pairs as read_pairs
    from infoplane.points import ReferencePoints as ReferencePoints
    from infoplane.ray_engine import RayEngine as RayEngine
    from infoplane.report import write_report as write_report
    from infoplane.run import measure as measure
    from infoplane.score_files import read_scores as read_scores
    from infoplane.scores import Scores as Scores
    from infoplane.text import read_text as read_text
    from infoplane.tracing import trace as trace
    from infoplane.trajectory import Trajectory as Trajectory

__version__ = "0.1.0"

_PLACE = {
    "Estimate": "measurement", "InfoplaneError": "errors", "Measurement": "measurement", "RayEngine": "ray_engine",
    "ReferencePoints": "points", "load_model": "loading", "measure": "run", "measure_capture": "asking",
    "open_capture": "capture", "read_pairs": "pairs", "read_text": "text", "soft_assign": "assign",
    "soft_entropy": "assign", "temperature": "calibration",
    "write_report": "report", "Monitor": "monitor", "Trajectory": "trajectory", "trace": "tracing", "watch": "callback",
    "Scores": "scores", "read_scores": "score_files",
}  # fmt: skip
__all__ = ["__version__", *sorted(_PLACE)]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACE})


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"module 'infoplane' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"infoplane.{_PLACE[name]}"), name)
    globals()[name] = value
    return value
