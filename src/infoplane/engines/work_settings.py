"""Where the work is done, and with how much of a machine. None of it decides a number.

Smaller batches, which a batch or a memory may ask for, and other numbers of threads can move the last bits of states.
"""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.errors import SettingError
from infoplane.setting_kinds import Kind, amount, one_of, whole
from infoplane.settings import Settings, setting
from infoplane.storage import parse_size

GROUP = "Workers"
ENGINES = ("local", "ray")


def _is_size(value: object) -> bool:
    try:
        return isinstance(value, int | str) and parse_size(value) > 0
    except SettingError:
        return False


@dataclass(frozen=True)
class WorkSettings(Settings):
    """Workers, memory, threads and batches."""

    engine: str = setting(
        "local",
        one_of(*ENGINES),
        "local: this process. ray: workers of the Ray cluster that RAY_ADDRESS names, or else of this machine.",
        group=GROUP,
        decides=False,
    )
    workers: int | None = setting(
        None,
        whole(1),
        "With ray, how many at a time: one a GPU by default, or one a node.",
        group=GROUP,
        decides=False,
    )
    gpus_per_worker: float | None = setting(
        None,
        amount(),
        "With ray: 1; with a device map a model is spread over them. Only asked for where there are some.",
        group=GROUP,
        decides=False,
    )
    memory: int | str | None = setting(
        None,
        Kind(_is_size, "a size with its unit, such as 4GB, 4GiB or 512MB", str),
        "What may be held beyond the model's weights: 4GB, 4GiB, 512MB; by default measuring takes up to half of what "
        "is free.",
        group=GROUP,
        decides=False,
    )
    threads: int | None = setting(
        None, whole(1), "Threads to measure with; by default as many as there are cores.", group=GROUP, decides=False
    )
    batch: int | None = setting(
        None, whole(1), "Tokens a batch, at most: 4096; halved where memory runs out.", group=GROUP, decides=False
    )
