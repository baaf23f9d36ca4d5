"""Time of capture, and of capture and measurement, as multiples of the bare forward pass; and the peer's.

    python bench/time_measure.py smollm2-135m --dtype float32 --rounds 5 --peer
    python bench/time_measure.py smollm2-135m --dtype float32 --rounds 5 --code random,fitted

The default protocol: several sets of reference points, orders 1 and 2, errors, controls. Bare pass: the same windows,
batches, dtype and threads, without hooks or LM head. The peer is `LLMInferrer` of soft-entropy 0.1.5 on the same model
and windows, orders 1 to 3 (it has no order 4, errors or controls). All are run in turn, and the median over rounds of
each round's ratio is reported.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

import torch

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, batches
from infoplane.capture.forward_pass import _padded
from infoplane.capture.writer import write_capture
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.steps import codes_of, cut
from infoplane.models.decoder import Model
from infoplane.models.loading import load_model
from infoplane.text.documents import read_text
from infoplane.text.windows import Windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sets", type=int, help="reference sets; as by default, if not named")
    parser.add_argument("--orders", default="1,2")
    parser.add_argument("--code", default="random", help="random, fitted or both")
    parser.add_argument("--peer", action="store_true")
    given = parser.parse_args()
    model = load_model(given.model, dtype=given.dtype)
    asked = {"code": tuple(given.code.split(",")), "tokens": given.tokens, "reference_sets": given.sets}
    settings = MeasureSettings.of(asked)
    windows = cut(read_text("c4-sample"), model.tokenizer, settings)
    layers = model.layers
    names = [layer.name for layer in layers]
    codes = codes_of(model.facts, names, windows, settings.code, settings.questions.capacity)
    orders = tuple(map(int, given.orders.split(",")))
    real, run = int(windows.starts[-1]), sum((b - a) * int(windows.lengths[a:b].max()) for a, b in _batches(windows))
    print(
        f"{model.provenance['dtype']}, {real} tokens, {run / real - 1:.1%} padding, {torch.get_num_threads()} threads, "
        f"{', '.join(f'{code.sets} sets' for code in codes)} of {given.code}, orders {given.orders}"
    )

    def bare() -> None:
        with torch.inference_mode():
            for a, b in _batches(windows):
                model.run(torch.from_numpy(_padded(windows, a, b)[0]))

    bare()
    ratios = []
    for _ in range(given.rounds):
        start = time.perf_counter()
        bare()
        forward = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            capture = write_capture(folder, model, windows, codes, layers)
            captured = time.perf_counter()
            measure_capture(capture, orders=orders)
        done = time.perf_counter()
        if given.peer:
            peer_results(model, windows)
        last = time.perf_counter()
        base = forward - start
        ratios.append([(captured - forward) / base, (done - forward) / base, (last - done) / base])
        print(
            f"forward {base:.1f} s, capture {captured - forward:.1f} s, measurement {done - captured:.1f} s, "
            f"peer {last - done:.1f} s",
            flush=True,
        )
    capture_ratio, all_ratio, peer_ratio = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"capture {capture_ratio:.3f} x the bare pass, capture and measurement {all_ratio:.3f} x")
    if given.peer:
        print(f"soft-entropy {peer_ratio:.3f} x")


def _batches(windows: Windows) -> list[tuple[int, int]]:
    return list(batches(windows.lengths, MAX_BATCH_TOKENS))


def peer_results(model: Model, windows: Windows, order: int = 3, bins: int = 100) -> list[dict[str, float]]:
    """The peer's own loop over batches, on a model and windows that are there; what it finds, layer by layer."""
    from soft_entropy.accumulator import SoftEntropyAccumulator
    from soft_entropy.llm import LLMInferrer

    peer: Any = object.__new__(LLMInferrer)  # its constructor would load both from the hub
    peer.label_types, peer.max_order, peer.max_length = ["unigram", "bigram", "trigram"][:order], order, 512
    peer.model, peer.tokenizer = model.module, _Tokenized(windows, model.vocabulary)
    model.module.config.output_hidden_states = True
    dtype = next(model.module.parameters()).dtype
    peer.accs = [
        SoftEntropyAccumulator(d=model.width, n_bins=bins, seed=0, backend="torch", dtype=dtype)
        for _ in range(model.module.config.num_hidden_layers + 1)
    ]
    try:
        for batch in _batches(windows):
            peer._process_batch(range(*batch))
        return list(peer._collect_results()["per_layer"])
    finally:
        model.module.config.output_hidden_states = False


class _Tokenized:
    """Stands where the peer expects a tokenizer: a batch is a range of windows."""

    def __init__(self, windows: Windows, vocabulary: int) -> None:
        self.windows, self.vocab_size = windows, vocabulary

    def __call__(self, batch: range, **_: Any) -> Any:
        from transformers import BatchEncoding

        ids = torch.from_numpy(_padded(self.windows, batch.start, batch.stop)[0])
        lengths = torch.from_numpy(self.windows.lengths[batch.start : batch.stop])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        return BatchEncoding({"input_ids": ids, "attention_mask": mask})


if __name__ == "__main__":
    main()
