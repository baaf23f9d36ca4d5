"""What linear probes read of frequent labels, as rows with the errors of the text.

Of a layer `H(labels) + mean log q`, with the entropy of the labels that were judged: a lower bound of what states tell
of the token, and so of what any code of them can. Replicates leave out the positions of each block of documents; the
probes are held.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infoplane.capture import Probed
from infoplane.information import FREQUENT, Floats, unit_scale
from infoplane.measurement.estimate import Estimate

PROBE = "probe"
_SIDES = ("input", "output")


def probe_rows(probed: Probed, blocks: npt.NDArray[np.int32] | None, unit: str, m: int) -> list[Estimate]:
    """The rows of all layers that were probed, and of the mean over blocks.

    Args:
        probed: what was read.
        blocks: (D,) of documents; None where there are too few for errors.
        unit: of the rows.
        m: symbols of the code beside it, for efficiency.
    """
    scale = unit_scale(unit, m)
    block = None if blocks is None else blocks[probed.document]
    count = 0 if blocks is None else int(blocks.max()) + 1
    rows, of_blocks = list[Estimate](), dict[str, list[Floats]]()
    for layer in probed.layers:
        for i, side in enumerate(_SIDES):
            columns = _bounds(probed.labels[:, i], probed.log_q[layer][:, i], block, count)
            rows.append(_row(layer, side, columns, scale, unit, len(probed.labels)))
            if layer.startswith("block."):
                of_blocks.setdefault(side, []).append(columns)
    return rows + [
        _row("model", side, np.mean(some, axis=0), scale, unit, len(probed.labels)) for side, some in of_blocks.items()
    ]


def _row(layer: str, side: str, columns: Floats, scale: float, unit: str, n: int) -> Estimate:
    return Estimate.made(PROBE, layer, columns * scale, unit, side=side, order=1, position_set="P_1", n=n)


def _bounds(labels: npt.NDArray[np.int32], log_q: Floats, block: npt.NDArray[np.int32] | None, count: int) -> Floats:
    """(1 + B,) the bound of all positions, then without each block."""
    place = np.zeros(len(labels), np.int64) if block is None else block.astype(np.int64)
    blocks = max(count, 1)
    cells = np.bincount(place * (FREQUENT + 1) + labels, minlength=blocks * (FREQUENT + 1)).reshape(blocks, -1)
    sums = np.bincount(place, log_q, minlength=blocks)
    counts = np.vstack([cells.sum(0), cells.sum(0) - cells[:count]]).astype(float)
    n = counts.sum(1)
    p = counts / n[:, None]
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1)
    bounds: Floats = entropy + np.concatenate(([sums.sum()], sums.sum() - sums[:count])) / n
    return bounds
