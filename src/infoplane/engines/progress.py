"""How work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], object]
"""Called with a stage, what is done and what there is to do."""


def advancing(progress: Progress | None, stage: str, total: int) -> Callable[[int], object]:
    """What adds up the work done in a stage, and tells `progress` of it each time."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(stage, done, total)

    return advance
