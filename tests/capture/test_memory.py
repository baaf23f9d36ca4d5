"""Stated memory: kept, refused where it cannot be, and without effect on any number; batches that do not fit."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

from infoplane.capture import memory_plan as memory
from infoplane.capture.batch_sizes import BatchSize
from infoplane.capture.forward_pass import assign_windows
from infoplane.capture.memory_plan import Reduction, capturing, reduction
from infoplane.capture.stored_capture import Capture, open_capture
from infoplane.capture.writer import hold_capture, write_capture
from infoplane.cli import app
from infoplane.cli.terminal import telling
from infoplane.engines.ray_worker import Worker
from infoplane.errors import ModelError, SettingError
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement import measuring as run
from infoplane.measurement import reduction as answers
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.reduction import settings
from infoplane.models.decoder import Model
from infoplane.models.running import out_of_memory
from infoplane.storage import memory_size as machine
from infoplane.storage.memory_size import parse_size, spoken_size
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text

pytestmark = pytest.mark.usefixtures("no_figures")

GIB = 1 << 30

# ---------------------------------------------------------------------- sizes and what is free


@pytest.mark.parametrize(
    "text, size",
    [("4GB", 4 * 10**9), ("4GiB", 4 * GIB), ("512MB", 512 * 10**6), (" 1.5 gib ", 3 * GIB // 2), ("1TB", 10**12),
     ("100kib", 102_400), ("7B", 7), (123_456, 123_456)],
)  # fmt: skip
def test_sizes_are_read(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "wrong", ["4", "", "GB", "-4GB", "4 G", "four GB", "4GBs", "0GB", "1e3MB", 0, -1, True, 2.5, None]
)
def test_other_sizes_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=r"memory = .*: expected a size with its unit, such as 4GB, 4GiB or 512MB"):
        parse_size(wrong)


def test_what_a_control_group_leaves_is_found(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    for folder, most, used in (("a", "1000", "400"), ("a/b", "max", "300"), ("memory/x", "5000", "100")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        names = ("limit_in_bytes", "usage_in_bytes") if folder.startswith("memory") else ("max", "current")
        for name, value in zip(names, (most, used), strict=True):
            (root / folder / f"memory.{name}").write_text(value + "\n")
    proc.write_text("0::/a/b\n")
    assert machine._of_groups(proc, root) == [600]
    proc.write_text("9:cpu:/\n4:memory:/x\n0::/\n")
    assert machine._of_groups(proc, root) == [4900]
    (root / "memory/x/memory.stat").write_text("cache 90\ninactive_file 10\ntotal_inactive_file 60\n")
    assert machine._of_groups(proc, root) == [4960]  # of it and of those below
    assert machine._of_groups(tmp_path / "none", root) == []
    assert 0 < machine.free_memory() < 1 << 50


# ---------------------------------------------------------------------- settings

MILLION: dict[str, Any] = {
    "stated": True, "tokens": 10**6, "positions": 10**6, "m": 100, "documents": 2000, "sets": 32, "threads": 2,
    "layers": 31,
}  # fmt: skip


def test_what_is_free_is_shared_with_the_workers_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: 900)
    monkeypatch.chdir(tmp_path)
    assert machine.budget_of(None) == 450
    try:
        Worker(str(tmp_path), {}, 3)
        assert machine.budget_of(None) == 150
        assert machine.budget_of("1GB") == 10**9  # what is stated is of each
    finally:
        machine.shared_by(1)


def test_a_budget_that_does_not_measure_is_refused_before_the_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_LABELS", 1 << 20)
    asked: dict[str, Any] = {"tokens": 6000, "context": 64, "m": 16, "orders": (1,), "memory": "2GiB"}
    with pytest.raises(SettingError, match="too little to measure"):
        run.measure(tiny_model(), tokenizer=byte_tokenizer(), capture=tmp_path / "c", **asked)
    assert not (tmp_path / "c").exists()


def test_more_memory_means_less_work() -> None:
    assert reduction(4 * GIB, **MILLION) == Reduction(2, 1, True, reduction(4 * GIB, **MILLION).held)
    least = int(float(_least(MILLION)) * 1.001)
    assert reduction(least, **MILLION).layers == 1 and not reduction(least, **MILLION).whole
    held = [reduction(size, **MILLION).held for size in (4 * GIB, 8 * GIB)]
    assert held[1] - held[0] == 4 * GIB
    assert reduction(64 * GIB, **{**MILLION, "threads": 9}).layers == 9
    assert reduction(64 * GIB, **{**MILLION, "layers": 1}) == Reduction(
        1, 2, True, reduction(64 * GIB, **{**MILLION, "layers": 1}).held
    )


def _least(asked: dict[str, Any]) -> int:
    """The smallest budget that is not refused, by halving."""
    low, high = 1, 64 * GIB
    while high - low > 1:
        middle = (low + high) // 2
        try:
            reduction(middle, **asked)
            high = middle
        except SettingError:
            low = middle
    return high


def test_too_little_is_refused_with_what_is_needed_and_why() -> None:
    least = _least(MILLION)
    said = (
        r"memory = .* is too little to measure 1,000,000 positions: at least (.*) are needed \(.* for libraries, .*\)"
    )
    with pytest.raises(SettingError, match=said) as error:
        reduction(least - 1, **MILLION)
    assert machine.spoken_size(least) in str(error.value)
    assert reduction(1, **{**MILLION, "stated": False}).layers == 1  # a default is never refused
    fit: dict[str, Any] = {"tokens": 10**6, "longest": 512, "width": 576, "stored": 3100, "loss": False, "shard": 8192}
    assert capturing(4 * GIB, batch=4096, batch_is_asked=False, **fit) == memory.Capturing(4096, 8192)
    tight = capturing(800 << 20, batch=4096, batch_is_asked=False, **fit)
    assert 512 <= tight.batch < 4096 and tight.shard >= 512
    assert capturing(1 * GIB, batch=4096, batch_is_asked=True, **fit).batch == 4096
    with pytest.raises(
        SettingError, match=r"too little to capture windows of 512 tokens: at least .* beyond the model"
    ):
        capturing(600 << 20, batch=4096, batch_is_asked=False, **fit)


# ---------------------------------------------------------------------- the same numbers


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.from_module(tiny_model(), byte_tokenizer(), "tiny")


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Capture:
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=4000, context=64)
    points = [ReferencePoints.make(32, 40, s) for s in range(2)]
    folder = tmp_path_factory.mktemp("capture") / "c"
    return write_capture(folder, model, windows, points, model.layers[1:3], shard_tokens=1500)


def test_no_number_hangs_on_the_memory(captured: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infoplane.information.assignments.WIDTH", 7)  # so that 40 columns are six pieces
    asked: dict[str, Any] = {"orders": (1, 2), "weights": ("frequency", "uniform")}
    wide = measure_capture(captured, **asked, memory="8GB", threads=2)
    few = 0
    for layers, threads, whole, held in ((1, 1, True, 1), (1, 2, False, 300_000), (2, 1, False, 10**9)):
        fixed = Reduction(layers, threads, whole, held)
        monkeypatch.setattr(answers, "settings", lambda *_, fixed=fixed: fixed)
        found = measure_capture(captured, **asked)
        assert found.estimates == wide.estimates  # bit for bit, replicates too
        few += 1
    assert few == 3 and any(row.replicates for row in wide)


def test_rows_read_by_columns_are_those_of_the_whole(captured: Capture, model: Model) -> None:
    whole = captured.read("block.1", 1)
    assert np.array_equal(captured.read("block.1", 1, slice(32, 40)), whole[:, 32:40])
    points, layers = [ReferencePoints.make(32, 40)], model.layers[1:3]
    kept = hold_capture(model, captured.windows, points, layers)
    assert np.array_equal(kept.read("block.1", 0, slice(3, 5)), kept.read("block.1")[:, 3:5])


# ---------------------------------------------------------------------- kept


def peak(budget: str, tokens: int = 300_000) -> float:
    """Peak MiB of a process that measures two synthetic layers with a budget."""
    code = f"""
        import re, numpy as np
        from infoplane.capture.stored_capture import Capture
        from infoplane.measurement.asking import measure_capture
        from infoplane.text.windows import Windows
        draw, length = np.random.default_rng(0), 200
        count = {tokens} // length
        position = np.ones(count * length, bool)
        position[::length] = False
        windows = Windows(
            tokens=(draw.zipf(1.2, count * length) % 8192).astype(np.int32),
            starts=np.arange(count + 1, dtype=np.int64) * length, document=np.arange(count, dtype=np.int32),
            is_text=np.ones(count * length, bool), is_position=position, byte_count=np.full(count, length),
            documents=tuple(map(str, range(count))),
        )
        block = np.random.default_rng(1).random((4096, 200))
        block = (block / block.sum(1, keepdims=True)).astype(np.float16)
        class Made(Capture):
            def read(self, layer, reference_set=0, columns=slice(None)):
                out = np.empty((self.windows.n_positions, len(range(200)[columns])), np.float16)
                for i in range(0, len(out), 4096):
                    out[i : i + 4096] = block[: len(out) - i, columns]
                return out
        points = dict(code="random", seed=0, m=200, d=2, calibration="exact", eps=1, sets=1, shared=False, hash="x",
            kept=None)
        manifest = dict(layers=["block.0", "block.1"], codes=[points], model={{}}, windows_hash="", run_id="",
            loss=False, versions={{}})
        measure_capture(Made(None, manifest, windows), orders=(1,), threads=2, controls=False, memory="{budget}")
        print(re.findall(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[0])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_a_budget_is_kept_and_used() -> None:
    low, high = peak("400MiB"), peak("2GiB")
    assert low < 400 < high < 2048, (low, high)


# ---------------------------------------------------------------------- batches that do not fit


def _windows(model: Model) -> Any:
    return make_windows(read_text("c4-sample"), model.tokenizer, tokens=4000, context=64)


def _small(model: Model, monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """The model raises for more than `most` tokens at once; the sizes it was run with are listed."""
    sizes, work = list[int](), Model.run

    def limited(self: Model, ids: torch.Tensor) -> torch.Tensor:
        sizes.append(ids.numel())
        states = work(self, ids)  # hooks have run by then
        if ids.numel() > most:
            raise error
        return states

    monkeypatch.setattr(Model, "run", limited)
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_a_batch_that_does_not_fit_is_halved_and_the_rest_goes_on(
    error: Exception, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, points, layers = _windows(model), [ReferencePoints.make(32, 16)], model.layers
    asked: dict[str, Any] = {"layers": layers, "first": 0, "last": len(windows), "loss": True}
    want = assign_windows(model, windows, points, **asked)
    seen: list[int] = []
    sizes = _small(model, monkeypatch, 700, error)
    size = BatchSize(4096)
    found = assign_windows(model, windows, points, **asked, max_batch_tokens=size, progress=seen.append)
    assert size.asked == 4096 and 256 <= size.tokens <= 700
    failed = [n for n in sizes if n > 700]
    assert failed == sizes[: len(failed)] and 1 <= len(failed) <= 4  # never tried again once it failed
    assert sum(seen) == windows.starts[-1]  # each window counted once
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, atol=2e-3 if values.dtype == np.float16 else 1e-3)


def test_other_errors_are_not_taken_for_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    _small(model, monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        assign_windows(model, _windows(model), [ReferencePoints.make(32, 16)], layers=model.layers,
                       first=0, last=2)  # fmt: skip
    assert not out_of_memory(ValueError("out of memory"))


def test_a_single_window_that_does_not_fit_says_what_to_lower(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _small(model, monkeypatch, 20, MemoryError("no room"))
    with pytest.raises(
        ModelError, match=r"memory ran out on cpu with a single window of 64 tokens: use a shorter --con"
    ):
        assign_windows(model, _windows(model), [ReferencePoints.make(32, 16)], layers=model.layers,
                       first=0, last=9)  # fmt: skip
    assert sizes[-1] == 64


def test_it_is_said_and_remembered(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    windows, points, layers = _windows(model), [ReferencePoints.make(32, 16)], model.layers
    sizes = _small(model, monkeypatch, 700, MemoryError())
    asked: dict[str, Any] = {"shard_tokens": 1000, "max_batch_tokens": 1024}
    made = write_capture(tmp_path / "c", model, windows, points, layers, **asked)
    assert sum(n > 700 for n in sizes) == 1  # the next shards begin with what fitted
    for capture in (made, open_capture(tmp_path / "c"), write_capture(tmp_path / "c", model, windows, points, layers)):
        said = measure_capture(capture, orders=(1,)).provenance
        assert said["batch_tokens"] == 1024
        (warning,) = [w for w in said["warnings"] if "memory ran out" in w]
        assert "memory ran out in batches of 1024 tokens: from there on they had at most" in warning
    held = hold_capture(model, windows, points, layers)
    assert any("memory ran out in batches of 4096" in w for w in held.manifest["warnings"])


def test_an_interrupted_capture_goes_on_with_other_memory(model: Model, tmp_path: Path) -> None:
    windows, points, layers = _windows(model), [ReferencePoints.make(32, 16)], model.layers
    first = write_capture(tmp_path / "c", model, windows, points, layers, shard_tokens=1000, max_batch_tokens=512)
    (tmp_path / "c" / "shard-00001.safetensors").unlink()
    kept = (tmp_path / "c" / "shard-00000.safetensors").stat().st_mtime_ns
    again = write_capture(tmp_path / "c", model, windows, points, layers)
    assert again.manifest["shards"] == first.manifest["shards"]
    assert (tmp_path / "c" / "shard-00000.safetensors").stat().st_mtime_ns == kept
    (said,) = [w for w in open_capture(tmp_path / "c").manifest["warnings"] if "batches" in w]
    assert "captured in batches of 512 tokens, then of 4096" in said


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
def test_a_real_shortage_on_the_cpu(tmp_path: Path) -> None:
    """With too little address space for the first batch: PyTorch's own error, not one that we made."""
    code = """
        import resource, sys, json, torch, transformers as t
        torch.set_num_threads(1)
        from infoplane.capture.batch_sizes import BatchSize
        from infoplane.capture.forward_pass import assign_windows
        from infoplane.models.decoder import Model
        from infoplane.information.reference_points import ReferencePoints
        from infoplane.text.documents import Document, read_text
        from infoplane.text.windows import Windows
        import numpy as np
        config = t.LlamaConfig(vocab_size=257, hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
                               intermediate_size=16384)
        model = Model.from_module(t.AutoModelForCausalLM.from_config(config).eval())
        count, length = 64, 64
        position = np.ones(count * length, bool)
        windows = Windows(np.arange(count * length, dtype=np.int32) % 257, np.arange(count + 1) * length,
            np.arange(count, dtype=np.int32), position, position, np.full(count, length), tuple(map(str, range(count))))
        asked = dict(layers=model.layers, first=0)
        points = [ReferencePoints.make(32, 16)]
        assign_windows(model, windows, points, last=1, **asked)
        now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (400 << 20), resource.RLIM_INFINITY))  # a batch has 768 MiB
        size = BatchSize()
        found = assign_windows(model, windows, points, last=count, max_batch_tokens=size, **asked)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        want = assign_windows(model, windows, points, last=count, **asked)
        off = max(float(abs(found[k] - want[k].astype(float)).max()) for k in want)
        print(json.dumps([size.asked, size.tokens, off]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    asked, tokens, off = json.loads(done.stdout.splitlines()[-1])
    assert asked == 4096 and 64 <= tokens <= 2048 and off < 2e-3


# ---------------------------------------------------------------------- the command line


def test_options_reach_what_they_are_for(captured: Capture, model: Model, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["measure", "--capture", str(captured.folder), "--orders", "1", "--memory", "300MB"])
    assert isinstance(done.exception, SettingError) and "too little to measure" in str(done.exception)
    done = CliRunner().invoke(app, ["trace", "./nowhere", "--memory", "lots"])
    assert isinstance(done.exception, SettingError) and "expected a size with its unit" in str(done.exception)
    asked: dict[str, Any] = {"tokens": 2600, "context": 64, "m": 16, "orders": (1,)}
    few = run.measure(model, batch=256, memory="2GB", **asked)
    assert few.provenance["batch_tokens"] == 256
    many = run.measure(model, **asked)
    assert many.provenance["batch_tokens"] == 4096
    for row, other in zip(few, many, strict=True):
        assert other.value == pytest.approx(row.value, abs=2e-4)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(SettingError, match=r"batch = .*: expected a whole number, 1 or more"):
            run.measure(model, batch=wrong, **asked)
    assert settings(captured, 4, 2, "8GB").whole


def test_the_size_of_a_capture_is_said_before_it_is_made(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=2600, context=32)
    points = [ReferencePoints.make(32, 8, s) for s in range(3)]
    with caplog.at_level("INFO", "infoplane"):
        capture = write_capture(tmp_path / "c", model, windows, points, model.layers)
    held = sum(path.stat().st_size for path in (tmp_path / "c").glob("shard*"))
    n, layers = capture.windows.n_positions, len(model.layers)
    size = spoken_size(2 * layers * 3 * 8 * n)
    what = f"{layers} layers, 3 reference sets of 8 points, {n:,} positions"
    assert caplog.messages == [f"the capture takes {size} ({what}) in {tmp_path / 'c'}"]
    assert held == pytest.approx(2 * layers * 3 * 8 * n, rel=0.02)
    caplog.clear()
    with caplog.at_level("INFO", "infoplane"):
        write_capture(tmp_path / "c", model, windows, points, model.layers)
    assert caplog.messages == []  # nothing is missing


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_said_is_for_people(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("infoplane")
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with telling():
        log.info("the capture takes 1 GiB")
    log.info("nobody listens")
    assert capsys.readouterr().err == ("infoplane: the capture takes 1 GiB\n" if terminal else "")
