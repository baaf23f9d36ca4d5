"""The bound of a text as one stored thing: its frontiers, and where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import polars as pl

from infoplane.bottleneck.bound_settings import MAX_ORDER
from infoplane.bottleneck.fit_text import FitText
from infoplane.bottleneck.frontier import (
    BETAS,
    MIN_SEEN,
    MOST_JUDGED,
    SHARES,
    SMOOTHING,
    TAUGHT,
    TOLERANCE,
    TRUST,
    VERSION,
    fit_frontiers,
)  # fmt: skip
from infoplane.bottleneck.frontier_curve import Frontier, LessText
from infoplane.engines import Progress
from infoplane.errors import ResultError
from infoplane.information import THINNED
from infoplane.showing import Shown
from infoplane.storage import OBJECT, OBJECTS, Hint, ResultFiles, check_schema, read_parquet, versions
from infoplane.text import Windows

if TYPE_CHECKING:
    from typing_extensions import Unpack


SCHEMA = "infoplane/bound/3"
JSON_NAME, TABLE_NAME = "bound.json", "bound.parquet"
FILES = ResultFiles(JSON_NAME, TABLE_NAME, SCHEMA, "bound", "bound")
_ANNEALING: AnnealingKeywords = {"seed": 0, "wide": False, "starts": 1, "forward": False}
_PACKAGES = ("infoplane", "numpy", "scipy")  # whose versions decide the numbers
_WHOLE = ("order", "target", "n", "m", "fitted_on")
_ONE: Hint = tuple[int, int, int, int, int, float, float, float, str]
_RECORD: Mapping[str, Hint] = {
    "frontiers": OBJECTS,
    "provenance": {
        "text": {"source": str, "kind": str},
        "windows": {"tokenizer": {"name": str, "hash": str}},
        "windows_hash": str,
        "tokens": int,
        "documents": int,
        "settings": OBJECT,
        "versions": OBJECT,
    },
}


class AnnealingKeywords(TypedDict, total=False):
    """How codes are fitted; see `infoplane.bottleneck.frontier.fit_frontiers`."""

    seed: int
    wide: bool
    starts: int
    forward: bool


@dataclass(frozen=True)
class Bound(Shown):
    """The bound of a text: how much codes of the last k tokens can tell about the tokens to come.

    Attributes:
        frontiers: for each order and target a frontier of all positions and, if there are enough, one of the seen
            positions: those whose k-gram also occurs in the other half of the documents.
        provenance: text, windows, settings and versions, as JSON values.
    """

    frontiers: tuple[Frontier, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        orders = sorted({f.order for f in self.frontiers})
        return f"<Bound of orders {', '.join(map(str, orders)) or 'none'}: {len(self.frontiers)} frontiers>"

    def get(self, order: int, positions: str = "all", target: int = 1) -> Frontier:
        """Get one frontier.

        Args:
            order: k, the length of the k-grams.
            positions: `all` or `seen`.
            target: order of the output n-gram; 1 is the next token.

        Raises:
            ResultError: the bound has no such frontier.
        """
        for f in self.frontiers:
            if (f.order, f.positions, f.target) == (order, positions, target):
                return f
        raise ResultError(
            f"no frontier of order {order}, target {target}, {positions} positions; fit it, or give more text if too "
            "few positions have a k-gram that both halves have"
        )

    def table(self) -> pl.DataFrame:
        """One row per code and frontier, with complexity and relevance in nats.

        Each of the two is a list, the estimate followed by its replicates. `fitted_on` is the number of positions that
        a code was fitted on.
        """
        rows = []
        for number, f in enumerate(self.frontiers):
            parts: list[Frontier | LessText] = [f, *f.smaller]
            for part in parts:
                for (length, trust, smoothing, beta, symbols), x, y in zip(
                    f.codes, part.complexity, part.relevance, strict=True
                ):
                    rows.append(
                        {
                            "frontier": number,
                            "fitted_on": part.fitted_on,
                            "length": length,
                            "trust": trust,
                            "smoothing": smoothing,
                            "beta": beta,
                            "symbols": symbols,
                            "complexity": x.tolist(),
                            "relevance": y.tolist(),
                        }
                    )
        return pl.DataFrame(rows, schema=_TABLE)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `bound.parquet`, the table, then `bound.json`, each completely or not at all.

        Args:
            folder: a folder or an address such as s3://bucket/run.

        Returns:
            The paths of the JSON file and of the Parquet file.
        """
        record = {
            "provenance": dict(self.provenance),
            "unit": "nats",
            "frontiers": [
                {
                    **f.summary(),
                    "tangents": None if f.tangents is None else f.tangents.tolist(),
                    "fit_hash": f.fit_hash,
                }
                for f in self.frontiers
            ],
        }
        return FILES.write(folder, record, self.table())

    @property
    def key(self) -> str | None:
        """SHA-256 over everything that decides the bound; None if the teacher's weights cannot be identified."""
        key = self.provenance.get("key")
        return None if key is None else str(key)

    @classmethod
    def load(cls, path: str | Path) -> Bound:
        """Read a stored bound.

        Args:
            path: the folder or address that it is stored in, or the JSON file itself.

        Raises:
            ResultError: nothing is there, it cannot be read, or this version does not know its schema.
        """
        with FILES.read(path) as (source, record):
            table = read_parquet(source.parent / TABLE_NAME)
            check_schema(record, _RECORD)
            hash_of_windows = record["provenance"].get("windows_hash")
            frontiers = [
                _frontier(f, table.filter(pl.col("frontier") == number), number, hash_of_windows)
                for number, f in enumerate(record["frontiers"])
            ]
            return cls(tuple(frontiers), record["provenance"])


def _frontier(f: Mapping[str, Any], table: pl.DataFrame, number: int, hash_of_windows: str | None) -> Frontier:
    """One frontier of a record, and its rows of the table."""
    low, high = f["saturation"]
    check_schema([*(f[name] for name in _WHOLE), low, high, f["seen"], f["positions"]], _ONE, "a frontier")
    parts = []
    for fitted_on in (*(less["fitted_on"] for less in f["smaller"]), f["fitted_on"]):
        mine = table.filter(pl.col("fitted_on") == fitted_on)
        x, y = (np.array(mine[name].to_list(), dtype=np.float64) for name in ("complexity", "relevance"))
        if x.ndim != 2 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError(f"frontier {number} has no codes, or some that are no numbers")
        parts.append((fitted_on, x, y))
    *smaller, (fitted_on, x, y) = parts
    codes = (
        table.filter(pl.col("fitted_on") == fitted_on).select("length", "trust", "smoothing", "beta", "symbols").rows()
    )
    tangents = None if f["tangents"] is None else np.array(f["tangents"], dtype=np.float64)
    return Frontier(
        f["order"], f["target"], f["positions"], f["n"], f["seen"], tuple(codes), x, y, (low, high), f["m"],
        hash_of_windows, fitted_on, tuple(LessText(*less) for less in smaller), tangents, f["teacher"], f["fit_hash"],
    )  # fmt: skip


def bound_of(
    windows: Windows,
    orders: Sequence[int] = (1, 2, 3),
    *,
    m: int = 100,
    fit: FitText | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **annealing: Unpack[AnnealingKeywords],
) -> Bound:
    """Fit the bound of windows, even where it was fitted before.

    Args:
        windows: the windows that codes are judged on.
        orders: lengths of the k-grams, of 1 to 3.
        m: number of symbols of a code.
        fit: the text that codes are fitted on; by default the windows themselves.
        threads: number of threads; by default one per core.
        progress: called as `progress(stage, done, total)`.
        **annealing: `seed`, `wide`, `starts` and `forward`; see `infoplane.bottleneck.frontier.fit_frontiers`.

    Raises:
        TextError: fewer than two documents, windows too short for an order, or a text of one symbol.
        SettingError: an order, `m` or `starts` that is not possible.
    """
    orders = sorted(set(orders))
    frontiers = fit_frontiers(windows, orders, m=m, fit=fit, threads=threads, progress=progress, **annealing)
    provenance = {
        **origin_of(windows),
        "windows_hash": windows.hash,
        "tokens": int(np.count_nonzero(windows.is_text)),
        "documents": len(windows.documents),
        "settings": {"orders": orders, "m": m, **_ANNEALING, **annealing},
        "fit": None if fit is None else {"tokens": len(fit.windows.tokens), "teacher": fit.teacher, "hash": fit.hash},
        "versions": versions(*_PACKAGES),
        "key": key_of(windows, orders, m, fit, **annealing),
    }
    return Bound(frontiers, provenance)


def origin_of(windows: Windows) -> dict[str, Any]:
    """Where windows come from, as a bound's record has it."""
    return {
        "text": windows.provenance.get("text"),
        "windows": {k: v for k, v in windows.provenance.items() if k != "text"},
    }


def key_of(
    windows: Windows,
    orders: Sequence[int],
    m: int,
    fit: FitText | str | None = None,
    **annealing: Unpack[AnnealingKeywords],
) -> str | None:
    """SHA-256 over what decides a bound; None where nothing vouches for the teacher's weights.

    Args:
        windows, orders, m, annealing: as for `bound_of`.
        fit: the text that codes are fitted on, or its hash.
    """
    hash_of_fit = fit.hash if isinstance(fit, FitText) else fit
    if fit is not None and hash_of_fit is None:
        return None
    constants = [VERSION, BETAS, SMOOTHING, TAUGHT, TRUST, SHARES, TOLERANCE, MOST_JUDGED, MIN_SEEN, THINNED]
    said = [str(constants), windows.hash, hash_of_fit, sorted(set(orders)), m, {**_ANNEALING, **annealing}]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def orders_with_bound(orders: Sequence[int]) -> list[int]:
    """The orders of a measurement that have a bound; order 1 where none of them has."""
    return sorted({k for k in orders if k <= MAX_ORDER} or {1})


_TABLE: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "frontier": pl.Int64,
    "fitted_on": pl.Int64,
    "length": pl.Int64,
    "trust": pl.Float64,
    "smoothing": pl.Float64,
    "beta": pl.Float64,
    "symbols": pl.Int64,
    "complexity": pl.List(pl.Float64),
    "relevance": pl.List(pl.Float64),
}
