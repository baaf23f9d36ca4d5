"""The next-token loss of the text as rows, with the errors of the text."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from infoplane.capture import Capture
from infoplane.information import without
from infoplane.measurement.estimate import Estimate


def loss_rows(capture: Capture, blocks: npt.NDArray[np.int32] | None) -> tuple[list[Estimate], list[str]]:
    """Loss and bits per byte of a capture, where it has them, and what a reader must know.

    Args:
        capture: with its windows.
        blocks: (D,) of documents; None where there are too few for errors.
    """
    loss = capture.loss()
    if loss is None:
        return [], []
    w = capture.windows
    count = 0 if blocks is None else int(blocks.max()) + 1
    sums, counts, sizes = (
        without(np.bincount(w.document, x, minlength=len(w.documents)).astype(np.float64), blocks, count)
        for x in (*loss, w.byte_count)
    )
    n = int(counts[0])
    rows = [Estimate.made("loss", "model", sums / counts, "nats/token", n=n)]
    if (sizes > 0).all():
        return [*rows, Estimate.made("bits_per_byte", "model", sums / math.log(2) / sizes, "bits/byte", n=n)], []
    name = w.tokenizer_name or "given"
    return rows, [
        f"bits per byte are left out: the tokenizer {name} has no offsets, and its tokens do not decode to the "
        "text that they were made of, so their bytes are not known"
    ]
