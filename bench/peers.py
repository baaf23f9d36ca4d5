"""Time, peak memory and drift beside the peers, on one model, text and number of bins, as tokens grow.

    python bench/peers.py                                        SmolLM2-135M, 8k and 32k tokens of C4
    python bench/peers.py --model MODEL --text FILE --tokens 8192 32768 131072 524288 1048576 --into docs/peers.md

Each case is a process of its own. `bare` is the backbone over the same batches and nothing else, and is taken off the
others' time and memory. `infoplane` captures and measures (permuted and shifted controls, error bars). `soft-entropy`
is the loop over batches of LLMInferrer (LM head included, which it cannot leave out), to order 3, its last.
`nam-entropy` is its EntropyAccumulator2 by the spherical recipe, given all layers' states and, beforehand, every label
(it cannot grow a table), an accumulator for each order and side. A case that passes --limit seconds or --most GiB is
stopped and its tool not asked for more tokens; what it would have taken is drawn from its last two cases, as a line.
Drift is the change of next-token expressivity since the fewest tokens, layers averaged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, batches
from infoplane.capture.forward_pass import _padded
from infoplane.storage import atomic_files as files

TOOLS = ("bare", "infoplane", "soft-entropy", "nam-entropy")
BINS = 100
_COLUMNS = ("wall", "processor", "peak")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="smollm2-135m")
    asked.add_argument("--text", default="c4-sample")
    asked.add_argument("--tokens", type=int, nargs="+", default=[8192, 32_768])
    asked.add_argument("--orders", type=int, nargs="+", default=[1, 4], help="orders up to which each is asked")
    asked.add_argument("--tools", nargs="+", default=list(TOOLS))
    asked.add_argument("--limit", type=float, default=600, help="seconds a case")
    asked.add_argument("--most", type=float, default=16, help="GiB a case")
    asked.add_argument("--context", type=int, default=128)
    asked.add_argument("--into", type=Path, help="file to write the table to; printed otherwise")
    asked.add_argument("--one", nargs=3, metavar=("TOOL", "TOKENS", "ORDER"), help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.one:
        tool, tokens, order = given.one
        print(json.dumps(_one(given, tool, int(tokens), int(order))))
        return
    found: dict[tuple[str, int], dict[int, dict[str, Any]]] = {}
    for tokens in given.tokens:
        for tool in given.tools:
            for order in given.orders if tool != "bare" else given.orders[:1]:
                before = found.setdefault((tool, order), {})
                if any("stopped" in case for case in before.values()):
                    continue
                before[tokens] = _case(given, tool, tokens, order)
                print(tool, order, tokens, before[tokens], file=sys.stderr, flush=True)
    text = "\n".join(_table(given, found)) + "\n"
    if given.into is None:
        print(text, end="")
    else:
        files.write_text(given.into, text)


# ------------------------------------------------------------------ one case


def _case(given: argparse.Namespace, tool: str, tokens: int, order: int) -> dict[str, Any]:
    """Run a case in a process of its own; `stopped` says which limit ended it."""
    command = [sys.executable, __file__, "--model", given.model, "--text", given.text, "--context", str(given.context)]
    command += ["--one", tool, str(tokens), str(order)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            time.sleep(0.2)
            seconds, gigabytes = time.monotonic() - began, _resident(process.pid) / 2**30
            if seconds > given.limit or gigabytes > given.most:
                process.kill()
                return {"stopped": f"{seconds:.0f} s, {gigabytes:.1f} GiB"}
        assert process.stdout is not None
        said = process.stdout.read().strip().splitlines()
    if process.returncode or not said:
        return {"stopped": f"failed, exit status {process.returncode}"}
    return dict(json.loads(said[-1]))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _one(given: argparse.Namespace, tool: str, tokens: int, order: int) -> dict[str, Any]:
    import torch

    from infoplane.models.loading import load_model
    from infoplane.text.cut_windows import make_windows
    from infoplane.text.documents import read_text

    model = load_model(given.model, dtype="float32")
    windows = make_windows(read_text(given.text), model.tokenizer, tokens=tokens, context=given.context)
    layers = model.layers
    with torch.inference_mode():
        model.run(torch.from_numpy(_padded(windows, 0, 1)[0]))  # allocated and warmed up before the clock starts
    wall, processor = time.perf_counter(), time.process_time()
    expressivity: float | None = None
    if tool == "bare":
        with torch.inference_mode():
            for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
                model.run(torch.from_numpy(_padded(windows, a, b)[0]))
    elif tool == "infoplane":
        from infoplane.capture.writer import write_capture
        from infoplane.information.reference_points import ReferencePoints
        from infoplane.measurement.asking import measure_capture

        with tempfile.TemporaryDirectory() as folder:
            kept = write_capture(folder, model, windows, [ReferencePoints.make(model.width, BINS)], layers)
            found = measure_capture(kept, orders=tuple(range(1, order + 1)))
        expressivity = found.get("expressivity", order=1).value
    elif tool == "soft-entropy":
        expressivity = _soft_entropy(model, windows, min(order, 3))
    else:
        expressivity = _nam_entropy(model, windows, layers, order)
    return {
        "wall": time.perf_counter() - wall, "processor": time.process_time() - processor,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "expressivity": expressivity,
    }  # fmt: skip


def _soft_entropy(model: Any, windows: Any, order: int) -> float:
    """Its own loop; the mean over layers of its expressivity of the next token."""
    sys.path.append(str(Path(__file__).parent))
    from time_measure import peer_results

    results = peer_results(model, windows, order, BINS)
    return float(np.mean([r["I(X;Z)/output_unigram"] for r in results[1:]]))


def _nam_entropy(model: Any, windows: Any, layers: Any, order: int) -> float:
    """Accumulators of nam-entropy 0.2.0, from our hooks; mean over layers of I(next token; Z) / log m."""
    import contextlib
    import io

    import torch
    from nam_entropy import EntropyAccumulator2, EntropyEstimatorConfig

    from infoplane.text.ngram_labels import NGrams

    states: dict[str, Any] = {}
    for layer in layers:
        _keep(states, layer)
    rows, grams = windows.row_starts, NGrams(windows, order)
    with contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        tables: list[tuple[Any, Any]] = []
        for k in range(1, order + 1):
            for found in (grams.input(k), grams.output(k)):
                labels = np.full(windows.n_positions, -1)
                labels[found.rows] = found.codes
                known = [str(code) for code in np.unique(found.codes)]  # it takes words alone
                config = EntropyEstimatorConfig(
                    n_bins=BINS, bin_type="unit_sphere", dist_fn="cosine", smoothing_fn="softmax",
                    embedding_dim=model.width, extra_internal_label_dims_list=[len(layers)],
                    extra_internal_label_dims_name_list=["layer"], initial_label_list=known,
                )  # fmt: skip
                tables.append((EntropyAccumulator2(config), labels))
        for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
            ids, at = _padded(windows, a, b)
            model.run(torch.from_numpy(ids))
            keep = torch.from_numpy(at)
            x = torch.stack([s.reshape(-1, s.shape[-1])[keep] for s in states.values()], 1)
            for table, labels in tables:
                own = labels[rows[a] : rows[b]]
                codes, index = np.unique(own[own >= 0], return_inverse=True)
                full = np.full(len(own), -1)
                full[own >= 0] = index
                table.update(x, torch.from_numpy(full), [str(code) for code in codes])
        sums = tables[1][0].granular_label_scores_sum.numpy()
    p = sums / sums.sum((0, 2), keepdims=True)  # (labels, layers, bins), jointly

    def entropy(q: Any, axis: Any) -> Any:
        return -(q * np.log(np.where(q > 0, q, 1))).sum(axis)

    mutual = entropy(p.sum(0), 1) + entropy(p.sum(2), 0) - entropy(p, (0, 2))
    return float(mutual.mean() / np.log(BINS))


def _keep(states: dict[str, Any], layer: Any) -> None:
    """Let a layer's states be kept whenever the model runs."""
    if layer.is_input:

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states[layer.name] = args[0] if args else kwargs["hidden_states"]

        layer.module.register_forward_pre_hook(before, with_kwargs=True)
        return

    def after(_: Any, args: tuple[Any, ...], output: Any) -> None:
        states[layer.name] = output[0] if isinstance(output, tuple | list) else output

    layer.module.register_forward_hook(after)


# ------------------------------------------------------------------ the table


def _table(given: argparse.Namespace, found: dict[tuple[str, int], dict[int, dict[str, Any]]]) -> Iterator[str]:
    machine = f"{os.cpu_count()} processors ({platform.machine()})"
    yield f"{date.today()}, {machine}, {given.model}, {given.text}, windows of {given.context}, m = {BINS}. Beyond the"
    yield "bare pass: seconds (of processors), memory at its peak; `bare` has its own."
    yield ""
    rows = [["tokens", "tool", "orders", "time, s", "times bare", "memory, GiB", "drift"], ["---"] * 7]
    bare = found.get(("bare", given.orders[0]), {})
    for tokens in given.tokens:
        base = bare.get(tokens, {})
        for (tool, order), cases in found.items():
            case = cases.get(tokens) or {}
            case = case if "wall" in case else _extrapolated(cases, tokens)
            last = min(order, 3) if tool == "soft-entropy" else order
            asked = "" if tool == "bare" else "1" if last == 1 else f"1-{last}"
            cells = [f"stopped: {case['stopped']}" if "stopped" in case else "", "", "", ""]
            if "wall" in case and "wall" in base:
                wall, processor, peak = (case[k] - (base[k] if tool != "bare" else 0) for k in _COLUMNS)
                first = next(iter(cases.values())).get("expressivity")
                now = case.get("expressivity")
                moved = f"{100 * (now / first - 1):+.0f} %" if first and now and now != first else ""
                mark = "about " if "line" in case else ""
                times = case["wall"] / base["wall"]
                cells = [f"{mark}{wall:.1f} ({processor:.1f})", f"{mark}{times:.2f}", f"{mark}{peak:.2f}", moved]
            rows.append([f"{tokens:,}", tool, asked, *cells])
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _extrapolated(cases: dict[int, dict[str, Any]], tokens: int) -> dict[str, Any]:
    """What a stopped tool would have taken: a line through its last two cases."""
    done = [(n, c) for n, c in cases.items() if "wall" in c]
    stopped = next((c["stopped"] for c in cases.values() if "stopped" in c), "")
    if len(done) < 2:
        return {"stopped": stopped}
    (n0, a), (n1, b) = done[-2:]
    slope = (tokens - n1) / (n1 - n0)
    return {"line": True} | {k: b[k] + slope * (b[k] - a[k]) for k in _COLUMNS}


if __name__ == "__main__":
    main()
