"""Phases of a training run, as they are said and stored; and what several seeds allow to claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infoplane.errors import SettingError
from infoplane.storage import Json

Floats = npt.NDArray[np.float64]
FITTING, COMPRESSION, PLATEAU = "fitting", "compression", "plateau"
SIGNS = {COMPRESSION: -1, FITTING: 1}


@dataclass(frozen=True)
class Phase:
    """One phase of a training run.

    Attributes:
        kind: `fitting` (a rise), `compression` (a fall) or `plateau` (neither).
        start_step, end_step: training steps where it begins and ends; they may lie between checkpoints.
        change: change of the trend over the phase, in the unit of the quantity.
        interval: 95 % interval of the change, with the noise of text and optimiser and the uncertain boundaries.
        p_value: probability that noise alone shows, anywhere in the run, as strong a change in this direction.
    """

    kind: str
    start_step: float
    end_step: float
    change: float
    interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Change:
    """A boundary between two phases: its step and the 95 % interval of that, in steps."""

    step: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """Whether there is a phase of one kind at all: p value, decision, size of the rise or fall (>= 0), in words."""

    p_value: float
    found: bool
    amount: float
    text: str


@dataclass(frozen=True)
class Phases:
    """The phases that were found in one training run.

    Attributes:
        segments: the phases in the order of training; neighbours differ in kind.
        changes: the boundaries between them, one fewer than `segments`.
        compression, fitting: the results of the tests for a fall and for a rise.
        saturated: whether the loss has stopped falling; None if this is not known.
        verdict: all of this in one sentence.
    """

    segments: tuple[Phase, ...]
    changes: tuple[Change, ...]
    compression: Evidence
    fitting: Evidence
    saturated: bool | None
    verdict: str

    @property
    def then_compresses(self) -> bool:
        """Whether compression follows fitting, as in arXiv 2604.07569; a fall before any fitting does not count."""
        kinds = [s.kind for s in self.segments]
        return FITTING in kinds and COMPRESSION in kinds[kinds.index(FITTING) :]

    @property
    def outline(self) -> str:
        """The phases and where each but the last ends, without intervals, such as `fitting to step 120, plateau`."""
        *before, last = self.segments
        return ", ".join([*(f"{s.kind} to step {s.end_step:,.0f}" for s in before), last.kind])

    @property
    def censored(self) -> bool:
        """Whether no compression was found while the loss is still falling, so that it may yet come."""
        return not self.compression.found and self.saturated is False

    def to_dict(self) -> dict[str, Json]:
        """The phases as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Phases:
        """The inverse of `to_dict`, also after writing to and reading from JSON.

        Raises:
            SettingError: a field is missing or unknown.
        """
        try:
            phases = tuple(Phase(**{**p, "interval": tuple(p["interval"])}) for p in record["segments"])
            changes = tuple(Change(c["step"], tuple(c["interval"])) for c in record["changes"])
            tests = {name: Evidence(**record[name]) for name in SIGNS}
            return cls(phases, changes, saturated=record["saturated"], verdict=record["verdict"], **tests)
        except (KeyError, TypeError) as error:
            raise SettingError(f"not a record of phases: {error}; expected what Phases.to_dict() gives") from None


@dataclass(frozen=True)
class Claim:
    """What can be claimed about a configuration from several runs of it.

    Attributes:
        compression, fitting: whether the phase is claimed, wherever it occurs in a run.
        then_compresses: whether compression after fitting is claimed.
        text: the counts and decisions in words.
    """

    compression: bool
    fitting: bool
    then_compresses: bool
    text: str


def claim(per_seed: Sequence[Phases]) -> Claim:
    """Claim a phase for a configuration if two thirds of its seeds, and at least two of them, show it.

    Args:
        per_seed: the phases of runs that differ only in their seed.

    Returns:
        The decision for each phase, and the counts in words. Runs without compression whose loss is still falling
        count as not showing it, and the words say how many there are.

    Raises:
        SettingError: no run is given.
    """
    if not per_seed:
        raise SettingError("no seeds: give claim() the Phases of each run of the configuration")
    n, parts, decided = len(per_seed), [], {}
    counts = {name: sum(getattr(p, name).found for p in per_seed) for name in SIGNS}
    counts["compression after fitting"] = sum(p.then_compresses for p in per_seed)
    for name, shown in counts.items():
        decided[name] = shown >= max(2, -(-2 * n // 3))
        parts.append(f"{name} {'claimed' if decided[name] else 'not claimed'}: {shown} of {n} seeds show it")
    if censored := sum(p.censored for p in per_seed):
        parts[0] += f" ({censored} censored: loss still falling, counted as not shown)"
    if n == 1:
        parts.append("one seed is never enough")
    return Claim(decided[COMPRESSION], decided[FITTING], decided["compression after fitting"], "; ".join(parts))
