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
        "local (this process) or ray (workers of the Ray cluster at RAY_ADDRESS, or else of one on this machine).",
        group=GROUP,
        decides=False,
    )
    workers: int | None = setting(
        None,
        whole(1),
        "Number of workers (with ray); by default as many as the GPUs allow, or one per node if there are no GPUs.",
        group=GROUP,
        decides=False,
    )
    gpus_per_worker: float | None = setting(
        None,
        amount(),
        "GPUs per worker (with ray); 1 by default, 0 if the cluster has none. A device map spreads a model over them.",
        group=GROUP,
        decides=False,
    )
    memory: int | str | None = setting(
        None,
        Kind(_is_size, "a size with its unit, such as 4GB, 4GiB or 512MB", str),
        "Most memory to use beyond the model's weights, such as 4GB, 4GiB or 512MB; by default measuring uses up to "
        "half of the free memory.",
        group=GROUP,
        decides=False,
    )
    threads: int | None = setting(
        None, whole(1), "Threads for measuring; by default one per core.", group=GROUP, decides=False
    )
    batch: int | None = setting(
        None, whole(1), "Most tokens per batch; 4096 by default, halved if memory runs out.", group=GROUP, decides=False
    )
