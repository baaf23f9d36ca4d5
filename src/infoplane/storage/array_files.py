"""Arrays in the safetensors format, written one after the other: a file of gigabytes is never held as one run of bytes.

The package that reads them makes such a run, or puts a file of its own in place of the one that it is given, whose lock
would be lost. Format: https://huggingface.co/docs/safetensors. Eight bytes with the length of a header, the header in
JSON, the arrays.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infoplane.storage.atomic_files import replacing

_NAMES = {"f": "F", "i": "I", "u": "U"}


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]], metadata: Mapping[str, str]) -> None:
    """Write arrays of whole or floating numbers, and words about them, to `path`; whole or not at all."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    # as the format wants it, so that each array begins where its numbers may: those of most bytes first
    held = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    end = 0
    for name, array in held:
        begin, end = end, end + array.nbytes
        kind = f"{_NAMES[array.dtype.kind]}{8 * array.dtype.itemsize}"
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with replacing(path) as part, part.open("wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        for _, array in held:
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(np.ascontiguousarray(little).data)
