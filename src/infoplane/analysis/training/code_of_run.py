"""The fitted code that all checkpoints of a run are read with.

It is that of one checkpoint, the last that there is when the trace begins: its states are what the others come to, and
a code of the first, which is often untrained, would see nothing of what is learned later. It is fitted once and kept
beside the trace, so a trace that is gone on with, also after more training, reads all checkpoints alike.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.training.trajectory import JSON_NAME as TRAJECTORY
from infoplane.capture import Fitting, KeptCode, code_of_capture, stored_code
from infoplane.engines import Held, Local, Progress, WorkSettings
from infoplane.errors import ResultError
from infoplane.information import FITTED
from infoplane.measurement import Asking, Measurement, MeasureSettings, capture_model, is_outgrown
from infoplane.models import select_names
from infoplane.storage import Json, deciding_versions, working

if TYPE_CHECKING:
    from infoplane.models import Model
    from infoplane.text import Windows

REFITTED = "refitted"
"""What the code of a checkpoint is called that is read with its own beside that of the run."""
NAME = "kept_code.safetensors"


def code_of_run(
    out: Path,
    settings: MeasureSettings,
    work: WorkSettings,
    model: Model,
    windows: Windows,
    checkpoint: str,
    progress: Progress | None,
    force: bool = False,
) -> KeptCode | None:
    """The fitted code of a checkpoint, or of the capture that settings name; None where none is asked for.

    Args:
        out: of the trace, where the code is kept.
        settings, work: of the trace.
        model, checkpoint: that the code is fitted to.
        windows: of all checkpoints.
        progress: of the trace.
        force: fit it anew, whatever is there.

    Raises:
        CaptureError, ModelError, SettingError, TextError: as for `capture_model` and `code_of_capture`.
        ResultError: a file of another kind has the place of the code.
    """
    code, capacity = settings.code, settings.questions.capacity
    if FITTED not in code.code:
        return None
    if code.code_of is not None:
        return stored_code(code.code_of, capacity)
    said: dict[str, Json] = {
        "like": {name: model.provenance[name] for name in ("architecture", "width", "blocks", "dtype")},
        "windows": windows.hash,
        "fitting": Fitting(windows.fitting, code.m, code.points_seed).hash,
        "capacity": capacity,
        "layers": [*select_names(model.facts.layers, settings.capturing.layers)],
        "versions": deciding_versions(),
    }
    if not force and (there := KeptCode.load(out / NAME, said)) is not None:
        return there
    if not force and (out / NAME).exists() and not (out / TRAJECTORY).exists():
        raise ResultError(
            f"{out / NAME} is there, and no trace: the code of the run would take its place; move it, or choose "
            "another --out"
        )
    alone = _alone(settings)
    with working(out / "capture", False) as folder, Local().group(Held(model), name="the model") as models:
        captured = capture_model(models, model.facts, windows, alone, work, folder, progress=progress)
        kept = code_of_capture(captured, capacity).named(checkpoint)
    kept.save(out / NAME, said)
    return kept


def with_own_code(
    measurement: Measurement,
    asking: Asking,
    model: Model,
    windows: Windows,
    folder: Path,
) -> Measurement:
    """A measurement by the code of the run; where that is of other states, with the rows of an own code too.

    Args:
        measurement: of the model.
        asking: how it was asked.
        model, windows: that were measured.
        folder: for a capture that is removed.

    Raises:
        CaptureError, ModelError, SettingError: as for `capture_model`.
    """
    if not is_outgrown(measurement):
        return measurement
    alone = _alone(asking.settings)
    with working(folder, False) as place, Local().group(Held(model), name="the model") as models:
        captured = capture_model(models, model.facts, windows, alone, asking.work, place, progress=asking.progress)
        own = replace(asking, settings=alone).ask(captured)
    return measurement.with_code(own, REFITTED)


def _alone(settings: MeasureSettings) -> MeasureSettings:
    """The fitted code of a model and nothing beside it."""
    usual = {"code_of": None, "shared_points": False, "calibration": "exact", "loss": False, "bound": False}
    return settings.but({"code": (FITTED,), **usual})
