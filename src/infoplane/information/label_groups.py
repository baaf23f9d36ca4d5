"""Grouping: the whole-number side of an estimate, made once for a set of labels and used for every layer.

Positions are sorted by (label, block, document), so that a label is a run of (label, block) pairs and each of
those a run of (label, document) pairs. Sums over the first are what a label's mean is made of, over the second
what the errors are made of, over the third what document effects are known by. Labels seen once need no sums.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infoplane.information.arrays import Ints, Runs
from infoplane.text import Labels


@dataclass(frozen=True, eq=False)
class Grouping:
    """Labels, blocks and documents of n positions.

    Attributes:
        n: positions.
        blocks: number B of jackknife blocks, 0 where there are too few documents.
        single_block: (S,) the block of each position whose label occurs once.
        rows: (R,) the rows of the other positions, sorted by label, block, document.
        document_starts: (Q + 1,) where each (label, document) pair starts in `rows`.
        block_starts: (P + 1,) where each (label, block) pair starts among the document pairs.
        label_starts: (L + 1,) where each label starts among the block pairs.
        pair_block: (P,) block of each (label, block) pair.
        pair_document: (Q,) document of each (label, document) pair.
        documents: number of documents of the text.
    """

    n: int
    blocks: int
    single_block: Ints
    rows: Ints
    document_starts: Ints
    block_starts: Ints
    label_starts: Ints
    pair_block: Ints
    pair_document: Ints
    documents: int

    @classmethod
    def of(cls, labels: Labels, document: Ints, block_of_document: Ints | None) -> Grouping:
        """Group labels by the (N,) document of every row and the (D,) block of every document."""
        block_of = np.zeros(int(document.max()) + 1, np.int32) if block_of_document is None else block_of_document
        doc = document.take(labels.rows)
        once = np.bincount(labels.codes).take(labels.codes) == 1
        # one whole number of label and place among the documents of the blocks sorts much faster than three columns
        rank = np.argsort(block_of, kind="stable").argsort()
        order_of_blocks = np.argsort(rank.take(doc), kind="stable")
        keys = labels.codes.take(order_of_blocks).astype(np.int64) << 31
        keys |= np.arange(len(order_of_blocks))
        keys = keys[~once.take(order_of_blocks)]
        keys.sort()
        new_label = _changes(keys >> 31)
        keys &= (1 << 31) - 1
        order = order_of_blocks.take(keys)
        del order_of_blocks, keys
        d = doc.take(order)
        b = block_of.take(d)
        new_block = new_label | _changes(b)
        new_document = new_block | _changes(d)
        at_document, at_block, at_label = (np.flatnonzero(c) for c in (new_document, new_block, new_label))
        return cls(
            n=len(doc),
            blocks=0 if block_of_document is None else int(block_of.max()) + 1,
            single_block=block_of[doc[once]].astype(np.int32),
            rows=labels.rows.take(order),
            document_starts=_closed(at_document, len(order)),
            block_starts=_closed(np.searchsorted(at_document, at_block), len(at_document)),
            label_starts=_closed(np.searchsorted(at_block, at_label), len(at_block)),
            pair_block=b[at_block].astype(np.int32),
            pair_document=d[at_document],
            documents=int(document.max()) + 1,
        )

    @property
    def repeated_mass(self) -> float:
        """Share of positions whose label occurs more than once."""
        return len(self.rows) / self.n

    @property
    def nbytes(self) -> int:
        """Bytes of the whole numbers, those made later included once they were."""
        held = {f.name for f in fields(self)} | vars(self).keys()
        return sum(value.nbytes for name in held if isinstance(value := getattr(self, name), np.ndarray))

    @property
    def runs(self) -> Runs:
        """The rows, label by label."""
        return Runs(self.rows, self.document_starts, self.block_starts, self.label_starts)

    # ---- where runs begin in `rows`, counts of pairs and labels

    @cached_property
    def pair_starts(self) -> Ints:
        """(P + 1,) where each (label, block) pair starts in `rows`."""
        return self.document_starts[self.block_starts]

    @cached_property
    def pair_label(self) -> Ints:
        """(P,) label of each (label, block) pair."""
        return np.repeat(np.arange(len(self.label_n), dtype=np.int32), np.diff(self.label_starts))

    @cached_property
    def pair_n(self) -> Ints:
        """(P,) positions of each (label, block) pair."""
        return np.diff(self.pair_starts)

    @cached_property
    def label_n(self) -> Ints:
        """(L,) positions of each label."""
        return np.diff(self.label_starts_in_rows)

    @cached_property
    def label_starts_in_rows(self) -> Ints:
        """(L + 1,) where each label starts in `rows`."""
        return self.pair_starts[self.label_starts]

    @property
    def label_documents(self) -> Ints:
        """(L,) documents of each label."""
        return np.diff(self.block_starts[self.label_starts])

    @cached_property
    def label_square(self) -> npt.NDArray[np.int64]:
        """(L,) sum over documents of the square of their positions."""
        square = np.diff(self.document_starts).astype(np.int64) ** 2
        first = self.block_starts[self.label_starts]
        return np.add.reduceat(square, first[:-1]) if len(square) else square


def _changes(values: Ints) -> npt.NDArray[np.bool_]:
    changed = np.ones(len(values), bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def _closed(starts: npt.NDArray[np.int64], end: int) -> Ints:
    return np.append(starts, end).astype(np.int32)
