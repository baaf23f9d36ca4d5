"""The forward pass of a model on several processes, which all run it as often and in the same order.

The windows are dealt out in runs of neighbours with about as many tokens each, or every process runs all of them where
they must see the same (tensor parallelism). A process with fewer batches than another runs its last one again, and the
head as often as whoever has most to put through it; what comes of that is dropped. An error that is found in the
states is kept until all have run, for the others would wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.capture.batch_sizes import MAX_BATCH_TOKENS, BatchSize, batches
from infoplane.capture.coders import Codes
from infoplane.capture.forward_pass import assign_windows, loss_pieces
from infoplane.errors import ModelError
from infoplane.models import spread_again

if TYPE_CHECKING:
    from infoplane.engines import Processes
    from infoplane.models import Layer, Model
    from infoplane.text import Windows

Arrays = dict[str, npt.NDArray[np.generic]]


def dealt(windows: Windows, processes: int) -> list[tuple[int, int]]:
    """For each process the windows that it runs, as (first, last + 1): about as many tokens, and one window at least.

    Raises:
        ModelError: there are fewer windows than processes.
    """
    count = len(windows)
    if count < processes:
        raise ModelError(
            f"{count} window{'' if count == 1 else 's'} cannot be shared out to {processes} processes: give the "
            "monitor more tokens, or a shorter context",
            settings=("tokens", "context"),
        )
    wanted = windows.starts[-1] * np.arange(1, processes) / processes
    cuts = np.searchsorted(windows.starts[1:], wanted, side="left") + 1
    for i in range(processes - 1):  # in order, and so that some are left for those that follow
        low = 1 + (cuts[i - 1] if i else 0)
        cuts[i] = min(max(cuts[i], low), count - (processes - 1 - i))
    ends = [0, *cuts.tolist(), count]
    return list(itertools.pairwise(ends))


def assign_together(
    model: Model,
    windows: Windows,
    codes: Codes,
    layers: Sequence[Layer],
    loss: bool,
    processes: Processes,
    shares: bool,
) -> Arrays | None:
    """What `assign_windows` gives for all windows, on the first process; None on the others.

    Raises:
        ModelError: as for `assign_windows`, on the process where it happened.
        EngineError: it happened on another process, or one is missing.
    """
    runs = dealt(windows, processes.size) if shares else [(0, len(windows))] * processes.size
    plans = [
        [(first + a, first + b) for a, b in batches(windows.lengths[first:last], MAX_BATCH_TOKENS)]
        for first, last in runs
    ]
    with processes.together(), spread_again(model.module):
        parts = _run(model, windows, codes, layers, loss, plans, processes.index)
    if not shares:
        return _joined(parts) if processes.is_first else None
    gathered = processes.to_first(_joined(parts))
    return _joined(gathered) if processes.is_first else None


def _run(
    model: Model,
    windows: Windows,
    codes: Codes,
    layers: Sequence[Layer],
    loss: bool,
    plans: Sequence[Sequence[tuple[int, int]]],
    index: int,
) -> list[Arrays]:
    """What this process makes of each batch of its own, in step with the others."""
    own, parts, problem = plans[index], list[Arrays](), None
    for i in range(max(map(len, plans))):
        at_once = [plan[min(i, len(plan) - 1)] for plan in plans]
        pieces = max(loss_pieces(model, windows, a, b) for a, b in at_once) if loss else 0
        first, last = at_once[index]
        try:
            made = assign_windows(
                model,
                windows,
                codes,
                layers=layers,
                first=first,
                last=last,
                loss=loss,
                max_batch_tokens=BatchSize(MAX_BATCH_TOKENS, fixed=True),
                loss_pieces=pieces,
            )
        except ModelError as error:
            problem = problem or error
            continue
        if i < len(own):
            parts.append(made)
    if problem is not None:
        raise problem
    return parts


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
