"""Captures: the soft assignments of one model on one text, on disk, from which every later question is answered.

A capture is a folder: `manifest.json` says what it is (and its run id, the hash of everything that decides its
numbers), `windows.safetensors` holds the tokens, and each `shard-NNNNN.safetensors` the float16 assignments of some
windows, with the run id and a checksum inside. Files are written whole or not at all, the manifest first, and only
where there is none: of two runs that begin at once one has the folder. A run that was killed goes on with the shards
that are missing; several of the same run write the same arrays. Nothing is trusted because a path exists.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as st

from infoplane import files
from infoplane.capture_folder import (
    ARRAYS,
    MANIFEST,
    PROMISED,
    SCHEMA,
    WINDOWS,
    begun,
    claim,
    content,
    holds,
    is_whole,
    opened,
    read_manifest,
    shard_path,
    text_of,
    write_shard,
)
from infoplane.engine import Group, Held, Local, Piece, unseen
from infoplane.errors import CaptureError, ModelError
from infoplane.shapes import checked
from infoplane.storage import forget, local, place
from infoplane.windows import Windows

if TYPE_CHECKING:
    from infoplane.forward import BatchSize
    from infoplane.layers import Layer
    from infoplane.models import Facts, Model
    from infoplane.points import ReferencePoints

SHARD_TOKENS = 8192
Progress = Callable[[str, int, int], object]
"""Called with a stage, what is done and what there is to do."""


@dataclass(frozen=True, eq=False)
class Capture:
    """A finished capture, on disk (its shards were checked when it was opened) or, if small, in memory."""

    folder: Path | None
    manifest: Mapping[str, Any]
    windows: Windows
    held: Mapping[str, npt.NDArray[Any]] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the model."""
        return tuple(self.manifest["layers"])

    @property
    def sets(self) -> int:
        """Number of reference sets."""
        return len(self.manifest["points"])

    @property
    def m(self) -> int:
        """Number of reference points of a set."""
        return int(self.manifest["points"][0]["m"])

    @property
    def run_id(self) -> str:
        """Hash of everything that decides the numbers."""
        return str(self.manifest["run_id"])

    def read(self, layer: str, reference_set: int = 0, columns: slice = slice(None)) -> npt.NDArray[np.float16]:
        """(N, m) assignments of one layer, or some columns of them."""
        if self.held is not None:
            return self.held[f"{layer}/{reference_set}"][:, columns]
        assert self.folder is not None
        out = np.empty((self.windows.n_positions, len(range(self.m)[columns])), np.float16)
        rows = self.windows.row_starts
        for i, (first, last) in enumerate(self.manifest["shards"]):
            with opened(self.folder, i, self.run_id) as shard:
                out[rows[first] : rows[last]] = shard.get_tensor(f"{layer}/{reference_set}")[:, columns]
        return out

    def loss(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
        """(W,) summed loss in nats and (W,) tokens of each window; None if it was not asked for."""
        if not self.manifest["loss"]:
            return None
        if self.held is not None:
            return self.held["loss_sum"], self.held["loss_count"]
        assert self.folder is not None
        parts = []
        for i in range(len(self.manifest["shards"])):
            with opened(self.folder, i, self.run_id) as shard:
                parts.append((shard.get_tensor("loss_sum"), shard.get_tensor("loss_count")))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def plan_shards(windows: Windows, size: int = SHARD_TOKENS) -> list[tuple[int, int]]:
    """Consecutive windows (first, last + 1) of about `size` tokens each; the plan depends on the windows alone."""
    plan, first = [], 0
    while first < len(windows):
        end = windows.starts[first] + size
        last = max(first + 1, int(np.searchsorted(windows.starts, end, side="right")) - 1)
        plan.append((first, last))
        first = last
    return plan


def write_capture(
    folder: str | Path,
    model: Model,
    windows: Windows,
    points: Sequence[ReferencePoints],
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
            models, folder, model.facts, windows, points, [layer.name for layer in layers], loss=loss, force=force,
            shard_tokens=shard_tokens, max_batch_tokens=max_batch_tokens, progress=progress,
        )  # fmt: skip


def capture_with(
    models: Group[Model],
    folder: str | Path,
    facts: Facts,
    windows: Windows,
    points: Sequence[ReferencePoints],
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
        CaptureError: the folder holds another run, or something else; or a worker does not see it.
        ModelError: a state is NaN, or the text has tokens that the model has not; or a worker has another model;
            or memory runs out with one window.
        SettingError: a batch of no tokens.
    """
    from infoplane.forward import MAX_BATCH_TOKENS, BatchSize

    batch = BatchSize(MAX_BATCH_TOKENS if max_batch_tokens is None else max_batch_tokens)
    folder = place(folder)
    facts.check_tokens(windows)
    manifest = _manifest_of(facts, windows, points, layers, loss, shard_tokens) | {"batch_tokens": batch.asked}
    manifest["shards"] = begun(folder, manifest["run_id"]) or manifest["shards"]
    claim(folder, manifest, force)
    arrays = {name: np.ascontiguousarray(getattr(windows, name)) for name in ARRAYS} | text_of(windows)
    if not holds(folder / WINDOWS, arrays):
        files.write_bytes(folder / WINDOWS, st.save(arrays))
    done, total, missing = 0, int(windows.starts[-1]), []

    def advance(tokens: int) -> None:
        nonlocal done
        done += tokens
        if progress is not None:
            progress("capturing", done, total)

    shards = manifest["shards"]
    for i, (first, last) in enumerate(shards):
        size = int(windows.starts[last] - windows.starts[first])
        if is_whole(folder, i, manifest, windows):
            advance(size)
        else:
            missing.append(Piece(f"shard {i} of {len(shards)}", i, size))
    writing = _Writing(folder.absolute(), manifest, windows, tuple(points), batch.asked)
    for i, tokens in models.each(writing, missing, advance):
        batch.tokens = min(batch.tokens, tokens)
        forget(shard_path(folder, i))  # of what was there before, where a worker wrote it
        if not shard_path(folder, i).exists():
            raise CaptureError(unseen(folder))
    return Capture(folder, _with_batches(folder, manifest, batch), windows)


def _with_batches(folder: Path, manifest: dict[str, Any], size: BatchSize) -> dict[str, Any]:
    """The manifest, with what must be said of the batches of all shards, those of an earlier start included."""
    there = read_manifest(folder) or manifest
    said = list(dict.fromkeys([*there.get("warnings", ()), *manifest["warnings"]]))
    before = there.get("batch_tokens", size.asked)
    if before != size.asked:
        said.append(f"captured in batches of {before} tokens, then of {size.asked}: last bits of states may be others")
    if size.warning is not None:
        said.append(size.warning)
    told = {**manifest, "batch_tokens": before, "warnings": list(dict.fromkeys(said))}
    if told["warnings"] != there.get("warnings"):
        files.write_record(folder / MANIFEST, told)
    return told


@dataclass(frozen=True, eq=False)
class _Writing:
    """The work of capturing: a piece is the number of a shard; its result the tokens a batch had in the end."""

    folder: Path
    manifest: Mapping[str, Any]
    windows: Windows
    points: tuple[ReferencePoints, ...]
    batch_tokens: int

    def open(self, model: Model) -> Callable[[int, Callable[[int], object]], int]:
        from infoplane.forward import BatchSize, assign_windows
        from infoplane.layers import named_layers, select_layers

        self._check(model)
        layers = select_layers(named_layers(model.backbone), tuple(self.manifest["layers"]))

        batch = BatchSize(self.batch_tokens)  # once it is halved it stays so, for this worker

        def write(number: int, advance: Callable[[int], object]) -> int:
            first, last = self.manifest["shards"][number]
            arrays = assign_windows(
                model, self.windows, self.points, layers=layers, first=first, last=last, loss=self.manifest["loss"],
                max_batch_tokens=batch, progress=advance,
            )  # fmt: skip
            write_shard(self.folder, number, self.manifest, arrays)
            return batch.tokens

        return write

    def _check(self, model: Model) -> None:
        """Whether this worker sees the folder, and would compute what the manifest says."""
        if (read_manifest(self.folder) or {}).get("run_id") != self.manifest["run_id"]:
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
    points: Sequence[ReferencePoints],
    layers: Sequence[Layer],
    *,
    loss: bool = False,
) -> Capture:
    """Capture into memory: for few tokens, measured at once.

    Raises:
        ModelError: a state is NaN, or the text has tokens that the model has not.
    """
    from infoplane.forward import BatchSize, assign_windows

    model.check_tokens(windows)
    size, to = BatchSize(), len(windows)
    held = assign_windows(
        model, windows, points, layers=layers, first=0, last=to, loss=loss, max_batch_tokens=size
    )  # fmt: skip
    names = [layer.name for layer in layers]
    manifest = _manifest_of(model.facts, windows, points, names, loss, SHARD_TOKENS) | {"batch_tokens": size.asked}
    manifest["warnings"] += [size.warning] if size.warning else []
    return Capture(None, manifest, windows, held)


def open_capture(folder: str | Path) -> Capture:
    """Open a capture, every shard checked against its checksum.

    Raises:
        CaptureError: not a capture, of an unknown schema, unfinished, or damaged.
    """
    folder = place(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise CaptureError(f"no capture at {folder}: expected a folder with {MANIFEST}; make one with --capture")
    try:
        checked(manifest, PROMISED, "manifest")
        arrays = st.load_file(local(folder / WINDOWS, fresh=True))
        windows = Windows(
            **{name: arrays[name] for name in ARRAYS},
            documents=tuple(manifest["documents"]),
            provenance=manifest["windows"],
            text=arrays.get("text"),
            ends=arrays.get("ends"),
        )
        shards = len(manifest["shards"])
        edges = [edge for shard in manifest["shards"] for edge in shard]
        if edges[1:-1:2] != edges[2::2] or edges[:1] + edges[-1:] != [0, len(windows)] or not manifest["points"]:
            raise ValueError("its shards are not all of its windows")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError(f"capture {folder} is damaged: {error!s:.300}; capture again with --force") from None
    if windows.hash != manifest["windows_hash"] or content(text_of(windows)) != manifest.get("text", content({})):
        raise CaptureError(f"capture {folder} is damaged: its windows do not fit its manifest; capture again")
    for i in range(shards):
        if not shard_path(folder, i).exists():
            raise CaptureError(
                f"capture {folder} is not finished: shard {i} of {shards} is missing; name the model to finish it"
            )
        if not is_whole(folder, i, manifest, windows):
            raise CaptureError(
                f"capture {folder}: {shard_path(folder, i).name} is damaged (checksum); name the model again to redo it"
            )
    return Capture(folder, manifest, windows)


def _manifest_of(
    model: Facts, windows: Windows, points: Sequence[ReferencePoints], layers: Sequence[str], loss: bool, size: int
) -> dict[str, Any]:
    decides = {
        "schema": SCHEMA,
        # a place is not what decides numbers, where a hash vouches for what lay there
        "model": {k: v for k, v in model.provenance.items() if k not in _places(model.provenance)},
        "windows_hash": windows.hash,
        "points": [p.hash for p in points],
        "layers": list(layers),
        "loss": loss,
        "versions": versions("torch", "transformers"),
    }
    return {
        "schema": SCHEMA,
        "run_id": files.hash_of(decides),
        "model": dict(model.provenance),
        "windows": dict(windows.provenance),
        "windows_hash": windows.hash,
        "documents": list(windows.documents),
        "text": content(text_of(windows)),
        "layers": decides["layers"],
        "points": [
            {"seed": p.seed, "m": p.m, "d": p.d, "calibration": p.calibration, "eps": p.eps, "hash": p.hash}
            for p in points
        ],
        "loss": loss,
        "warnings": list(model.warnings),
        "shards": [list(s) for s in plan_shards(windows, size)],
        "versions": versions("infoplane", "torch", "transformers", "numpy") | {"python": sys.version.split()[0]},
    }


def _places(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    vouched = any(provenance.get(k) for k in ("file_sha256", "weights_sha256", "commit"))
    return ("source", "name", "revision") if vouched else ()


def versions(*names: str) -> dict[str, str | None]:
    """Installed versions, None where a package is not there."""
    return {name: _version(name) for name in names}


@cache  # a monitor asks at every probe, and each answer is read from a file
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
