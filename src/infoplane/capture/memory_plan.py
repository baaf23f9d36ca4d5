r"""Memory: a budget in bytes, and what it lets a capture and a reduction hold at once, beyond the model's weights.

What a reduction of N positions of D documents holds, in bytes, with `L` layers at once and m reference points:

    fixed      the interpreter and the libraries, windows, n-gram codes, and labels in the making
    layers     L (N (64 + 2w) + 32 w D + 48 MiB): w columns at once, all m or a piece, and numbers of each row
    labels     whole numbers of the sets of labels asked in one visit to the layers, and L times their sums

The fewest are one layer whose columns are read again as they are needed, and one set of labels a visit: a budget below
that is refused. With more, the settings are those with the least work. They decide how often a layer is read, never in
which order numbers are added, so results are the same bit for bit. A capture holds a shard (twice where it is sent to
an address) and the activations of a batch; the fewest are one window of each. `bench/million.py` and
`bench/capture_memory.py` measure what is held.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil

from infoplane.errors import SettingError
from infoplane.information import widest
from infoplane.storage import spoken_size

LIBRARIES, TORCH = 230 << 20, 450 << 20
"""Bytes of the interpreter with its libraries, and of PyTorch and transformers on top."""
_TOKEN, _POSITION = 24, 96  # windows and codes; position sets, samples, and labels in the making
_ROW, _DOCUMENT, _LAYER = 64, 4 * 8, 48 << 20  # the second for each column
_ACTIVATIONS, _HEAD = 60, 420 << 20  # bytes of a batch for each token and unit of width; logits of the loss
_LABELS = 120  # a position, at most, of one set of labels and its sums
_TYPICAL = 20  # the same, on average over what orders 1 to 4 ask
_STATISTICS, _SET = 4, 2  # time of a visit to a layer, and of a set of labels in it, in passes over its numbers


@dataclass(frozen=True)
class Reduction:
    """How layers are asked.

    Attributes:
        layers: worked on at once.
        threads: for the sets of labels of each of them.
        whole: whether a layer is held, or read again for each piece of columns.
        held: bytes that sets of labels may take in one visit.
    """

    layers: int
    threads: int
    whole: bool
    held: int


def reduction(
    budget: int,
    *,
    stated: bool,
    tokens: int,
    positions: int,
    m: int,
    documents: int,
    sets: int,
    threads: int,
    layers: int,
) -> Reduction:
    """Settings for a budget.

    Args:
        budget: bytes.
        stated: whether somebody asked for it; a default that is too small gives the fewest that can be.
        tokens, positions, documents: of the windows.
        m: reference points.
        sets: sets of labels that are asked, controls included.
        threads: to work with, at most.
        layers: there are, reference sets counted.

    Raises:
        SettingError: a stated budget that is less than the fewest bytes; the message says what they are for.
    """
    fixed = LIBRARIES + (TORCH if "torch" in sys.modules else 0) + _TOKEN * tokens + _POSITION * positions
    most = max(1, min(threads, layers))
    options = []
    for at_once, whole in {(most, True), (1, True), (most, False), (1, False)}:
        of_layer = _of_layer(positions, documents, m if whole else widest(m))
        held = budget - fixed - at_once * of_layer
        if held >= _LABELS * positions:
            rounds = ceil(min(sets, sets * _TYPICAL * positions / held)) or 1
            inner = max(1, threads // at_once)
            visit = rounds * (_STATISTICS if whole else 4 * _STATISTICS)
            time = (visit + _SET * sets / min(inner, sets)) / at_once
            options.append((time, -at_once, not whole, Reduction(at_once, inner, whole, held)))
    if options:
        return min(options, key=lambda option: option[:3])[3]
    least = fixed + _of_layer(positions, documents, widest(m)) + _LABELS * positions
    if stated:
        raise SettingError(
            f"memory = {spoken_size(budget)} is too little to measure {positions:,} positions: at least "
            f"{spoken_size(least)} are needed ({spoken_size(fixed)} for libraries, tokens and labels, "
            f"{spoken_size(least - fixed)} for one layer, some columns at a time, and one set of labels); allow more, "
            "or read fewer tokens"
        )
    return Reduction(1, threads, False, _LABELS * positions)


def _of_layer(positions: int, documents: int, columns: int) -> int:
    """Bytes of a layer of which so many columns are held."""
    return positions * (_ROW + 2 * columns) + documents * _DOCUMENT * columns + _LAYER


@dataclass(frozen=True)
class Capturing:
    """How a text is captured: tokens of a batch, and of a shard."""

    batch: int
    shard: int


def capturing(
    budget: int,
    *,
    tokens: int,
    longest: int,
    width: int,
    stored: int,
    loss: bool,
    batch: int,
    shard: int,
    batch_is_asked: bool,
) -> Capturing:
    """Settings for a stated budget; those given where they fit, or else the largest halves of them that do.

    Args:
        budget: bytes.
        tokens: of the windows.
        longest: tokens of the longest window.
        width: of the states.
        stored: numbers stored a token: layers, reference sets and reference points multiplied.
        loss: whether the head is run too.
        batch, shard: tokens, where there is memory enough.
        batch_is_asked: then it is not made smaller.

    Raises:
        SettingError: not enough for one window; the message says what it is for.
    """
    fixed = LIBRARIES + TORCH + _TOKEN * tokens + (_HEAD if loss else 0)

    def needed(batch: int, shard: int) -> int:
        return fixed + max(batch, longest) * (_ACTIVATIONS * width + 2 * stored) + max(shard, longest) * 4 * stored

    while needed(batch, shard) > budget:
        can_batch, can_shard = batch > longest and not batch_is_asked, shard > longest
        if can_shard and (shard > batch or not can_batch):
            shard //= 2
        elif can_batch:
            batch //= 2
        else:
            least, batches = needed(batch, shard), f" in batches of {batch}" if batch_is_asked else ""
            raise SettingError(
                f"memory = {spoken_size(budget)} is too little to capture windows of {longest} tokens{batches}: at "
                f"least {spoken_size(least)} are needed beyond the model's weights ({spoken_size(fixed)} for "
                f"libraries, tokens{' and the loss' if loss else ''}, {spoken_size(least - fixed)} for states and "
                "assignments); allow more, or use a shorter context, fewer layers or reference_sets",
                settings=("memory", "context", "layers", "reference_sets"),
            )
    return Capturing(batch, shard)
