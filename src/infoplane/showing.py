"""How results show themselves: in a notebook as HTML, as an Altair chart, as a table of pandas.

Results lie in rooms below the one that draws, and know nothing of it. The package says once, when it is imported, which
room draws (`draw_with`), and that room is loaded when something is drawn.
"""

from __future__ import annotations

import importlib
from html import escape
from typing import TYPE_CHECKING, Protocol

from infoplane.errors import ResultError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from altair.typing import ChartType


class Drawer(Protocol):
    """A room that draws results."""

    def html_of(self, result: object) -> str:
        """The answer in sentences, and the figure that shows it."""

    def chart_of(self, result: object) -> ChartType | None:
        """That figure; None where the result has not the rows for one."""


_room: str | None = None


def draw_with(room: str) -> None:
    """Draw with what a module has, `html_of` and `chart_of`."""
    global _room
    _room = room


def _drawer() -> Drawer:
    assert _room is not None, "import infoplane first"
    found: Drawer = importlib.import_module(_room)
    return found


class Shown:
    """Base class of results that can be shown as a table, as a figure, and in a notebook."""

    def table(self) -> pl.DataFrame:
        """The rows as a tidy polars table."""
        raise NotImplementedError

    def to_pandas(self) -> pd.DataFrame:
        """`table()` as a pandas data frame.

        Raises:
            ResultError: pandas or pyarrow is not installed.
        """
        try:
            return self.table().to_pandas()
        except ImportError as error:  # ModuleNotFoundError is one
            raise ResultError(
                f"{error.name or 'pandas'} is not installed: pip install pandas pyarrow, or use .table() (polars)"
            ) from None

    def plot(self) -> ChartType:
        """The first figure of the report, as an Altair chart that can be changed, saved or combined with others.

        Raises:
            ResultError: the result lacks the rows for the figure.
        """
        chart = _drawer().chart_of(self)
        if chart is None:
            raise ResultError(f"{self!r} has not the rows for a figure")
        return chart

    def _repr_html_(self) -> str:
        """What a notebook shows; the plain text of the result where it cannot be drawn."""
        try:
            return _drawer().html_of(self)
        except Exception:
            return f"<pre>{escape(repr(self))}</pre>"
