"""Arrays written one after the other are what the safetensors package reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, load_file, save

from infoplane.storage.array_files import write_arrays

ARRAYS = {
    "block.0/1": np.random.default_rng(0).random((5, 3)).astype(np.float16),
    "loss_sum": np.array([1.5, -2.0]),
    "name é": np.arange(7, dtype=np.uint8)[::2],
    "loss_count": np.array([3, 4], np.int64),
    "big-endian": np.arange(3, dtype=">i4"),
    "none": np.zeros((0, 3), np.float16),
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_arrays(path, ARRAYS, {"run_id": "a", "word": "é"})
    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].shape == array.shape and (found[name] == array).all()
        assert found[name].dtype == array.dtype.newbyteorder("=")
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"run_id": "a", "word": "é"}
    assert load(save(found)).keys() == found.keys()


def test_numbers_begin_where_they_may(tmp_path: Path) -> None:
    import json
    import struct

    write_arrays(tmp_path / "x", ARRAYS, {})
    content = (tmp_path / "x").read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    assert size % 8 == 0
    for name, array in ARRAYS.items():
        begin, end = json.loads(content[8 : 8 + size])[name]["data_offsets"]
        assert begin % array.itemsize == 0 and end - begin == array.nbytes


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS, {})
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(KeyError):
        write_arrays(tmp_path / "x", {"words": np.array(["a"])}, {})
    assert (tmp_path / "x").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
