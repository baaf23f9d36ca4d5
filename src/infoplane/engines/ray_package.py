"""The package ray, loaded where it is used, and the few things that are asked of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from infoplane.errors import EngineError, SettingError


def ray_package() -> Any:
    """The package.

    Raises:
        EngineError: it is not installed.
    """
    if "ray" not in sys.modules:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no advice about GPUs where there are none
    try:
        import ray
    except ImportError:
        raise EngineError("the engine ray needs the package ray: pip install 'infoplane[ray]'") from None
    return ray


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits, unless it comes twice: interrupted while it starts, Ray 2.60 crashes when the process ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def kill(actor: Any) -> None:
    """End a worker."""
    with contextlib.suppress(Exception):  # it may be dead, or the cluster gone
        ray_package().kill(actor)


def nodes() -> list[dict[str, float]]:
    """Resources of each node that lives."""
    return [node["Resources"] for node in ray_package().nodes() if node["Alive"]]


def put(value: Any, name: str) -> Any:
    """Send a value once a node; arrays lie in memory that its workers share."""
    try:
        return ray_package().put(value)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise SettingError(f"{name} cannot be sent to a worker: {short(error)}; give names and numbers") from None


def short(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(getattr(error, "cause", None) or error).split())
    text = text.partition("The actor is dead because ")[2] or text
    return (text.partition(" Some common causes include")[0] or type(error).__name__)[:300]
