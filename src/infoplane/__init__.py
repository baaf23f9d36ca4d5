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
    from infoplane.analysis.scores.score_files import read_scores as read_scores
    from infoplane.analysis.scores.score_table import Scores as Scores
    from infoplane.analysis.training.monitoring import Monitor as Monitor
    from infoplane.analysis.training.tracing import trace as trace
    from infoplane.analysis.training.trainer_callback import watch as watch
    from infoplane.analysis.training.trajectory import Trajectory as Trajectory
    from infoplane.capture.stored_capture import open_capture as open_capture
    from infoplane.engines.ray_engine import RayEngine as RayEngine
    from infoplane.errors import InfoplaneError as InfoplaneError
    from infoplane.information.reference_points import ReferencePoints as ReferencePoints
    from infoplane.information.soft_assignment import soft_assign as soft_assign
    from infoplane.information.soft_assignment import soft_entropy as soft_entropy
    from infoplane.information.vmf_temperature import temperature as temperature
    from infoplane.measurement.asking import measure_capture as measure_capture
    from infoplane.measurement.estimate import Estimate as Estimate
    from infoplane.measurement.measuring import measure as measure
    from infoplane.measurement.results import Measurement as Measurement
    from infoplane.models.loading import load_model as load_model
    from infoplane.report.measurement.writing import write_report as write_report
    from infoplane.text.documents import read_text as read_text
    from infoplane.text.pairs.preference_pairs import read_pairs as read_pairs

__version__ = "0.1.0"

_PLACE = {
    "Estimate": "measurement.results",
    "InfoplaneError": "errors",
    "Measurement": "measurement.results",
    "RayEngine": "engines.ray_engine",
    "ReferencePoints": "information.reference_points",
    "load_model": "models.loading",
    "measure": "measurement.measuring",
    "measure_capture": "measurement.asking",
    "open_capture": "capture.stored_capture",
    "read_pairs": "text.pairs.preference_pairs",
    "read_text": "text.documents",
    "soft_assign": "information.soft_assignment",
    "soft_entropy": "information.soft_assignment",
    "temperature": "information.vmf_temperature",
    "write_report": "report.measurement.writing",
    "Monitor": "analysis.training.monitoring",
    "Trajectory": "analysis.training.trajectory",
    "trace": "analysis.training.tracing",
    "watch": "analysis.training.trainer_callback",
    "Scores": "analysis.scores.score_table",
    "read_scores": "analysis.scores.score_files",
}
__all__ = ["__version__", *sorted(_PLACE)]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACE})


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"module 'infoplane' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"infoplane.{_PLACE[name]}"), name)
    globals()[name] = value
    return value
