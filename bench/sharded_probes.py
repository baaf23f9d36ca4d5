"""What a probe costs of a model that one process has, or two: seconds, and the memory that it adds.

    python bench/sharded_probes.py [--width 256] [--blocks 6] [--tokens 16384]

With gloo on the CPU, one thread a process. "peak" is how far a probe raises the largest resident memory of the first
process above what it was after one training step; the probe of two processes holds what it makes of their shares.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/support"))

import torch
import transformers
from several_processes import started
from tiny import byte_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print("| mode | processes | probe, s | training step, s | peak of a probe, MiB |\n|---|---|---|---|---|")
    for mode, processes in (("alone", 1), ("ddp", 2), ("fsdp", 2)):
        with tempfile.TemporaryDirectory() as folder:
            said = started(work, Path(folder), mode, vars(given), processes=processes)[0]
        if "probe" not in said:
            sys.exit(json.dumps(said))
        print(f"| {mode} | {processes} | {said['probe']:.2f} | {said['step']:.2f} | {said['peak']:.0f} |", flush=True)


def work(rank: int, folder: Path, mode: str, given: dict[str, Any]) -> dict[str, float]:
    from several_processes import spread

    import infoplane

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=257, hidden_size=given["width"], num_hidden_layers=given["blocks"], num_attention_heads=8,
        intermediate_size=4 * given["width"], max_position_embeddings=512,
    )  # fmt: skip
    model: Any = transformers.AutoModelForCausalLM.from_config(config)
    model = model if mode == "alone" else spread(model, mode)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(2, 250, (32, 128))
    steps, probes = [], []

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    monitor = infoplane.Monitor(model, byte_tokenizer(), tokens=given["tokens"], together=mode == "ddp")
    before = _peak()
    for i in range(given["repeats"]):
        probes.append(_timed(lambda i=i: monitor.probe(i)))
        steps.append(_timed(step))
    return {"probe": statistics.median(probes), "step": statistics.median(steps), "peak": _peak() - before}


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
