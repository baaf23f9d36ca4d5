"""The fitted codes of a run in the folder of its capture: made once, kept, and told apart from those of another fit.

Shards say which code they are of by its hash, so that none of another one is ever read with them: the same documents
and weights may give another code on another processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from infoplane.capture.fitting import Fitting, FittingWork
from infoplane.capture.folder import CODE, content, is_ours, is_whole, read_whole, shard_path, still_ours
from infoplane.capture.kept_code import KeptCode
from infoplane.capture.manifest import Manifest
from infoplane.engines import Group, Progress
from infoplane.errors import CaptureError
from infoplane.information import FITTED, FittedCodes, PointSets
from infoplane.storage import is_address, local_copy, refuse_device, write_arrays
from infoplane.text import Windows

if TYPE_CHECKING:
    from infoplane.models import Model


def made_codes(
    models: Group[Model],
    folder: Path,
    manifest: Manifest,
    windows: Windows,
    codes: Sequence[PointSets | Fitting | KeptCode],
    progress: Progress | None,
) -> tuple[list[PointSets | FittedCodes], str]:
    """The codes, fitted where they are to be, and the hash of what was fitted: shards of another one are made anew.

    A capture that is finished keeps the code that its shards are of, even if that is gone from the folder.
    """
    drawn = [code for code in codes if isinstance(code, PointSets)]
    given = next((code for code in codes if not isinstance(code, PointSets)), None)
    if given is None:
        return [*drawn], ""
    fitted = read_code(folder, manifest)
    if fitted is None and isinstance(given, KeptCode):
        fitted = given.codes
        write_code(folder, manifest, fitted)
    if fitted is None:
        numbers = range(len(manifest["shards"]))
        code = code_of_shard(folder, 0)
        if code and all(is_whole(folder, i, manifest, windows, code) for i in numbers):
            return [*drawn], code  # nothing is left to be done
        assert isinstance(given, Fitting)
        fitted = _fitted(models, folder, manifest, given, progress)
    return [code if isinstance(code, PointSets) else fitted for code in codes], content(fitted.arrays())


def _fitted(
    models: Group[Model], folder: Path, manifest: Manifest, fitting: Fitting, progress: Progress | None
) -> FittedCodes:
    """The codes of a run, fitted by one of the workers, and written; those of a run that was faster stay."""
    if progress is not None:
        progress("fitting", 0, 1)
    codes = models.ask(FittingWork(fitting, tuple(manifest["layers"])), "the code")
    if (there := read_code(folder, manifest)) is not None:
        codes = there
    else:
        write_code(folder, manifest, codes)
    if progress is not None:
        progress("fitting", 1, 1)
    return codes


def write_code(folder: Path, manifest: Manifest, codes: FittedCodes) -> None:
    """Write the fitted codes of a run, whole or not at all.

    Raises:
        CaptureError: the folder is another run's meanwhile.
    """
    arrays = codes.arrays()
    still_ours(folder, manifest)
    write_arrays(folder / CODE, arrays, {"run_id": manifest["run_id"], "content_sha256": content(arrays)})


def read_code(folder: Path, manifest: Manifest) -> FittedCodes | None:
    """The fitted codes of a run, if they are there, whole.

    Raises:
        CaptureError: a file of that name is of no capture.
        OSError: the storage does not answer.
    """
    if not is_address(folder) and (folder / CODE).exists():
        refuse_device(folder / CODE)
        if not is_ours(folder / CODE):
            raise CaptureError(f"{folder / CODE} is of no capture: move it, or choose another folder")
    if (found := read_whole(folder / CODE)) is None or found[0].get("run_id") != manifest["run_id"]:
        return None
    sets = next(code["sets"] for code in manifest["codes"] if code["code"] == FITTED)
    try:
        return FittedCodes.from_arrays(found[1], manifest["layers"], sets)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def code_of_shard(folder: Path, number: int) -> str | None:
    """The hash of the fitted code that a shard is of; None where it cannot be read."""
    try:
        with safe_open(local_copy(shard_path(folder, number)), framework="np") as shard:
            return str((shard.metadata() or {}).get("code", ""))
    except Exception:  # a damaged header can name a dtype that numpy has not
        return None
