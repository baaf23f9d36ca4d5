"""What all sections of the laboratory share: how large they are, what they return, and the asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.capture.stored_capture import Capture
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.results import Measurement
from infoplane.text.ngram_labels import Labels


@dataclass(frozen=True)
class Setting:
    """How large the laboratory is.

    Attributes:
        quick: the short version: everything is run, little of it.
        out: folder of states and results.
        own: folder of a further model, for the section codes.
    """

    quick: bool
    out: Path
    own: Path | None = None

    @property
    def cache(self) -> Path:
        return self.out / "states"

    def of(self, full: Any, quick: Any) -> Any:
        """One of the two, by how large the laboratory is."""
        return quick if self.quick else full

    @property
    def tokens(self) -> int:
        return self.of(32_768, 2_048)


@dataclass(frozen=True)
class Table:
    """One table of results: a name, a sentence, names of columns, rows of words and numbers."""

    name: str
    says: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    digits: int = 4
    notes: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "says": self.says, "columns": list(self.columns), "rows": [list(r) for r in self.rows],
            "digits": self.digits, "notes": list(self.notes),
        }  # fmt: skip


def asked(capture: Capture, orders: Sequence[int] = (1,), **more: Any) -> Measurement:
    """The product's own measurement of a capture."""
    more = {"estimators": ("corrected", "plugin"), **more}
    return measure_capture(capture, orders=orders, threads=1, **more)


def both(found: Measurement, quantity: str, order: int = 1, **more: Any) -> tuple[Any, Any]:
    """The whole model's row by `plugin` and by `corrected`, on the order's own positions."""
    own: dict[str, Any] = {"order": order, "position_set": f"P_{order}", **more}
    return found.get(quantity, estimator="plugin", **own), found.get(quantity, **own)


def first_order(a: np.ndarray, labels: Labels) -> float:
    """I(X; Z') in nats with the bias of each entropy removed to first order in 1/n: what `corrected` was at first.

        H_corr(x) = H(p) + 1/(2n) sum_j v_j / p_j,

    v_j the unbiased variance of the n rows of a label; labels seen once take the mean of the sum over the others.

    Args:
        a: (N, m) float64 assignments, rows summing to 1.
        labels: of some of the rows.
    """
    x, code = a[labels.rows], labels.codes
    n = np.bincount(code).astype(float)
    there = n > 0
    sums = np.stack([np.bincount(code, x[:, j], minlength=len(n)) for j in range(x.shape[1])], 1)[there]
    squares = np.stack([np.bincount(code, x[:, j] ** 2, minlength=len(n)) for j in range(x.shape[1])], 1)[there]
    n = n[there]
    p = sums / n[:, None]
    variance = (squares / n[:, None] - p * p) * (n / np.maximum(n - 1, 1))[:, None]
    ratio = np.divide(variance, p, out=np.zeros_like(p), where=p > 0).sum(1)
    several = n > 1
    ratio = np.where(several, ratio, np.average(ratio[several], weights=n[several]) if several.any() else 0.0)
    total, whole = x.mean(0), len(x)
    spread = np.divide(x.var(0, ddof=1), total, out=np.zeros_like(total), where=total > 0).sum() / (2 * whole)
    return float(entropy(total) + spread - np.average(entropy(p) + ratio / (2 * n), weights=n))


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy of the last axis, nats."""
    return -(p * np.log(np.maximum(p, np.finfo(float).tiny))).sum(-1)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; NaN where one of the two does not vary."""
    from scipy import stats

    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(stats.spearmanr(x, y).statistic)


def markdown(table: Mapping[str, Any]) -> str:
    """A stored table as Markdown."""

    def cell(value: Any) -> str:
        if isinstance(value, bool) or value is None:
            return {True: "yes", False: "no", None: ""}[value]
        if isinstance(value, int):
            return f"{value:,}"
        return f"{value:.{table['digits']}f}" if isinstance(value, float) else str(value)

    head = ["| " + " | ".join(table["columns"]) + " |", "|" + "---|" * len(table["columns"])]
    body = ["| " + " | ".join(map(cell, row)) + " |" for row in table["rows"]]
    notes = [f"\n{note}" for note in table["notes"]]
    return "\n".join([f"### {table['name']}", "", table["says"], "", *head, *body, *notes, ""])
