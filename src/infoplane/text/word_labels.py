"""Labels that do not depend on the tokenizer: the words, characters or bytes before and after the end of a word.

Token labels of two tokenizers are about different things, on different samples. These are about the text: they stand
at the measured tokens that end where a word ends, which are places of the text and not of its segmentation, so that
another tokenizer has the same places and the same labels there. At the end of a word the input label of width k is
the k words (or characters, or bytes) before, that word included, and the output label those after.

A word is a run of characters that are neither white space nor punctuation nor symbols (Unicode categories Z, C, P, S);
an apostrophe between two letters belongs to it. Words at the edge of a window may be cut, so they neither end at a
position nor are part of a label; nor does a token end anywhere while others of the same character follow it (byte
fallback). In writing without spaces a "word" is as long as a clause, and there are few places.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infoplane.errors import LabelError, SettingError
from infoplane.text.ngram_labels import Ints, Labels, gram_codes
from infoplane.text.windows import Windows

WIDEST = {"word": 2, "char": 4, "byte": 8}
USUAL = {"word": 1, "char": 4, "byte": 4}
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """What is counted, and how many of it make a label: written `word`, `word:2`, `char:4`, `byte:8`."""

    name: str
    width: int

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Read one.

        Raises:
            SettingError: another unit, or a width that it has not.
        """
        match = re.fullmatch(r"(word|char|byte)(?::([0-9]+))?", text)
        if match:
            name = match[1]
            width = int(match[2] or USUAL[name])
            if 1 <= width <= WIDEST[name]:
                return cls(name, width)
        known = ", ".join(f"{name}:1 to {name}:{most}" for name, most in WIDEST.items())
        raise SettingError(f"text label {text!r} is not known; there are {known}")

    def __str__(self) -> str:
        return f"{self.name}:{self.width}"


@dataclass(frozen=True, eq=False)
class TextLabels:
    """Labels of the text of windows.

    Raises:
        LabelError: the windows come without their text.
    """

    windows: Windows

    def __post_init__(self) -> None:
        if self.windows.text is None or self.windows.ends is None:
            raise LabelError(
                "words, characters and bytes need the text of the windows, and these have none: they were captured by "
                "an earlier version, or by a tokenizer that does not tell where its tokens are; capture again with a "
                "fast tokenizer"
            )

    def of(self, unit: Unit) -> tuple[Labels, Labels]:
        """Input and output labels, on the same rows: every measured end of a word that has both."""
        symbols, starts, before = self._symbols(unit.name)
        code = gram_codes(symbols, starts, unit.width)[-1]
        ahead = np.minimum(before + unit.width, len(symbols) - 1)
        fits = (before + unit.width < len(symbols)) & (code[before] >= 0) & (code[ahead] >= 0)
        fits &= ~np.isin(before + 1, starts)  # what comes after is of the same stretch
        rows = self._ends[1][fits]
        return Labels(rows, code[before[fits]]), Labels(rows, code[ahead[fits]])

    # ------------------------------------------------------------------ the text

    @cached_property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        assert self.windows.text is not None
        return self.windows.text

    @cached_property
    def _bounds(self) -> Longs:
        """(W + 1,) where the text of each window begins, in bytes."""
        assert self.windows.ends is not None
        ends = np.concatenate(([0], self.windows.ends))
        return np.asarray(ends[self.windows.starts])

    @cached_property
    def _points(self) -> npt.NDArray[np.uint32]:
        """(C,) code points of the characters."""
        return np.frombuffer(self._bytes.tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)

    @cached_property
    def _char_starts(self) -> Longs:
        """(C,) the byte at which each character begins."""
        return np.flatnonzero((self._bytes & 0xC0) != 0x80)

    @cached_property
    def _words(self) -> tuple[Longs, Longs, Longs]:
        """Of each whole word: the byte at which it begins, the byte after it, and its window."""
        kinds, kind = np.unique(self._points, return_inverse=True)
        category = [unicodedata.category(chr(p)) for p in kinds.tolist()]
        letter, part = (np.array([c[0] in of for c in category])[kind] for of in ("L", "LMN"))
        apostrophe = np.isin(kinds, [ord("'"), ord("’")])[kind]
        byte_starts = np.concatenate((self._char_starts, [len(self._bytes)]))
        edge = np.zeros(len(kind) + 1, bool)  # a window begins before this character
        edge[np.searchsorted(byte_starts, self._bounds)] = True
        part[1:-1] |= apostrophe[1:-1] & letter[:-2] & letter[2:] & ~edge[1:-2] & ~edge[2:-1]
        padded = np.concatenate(([False], part, [False]))
        begins = padded[1:] & (~padded[:-1] | edge)  # (C + 1,) a run begins with this character
        stops = padded[:-1] & (~padded[1:] | edge)  # a run ends before this character
        first, last = np.flatnonzero(begins), np.flatnonzero(stops)
        whole = ~edge[first] & ~edge[last]
        first, last = first[whole], last[whole]
        return (
            byte_starts[first],
            byte_starts[last],
            np.searchsorted(self._bounds, byte_starts[first], side="right") - 1,
        )

    @cached_property
    def _ends(self) -> tuple[Longs, Ints]:
        """The words that end where a measured token ends, and the rows of those tokens, ascending."""
        w = self.windows
        assert w.ends is not None
        grows = np.diff(w.ends, append=-1) > 0  # no other token of the same character follows
        same = np.append(w.token_window[1:] == w.token_window[:-1], False)
        token = np.flatnonzero(w.is_position & grows & same)  # the last of a window ends at its edge
        row = np.cumsum(w.is_position) - 1
        stops = self._words[1]
        if not len(stops):
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        word = np.minimum(np.searchsorted(stops, w.ends[token]), len(stops) - 1)
        there = stops[word] == w.ends[token]
        return word[there], row[token[there]].astype(np.int32)

    def _symbols(self, name: str) -> tuple[Longs, Longs, Longs]:
        """Symbols of the whole text, where stretches begin, and the last symbol before each position."""
        begins, stops, window = self._words
        ends = self._ends[0]
        if name == "word":
            raw = self._bytes.tobytes()
            known: dict[bytes, int] = {}
            codes = [
                known.setdefault(raw[a:b], len(known)) for a, b in zip(begins.tolist(), stops.tolist(), strict=True)
            ]
            new = np.flatnonzero(np.diff(window, prepend=-1) > 0)
            return np.array(codes, np.int64), new, ends
        if name == "byte":
            return self._bytes.astype(np.int64), self._bounds[:-1], stops[ends] - 1
        new = np.searchsorted(self._char_starts, self._bounds[:-1])
        return self._points.astype(np.int64), new, np.searchsorted(self._char_starts, stops[ends]) - 1
