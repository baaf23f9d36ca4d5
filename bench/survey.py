"""What `infoplane survey --dry-run` reckons with: forward passes, captures of one and of more sets, measuring.

    OMP_NUM_THREADS=1 python bench/survey.py smollm2-135m --tokens 8192 --sets 1,5

Times are of the processor, one thread, so that what else the machine does matters little; all are run in turn, and
medians over rounds are told: the bare pass in FLOP/s (2 N a token, N all parameters), captures as multiples of the
bare pass, measuring in seconds a thousand positions, layer and set.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, batches
from infoplane.capture.forward_pass import _padded
from infoplane.capture.writer import write_capture
from infoplane.information.reference_points import ReferencePoints
from infoplane.measurement.asking import measure_capture
from infoplane.models.decoder import Model
from infoplane.models.loading import load_model
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.windows import Windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=8_192)
    parser.add_argument("--sets", default="1,5")
    parser.add_argument("--orders", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(given.model, dtype=given.dtype, device="cpu")
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=given.tokens)
    layers = model.layers
    orders = [int(k) for k in given.orders.split(",")]
    counts = [int(s) for s in given.sets.split(",")]
    times: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        bare = timed(lambda: forward(model, windows))[0]
        times.setdefault("bare", []).append(bare)
        for sets in counts:
            points = [ReferencePoints.make(model.width, 100, r) for r in range(sets)]
            with tempfile.TemporaryDirectory() as folder:
                spent, kept = timed(lambda p=points, f=folder: write_capture(f, model, windows, p, layers))
                times.setdefault(f"capture {sets}", []).append(spent / bare)
                spent, _ = timed(lambda k=kept: measure_capture(k, orders=orders, threads=1))
            unit = windows.n_positions * len(layers) * sets / 1_000
            times.setdefault(f"measuring {sets}", []).append(spent / unit)
        print({name: [round(x, 5) for x in found] for name, found in times.items()}, flush=True)
    flops = 2 * model.provenance["parameters"] * len(windows.tokens)
    print(f"bare pass: {flops / statistics.median(times.pop('bare')):.3g} FLOP/s")
    for name, found in times.items():
        print(f"{name} sets: {statistics.median(found):.5f}")


def forward(model: Model, windows: Windows) -> None:
    with torch.no_grad():
        for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
            model.run(torch.from_numpy(_padded(windows, a, b)[0]))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    before = time.process_time()
    found = work()
    return time.process_time() - before, found


if __name__ == "__main__":
    main()
