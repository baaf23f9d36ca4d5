"""Captures: the soft assignments of one model on one text, on disk, from which every later question is answered.

A capture is a folder (`infoplane.capture.folder`), written by `infoplane.capture.writer`. Nothing is trusted because a
path exists: every shard is checked against its checksum when the capture is opened. Of a fitted code cosines are kept,
and assignments are made of them as they are read, at the temperature at which the code holds the capacity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as st

from infoplane.capture.code_file import code_of_shard
from infoplane.capture.folder import (
    ARRAYS,
    MANIFEST,
    WINDOWS,
    content,
    is_whole,
    opened,
    read_manifest,
    shard_path,
    text_arrays,
)
from infoplane.capture.manifest import CodeRecord, Manifest, array_name
from infoplane.errors import CaptureError
from infoplane.information import CAPACITY, FITTED, MANY
from infoplane.storage import check_schema, is_address, local_copy, to_path
from infoplane.text import Windows


@dataclass(frozen=True, eq=False)
class Capture:
    """The stored soft assignments of one model on one text, on disk or, if they are small, in memory.

    The checksums of shards on disk are verified when the capture is opened.

    Attributes:
        folder: where it is stored; None if it is in memory.
        manifest: the content of `manifest.json`.
        windows: the windows that the model read.
        held: its arrays by name, if it is in memory.
        code: the kind of code that is read; None for the primary one.
        capacity: what a fitted code holds, as a share of log m.
        fitted_hash: hash of the directions of the fitted code; empty without one.
    """

    folder: Path | None
    manifest: Manifest
    windows: Windows
    held: Mapping[str, npt.NDArray[np.generic]] | None = None
    code: str | None = None
    capacity: float = CAPACITY
    fitted_hash: str = ""
    _temperatures: dict[tuple[str, int, float], float] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {self.folder}"
        return (
            f"<Capture {where}: {len(self.layers)} layers, {self.sets} x {self.m} reference points, "
            f"{self.windows.n_positions:,} positions>"
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the model."""
        return tuple(self.manifest["layers"])

    @property
    def codes(self) -> tuple[str, ...]:
        """The kinds of code in the capture, the primary one first."""
        return tuple(record["code"] for record in self.manifest["codes"])

    def of(self, code: str) -> Capture:
        """The same capture, read with another of its `codes`.

        Raises:
            CaptureError: it has no such code.
        """
        if code not in self.codes:
            raise CaptureError(f"the capture has no code {code!r}; it has {', '.join(self.codes)}", settings=("code",))
        return replace(self, code=code)

    def at(self, capacity: float) -> Capture:
        """The same capture, with a fitted code that holds another capacity, a share of log m.

        Raises:
            CaptureError: the fitted code was taken from another capture, where it holds a different capacity.
        """
        kept = next((record["kept"] for record in self.manifest["codes"] if record["kept"] is not None), None)
        if kept is not None and kept["capacity"] != capacity:
            raise CaptureError(
                f"the capture is read with the code of {kept['of']} where that holds {kept['capacity']}, and "
                f"{capacity} is asked for: ask for capacity {kept['capacity']}, or capture again with code_of",
                settings=("capacity", "code_of"),
            )
        return replace(self, capacity=capacity)

    @property
    def record(self) -> CodeRecord:
        """The entry of the manifest about the code that is read."""
        codes = self.manifest["codes"]
        return codes[0] if self.code is None else next(each for each in codes if each["code"] == self.code)

    @property
    def sets(self) -> int:
        """Number of sets of reference points per layer."""
        return int(self.record["sets"])

    @property
    def shared_points(self) -> bool:
        """Whether all layers share their reference points."""
        return bool(self.record["shared"])

    def draw(self, layer: str) -> str:
        """The name of a layer's draw of reference points; empty if all layers share one."""
        return "" if self.shared_points else layer

    @property
    def m(self) -> int:
        """Number of reference points in a set."""
        return int(self.record["m"])

    @property
    def fitted(self) -> bool:
        """Whether the code that is read was fitted."""
        return self.record["code"] == FITTED

    @property
    def run_id(self) -> str:
        """Hash of everything that decides the numbers."""
        return str(self.manifest["run_id"])

    def read(self, layer: str, reference_set: int = 0, columns: slice = slice(None)) -> npt.NDArray[np.float16]:
        """Read the assignments of one layer.

        Args:
            layer: name of the layer.
            reference_set: number of the set of reference points, from 0.
            columns: which of the m reference points; all by default.

        Returns:
            (N, m) float16, one row per measured position; fewer columns if `columns` selects some.
        """
        if self.held is not None and not self.fitted:
            kept = self.held[array_name(layer, self.record["code"], reference_set)]
            return kept[:, columns].astype(np.float16, copy=False)
        from infoplane.information import assigned  # compiled, and reading results needs none of it

        k = self.inverse_temperature(layer, reference_set) if self.fitted else None
        out = np.empty((self.windows.n_positions, len(range(self.m)[columns])), np.float16)
        for rows, part in self._parts(layer, reference_set):
            out[rows] = part[:, columns] if k is None else assigned(part.astype(np.int16, copy=False), k, columns)
        return out

    def inverse_temperature(self, layer: str, reference_set: int = 0) -> float:
        """The inverse temperature at which the fitted code of a layer holds the capacity.

        1e6 (`SHARPEST`) if it never does. A code taken from another capture keeps the inverse temperature that it has
        there.
        """
        from infoplane.information import inverse_temperature

        if (kept := self.record["kept"]) is not None:
            return kept["inverse_temperatures"][layer][reference_set]
        key = layer, reference_set, self.capacity
        if key not in self._temperatures:
            step = -(-self.windows.n_positions // MANY)
            some = [part[-rows.start % step :: step] for rows, part in self._parts(layer, reference_set)]
            cosines = np.concatenate(some).astype(np.int16, copy=False)
            self._temperatures[key] = inverse_temperature(cosines, self.capacity * math.log(self.m))
        return self._temperatures[key]

    def _parts(self, layer: str, reference_set: int) -> Iterator[tuple[slice, npt.NDArray[np.generic]]]:
        """What is kept of a layer, shard by shard, with the rows that it is of."""
        name = array_name(layer, self.record["code"], reference_set)
        if self.held is not None:
            yield slice(0, self.windows.n_positions), self.held[name]
            return
        assert self.folder is not None
        rows = self.windows.row_starts
        for i, (first, last) in enumerate(self.manifest["shards"]):
            with opened(self.folder, i, self.run_id) as shard:
                yield slice(int(rows[first]), int(rows[last])), shard.get_tensor(name)

    def loss(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
        """The next-token loss of each window.

        Returns:
            (W,) the summed loss in nats, and (W,) the number of predicted tokens; None if the loss was not captured.
        """
        if not self.manifest["loss"]:
            return None
        if self.held is not None:
            return self.held["loss_sum"].astype(float, copy=False), self.held["loss_count"].astype(np.int64, copy=False)
        assert self.folder is not None
        parts = []
        for i in range(len(self.manifest["shards"])):
            with opened(self.folder, i, self.run_id) as shard:
                parts.append(
                    (shard.get_tensor("loss_sum").astype(float), shard.get_tensor("loss_count").astype(np.int64))
                )
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def open_capture(folder: str | Path) -> Capture:
    """Open a capture and verify the checksum of every shard.

    Args:
        folder: a folder or an address such as s3://bucket/x.

    Raises:
        CaptureError: no capture is there, or it is unfinished, damaged or of an unknown schema.
    """
    folder = to_path(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise CaptureError(f"no capture at {folder}: expected a folder with {MANIFEST}; make one with --capture")
    if is_address(folder) and not (folder / WINDOWS).exists():
        raise CaptureError(f"capture {folder} is damaged: {WINDOWS} is missing; capture again with --force")
    here = local_copy(folder / WINDOWS, fresh=True)
    try:
        check_schema(manifest, Manifest, "manifest")
        check_schema(manifest["shards"], list[tuple[int, int]], "manifest.shards")
        arrays = st.load_file(here)
        windows = Windows(
            **{name: arrays[name] for name in ARRAYS},  # type: ignore[arg-type]  # of the other fields none is here
            documents=tuple(manifest["documents"]),
            provenance=manifest["windows"],
            text=arrays.get("text"),
            ends=arrays.get("ends"),
        )
        shards = len(manifest["shards"])
        edges = [edge for shard in manifest["shards"] for edge in shard]
        if edges[1:-1:2] != edges[2::2] or edges[:1] + edges[-1:] != [0, len(windows)]:
            raise ValueError("its shards are not all of its windows")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError(f"capture {folder} is damaged: {error!s:.300}; capture again with --force") from None
    if windows.hash != manifest["windows_hash"] or content(text_arrays(windows)) != manifest.get("text", content({})):
        raise CaptureError(f"capture {folder} is damaged: its windows do not fit its manifest; capture again")
    fitted = any(each["code"] == FITTED for each in manifest["codes"])
    code = code_of_shard(folder, 0) if fitted else None
    for i in range(shards):
        if not shard_path(folder, i).exists():
            raise CaptureError(
                f"capture {folder} is not finished: shard {i} of {shards} is missing; name the model to finish it"
            )
        if not is_whole(folder, i, manifest, windows, code):
            raise CaptureError(
                f"capture {folder}: {shard_path(folder, i).name} is damaged (checksum); name the model again to redo it"
            )
    return Capture(folder, manifest, windows, fitted_hash=code or "")
