"""Which figures of several models are about the same thing on the same sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infoplane.measurement import Estimate, Member

ALIKE = 0.02
"""Part by which the numbers of positions may differ, of what is called the same sample."""


def positions_of(rows: Mapping[tuple[str, str | None, str | None], Estimate], position_set: str) -> int:
    return next(row.n or 0 for (_, s, _), row in rows.items() if s == position_set)


def kind_of_labels(position_set: str) -> str:
    kind = position_set.partition(":")[0]
    return kind if kind in ("word", "char", "byte") else "P_"


def fair(members: Sequence[Member], n: Sequence[int], position_set: str) -> tuple[bool, str]:
    """Whether figures of a set of positions compare, and why (not)."""
    origins = [m.measurement.origin for m in members]
    if len({origin.windows_hash for origin in origins}) == 1:
        return True, f"the same {n[0]:,} positions of the same windows"
    if position_set in ("answers", "matched"):
        return False, "preferences are about the same question, but on the tokens of different windows"
    if kind_of_labels(position_set) == "P_":
        return False, "labels and positions are those of different windows" + (
            ": the tokenizers differ"
            if len({origin.windows.tokenizer.hash for origin in origins}) > 1
            else ", cut of different text"
        )
    if len({origin.text.sha256 for origin in origins}) > 1:
        return False, "the texts are not the same: measure all models on one text, cut to the same --bytes"
    if max(n) - min(n) > ALIKE * max(n):
        return False, f"the same text, but {min(n):,} to {max(n):,} positions: cut it to the same --bytes"
    if min(n) == max(n):
        return True, f"the same {n[0]:,} positions of the same text, whatever the tokenizer"
    return True, f"the same text, {min(n):,} to {max(n):,} positions (windows end at different places)"
