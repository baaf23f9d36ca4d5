"""Engines by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from infoplane.engines.base import Engine, Local
from infoplane.engines.ray_engine import RayEngine
from infoplane.engines.work_settings import ENGINES
from infoplane.errors import SettingError


@contextlib.contextmanager
def using(
    engine: str | Engine,
    workers: int | None = None,
    gpus: float | None = None,
    say: Callable[[str], object] | None = None,
) -> Iterator[Engine]:
    """The engine of a name, for as long as the context lasts; an engine that is given is only passed on.

    Args:
        engine: `local`, `ray` or an engine.
        workers, gpus: for `ray`; see `RayEngine`.
        say: called with a sentence where a piece is done again.

    Raises:
        SettingError: an unknown name, or workers where there are none.
    """
    named = {"workers": workers, "gpus_per_worker": gpus}
    names = (*named, "engine")
    given = ", ".join(f"{name} = {value!r}" for name, value in named.items() if value is not None)
    if isinstance(engine, Engine):
        if given:
            raise SettingError(f"{given}: an engine that is made already has them; leave them out", settings=names)
        yield engine
    elif engine == "local":
        if given:
            raise SettingError(
                f"{given}: all is done in this process; set engine to ray, or leave that out", settings=names
            )
        yield Local()
    elif engine == "ray":
        with RayEngine(workers, 1 if gpus is None else gpus, say=say) as started:
            yield started
    else:
        raise SettingError(f"engine {engine!r} is not known; choose one of {', '.join(ENGINES)}")
