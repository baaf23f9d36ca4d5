"""What is asked of a capture: sets of labels on sets of positions, settled before any layer is read.

Order k asks for both its n-grams on P_k, with controls. For the shares, every lower order is asked again on the
common positions of the widest; and the next token alone is asked on every P_k, so that orders can be compared.
Labels of the text (`infoplane.text.word_labels`) stand on positions of their own, input and output alike. For the parts
of the ceiling the token and the document together are asked for, the same with documents dealt anew within tokens, and
next tokens dealt anew within documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError
from infoplane.text import (
    MAX_ORDER,
    Column,
    Labels,
    NGrams,
    TextLabels,
    Unit,
    Windows,
    label_column,
    paired,
    permuted,
    permuted_within,
    shifted,
)

Ints = npt.NDArray[np.int32]
SIDES = {"input": "complexity", "output": "expressivity"}
"""The two sides of a position, and what the information about each is called."""
HALVES = ("half 0", "half 1")
"""Kinds of a question: the same labels at the positions of one half of the documents."""


TOKEN_AND_DOCUMENT = "token and document"
DEALT_DOCUMENT = "token and document, dealt within tokens"
DEALT_NEXT = "next token, dealt within documents"
PARTS = (TOKEN_AND_DOCUMENT, DEALT_DOCUMENT, DEALT_NEXT)
"""Sides of the questions that the parts of a ceiling and of expressivity follow from."""


@dataclass(frozen=True)
class Question:
    """One set of labels on one set of positions.

    Attributes:
        side: `input`, `output`, `label:NAME`, or one of those about documents.
        order: of the n-gram, of tokens or of what the position set says; None for a column.
        position_set: `P_k`, `word:K`, `char:K`, `byte:K`, or `label:NAME`.
        own: whether those are the positions that belong to the labels; controls and uniform weights are asked there.
    """

    side: str
    order: int | None
    position_set: str
    own: bool


def check_orders(orders: Sequence[int]) -> None:
    """Refuse orders of n-grams that there are not.

    Raises:
        SettingError: none, or one out of range.
    """
    if len(orders) == 0 or min(orders) < 1 or max(orders) > MAX_ORDER:
        raise SettingError(f"orders {list(orders)}: expected some of 1 to {MAX_ORDER}")


class Questions:
    """The questions about windows, and the labels that each is about.

    Args:
        windows: of the capture.
        orders: n-gram orders.
        columns: label columns of the user, by name.
        texts: labels of the text, such as `word` and `char:4`.
        controls: whether permuted and shifted labels, and halves of the documents, are asked too.
        parts: whether what the parts of the ceiling follow from is asked too.

    Raises:
        SettingError: an order out of range, or a position set without positions.
        LabelError: a column that does not fit.
    """

    def __init__(
        self,
        windows: Windows,
        orders: Sequence[int],
        columns: Mapping[str, Column],
        controls: bool = True,
        texts: Sequence[str] = (),
        parts: bool = True,
    ) -> None:
        self.controls = controls
        self.orders = tuple(sorted(set(orders)))
        check_orders(orders)
        self.document = windows.position_document
        self._grams = NGrams(windows, self.orders[-1])
        self._columns = {name: label_column(values, windows, name) for name, values in columns.items()}
        sets = {f"P_{k}": self._grams.positions(k) for k in sorted({1, *self.orders})}
        units = list(dict.fromkeys(Unit.parse(text) for text in texts))
        of_text = TextLabels(windows) if units else None
        self._texts = {str(u): dict(zip(SIDES, of_text.of(u), strict=True)) for u in units if of_text is not None}
        self.position_sets: dict[str, Ints] = sets | {f"label:{n}": c.rows for n, c in self._columns.items()}
        self.position_sets |= {name: labels["input"].rows for name, labels in self._texts.items()}
        for name, rows in self.position_sets.items():
            if not len(rows):
                why = (
                    "no measured token ends where a word does, with text enough on both sides"
                    if name in self._texts
                    else "the windows are too short for that order; use a longer context or lower orders"
                )
                raise SettingError(f"no position of the text is in {name}: {why}")
        self.of_columns = tuple(Question(f"label:{name}", None, f"label:{name}", True) for name in self._columns)
        self.of_texts = {str(u): u.width for u in units}
        of_words = [Question(side, k, name, True) for name, k in self.of_texts.items() for side in SIDES]
        # an information about documents takes two of them, and the token by itself
        asked = parts and 1 in self.orders and len(np.unique(self.document)) > 1
        self.of_documents = tuple(Question(side, None, "P_1", False) for side in PARTS if asked)
        self.all = tuple(dict.fromkeys((*self._of_orders(), *self.of_columns, *of_words, *self.of_documents)))

    def of(self, side: str, order: int, positions: int | None = None) -> Question:
        """The question about n-grams of an order, at its own positions or at those of another order."""
        positions = positions or order
        return Question(side, order, f"P_{positions}", own=positions == order)

    def _of_orders(self) -> Iterator[Question]:
        widest = self.orders[-1]
        yield from (self.of(side, k) for k in self.orders for side in SIDES)
        yield from (self.of("output", 1, k) for k in self.orders)
        yield from (self.of(side, j, widest) for j in range(1, widest + 1) for side in SIDES)

    def labels(self, q: Question) -> Labels:
        """The labels that a question is about."""
        if q.side in PARTS:
            return self._of_parts(q.side)
        if q.order is None:
            return self._columns[q.side.removeprefix("label:")]
        if q.position_set in self._texts:
            return self._texts[q.position_set][q.side]
        positions = int(q.position_set.removeprefix("P_"))
        return (self._grams.input if q.side == "input" else self._grams.output)(q.order, positions)

    def _of_parts(self, side: str) -> Labels:
        token, next_token = self._grams.input(1, 1), self._grams.output(1, 1)
        document = self.document[token.rows]
        if side == DEALT_NEXT:
            return permuted_within(next_token, document, 0)
        if side == DEALT_DOCUMENT:
            document = permuted_within(Labels(token.rows, document), token.codes, 0).codes
        return paired(token, document)

    def variants(self, q: Question, block_of_document: Ints | None) -> Iterator[tuple[str, Labels]]:
        """`value`, and where controls are wanted and can be made `HALVES`, `permuted` and `shifted`; with their labels.

        A half is every other block of documents; without blocks there are none.
        """
        labels = self.labels(q)
        yield "value", labels
        if q.own and self.controls:
            if block_of_document is not None:
                for half, kind in enumerate(HALVES):
                    some = self.half(labels.rows, block_of_document, half)
                    yield kind, Labels(labels.rows[some], labels.codes[some])
            yield "permuted", permuted(labels, 0)
            if (moved := shifted(labels, self.document)) is not None:
                yield "shifted", moved

    def half(self, rows: Ints, block_of_document: Ints, half: int) -> npt.NDArray[np.bool_]:
        """Which of the rows are in a half of the documents."""
        inside: npt.NDArray[np.bool_] = block_of_document[self.document[rows]] % 2 == half
        return inside
