"""Peak memory of a capture beyond the model's weights, by tokens and by batch; Linux, the built-in model, on the CPU.

    python bench/capture_memory.py

Each line is a process of its own: tokens, tokens a batch, resident before the capture, peak of the capture, and what
the peak is above the weights and above what was resident before (libraries, and what loading left behind).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = [("float32", 6_000, 4_096), ("float32", 6_000, 1_024), ("float32", 24_000, 4_096), ("bfloat16", 6_000, 4_096)]


def one(dtype: str, tokens: int, batch: int) -> None:
    from infoplane.capture.writer import write_capture
    from infoplane.information.reference_points import ReferencePoints
    from infoplane.models.loading import load_model
    from infoplane.text.cut_windows import make_windows
    from infoplane.text.documents import read_text

    model = load_model("smollm2-135m", dtype=dtype)
    windows = make_windows(read_text("c4-sample"), model.tokenizer, tokens=tokens)
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters()) / (1 << 20)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = resident("VmRSS")
    points, layers = [ReferencePoints.make(model.width)], model.layers
    with tempfile.TemporaryDirectory() as folder:
        write_capture(folder, model, windows, points, layers, max_batch_tokens=batch)
    peak = resident("VmHWM")
    print(
        f"{dtype}, {tokens:,} tokens, batches of {batch:,}: before {before:.0f} MiB, peak {peak:.0f}, above the "
        f"weights {peak - weights:.0f}, above before {peak - before:.0f}"
    )


def resident(which: str) -> float:
    return int(re.findall(rf"{which}:\s*(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        for case in CASES:
            subprocess.run([sys.executable, __file__, *map(str, case)], check=True, stderr=subprocess.DEVNULL)
