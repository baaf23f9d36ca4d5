"""Time of capture, and of capture and measurement, as multiples of the bare forward pass.

    python bench/time_measure.py smollm2-135m --dtype float32 --rounds 3

Bare pass: the same windows, batches, dtype and threads, without hooks or LM head. The three are run in turn, and the
median over rounds of each round's ratio is reported.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch

from infoplane.capture import write_capture
from infoplane.forward import MAX_BATCH_TOKENS, _padded, batches
from infoplane.layers import named_layers
from infoplane.models import load_model
from infoplane.points import ReferencePoints
from infoplane.record import measure_capture
from infoplane.text import read_text
from infoplane.tokenize import make_windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = load_model(given.model, dtype=given.dtype)
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=given.tokens)
    points, layers = [ReferencePoints.make(model.width)], named_layers(model.backbone)
    print(model.provenance["dtype"], int(windows.starts[-1]), "tokens,", torch.get_num_threads(), "threads")

    def bare() -> None:
        with torch.inference_mode():
            for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
                model.run(torch.from_numpy(_padded(windows, a, b)[0]))

    bare()
    ratios = []
    for _ in range(given.rounds):
        start = time.perf_counter()
        bare()
        forward = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            capture = write_capture(folder, model, windows, points, layers)
            captured = time.perf_counter()
            measure_capture(capture)
        done = time.perf_counter()
        base = forward - start
        ratios.append(((captured - forward) / base, (done - forward) / base))
        print(
            f"forward {base:.1f} s, capture {captured - forward:.1f} s, measurement {done - captured:.1f} s", flush=True
        )
    capture_ratio, all_ratio = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"capture {capture_ratio:.3f} x the bare pass, capture and measurement {all_ratio:.3f} x")


if __name__ == "__main__":
    main()
