"""What is asked of a capture: sets of labels on sets of positions, settled before any layer is read.

Order k asks for both its n-grams on P_k, with controls. For the shares, every lower order is asked again on the
common positions of the widest; and the next token alone is asked on every P_k, so that orders can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError
from infoplane.labels import MAX_ORDER, Labels, NGrams, column, permuted, shifted
from infoplane.windows import Windows

Ints = npt.NDArray[np.int32]
SIDES = {"input": "complexity", "output": "expressivity"}
"""The two sides of a position, and what the information about each is called."""


@dataclass(frozen=True)
class Question:
    """One set of labels on one set of positions.

    Attributes:
        side: `input`, `output` or `label:NAME`.
        order: of the n-gram, None for a column.
        position_set: `P_k`, or `label:NAME`.
        own: whether those are the positions that belong to the labels; controls and uniform weights are asked there.
    """

    side: str
    order: int | None
    position_set: str
    own: bool


class Questions:
    """The questions about windows, and the labels that each is about.

    Args:
        windows: of the capture.
        orders: n-gram orders.
        columns: label columns of the user, by name.
        controls: whether permuted and shifted labels are asked too.

    Raises:
        SettingError: an order out of range, or a position set without positions.
        LabelError: a column that does not fit.
    """

    def __init__(
        self,
        windows: Windows,
        orders: Sequence[int],
        columns: Mapping[str, npt.ArrayLike],
        controls: bool = True,
    ) -> None:
        self.controls = controls
        self.orders = tuple(sorted(set(orders)))
        if not self.orders or self.orders[0] < 1 or self.orders[-1] > MAX_ORDER:
            raise SettingError(f"orders {list(orders)}: expected some of 1 to {MAX_ORDER}")
        self.document = windows.position_document
        self._grams = NGrams(windows, self.orders[-1])
        self._columns = {name: column(values, windows, name) for name, values in columns.items()}
        sets = {f"P_{k}": self._grams.positions(k) for k in sorted({1, *self.orders})}
        self.position_sets: dict[str, Ints] = sets | {f"label:{n}": c.rows for n, c in self._columns.items()}
        for name, rows in self.position_sets.items():
            if not len(rows):
                raise SettingError(
                    f"no position of the text is in {name}: the windows are too short for that order; "
                    "use a longer context or lower orders"
                )
        self.of_columns = tuple(Question(f"label:{name}", None, f"label:{name}", True) for name in self._columns)
        self.all = tuple(dict.fromkeys((*self._of_orders(), *self.of_columns)))

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
        if q.order is None:
            return self._columns[q.side.removeprefix("label:")]
        positions = int(q.position_set.removeprefix("P_"))
        return (self._grams.input if q.side == "input" else self._grams.output)(q.order, positions)

    def variants(self, q: Question) -> Iterator[tuple[str, Labels]]:
        """`value`, and `permuted` and `shifted` where controls are wanted and can be made, with their labels."""
        labels = self.labels(q)
        yield "value", labels
        if q.own and self.controls:
            yield "permuted", permuted(labels, 0)
            if (moved := shifted(labels, self.document)) is not None:
                yield "shifted", moved
