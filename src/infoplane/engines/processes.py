"""Processes of `torch.distributed` that do one thing together; the first of them keeps what comes of it.

Each method is a collective: all processes call it, in one order. What they say to each other goes through a group of
its own on the CPU, which waits `WAIT` seconds and no longer, so a process that is missing is told and not waited for.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from infoplane.errors import EngineError, InfoplaneError, spoken

if TYPE_CHECKING:
    import torch.distributed as dist

T = TypeVar("T")
WAIT = 300.0
"""Seconds that a process waits for the others."""


class Processes:
    """Some of the processes that were started together.

    Args:
        ranks: of those that take part, this one among them.
        wait: seconds to wait for the others.

    Attributes:
        index: which of them this one is, from 0.
        size: how many there are.

    Raises:
        EngineError: this process is not among them, or another one does not come.
    """

    def __init__(self, ranks: Sequence[int], wait: float = WAIT) -> None:
        import torch.distributed as dist

        own = dist.get_rank()
        if own not in ranks:
            raise EngineError(f"process {own} holds no part of the model, which lies on processes {list(ranks)}")
        self.index, self.size = list(ranks).index(own), len(ranks)
        self._missing = (
            f"one of the {self.size} processes is gone, or did not come within {wait:g} s: a monitor of a model that "
            "lies on several processes is made, and probes, on every one of them"
        )
        with self._answered():
            seconds = datetime.timedelta(seconds=wait)
            group = dist.new_group(list(ranks), seconds, "gloo", use_local_synchronization=True)
            self._group = cast("dist.ProcessGroup", group)
            dist.barrier(self._group)

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the results."""
        return self.index == 0

    def every(self, value: T) -> list[T]:
        """The value of each process, on every process."""
        import torch.distributed as dist

        values = cast("list[T]", [None] * self.size)
        with self._answered():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def to_first(self, value: T) -> list[T]:
        """The value of each process, on the first; nothing on the others."""
        import torch.distributed as dist

        values = cast("list[T]", [None] * self.size if self.is_first else [])
        with self._answered():
            dist.gather_object(value, values or None, group=self._group, group_dst=0)
        return values

    def of_first(self, value: T) -> T:
        """The value of the first process, on every process."""
        import torch.distributed as dist

        values = [value]
        with self._answered():
            dist.broadcast_object_list(values, group=self._group, group_src=0)
        return values[0]

    def agree(self, facts: Mapping[str, object]) -> None:
        """Refuse what differs between processes and must not.

        Raises:
            EngineError: something does; on every process.
        """
        every = self.every(dict(facts))
        differs = [name for name in facts if any(other[name] != every[0][name] for other in every)]
        if differs:
            which = next(i for i, other in enumerate(every) if any(other[n] != every[0][n] for n in differs))
            raise EngineError(
                f"process {which} has another {', another '.join(differs)} than process 0: give every process the same"
            )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What fails on one process is an error on all: each waits at the end until it knows how the others fared.

        Raises:
            EngineError: another process failed, with what it said.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        try:
            problems = self.every(None if error is None else spoken(error))
        except EngineError:
            if error is not None:
                raise error from None
            raise
        if error is not None:
            raise error
        for index, problem in enumerate(problems):
            if problem is not None:
                raise EngineError(f"process {index} of {self.size} failed: {problem}")

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except InfoplaneError:
            raise
        except Exception as error:  # torch raises several kinds where a process is gone or late
            raise EngineError(f"{self._missing} ({spoken(error)})") from error
