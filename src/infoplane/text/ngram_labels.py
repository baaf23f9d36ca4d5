"""Labels of positions: n-grams before and after, columns of the user, and controls that carry no information.

At token i of a window the input n-gram of order k is tokens i-k+1..i and the output n-gram tokens i+1..i+k.
Order k stands on `P_k`, the positions where both exist inside the window; an inserted BOS is part of none.
Codes are ranks of (rank of the n-gram one shorter, last token), so they never overflow, whatever the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infoplane.errors import LabelError, SettingError
from infoplane.storage import JSON, parse_json, read_text, reason, refuse_device
from infoplane.text.windows import Windows

MAX_ORDER = 4
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Labels:
    """Labels of some positions.

    Attributes:
        rows: (n,) int32, the rows of the capture that have a label, ascending.
        codes: (n,) int32, the label of each, 0 and up.
    """

    rows: Ints
    codes: Ints


def gram_codes(symbols: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], max_order: int) -> tuple[Ints, ...]:
    """For each order k to `max_order`, (T,) the rank of the k symbols that end at each place; -1 where they are not.

    Args:
        symbols: (T,) of all stretches, one after the other; -1 is none, and part of no k-gram.
        starts: where stretches begin; no k-gram goes over one.
        max_order: the widest.
    """
    single = np.full(len(symbols), -1, np.int32)
    there = symbols >= 0
    single[there] = np.unique(symbols[there], return_inverse=True)[1].reshape(-1)
    codes = [single]
    for _ in range(1, max_order):
        shorter = np.concatenate(([-1], codes[-1][:-1]))
        shorter[starts[starts < len(symbols)]] = -1
        exists = (shorter >= 0) & there
        pairs = shorter[exists].astype(np.int64) * (int(single.max(initial=0)) + 1) + single[exists]
        code = np.full(len(symbols), -1, np.int32)
        code[exists] = np.unique(pairs, return_inverse=True)[1].reshape(-1)
        codes.append(code)
    return tuple(codes)


@dataclass(frozen=True, eq=False)
class NGrams:
    """N-gram labels of windows, up to an order."""

    windows: Windows
    max_order: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_order <= MAX_ORDER:
            raise SettingError(f"order {self.max_order}: n-grams have orders 1 to {MAX_ORDER}")

    @cached_property
    def codes(self) -> tuple[Ints, ...]:
        """For each order k, (T,) the rank of the n-gram that ends at each token; -1 where there is none."""
        tokens = self.windows.tokens.astype(np.int64)
        tokens[~self.windows.is_text] = -1
        return gram_codes(tokens, self.windows.starts[:-1], self.max_order)

    @cached_property
    def _token_of_row(self) -> Ints:
        return np.flatnonzero(self.windows.is_position).astype(np.int32)

    def positions(self, order: int) -> Ints:
        """Rows of `P_order`, ascending."""
        i, code = self._token_of_row, self.codes[order - 1]
        ahead = np.minimum(i + order, len(code) - 1)
        window = self.windows.token_window
        fits = (i + order < len(code)) & (code[i] >= 0) & (code[ahead] >= 0) & (window[i] == window[ahead])
        return np.flatnonzero(fits).astype(np.int32)

    def input(self, order: int, positions: int | None = None) -> Labels:
        """Input n-grams of `order` at the positions of P_positions (its own by default)."""
        rows = self.positions(positions or order)
        return Labels(rows, self.codes[order - 1][self._token_of_row[rows]])

    def output(self, order: int, positions: int | None = None) -> Labels:
        """Output n-grams of `order` at the positions of P_positions (its own by default)."""
        rows = self.positions(positions or order)
        return Labels(rows, self.codes[order - 1][self._token_of_row[rows] + order])


Column = npt.ArrayLike | Mapping[str, str] | str
"""A label column: values, one a measured position or one a document; categories of documents by their names; or a made
one, `@position` (how far into its window a token is, in doublings) or `@folder` (the first folder of the document)."""


def label_column(values: Column, windows: Windows, name: str = "label") -> Labels:
    """A label column of the user; -1, and a document that is not named, is no label.

    Raises:
        LabelError: neither as many values as positions nor as documents, values that are no whole numbers or words, no
            such made column, or fewer than two different values.
    """
    per_row = _per_row(values, windows, name)
    rows = np.flatnonzero(per_row >= 0).astype(np.int32)
    codes = np.unique(per_row[rows], return_inverse=True)[1].reshape(-1).astype(np.int32)
    if len(np.unique(codes)) < 2:
        raise LabelError(f"label {name!r} has fewer than two different values: there is nothing to be informed about")
    return Labels(rows, codes)


def _per_row(values: Column, windows: Windows, name: str) -> npt.NDArray[np.integer]:
    """(N,) whole numbers, one a measured position."""
    if isinstance(values, str):
        return _made(values, windows, name)
    if isinstance(values, Mapping):
        kinds = sorted(set(values.values()))
        of_document = np.array([kinds.index(values[d]) if d in values else -1 for d in windows.documents])
        if (of_document < 0).all():
            raise LabelError(
                f"label {name!r} names {len(values)} documents, and none that was read; they are called "
                f"{windows.documents[0]!r} and the like"
            )
        return of_document[windows.position_document]
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind == "U":
        array = np.where(array == "-1", -1, np.unique(array, return_inverse=True)[1].reshape(-1))
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise LabelError(f"label {name!r}: expected one column of whole numbers, got {array.dtype} {array.shape}")
    if len(array) == windows.n_positions:
        return array
    if len(array) == len(windows.documents):
        return np.asarray(array[windows.position_document])
    raise LabelError(
        f"label {name!r} has {len(array)} values; expected {windows.n_positions}, one a measured position, or "
        f"{len(windows.documents)}, one a document that was read"
    )


def _made(which: str, windows: Windows, name: str) -> npt.NDArray[np.integer]:
    if which == "@position":
        offset = np.arange(len(windows.tokens)) - np.repeat(windows.starts[:-1], windows.lengths)
        return np.log2(np.maximum(offset[windows.is_position], 1)).astype(np.int64)
    if which == "@folder":
        folders = [d.rpartition("/")[0].partition("/")[0] for d in windows.documents]
        return np.unique(folders, return_inverse=True)[1].reshape(-1)[windows.position_document]
    raise LabelError(f"label {name!r}: {which!r} is not known; there are @position and @folder, or name a file")


def read_column(path: str | Path) -> Column:
    """A label column from a file: `.npy`, `.json` (document names to categories), or a number or word on each line.

    Raises:
        LabelError: missing, unreadable, or of another form.
    """
    if str(path).startswith("@"):
        return str(path)
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            refuse_device(path)
            return np.asarray(np.load(path, allow_pickle=False))
        text = read_text(path, times=JSON)
        values = parse_json(text) if path.suffix.lower() == ".json" else text.splitlines()
    except Exception as error:  # numpy raises tokenizer and syntax errors, or MemoryError, for a bad header
        raise LabelError(
            f"labels {path} cannot be read: {reason(error)}; expected .npy, .json or a number or word on each line"
        ) from None
    if isinstance(values, dict):
        if wrong := next((k for k, v in values.items() if not isinstance(v, str)), None):
            raise LabelError(f"labels {path}: {wrong!r} has {values[wrong]!r}; expected a category, in quotes")
        return values
    if not isinstance(values, list):
        raise LabelError(f"labels {path}: a JSON {type(values).__name__}; expected a list, or categories by document")
    lines = [str(line).strip() for line in values]
    if empty := next((i for i, line in enumerate(lines, start=1) if not line), None):
        raise LabelError(f"labels {path}, line {empty} is empty: write -1 where there is no label")
    if all(re.fullmatch(r"-?\d{1,18}", line) for line in lines):
        return np.array([int(line) for line in lines], dtype=np.int64)
    return np.array(lines)


def permuted(labels: Labels, seed: int) -> Labels:
    """The same labels, dealt to the positions at random."""
    draw = np.random.Generator(np.random.PCG64([seed, 1]))
    return Labels(labels.rows, draw.permutation(labels.codes))


def permuted_within(labels: Labels, groups: Ints, seed: int) -> Labels:
    """The same labels, dealt at random to the positions of the same group.

    Args:
        labels: the labels.
        groups: (n,) the group of each.
        seed: of the deal.
    """
    draw = np.random.Generator(np.random.PCG64([seed, 4]))
    codes = np.empty_like(labels.codes)
    codes[np.argsort(groups, kind="stable")] = labels.codes[np.lexsort((draw.random(len(groups)), groups))]
    return Labels(labels.rows, codes)


def paired(labels: Labels, others: Ints) -> Labels:
    """Labels that are two in one: two are the same where both are.

    Args:
        labels: the labels.
        others: (n,) the second of each, 0 and up.
    """
    both = labels.codes.astype(np.int64) * (int(others.max()) + 1) + others
    return Labels(labels.rows, np.unique(both, return_inverse=True)[1].astype(np.int32))


def shifted(labels: Labels, document: npt.NDArray[np.int32]) -> Labels | None:
    """The same labels, each run of them moved to another document: chance alone, but as bursty as before.

    The positions are put in the order of their documents and the labels are turned by half the sample. None
    where one document holds half of the sample or more, so that it would receive labels of its own.

    Args:
        labels: the labels.
        document: (N,) the document of every row of the capture.
    """
    own = document[labels.rows]
    n = len(own)
    if n < 2 or 2 * int(np.bincount(own).max()) > n:
        return None
    order = np.argsort(own, kind="stable")
    codes = np.empty_like(labels.codes)
    codes[order] = np.roll(labels.codes[order], n // 2)
    return Labels(labels.rows, codes)
