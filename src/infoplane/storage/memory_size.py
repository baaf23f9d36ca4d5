"""Sizes in bytes, and the memory that this process may take: what is stated, or a share of what is free."""

from __future__ import annotations

import os
import re
from math import ceil
from pathlib import Path

from infoplane.errors import SettingError

SHARE = 0.5
"""Of the memory that is free: the budget where none is stated."""
_UNITS = {
    "b": 1,
    **{f"{p}b": 1000**i for i, p in enumerate("kmgt", 1)},
    **{f"{p}ib": 1024**i for i, p in enumerate("kmgt", 1)},
}
_SIZE = re.compile(r"\s*([0-9]+(?:[.][0-9]+)?)\s*([kmgt]?i?b)\s*", re.IGNORECASE)
_UNKNOWN = 4 << 30  # free memory of a machine that does not tell
_MOST = 1 << 62
_beside = 1  # processes that share the machine, this one included


def parse_size(memory: int | str) -> int:
    """Bytes of a size such as `4GB` (10^9), `4GiB` (2^30) or `512MB`; a whole number is bytes already.

    Raises:
        SettingError: another form, or no bytes at all.
    """
    if isinstance(memory, int) and not isinstance(memory, bool) and 0 < memory < _MOST:
        return memory
    match = _SIZE.fullmatch(memory) if isinstance(memory, str) else None
    unit = _UNITS.get(match[2].lower()) if match else None
    number = float(match[1]) * unit if match and unit else 0.0
    size = int(number) if number < _MOST else 0
    if size < 1:
        raise SettingError(f"memory = {memory!r:.60}: expected a size with its unit, such as 4GB, 4GiB or 512MB")
    return size


def spoken_size(size: float) -> str:
    """Bytes for people: `1.5 GiB`."""
    unit, name = next((u for u in ((1 << 30, "GiB"), (1 << 20, "MiB")) if size >= u[0]), (1 << 10, "KiB"))
    return f"{ceil(10 * size / unit) / 10:g} {name}"


def free_memory() -> int:
    """Bytes that could be held now: of the machine, or what a control group or `ulimit -v` leaves, if that is less."""
    sizes = [size for size in (_of_machine(), _of_limit(), *_of_groups()) if size is not None]
    return max(0, min(sizes, default=_UNKNOWN))


def shared_by(processes: int) -> None:
    """Say that so many processes like this one are on the machine, which each want a share of what is free."""
    global _beside
    _beside = max(1, processes)


def budget_of(memory: int | str | None) -> int:
    """Bytes of a stated budget; a share of what is free where there is none."""
    return int(SHARE * free_memory() / _beside) if memory is None else parse_size(memory)


def _of_limit() -> int | None:
    """What a limit on the address space leaves."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return None
        return most - int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):  # Windows; a system without /proc
        return None


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii")
        return 1024 * int(re.findall(r"MemAvailable:\s*(\d+) kB", lines)[0])
    except (OSError, ValueError, IndexError):
        pass
    try:  # without /proc only all of it is told
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _given_back(group: Path) -> int:
    """Bytes that a control group counts and gives back when they are wanted: files read or written lately."""
    try:
        lines = (group / "memory.stat").read_text("ascii")
        return int(re.findall(r"^(?:total_)?inactive_file (\d+)", lines, re.MULTILINE)[-1])
    except (OSError, ValueError, IndexError):
        return 0


def _of_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What is left to each control group above the process, versions 1 and 2."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text("utf-8").splitlines()]
    except OSError:
        return []
    sizes = []
    for _, kind, path in (line for line in lines if len(line) == 3):
        names = {
            "": ("", "memory.max", "memory.current"),
            "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        }
        if kind not in names:
            continue
        base, limit, usage = names[kind]
        group = root / base / path.lstrip("/")
        for folder in (group, *group.parents):
            try:
                most = int((folder / limit).read_text("ascii"))  # "max", no limit, is no number
                sizes.append(most - int((folder / usage).read_text("ascii")) + _given_back(folder))
            except (OSError, ValueError):
                pass
            if folder == root:
                break
    return sizes
