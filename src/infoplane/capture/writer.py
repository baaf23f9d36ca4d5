"""Capturing: a model run over windows, its soft assignments written as a capture.

The manifest is written first, and only where there is none: of two runs that begin at once one has the folder. Each
shard is written whole or not at all. A run that was killed goes on with the shards that are missing; several of the
same run write the same arrays. The run id is the hash of everything that decides the numbers.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from safetensors import numpy as st

from infoplane.capture.code_file import made_codes
from infoplane.capture.disk_space import check_space
from infoplane.capture.fitting import Fitting, fit_codes
from infoplane.capture.folder import (
    ARRAYS,
    MANIFEST,
    WINDOWS,
    begun,
    claim,
    content,
    holds,
    is_whole,
    read_manifest,
    shard_path,
    text_arrays,
    write_shard,
)
from infoplane.capture.kept_code import KeptCode
from infoplane.capture.manifest import Manifest
from infoplane.capture.new_manifest import SHARD_TOKENS, manifest_of
from infoplane.capture.stored_capture import Capture
from infoplane.engines import Group, Held, Local, Piece, Processes, Progress, advancing, unseen
from infoplane.errors import CaptureError, ModelError
from infoplane.information import FittedCodes, PointSets, ReferencePoints, as_codes
from infoplane.storage import atomic_files as files
from infoplane.storage import forget_copies, is_address, to_path, versions
from infoplane.text import Windows

if TYPE_CHECKING:
    from infoplane.capture.batch_sizes import BatchSize
    from infoplane.models import Facts, Layer, Model


Codes: TypeAlias = (
    "PointSets | Fitting | KeptCode | Sequence[PointSets | Fitting | KeptCode] | Sequence[ReferencePoints]"
)
"""A code or several, the primary one first; or sets of reference points, which are one."""


def _listed(points: Codes) -> list[PointSets | Fitting | KeptCode]:
    return cast("list[PointSets | Fitting | KeptCode]", as_codes(points))  # a type variable is of one class


def write_capture(
    folder: str | Path,
    model: Model,
    windows: Windows,
    points: Codes,
    layers: Sequence[Layer],
    *,
    loss: bool = False,
    force: bool = False,
    shard_tokens: int = SHARD_TOKENS,
    max_batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> Capture:
    """Capture what is missing of this run in `folder`, and open it.

    Shards of the same run that are whole are kept. Another run in the same place is refused, unless `force`.

    Raises:
        CaptureError: the folder holds another run, or something else.
        ModelError: a state is NaN, memory runs out with one window, or the text has tokens that the model has not.
        SettingError: a batch of no tokens.
    """
    with Local().group(Held(model), name="the model") as models:
        return capture_with(
            models,
            folder,
            model.facts,
            windows,
            points,
            [layer.name for layer in layers],
            loss=loss,
            force=force,
            shard_tokens=shard_tokens,
            max_batch_tokens=max_batch_tokens,
            progress=progress,
        )


def capture_with(
    models: Group[Model],
    folder: str | Path,
    facts: Facts,
    windows: Windows,
    points: Codes,
    layers: Sequence[str],
    *,
    loss: bool = False,
    force: bool = False,
    shard_tokens: int = SHARD_TOKENS,
    max_batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> Capture:
    """The same with workers that hold the model, each of which writes whole shards; `facts` are of that model.

    Raises:
        CaptureError: the folder holds another run, or something else; its disk is too small; or a worker does not see
            it.
        ModelError: a state is NaN, or the text has tokens that the model has not; or a worker has another model;
            or memory runs out with one window.
        SettingError: a batch of no tokens.
    """
    from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, BatchSize

    batch = BatchSize(MAX_BATCH_TOKENS if max_batch_tokens is None else max_batch_tokens)
    folder = to_path(folder)
    codes = _listed(points)
    facts.check_tokens(windows)
    loss, notes = facts.check_loss(loss)
    manifest = manifest_of(facts, windows, codes, layers, loss, shard_tokens, batch.asked)
    manifest["warnings"] += notes
    manifest["shards"] = begun(folder, manifest["run_id"]) or manifest["shards"]
    check_space(folder, manifest, windows)
    claim(folder, manifest, force)
    arrays = {name: np.ascontiguousarray(getattr(windows, name)) for name in ARRAYS} | text_arrays(windows)
    if not holds(folder / WINDOWS, arrays):
        files.write_bytes(folder / WINDOWS, st.save(arrays))
    advance, missing = advancing(progress, "capturing", int(windows.starts[-1])), []
    shards = manifest["shards"]
    made, code = made_codes(models, folder, manifest, windows, codes, progress)
    for i, (first, last) in enumerate(shards):
        size = int(windows.starts[last] - windows.starts[first])
        if is_whole(folder, i, manifest, windows, code):
            advance(size)
        else:
            missing.append(Piece(f"shard {i} of {len(shards)}", i, size))
    writing = _Writing(folder.absolute(), manifest, windows, made, code, batch.asked)
    for i, tokens in models.each(writing, missing, advance):
        if tokens < batch.tokens:  # said at once: a run that is killed later has shards of both kinds
            before, batch.tokens = batch.warning, tokens
            manifest = _with_batches(folder, manifest, batch, before)
        forget_copies(shard_path(folder, i))  # of what was there before, where a worker wrote it
        if not _appears(shard_path(folder, i)):
            raise CaptureError(
                f"a worker wrote {shard_path(folder, i).name}, and it is not seen in {folder} here: name a folder on "
                "storage that all nodes share"
            )
    return Capture(folder, _with_batches(folder, manifest, batch), windows, fitted_hash=code)


_PATIENCE = 60  # seconds for which a shared folder may go on saying what it was asked before


def _appears(path: Path) -> bool:
    """Whether a file is there, or comes to be seen: a network's file system remembers that it was not."""
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            return False
        if not is_address(path):
            list(path.parent.iterdir())  # asks the server anew
        time.sleep(0.5)
    return True


def _with_batches(folder: Path, manifest: Manifest, size: BatchSize, instead: str | None = None) -> Manifest:
    """The manifest, with what must be said of the batches of all shards, those of an earlier start included.

    Args:
        instead: what was said of this start before.
    """
    there = read_manifest(folder) or manifest
    warnings = [
        warning for warning in dict.fromkeys([*there.get("warnings", ()), *manifest["warnings"]]) if warning != instead
    ]
    before = there.get("batch_tokens", size.asked)
    if before != size.asked:
        warnings.append(
            f"captured in batches of {before} tokens, then of {size.asked}: last bits of states may be others"
        )
    if size.warning is not None:
        warnings.append(size.warning)
    changed: Manifest = {**manifest, "batch_tokens": before, "warnings": list(dict.fromkeys(warnings))}
    if changed["warnings"] != there.get("warnings"):
        files.write_record(folder / MANIFEST, changed)
    return changed


@dataclass(frozen=True, eq=False)
class _Writing:
    """The work of capturing: a piece is the number of a shard; its result the tokens a batch had in the end."""

    folder: Path
    manifest: Manifest
    windows: Windows
    codes: list[PointSets | FittedCodes]
    code: str
    batch_tokens: int

    def open(self, model: Model) -> Callable[[int, Callable[[int], object]], int]:
        from infoplane.capture.batch_sizes import BatchSize
        from infoplane.capture.forward_pass import assign_windows
        from infoplane.models import select_layers

        self._check(model)
        layers = select_layers(model.layers, tuple(self.manifest["layers"]))

        batch = BatchSize(self.batch_tokens)  # once it is halved it stays so, for this worker

        def write(number: int, advance: Callable[[int], object]) -> int:
            first, last = self.manifest["shards"][number]
            arrays = assign_windows(
                model,
                self.windows,
                self.codes,
                layers=layers,
                first=first,
                last=last,
                loss=self.manifest["loss"],
                max_batch_tokens=batch,
                progress=advance,
            )
            write_shard(self.folder, number, self.manifest, arrays, self.code)
            return batch.tokens

        return write

    def _check(self, model: Model) -> None:
        """Whether this worker sees the folder, and would compute what the manifest says."""
        if (seen := read_manifest(self.folder)) is None or seen.get("run_id") != self.manifest["run_id"]:
            raise CaptureError(unseen(self.folder))
        here = {**model.provenance, **versions("infoplane", "torch", "transformers")}
        want = {
            **self.manifest["model"],
            **{k: self.manifest["versions"][k] for k in ("infoplane", "torch", "transformers")},
        }
        differs = [f"{k}: {here.get(k)!r}, not {want.get(k)!r}" for k in {**want, **here} if here.get(k) != want.get(k)]
        if differs:
            raise ModelError(
                f"a worker on {platform.node()} has another model than this run began with ({'; '.join(differs)}): all "
                "nodes need the same weights, packages and kind of processor; name --dtype and --device if those differ"
            )


def hold_capture(
    model: Model,
    windows: Windows,
    points: Codes,
    layers: Sequence[Layer],
    *,
    loss: bool = False,
    processes: Processes | None = None,
    shares: bool = False,
) -> Capture | None:
    """Capture into memory: for few tokens, measured at once.

    Args:
        model, windows, points, layers, loss: as for `write_capture`.
        processes: those that run the model together; each of them calls this, and the first gets the capture.
        shares: each of them runs windows of its own.

    Returns:
        The capture; None on a process that is not the first.

    Raises:
        ModelError: a state is NaN, or the text has tokens that the model has not.
        EngineError: that was so on another process, or one is missing.
    """
    from infoplane.capture.batch_sizes import BatchSize
    from infoplane.capture.forward_pass import assign_windows
    from infoplane.capture.in_step import assign_together

    model.check_tokens(windows)
    loss, notes = model.facts.check_loss(loss)
    size, to = BatchSize(), len(windows)
    codes = _listed(points)
    if processes is None:
        made = [_made(code, model, layers) for code in codes]
        held = assign_windows(model, windows, made, layers=layers, first=0, last=to, loss=loss, max_batch_tokens=size)
    else:
        with processes.together():
            made = [_made(code, model, layers) for code in codes]
        if any(isinstance(code, Fitting) for code in codes):
            made = processes.of_first(made)  # those of other hardware may differ in their last bits
        found = assign_together(model, windows, made, layers, loss, processes, shares)
        if found is None:
            return None
        held = found
    names = [layer.name for layer in layers]
    manifest = manifest_of(model.facts, windows, codes, names, loss, SHARD_TOKENS, size.asked)
    manifest["warnings"] += [*notes, *([size.warning] if size.warning else [])]
    fitted = next((code for code in made if isinstance(code, FittedCodes)), None)
    return Capture(None, manifest, windows, held, fitted_hash="" if fitted is None else content(fitted.arrays()))


def _made(code: PointSets | Fitting | KeptCode, model: Model, layers: Sequence[Layer]) -> PointSets | FittedCodes:
    if isinstance(code, Fitting):
        return fit_codes(model, code, layers)
    return code.codes if isinstance(code, KeptCode) else code
