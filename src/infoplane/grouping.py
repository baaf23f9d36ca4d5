"""Grouping: the whole-number side of an estimate, made once for a set of labels and used for every layer.

Positions are sorted by (label, block, document), so that a label is a run of (label, block) pairs and each of
those a run of (label, document) pairs. Sums over the first are what a label's mean is made of, over the second
what the jackknife takes away, over the third what document effects are known by. Labels seen once need no sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infoplane.labels import Labels

Ints = npt.NDArray[np.int32]
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Grouping:
    """Labels, blocks and documents of n positions.

    Attributes:
        n: positions.
        blocks: number B of jackknife blocks, 0 where there are too few documents.
        position_rows: (n,) all rows of the sample.
        single_rows, single_block: rows whose label occurs once, and their blocks.
        rows: (R,) the other rows, sorted by label, block, document.
        document_starts: (Q + 1,) where each (label, document) pair starts in `rows`.
        block_starts: (P + 1,) where each (label, block) pair starts among the document pairs.
        label_starts: (L + 1,) where each label starts among the block pairs.
        pair_block: (P,) block of each (label, block) pair.
    """

    n: int
    blocks: int
    position_rows: Ints
    single_rows: Ints
    single_block: Ints
    rows: Ints
    document_starts: Ints
    block_starts: Ints
    label_starts: Ints
    pair_block: Ints

    @classmethod
    def of(cls, labels: Labels, document: Ints, block_of_document: Ints | None) -> Grouping:
        """Group labels by the (N,) document of every row and the (D,) block of every document."""
        block_of = np.zeros(int(document.max()) + 1, np.int32) if block_of_document is None else block_of_document
        blocks = 0 if block_of_document is None else int(block_of.max()) + 1
        doc = document[labels.rows]
        counts = np.bincount(labels.codes)
        once = counts[labels.codes] == 1
        keep = np.flatnonzero(~once)
        order = keep[np.lexsort((doc[keep], block_of[doc[keep]], labels.codes[keep]))]
        code, d = labels.codes[order], doc[order]
        b = block_of[d]
        new_label = _changes(code)
        new_block = new_label | _changes(b)
        new_document = new_block | _changes(d)
        at_document, at_block, at_label = (np.flatnonzero(c) for c in (new_document, new_block, new_label))
        single = labels.rows[once]
        return cls(
            n=len(doc),
            blocks=blocks,
            position_rows=labels.rows,
            single_rows=single,
            single_block=block_of[document[single]].astype(np.int32),
            rows=labels.rows[order],
            document_starts=_closed(at_document, len(order)),
            block_starts=_closed(np.searchsorted(at_document, at_block), len(at_document)),
            label_starts=_closed(np.searchsorted(at_block, at_label), len(at_block)),
            pair_block=b[at_block].astype(np.int32),
        )

    @property
    def repeated_mass(self) -> float:
        """Share of positions whose label occurs more than once."""
        return len(self.rows) / self.n

    # ---- counts, per (label, block) pair and per label

    @cached_property
    def pair_n(self) -> Ints:
        """(P,) positions of each pair."""
        return np.diff(self.document_starts[self.block_starts]).astype(np.int32)

    @cached_property
    def pair_square(self) -> npt.NDArray[np.int64]:
        """(P,) sum over documents of the square of their positions."""
        square = np.diff(self.document_starts).astype(np.int64) ** 2
        return np.add.reduceat(square, self.block_starts[:-1]) if len(square) else square

    @cached_property
    def label_n(self) -> Ints:
        """(L,) positions of each label."""
        return np.diff(self.document_starts[self.block_starts[self.label_starts]]).astype(np.int32)

    @cached_property
    def label_documents(self) -> Ints:
        """(L,) documents of each label."""
        return np.diff(self.block_starts[self.label_starts]).astype(np.int32)

    @cached_property
    def label_square(self) -> npt.NDArray[np.int64]:
        """(L,) sum over documents of the square of their positions."""
        pairs = self.pair_square
        return np.add.reduceat(pairs, self.label_starts[:-1]) if len(pairs) else pairs

    @cached_property
    def pair_label(self) -> Ints:
        """(P,) label of each pair."""
        return np.repeat(np.arange(len(self.label_n), dtype=np.int32), np.diff(self.label_starts))

    def warm(self) -> None:
        """Make the cached counts now, so that threads only read them."""
        _ = self.pair_n, self.pair_square, self.label_n, self.label_documents, self.label_square, self.pair_label

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, int]]:
        """Runs of labels (first, last + 1) with about `size` (label, document) pairs each, one label at least."""
        ends = self.block_starts[self.label_starts[1:]]
        first, n = 0, len(ends)
        while first < n:
            done = self.block_starts[self.label_starts[first]]
            last = max(first + 1, int(np.searchsorted(ends, done + size, side="right")))
            yield first, last
            first = last


def _changes(values: Ints) -> npt.NDArray[np.bool_]:
    changed = np.ones(len(values), bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def _closed(starts: npt.NDArray[np.int64], end: int) -> Ints:
    return np.append(starts, end).astype(np.int32)
