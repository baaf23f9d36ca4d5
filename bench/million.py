"""A reduction of a million tokens and more within a stated memory: peak memory, wall and processor time.

    python bench/million.py                                                     # 1 M tokens, 31 layers, 4 GiB
    python bench/million.py --tokens 5000000 --layers 33 --memory 8GiB --made   # 5 M tokens, as of a 7B model

Text: files named with --text, the C4 sample, then sources of the Python that runs this, cut by SmolLM2's tokenizer.
Assignments are synthetic: a softmax of vectors of the token, the one before, the document, and noise, in parts that
change with the layer. They are written as a capture (200 bytes a token and layer) in --folder, which is kept and used
again; with --made they are made as each layer is read, and the time of it is told apart. Orders 1 to 4, both controls
and error bars are measured by a process of its own, which imports no torch.

Throughput is the bytes of assignments asked (of every position, in every set of labels, in float16) over the wall time
less the making, beside what this machine's memory gives in the same run to as many threads: copies, and rows of a
gibibyte gathered in no order, which is what a reduction has to do.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.capture.folder import SCHEMA, content, shard_path
from infoplane.capture.new_manifest import plan_shards
from infoplane.capture.stored_capture import Capture, open_capture
from infoplane.storage import atomic_files as files
from infoplane.text.windows import Windows

M, ARRAYS = 100, ("tokens", "starts", "document", "is_text", "is_position", "byte_count")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=31)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--made", action="store_true")
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, default=Path("million"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(given)
        return
    folder = given.folder / f"{given.tokens}"
    windows = windows_of(folder, given.tokens, given.text)
    documents = len(windows.documents)
    print(f"{int(windows.is_text.sum()):,} tokens, {windows.n_positions:,} positions, {documents:,} documents")
    if not given.made:
        start = time.perf_counter()
        write(folder / f"capture-{given.layers}", windows, given.layers)
        print(f"capture of {given.layers} layers: {time.perf_counter() - start:.0f} s", flush=True)
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--child"], check=True, stdout=subprocess.PIPE, text=True
    )
    print(done.stdout.strip())


def measure(given: argparse.Namespace) -> None:
    from infoplane.measurement.asking import measure_capture

    folder = given.folder / f"{given.tokens}"
    if given.made:
        windows = windows_of(folder, given.tokens, [])
        capture: Capture = Made(None, manifest(windows, given.layers), windows)
    else:
        capture = open_capture(folder / f"capture-{given.layers}")
    before = _peak()
    wall, spent = time.perf_counter(), time.process_time()
    found = measure_capture(capture, orders=(1, 2, 3, 4), memory=given.memory, threads=given.threads, progress=Said())
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    made = sum(Made.spent.values())
    # of orders 1 to 4: 8 with two controls and two halves of the documents each, 8 on the positions of others
    sets, threads = 8 * (1 + 2 + 1) + 8, given.threads
    asked = sets * len(capture.layers) * capture.windows.n_positions * 2 * M
    rows = [found.get(q, order=k) for k in (1, 2, 3, 4) for q in ("complexity", "expressivity")]
    print(json.dumps({
        "memory": given.memory, "layers": given.layers, "positions": capture.windows.n_positions,
        "peak_resident_MiB": round(_peak()), "peak_before_MiB": round(before), "wall_s": round(wall, 1),
        "processor_s": round(spent, 1), "of_which_making_s": round(made, 1), "versions": found.provenance["versions"],
        "asked_GB_s": round(asked / 1e9 / (wall - made / threads), 2), **bandwidth(threads),
        "values": {f"{r.quantity}_{r.order}": [round(r.value, 5), round(r.standard_error or 0, 5)] for r in rows},
    }, indent=1))  # fmt: skip


def bandwidth(threads: int) -> dict[str, float]:
    """GB/s of copying (bytes read and written) and of gathering rows of 2 M bytes, with so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        each = (1 << 30) // threads // (2 * M)
        held = [np.ones((each, M), np.float16) for _ in range(threads)]
        found = {}
        orders = [np.random.default_rng(i).permutation(each).astype(np.int32) for i in range(threads)]
        copy, gather = (lambda a, _: a.copy()), _gather
        for name, moved, work in (("copied_GB_s", 2, copy), ("gathered_GB_s", 1, gather)):
            best = np.inf
            for _ in range(5):
                start = time.perf_counter()
                list(pool.map(work, held, orders))
                best = min(best, time.perf_counter() - start)
            found[name] = round(moved * threads * held[0].nbytes / 1e9 / best, 1)
    return found


def _gather(a: np.ndarray, order: np.ndarray) -> None:
    for i in range(0, len(order), 2048):
        a.take(order[i : i + 2048], axis=0)


def _peak() -> float:
    """MiB; of this program alone: what getrusage tells is at least what the parent had."""
    try:
        told = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


class Said:
    """Progress on the error stream: a line a tenth."""

    def __init__(self) -> None:
        self.tenth, self.start = -1, time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if 10 * done // max(total, 1) > self.tenth:
            self.tenth = 10 * done // max(total, 1)
            print(
                f"{stage} {done}/{total} {time.perf_counter() - self.start:.0f} s, {_peak():.0f} MiB", file=sys.stderr
            )


class Made(Capture):
    """A capture whose assignments are made as they are read."""

    spent: dict[int, float] = {}  # processor time of making, by thread  # noqa: RUF012

    def read(self, layer: str, reference_set: int = 0, columns: slice = slice(None)) -> Any:
        start = time.thread_time()
        out = np.empty((self.windows.n_positions, len(range(M)[columns])), np.float16)
        at = 0
        for part in parts(self.windows, self.layers.index(layer), len(self.layers)):
            out[at : at + len(part)] = part[:, columns]
            at += len(part)
        me = threading.get_ident()
        self.spent[me] = self.spent.get(me, 0) + time.thread_time() - start
        return out


_NOISE = 1 << 16  # rows of noise, which are used again from other places


def parts(windows: Windows, layer: int, layers: int, size: int = 1 << 11) -> Any:
    """(rows, M) float16 of one layer, as many rows at a time as the cache holds; seeded by the layer."""
    draw = np.random.Generator(np.random.PCG64([layer, 5]))
    deep = layer / max(layers - 1, 1)
    noise = np.float32(0.6) * draw.standard_normal((_NOISE + size, M), dtype=np.float32)
    here = np.flatnonzero(windows.is_position)
    token, before, document = windows.tokens[here], windows.tokens[np.maximum(here - 1, 0)], windows.position_document
    words = draw.standard_normal((int(windows.tokens.max()) + 1, M), dtype=np.float32)
    topics = np.float32(0.3) * draw.standard_normal((len(windows.documents), M), dtype=np.float32)
    last = np.float32(0.5 * deep) * words
    words *= np.float32(1.0 - 0.6 * deep)
    tables = ((words, token), (last, before), (topics, document))
    x, row = np.empty((size, M), np.float32), np.empty((size, M), np.float32)
    for i in range(0, len(here), size):
        count = min(size, len(here) - i)
        first = int(draw.integers(_NOISE))
        x[:count] = noise[first : first + count]
        for table, index in tables:
            table.take(index[i : i + count], axis=0, out=row[:count], mode="clip")  # other modes fill a copy first
            x[:count] += row[:count]
        np.exp(x, out=x)
        x /= x.sum(1, keepdims=True)
        yield x[:count].astype(np.float16)


def manifest(windows: Windows, layers: int) -> dict[str, Any]:
    decides = {"made": 2, "windows": windows.hash, "layers": layers}
    points = {
        "code": "random", "seed": 0, "m": M, "d": 4096, "calibration": "exact", "eps": 1.0, "sets": 1,
        "shared": False, "hash": "synthetic", "kept": None,
    }  # fmt: skip
    return {
        "schema": SCHEMA, "run_id": files.hash_of(decides), "model": {"name": "synthetic"}, "windows": {},
        "windows_hash": windows.hash, "documents": list(windows.documents), "codes": [points], "loss": False,
        "layers": ["embed", *(f"block.{i}" for i in range(layers - 2)), "final_norm"],
        "shards": [list(s) for s in plan_shards(windows, 1 << 16)], "versions": {},
    }  # fmt: skip


def write(folder: Path, windows: Windows, layers: int) -> None:
    """The same assignments as a capture on disk; shards are written as `write_capture` writes them."""
    from safetensors import numpy as st

    told = manifest(windows, layers)
    told["text"] = content({})
    if (folder / "manifest.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows = windows.row_starts
    made = Made(None, told, windows)
    whole = {name: np.lib.format.open_memmap(folder / f".{name}.npy", "w+", np.float16, (int(rows[-1]), M))
             for name in told["layers"]}  # fmt: skip
    for name in told["layers"]:
        whole[name][:] = made.read(name)
        whole[name].flush()
    for i, (first, last) in enumerate(told["shards"]):
        arrays = {f"{name}/0": np.ascontiguousarray(a[rows[first] : rows[last]]) for name, a in whole.items()}
        head = {"run_id": told["run_id"], "shard": str(i), "content_sha256": content(arrays)}
        files.write_bytes(shard_path(folder, i), st.save(arrays, metadata=head))
    for path in folder.glob(".*.npy"):
        path.unlink()
    files.write_bytes(folder / "windows.safetensors", st.save({n: getattr(windows, n) for n in ARRAYS}))
    files.write_json(folder / "manifest.json", told)


def windows_of(folder: Path, tokens: int, text: list[str]) -> Windows:
    from safetensors import numpy as st

    path = folder / "windows.safetensors"
    if not path.exists():
        from infoplane.models.tokenizer_loading import load_tokenizer
        from infoplane.text.cut_windows import make_windows

        cut = make_windows(pieces(text, 8 * tokens), load_tokenizer("smollm2-135m"), tokens=tokens)
        files.write_bytes(path, st.save({n: np.ascontiguousarray(getattr(cut, n)) for n in ARRAYS}))
    arrays = st.load_file(path)
    return Windows(**arrays, documents=tuple(map(str, range(int(arrays["document"].max()) + 1))))


def pieces(text: list[str], characters: int, size: int = 8000) -> Any:
    from infoplane.text.documents import read_text

    found: list[str] = []
    for source in [*text, "c4-sample"]:
        found += [d.text for d in read_text(source).documents]
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")]
    sources = (p for place in places for p in sorted(place.rglob("*.py")))
    have = sum(map(len, found))
    for path in sources:
        if have >= characters:
            break
        code = path.read_text("utf-8", errors="ignore")
        found += [code[i : i + size] for i in range(0, max(1, len(code) - 500), size)]
        have += len(code)
    return read_text([one for one in found if one.strip()])


if __name__ == "__main__":
    main()
