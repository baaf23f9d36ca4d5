"""Where work is done: here, or by the workers of a cluster. The work itself is the same code in both.

Work comes in pieces that are independent of each other and leave the same result when they are done again: a shard of
a capture, some layers of a reduction, a checkpoint, a model. Each worker opens what all pieces need once (it loads the
model, say), opens the work with it, and then does piece after piece; pieces are handed out as workers get free.
"""

from __future__ import annotations

import contextlib
import errno
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, final

from infoplane.storage import Json

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")
S_co = TypeVar("S_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
Advance = Callable[[int], object]
"""Called with what was done since the last call, in the unit of `Piece.size`."""
_LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Opening(Protocol[S_co]):
    """How a worker makes what all its pieces need; a value that can be sent."""

    def open(self) -> S_co: ...


class Work(Protocol[S_contra, P_contra, R_co]):
    """What is done with a piece; a value that can be sent."""

    def open(self, state: S_contra) -> Callable[[P_contra, Advance], R_co]: ...


@dataclass(frozen=True)
class Piece(Generic[P]):
    """One piece of work.

    Attributes:
        name: for messages, such as `shard 3 of 12`.
        what: what the work is called with.
        size: its share of the whole, in any unit.
        memory: bytes that a worker needs for it, 0 where that is not known.
    """

    name: str
    what: P
    size: int = 1
    memory: int = 0


class Group(ABC, Generic[S]):
    """Workers that have opened the same.

    Attributes:
        workers: how many there are at most.
        threads: that each may use; None for all there are.
    """

    workers: int = 1
    threads: int | None = None

    @abstractmethod
    def outcomes(
        self, work: Work[S, P, R], pieces: Sequence[Piece[P]], advance: Advance | None = None
    ) -> Iterator[tuple[P, R | Exception]]:
        """Do all pieces; yield each with its result, or with what kept it from one, as they get done.

        Raises:
            InfoplaneError: the work cannot be opened at all.
        """

    @final
    def each(
        self, work: Work[S, P, R], pieces: Sequence[Piece[P]], advance: Advance | None = None
    ) -> Iterator[tuple[P, R]]:
        """The same, but the first error ends it."""
        with contextlib.closing(self.outcomes(work, pieces, advance)) as outcomes:  # type: ignore[type-var]
            for what, outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
                yield what, outcome

    @final
    def ask(self, work: Work[S, None, R], name: str) -> R:
        """Do one thing with any worker."""
        return next(result for _, result in self.each(work, [Piece(name, None)]))


class Engine(ABC):
    """Makes groups of workers.

    Attributes:
        name: `local` or `ray`.
        sends: whether work leaves this process, so that it must be a value and not a live object.
        retried: a sentence for each piece that was done again.
    """

    name: str
    sends: bool

    def __init__(self) -> None:
        self.retried: list[str] = []

    @abstractmethod
    def group(
        self, opening: Opening[S], *, name: str, gpus: bool = False, fresh: bool = False
    ) -> AbstractContextManager[Group[S]]:
        """Get workers that have all opened the same, for as long as the context lasts.

        Args:
            opening: what each worker opens before its first piece of work.
            name: what is opened, for messages.
            gpus: whether the workers need GPUs, if there are any.
            fresh: whether each piece of work gets a new worker, with the memory that the piece needs.
        """

    def record(self, since: int = 0) -> dict[str, Json]:
        """What the provenance of a result says about the engine.

        Args:
            since: how many entries of `retried` to leave out, from the first on.
        """
        return {"name": self.name}


@final
class Local(Engine):
    """This process, one piece after the other."""

    name, sends = "local", False

    @contextlib.contextmanager
    def group(self, opening: Opening[S], *, name: str, gpus: bool = False, fresh: bool = False) -> Iterator[Group[S]]:
        yield _LocalGroup(opening.open())


@final
class _LocalGroup(Group[S]):
    def __init__(self, state: S) -> None:
        self._state = state

    def outcomes(
        self, work: Work[S, P, R], pieces: Sequence[Piece[P]], advance: Advance | None = None
    ) -> Iterator[tuple[P, R | Exception]]:
        do = work.open(self._state)
        for piece in pieces:
            yield piece.what, _outcome(do, piece.what, advance or _nobody)


def _outcome(do: Callable[[P, Advance], R], what: P, advance: Advance) -> R | Exception:
    # by itself: an error keeps alive all that its frames hold, and here nothing keeps the error
    try:
        return do(what, advance)
    except Exception as error:  # whoever asked decides what it ends
        return error


@dataclass(frozen=True)
class Held(Generic[S]):
    """An opening of what is open already."""

    state: S

    def open(self) -> S:
        return self.state


def _nobody(done: int) -> None:
    """Nobody is told."""


def lasting(error: Exception) -> bool:
    """Whether the storage says what every next piece would meet too, and doing it again does not mend."""
    return isinstance(error, OSError) and error.errno in _LASTING


def unseen(path: Path) -> str:
    """What a worker says of a folder that it does not find."""
    return f"a worker on {platform.node()} does not see {path}: name a folder on storage that all nodes share"
