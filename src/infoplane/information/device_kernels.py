r"""The loops of `infoplane.information.kernels` on a device of PyTorch: the same names, arguments and sums.

Rows are gathered in the order of their labels and added up over runs of neighbours, in float64. A chunk of rows is held
at a time, so memory does not grow with the text. Results are added to the NumPy arrays of the caller when all of a call
is done. Against the compiled loops they differ by the order of additions and by the logarithm's last bit alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import TINY, DeviceColumns, Floats, Ints, Places, Runs

if TYPE_CHECKING:
    import torch

CHUNK = 1 << 24
"""Numbers of rows that are held at once, in float64: 128 MiB, and a few times that on the way."""
_KEPT = 64
_there: OrderedDict[tuple[int, str], tuple[npt.NDArray[np.generic], torch.Tensor]] = OrderedDict()


def _on(device: torch.device, array: npt.NDArray[np.generic]) -> torch.Tensor:
    """An array on a device. Those that are used again (rows and runs of labels, scales) stay there a while."""
    import torch

    key = id(array), str(device)
    if key not in _there or _there[key][0] is not array:
        _there[key] = array, torch.from_numpy(np.ascontiguousarray(array)).to(device)
        while len(_there) > _KEPT:
            _there.popitem(last=False)
    _there.move_to_end(key)
    return _there[key][1]


def _starts(device: torch.device, starts: Ints) -> torch.Tensor:
    return _on(device, starts).long()


def _values(a: DeviceColumns, rows: torch.Tensor | slice) -> torch.Tensor:
    """(n, w) the rows named, in float64."""
    return a.bits[rows].double() * _on(a.bits.device, a.scale)[rows, None]


def _logarithm(x: torch.Tensor) -> torch.Tensor:
    return x.clamp_min(float(TINY)).log()


def _over_runs(x: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """(runs, w) or (runs,): rows of x added up over runs, none of them empty, that begin at `starts` (runs + 1,)."""
    import torch

    if len(starts) == len(x) + 1:  # each run is one row
        return x
    return torch.segment_reduce(x, "sum", offsets=starts, axis=0, unsafe=True)


def _chunks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, CHUNK // max(1, width))
    for begin in range(0, rows, step):
        yield begin, min(rows, begin + step)


def forget() -> None:
    """Drop what stays on devices."""
    _there.clear()


# ---- of every row


def row_sums(a: DeviceColumns, total: Floats, of_rows: Floats) -> None:
    """As `kernels.row_sums`."""
    for begin, stop in _chunks(len(total), a.bits.shape[1]):
        x = _values(a, slice(begin, stop))
        total[begin:stop] += x.sum(1).cpu().numpy()
        of_rows[begin:stop, 0] -= (x * _logarithm(x)).sum(1).cpu().numpy()


def row_squares(a: DeviceColumns, metric: Floats, of_rows: Floats) -> None:
    """As `kernels.row_squares`."""
    weight = _on(a.bits.device, metric)
    for begin, stop in _chunks(len(of_rows), a.bits.shape[1]):
        x = _values(a, slice(begin, stop))
        of_rows[begin:stop, 1] += ((x * x) @ weight).cpu().numpy()


def sums_of_runs(a: DeviceColumns, rows: Ints, starts: Ints, out: Floats) -> None:
    """As `kernels.sums_of_runs`."""
    import torch

    device, width = a.bits.device, a.bits.shape[1]
    picked, found = _on(device, rows), torch.zeros(out.shape, dtype=torch.float64, device=device)
    ends = starts - starts[0]
    for begin, stop in _chunks(int(ends[-1]), width):
        first = int(np.searchsorted(ends, begin, "right")) - 1
        last = int(np.searchsorted(ends, stop, "left"))
        inside = np.clip(ends[first : last + 1], begin, stop) - begin
        x = _values(a, picked[int(starts[0]) + begin : int(starts[0]) + stop].long())
        found[first:last] += _over_runs(x, torch.from_numpy(inside.astype(np.int64)).to(device))
    out += found.cpu().numpy()


def halvings(a: DeviceColumns, rows: Ints, starts: Ints, places: Places, entropy: Floats) -> None:
    """As `kernels.halvings`."""
    import torch

    device = a.bits.device
    x = _values(a, _on(device, rows).long())
    begins, counts = starts[:-1].astype(np.int64), np.diff(starts).astype(np.int64)
    for level in range(len(places)):
        counts = counts // 2
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        first = torch.from_numpy(np.repeat(begins, counts) + 2 * within).to(device)
        x = 0.5 * (x[first] + x[first + 1])
        entropy[np.repeat(places[level], counts) + within] -= (x * _logarithm(x)).sum(1).cpu().numpy()
        begins = np.cumsum(counts) - counts


# ---- of labels


class _Chunk(NamedTuple):
    """Some labels, and what is theirs, each as the first and the last + 1.

    Attributes:
        labels, pairs, cells: of labels, (label, block) pairs and (label, document) pairs.
        rows: in `Runs.rows`.
    """

    labels: tuple[int, int]
    pairs: tuple[int, int]
    cells: tuple[int, int]
    rows: tuple[int, int]


def _label_chunks(runs: Runs, width: int) -> Iterator[_Chunk]:
    """Labels, some at a time, with about as many rows as are held at once; one at least."""
    ends = runs.documents[runs.blocks[runs.labels]].astype(np.int64)
    first, labels = 0, len(runs.labels) - 1
    while first < labels:
        last = int(np.searchsorted(ends, ends[first] + max(1, CHUNK // width), "right")) - 1
        last = min(labels, max(first + 1, last))
        pairs = int(runs.labels[first]), int(runs.labels[last])
        cells = int(runs.blocks[pairs[0]]), int(runs.blocks[pairs[1]])
        rows = int(runs.documents[cells[0]]), int(runs.documents[cells[1]])
        yield _Chunk((first, last), pairs, cells, rows)
        first = last


def label_sums(
    a: DeviceColumns, metric: Floats, runs: Runs, log_sum: Floats, cross: Floats, same: Floats, pair_log: Floats
) -> None:
    """As `kernels.label_sums`; `same` gets all in its first piece."""
    import torch

    if len(runs.labels) < 2:  # every label occurs once
        return
    device, width = a.bits.device, a.bits.shape[1]
    weight, rows = _on(device, metric), _on(device, runs.rows)
    documents, blocks, labels = (_starts(device, each) for each in (runs.documents, runs.blocks, runs.labels))
    parts: list[tuple[torch.Tensor, ...]] = []
    for (first, last), (p, q), (d, e), (begin, stop) in _label_chunks(runs, width):
        cells = _over_runs(_values(a, rows[begin:stop].long()), documents[d : e + 1] - begin)
        square = ((cells * cells) @ weight) * (documents[d : e + 1].diff() > 1)
        pairs = _over_runs(cells, blocks[p : q + 1] - d)
        s = _over_runs(pairs, labels[first : last + 1] - p)
        log = _logarithm(s)
        of_pairs = square.new_zeros(0)
        if len(pair_log):
            label = torch.repeat_interleave(labels[first : last + 1].diff())
            of_pairs = (pairs * log[label]).sum(1)
        of_label = _over_runs(square, blocks[labels[first : last + 1]] - d)
        parts.append(((s * log).sum(1), (s * s) @ weight, of_label, of_pairs))
    for out, found in zip((log_sum, cross, same[0], pair_log), zip(*parts, strict=True), strict=True):
        out += torch.cat(found).cpu().numpy()


def row_parts(
    device: torch.device, runs: Runs, of_rows: Floats, pair_entropy: Floats, own: Floats, alone: Floats
) -> None:
    """As `kernels.row_parts`."""
    rows, known = _on(device, runs.rows).long(), _on(device, of_rows)
    documents, blocks, labels = (_starts(device, each) for each in (runs.documents, runs.blocks, runs.labels))
    cells = _over_runs(known[rows], documents)
    squares = cells[:, 1]
    pair_entropy += _over_runs(cells[:, 0].contiguous(), blocks).cpu().numpy()
    to_labels = blocks[labels]
    own += _over_runs(squares.contiguous(), to_labels).cpu().numpy()
    alone += _over_runs((squares * (documents.diff() > 1)).contiguous(), to_labels).cpu().numpy()


def label_means(
    a: DeviceColumns,
    runs: Runs,
    kept: Floats,
    mean: Floats,
    of_blocks: Floats,
    of_documents: Floats,
    pair_block: Ints,
    pair_document: Ints,
) -> None:
    """As `kernels.label_means`."""
    import torch

    device, width = a.bits.device, a.bits.shape[1]
    rows, keep = _on(device, runs.rows), _on(device, kept)
    documents, blocks, labels = (_starts(device, each) for each in (runs.documents, runs.blocks, runs.labels))
    block_of, document_of = _on(device, pair_block).long(), _on(device, pair_document).long()
    total, moved, residual = (
        torch.zeros(x.shape, dtype=torch.float64, device=device) for x in (mean, of_blocks, of_documents)
    )
    for (first, last), (p, q), (d, e), (begin, stop) in _label_chunks(runs, width):
        counts = documents[d : e + 1].diff().double()
        to_labels = blocks[labels[first : last + 1]] - d
        label_of_cell = torch.repeat_interleave(to_labels.diff())
        cells = _over_runs(_values(a, rows[begin:stop].long()), documents[d : e + 1] - begin)
        n = _over_runs(counts, to_labels)
        counted = (keep[first:last] >= 0).double()
        p_label = _over_runs(cells, to_labels) / n[:, None] * counted[:, None]
        total += p_label.sum(0, keepdim=True)
        part = (keep[first:last].clamp_min(0) / n)[label_of_cell] * counts
        left = cells * (counted / n)[label_of_cell, None] - part[:, None] * p_label[label_of_cell]
        residual.index_add_(0, document_of[d:e], left)
        if len(of_blocks):
            block_of_cell = block_of[p:q][torch.repeat_interleave((blocks[p : q + 1]).diff())]
            moved.index_add_(0, block_of_cell, -left)
    mean += total.cpu().numpy()
    of_documents += residual.cpu().numpy()
    of_blocks += moved.cpu().numpy()
