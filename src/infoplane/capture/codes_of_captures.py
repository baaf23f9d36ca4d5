"""The fitted code of a capture, to be kept for others."""

from __future__ import annotations

from pathlib import Path

from infoplane.capture.code_file import read_code
from infoplane.capture.folder import CODE, content, read_manifest
from infoplane.capture.kept_code import KeptCode
from infoplane.capture.stored_capture import Capture, open_capture
from infoplane.errors import CaptureError
from infoplane.information import FITTED
from infoplane.storage import reach_location


def code_of_capture(capture: Capture, capacity: float) -> KeptCode:
    """The fitted code of a capture on disk; of one that was read with a kept code, that one.

    Args:
        capture: of the model whose code is kept.
        capacity: that its layers hold, as a share of log m.

    Raises:
        CaptureError: no fitted code, or its file is gone; or a kept code at another capacity.
    """
    if FITTED not in capture.codes:
        raise CaptureError(
            f"{capture.folder} has no fitted code, only {', '.join(capture.codes)}: capture that model with the code "
            "fitted",
            settings=("code_of", "code"),
        )
    view = capture.of(FITTED).at(capacity)
    codes = None if view.folder is None else read_code(view.folder, view.manifest)
    if codes is None or content(codes.arrays()) != view.fitted_hash:
        raise CaptureError(
            f"{capture.folder} has lost its {CODE}, or that is damaged: capture that model again with --force",
            settings=("code_of",),
        )
    k = {layer: [view.inverse_temperature(layer, s) for s in range(view.sets)] for layer in view.layers}
    kept, model = view.record["kept"], view.manifest["model"]
    of = str(model.get("name") or model.get("source")) if kept is None else kept["of"]
    return KeptCode(codes, {"of": of, "capacity": capacity, "inverse_temperatures": k}, int(view.record["seed"] or 0))


def stored_code(folder: str | Path, capacity: float) -> KeptCode:
    """The code of the capture in a folder.

    Raises:
        CaptureError: as for `open_capture` and `code_of_capture`.
    """
    return code_of_capture(open_capture(reach_location(folder, "code_of", writes=False)), capacity)


def code_identity(folder: str | Path) -> str:
    """What vouches for the code of the capture in a folder: the hash of all that decided it.

    Raises:
        CaptureError: no capture is there.
    """
    folder = reach_location(folder, "code_of", writes=False)
    if folder.is_file():
        raise CaptureError(
            f"{folder} is a file: code_of names the folder of a capture that has a fitted code", settings=("code_of",)
        )
    if (manifest := read_manifest(folder)) is None:
        raise CaptureError(
            f"no capture at {folder}: code_of names the folder of a capture that has a fitted code; keep one with "
            "--capture",
            settings=("code_of",),
        )
    return manifest["run_id"]
