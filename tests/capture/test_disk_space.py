"""A capture that its disk cannot hold is refused before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import tiny_model

from infoplane.capture import disk_space
from infoplane.capture.writer import write_capture
from infoplane.errors import CaptureError
from infoplane.information.reference_points import PointSets
from infoplane.models.decoder import Model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text


def test_what_does_not_fit_is_refused_and_what_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny import byte_tokenizer

    model = Model.from_module(tiny_model("llama"), byte_tokenizer())
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=3000, context=64)
    points, layers = PointSets.make(model.width, 16, sets=3), model.layers
    needed = 2 * len(layers) * 3 * 16 * windows.n_positions
    left = [needed - 1]

    def usage(place: Path) -> SimpleNamespace:
        assert place == tmp_path  # the folder itself is not there yet
        return SimpleNamespace(free=left[0])

    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage)
    with pytest.raises(CaptureError, match=r"layers, 3 reference sets of 16 points, .* are free in .*: name a folder"):
        write_capture(tmp_path / "new" / "cap", model, windows, points, layers)
    assert not (tmp_path / "new").exists()
    left[0] = needed
    kept = write_capture(tmp_path / "cap", model, windows, points, layers, shard_tokens=1000)
    size = sum(p.stat().st_size for p in (tmp_path / "cap").glob("shard-*"))
    assert disk_space.bytes_of(kept.manifest, windows) == needed and needed < size < 1.2 * needed
    # a resumed capture needs the room of what is missing alone
    (tmp_path / "cap" / "shard-00001.safetensors").unlink()
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda place: SimpleNamespace(free=needed // 2))
    write_capture(tmp_path / "cap", model, windows, points, layers, shard_tokens=1000)
    assert shutil.disk_usage is not None
