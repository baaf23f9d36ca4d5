"""Capture and measurement on a GPU as multiples of the bare pass, with sums made there and on the host.

    python bench/device.py [--shape 1b|7b] [--tokens 1000000] [--rounds 3]

A Llama of that shape with random weights, in bfloat16, reads random tokens in windows of 512; the default protocol
(several sets of reference points, orders 1 and 2, errors, controls). Bare pass: the same windows and batches without
hooks. Without a GPU it says so, and times the sums of one layer by PyTorch on the CPU beside the compiled loops.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import transformers

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, batches
from infoplane.capture.forward_pass import _padded
from infoplane.capture.writer import write_capture
from infoplane.information import device_kernels
from infoplane.information.assignments import Rows
from infoplane.information.label_groups import Grouping
from infoplane.information.label_sums import Summing
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.steps import codes_of, cut
from infoplane.models.decoder import Model
from infoplane.models.loading import load_model
from infoplane.text.documents import read_text
from infoplane.text.ngram_labels import Labels

SHAPES = {"1b": (2048, 16, 32, 8192), "7b": (4096, 32, 32, 11008)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--text", default="c4-sample", help="a text with as many tokens")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: the sums of one layer, 131,072 positions of 100 points, on the CPU")
        _sums(131_072)
        return
    width, blocks, heads, inner = SHAPES[given.shape]
    tokenizer = load_model("smollm2-135m", dtype="float32", device="cpu").tokenizer
    config = transformers.LlamaConfig(
        vocab_size=49_152, hidden_size=width, num_hidden_layers=blocks, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=512,
    )  # fmt: skip
    with torch.device("cuda"):
        module = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = Model.from_module(module, tokenizer)
    settings = MeasureSettings.of({"tokens": given.tokens})
    windows = cut(read_text(given.text), tokenizer, settings)
    names = [layer.name for layer in model.layers]
    codes = codes_of(model.facts, names, windows, settings.code, settings.questions.capacity)
    print(f"{given.shape}, {int(windows.starts[-1]):,} tokens, {torch.cuda.get_device_name()}")

    def bare() -> None:
        first = 0
        with torch.inference_mode():
            for a, b in batches(windows.lengths, MAX_BATCH_TOKENS):
                model.run(torch.from_numpy(_padded(windows, first + a, first + b)[0]).to("cuda"))
        torch.cuda.synchronize()

    bare()
    ratios = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            forward = _timed(bare)
            start = time.perf_counter()
            capture = write_capture(folder, model, windows, codes, model.layers)
            captured = time.perf_counter() - start
            there, here = (_timed(partial(measure_capture, capture, device=device)) for device in ("cuda", "cpu"))
        ratios.append([captured / forward, (captured + there) / forward, (captured + here) / forward])
        print(f"bare {forward:.2f} s: " + ", ".join(f"{ratio:.2f}" for ratio in ratios[-1]), flush=True)
    medians = [statistics.median(each) for each in zip(*ratios, strict=True)]
    print("capture {:.2f}, all in on the GPU {:.2f}, all in with sums on the CPU by PyTorch {:.2f}".format(*medians))


def _sums(n: int, m: int = 100) -> None:
    draw = np.random.default_rng(0)
    a = draw.dirichlet(np.full(m, 0.3), n).astype(np.float16)
    labels = Labels(np.arange(n, dtype=np.int32), (draw.zipf(1.2, n) % 20_000).astype(np.int32))
    document = np.sort(draw.integers(0, 300, n)).astype(np.int32)
    grouping = Grouping.of(labels, document, (np.arange(300) % 32).astype(np.int32))

    def of(layer: Rows) -> None:
        summing = Summing(layer, grouping, errors=True, uniform=False)
        for columns, x in layer.pieces():
            summing.add(columns, x)
        summing.done()

    for name, rows in (("compiled", a), ("PyTorch", torch.from_numpy(a))):
        of(Rows.of(rows))
        print(f"{name}: {statistics.median(_timed(lambda rows=rows: of(Rows.of(rows))) for _ in range(3)):.2f} s")
    device_kernels.forget()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
