"""What capture costs beside the forward pass, by the width of the layers: time of hooks, assignments and storing.

    python bench/widths.py [--widths 256 1024 4096 8192] [--dtype float32] [--rounds 5]

One Llama block of random weights (width d, 2.7 d in its MLP, heads of 64), two layers read: what goes into it and
what comes out. `bare` runs the same batches without hooks. In turn, the median over rounds of each round's ratio. By
counting alone, a block is about 12.1 d^2 multiplications a token and reading a layer d m, so two layers and one block
should cost 2 m / (12.1 d); a model of L blocks reads L + 1 layers for L blocks, half as much. --device cuda on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, batches
from infoplane.capture.forward_pass import _padded, assign_windows
from infoplane.information.reference_points import ReferencePoints
from infoplane.models.decoder import Model
from infoplane.text.windows import Windows

VOCABULARY, M = 512, 100


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--widths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096, 8192])
    asked.add_argument("--tokens", type=int, default=8192)
    asked.add_argument("--context", type=int, default=512)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    asked.add_argument("--device", default="cpu")
    given = asked.parse_args()
    print(f"{given.device}, {given.dtype}, {torch.get_num_threads()} threads, {given.tokens} tokens, m = {M}\n")
    print("| width | bare, tokens a second | capture / bare | by counting |\n|---|---|---|---|")
    windows = _windows(given.tokens, given.context)
    for d in given.widths:
        model = _block(d, getattr(torch, given.dtype)).to(given.device)
        wrapped = Model.from_module(model.eval())
        points, layers = [ReferencePoints.make(d, M)], wrapped.layers

        def bare(ready: Model = wrapped) -> None:
            with torch.no_grad():
                for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
                    ready.run(torch.from_numpy(_padded(windows, a, b)[0]).to(given.device))

        def capture(ready: Model = wrapped, points: object = points, layers: object = layers) -> None:
            assign_windows(ready, windows, points, layers=layers, first=0, last=len(windows))  # type: ignore[arg-type]

        bare()
        capture()
        pairs = [(_seconds(bare, given.device), _seconds(capture, given.device)) for _ in range(given.rounds)]
        ratio = statistics.median(c / b for b, c in pairs)
        speed = given.tokens / statistics.median(b for b, _ in pairs)
        print(f"| {d} | {speed:,.0f} | {ratio:.3f} | {1 + 2 * M / (12.1 * d):.3f} |", flush=True)


def _seconds(work: Callable[[], None], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _block(d: int, dtype: torch.dtype) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=d, num_hidden_layers=1, num_attention_heads=d // 64,
        intermediate_size=int(2.7 * d), max_position_embeddings=4096, dtype=dtype,
    )  # fmt: skip
    module: torch.nn.Module = AutoModelForCausalLM.from_config(config)
    return module


def _windows(tokens: int, context: int) -> Windows:
    count = tokens // context
    position = np.ones(count * context, bool)
    position[::context] = False
    return Windows(
        tokens=np.random.default_rng(0).integers(VOCABULARY, size=count * context).astype(np.int32),
        starts=np.arange(count + 1, dtype=np.int64) * context,
        document=np.arange(count, dtype=np.int32),
        is_text=np.ones(count * context, bool),
        is_position=position,
        byte_count=np.full(count, context),
        documents=tuple(map(str, range(count))),
    )


if __name__ == "__main__":
    main()
