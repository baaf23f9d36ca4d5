"""Keys of weights: the blocks that they are of, what they begin with, and how they are listed in messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


def common_prefix(wanted: Collection[str], unexpected: Collection[str]) -> str | None:
    counts: dict[str, int] = {}
    for key in unexpected:
        for want in wanted:
            if key.endswith("." + want):
                prefix = key[: -len(want)]
                counts[prefix] = counts.get(prefix, 0) + 1
    prefix, count = max(counts.items(), key=lambda entry: entry[1], default=("", 0))
    return prefix if count > len(wanted) // 2 else None


def block_numbers(keys: Iterable[str]) -> set[int]:
    return {int(match[1]) for key in keys if (match := BLOCK.search(key))}


def ranges(numbers: Iterable[int]) -> str:
    """`2, 5 to 7`."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def few(keys: Collection[str], count: int = 3) -> str:
    shown = sorted(keys)[:count]
    return ", ".join(shown) + (", ..." if len(keys) > count else "")
