"""How many bytes a capture takes, and whether its disk has them."""

from __future__ import annotations

import shutil
from pathlib import Path

from infoplane.capture.folder import shard_path
from infoplane.capture.manifest import Manifest
from infoplane.errors import CaptureError
from infoplane.storage import is_address, spoken_size
from infoplane.text import Windows


def bytes_of(manifest: Manifest, windows: Windows) -> int:
    """Bytes of all shards: two for each layer, set, reference point and measured position."""
    points = manifest["points"]
    return 2 * len(manifest["layers"]) * points["sets"] * points["m"] * windows.n_positions


def check_space(folder: Path, manifest: Manifest, windows: Windows) -> None:
    """Refuse a capture that the disk of its folder cannot hold, before anything is written.

    Raises:
        CaptureError: it cannot, beside what is there of it already.
    """
    if is_address(folder):
        return  # a store does not tell
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    shards = (shard_path(folder, i) for i in range(len(manifest["shards"])))
    needed = bytes_of(manifest, windows) - sum(shard.stat().st_size for shard in shards if shard.is_file())
    free = shutil.disk_usage(there).free
    if needed > free:
        points = manifest["points"]
        raise CaptureError(
            f"the capture takes {spoken_size(needed)} ({len(manifest['layers'])} layers, {points['sets']} reference "
            f"sets of {points['m']} points, {windows.n_positions:,} positions), and {spoken_size(free)} are free in "
            f"{there}: name a folder on another disk, or use fewer reference_sets, layers or tokens",
            settings=("capture", "reference_sets", "layers", "tokens"),
        )
