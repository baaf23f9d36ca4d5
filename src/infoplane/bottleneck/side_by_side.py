"""Work that is done by several threads, in which loops are compiled or NumPy's and release the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from threadpoolctl import threadpool_limits

Key = TypeVar("Key")
Made = TypeVar("Made")

_LOOK = 0.2  # seconds between two reports


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _StoppedError(Exception):
    """Another piece of the work failed, or all of it was interrupted."""


class Steps:
    """Counts the steps of work that several threads do, and stops them all when one of them fails."""

    def __init__(self, total: int, report: Callable[[int, int], object] | None = None) -> None:
        self.total, self.done, self.report = total, 0, report
        self._lock, self._stopped = threading.Lock(), threading.Event()

    def tick(self) -> None:
        """A step is done; called by the threads."""
        with self._lock:
            self.done += 1
        if self._stopped.is_set():
            raise _StoppedError

    def side_by_side(self, jobs: Mapping[Key, Callable[[], Made]], threads: int | None = None) -> dict[Key, Made]:
        """What each job makes, the first ones begun first. A report is made in the thread that calls.

        A product of matrices has one thread: shared out among several it could round otherwise on another machine.
        """
        self._stopped.clear()
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads or _cores()) as pool:
            waiting: dict[Key, Future[Made]] = {key: pool.submit(job) for key, job in jobs.items()}
            try:
                left = set(waiting.values())
                while left:
                    done, left = wait(left, _LOOK, FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    self._say()
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return {key: one.result() for key, one in waiting.items()}

    def _say(self) -> None:
        if self.report is not None:
            self.report(min(self.done, self.total), self.total)
