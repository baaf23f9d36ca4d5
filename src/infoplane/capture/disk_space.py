"""How many bytes a capture takes, and whether its disk has them."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path

from infoplane.capture.folder import shard_path
from infoplane.capture.manifest import Manifest
from infoplane.errors import CaptureError
from infoplane.storage import is_address, spoken_size
from infoplane.text import Windows

_LOG = logging.getLogger("infoplane")


def bytes_of(manifest: Manifest, windows: Windows) -> int:
    """Bytes of all shards: two for each layer, set, reference point and measured position."""
    of_position = sum(code["sets"] * code["m"] for code in manifest["codes"])
    return 2 * len(manifest["layers"]) * of_position * windows.n_positions


def check_space(folder: Path, manifest: Manifest, windows: Windows) -> None:
    """Log how much disk a capture still needs; refuse one that its disk cannot hold.

    Raises:
        CaptureError: there is less room; nothing was written.
    """
    shards = [] if is_address(folder) else [shard_path(folder, i) for i in range(len(manifest["shards"]))]
    needed = bytes_of(manifest, windows) - sum(shard.stat().st_size for shard in shards if shard.is_file())
    sets = " and ".join(f"{code['sets']} reference sets of {code['m']} points" for code in manifest["codes"])
    of_what = f"{len(manifest['layers'])} layers, {sets}"
    takes = f"the capture takes {spoken_size(max(0, needed))} ({of_what}, {windows.n_positions:,} positions)"
    there, free = folder, math.inf  # a store does not tell what it has
    if not is_address(folder):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
    if needed > free:
        raise CaptureError(
            f"{takes}, and {spoken_size(free)} are free in {there}: name a folder on another disk, or use fewer "
            "reference_sets, layers or tokens",
            settings=("capture", "reference_sets", "layers", "tokens"),
        )
    if needed > 0:
        _LOG.info("%s in %s", takes, folder)
