"""How much of a Ray cluster each worker gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infoplane.errors import EngineError


@dataclass(frozen=True)
class Share:
    """What each of some workers gets of a cluster.

    Attributes:
        workers: there are.
        cpus, gpus: of each.
        beside: workers that one node may have to carry, at most.
    """

    workers: int
    cpus: float
    gpus: float
    beside: int = 1

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus))


def share_of(nodes: Sequence[Mapping[str, float]], workers: int | None, gpus: float) -> Share:
    """The largest share of processors that as many workers as are wanted can have at the same time.

    Args:
        nodes: resources of each node: `CPU`, `GPU`.
        workers: wanted; by default as many as there are GPUs for, or nodes.
        gpus: wanted for each; not asked for where no node has any.

    Raises:
        EngineError: no node has so many GPUs, or the cluster has no node.
    """
    has = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
    if not any(cpu for cpu, _ in has):
        raise EngineError("the Ray cluster has no processors: start a node with some")
    if not any(gpu for _, gpu in has):
        gpus = 0
    if gpus:
        has = [(cpu, gpu) for cpu, gpu in has if gpu >= gpus]
        if not has:
            raise EngineError(f"no node of the Ray cluster has {gpus:g} GPUs, as a worker needs: ask for fewer")
    fitting = sum(int(gpu // gpus) for _, gpu in has) if gpus else None
    wanted = workers or fitting or sum(cpu > 0 for cpu, _ in has)
    if fitting is not None:
        wanted = min(wanted, fitting)
    sizes = [float(c) for c in range(int(max(cpu for cpu, _ in has)), 0, -1)] + [1 / k for k in range(2, wanted + 1)]
    for size in sizes:
        room = [min(int(cpu / size + 1e-9), int(gpu // gpus) if gpus else wanted) for cpu, gpu in has]
        if sum(room) >= wanted:
            return Share(wanted, size, gpus, min(wanted, max(room)))
    return Share(wanted, sizes[-1], gpus, wanted)
