"""What the live monitor costs: time of a probe of 4k tokens against that of a training step of 4k tokens.

    python bench/monitor.py [--width 128] [--blocks 4]

A run of S steps that is probed every 1 % of them spends `probe / (S / 100 * step)` of its time on it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from infoplane.analysis.training.monitoring import Monitor
from infoplane.models.loading import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    tokenizer = load_model("smollm2-135m", dtype="bfloat16").tokenizer
    vocabulary = max(given.vocabulary, len(tokenizer))
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=given.width, num_hidden_layers=given.blocks, num_attention_heads=4,
        intermediate_size=4 * given.width, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    monitor = Monitor(model, tokenizer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, vocabulary, (32, 128))
    steps = iter(range(1, 10_000))

    def step() -> None:
        model.train()
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    def probe() -> None:
        monitor.probe(next(steps))

    step(), probe()
    pairs = [(_time(step), _time(probe)) for _ in range(given.repeats)]  # in turn: the machine's speed drifts
    training, probing = (statistics.median(each) for each in zip(*pairs, strict=True))
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {torch.get_num_threads()} threads, {monitor.windows.n_positions} positions a probe")
    print(f"training step of 4,096 tokens {training:.3f} s, probe {probing:.3f} s")
    for total in (1_000, 2_000, 10_000, 100_000):
        print(f"{total:7,} steps: {probing / (total / 100 * training):.2%} of the time of training")


def _time(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
