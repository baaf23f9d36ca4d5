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
    """One stretch of the run.

    Attributes:
        kind: `fitting`, `compression` or `plateau`.
        start_step, end_step: where it begins and ends; knots may lie between checkpoints.
        change: of the trend over the stretch.
        interval: 95 % of that change; noise of text and optimiser and the places of the knots are in it.
        p_value: chance that noise alone shows, anywhere in the run, as strong a change in this direction.
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
    """The phases of one run.

    Attributes:
        segments: in order of training; neighbours differ in kind.
        changes: the boundaries between them, one fewer.
        compression, fitting: the two tests.
        saturated: whether the loss has stopped falling; None: not known.
        verdict: all of it in one sentence.
    """

    segments: tuple[Phase, ...]
    changes: tuple[Change, ...]
    compression: Evidence
    fitting: Evidence
    saturated: bool | None
    verdict: str

    @property
    def then_compresses(self) -> bool:
        """Whether compression follows fitting, as the paper has it; a fall before all fitting is another thing."""
        kinds = [s.kind for s in self.segments]
        return FITTING in kinds and COMPRESSION in kinds[kinds.index(FITTING) :]

    @property
    def outline(self) -> str:
        """The kinds and where each ends, without intervals: `fitting to step 120, plateau`."""
        *before, last = self.segments
        return ", ".join([*(f"{s.kind} to step {s.end_step:,.0f}" for s in before), last.kind])

    @property
    def censored(self) -> bool:
        """No compression was found, and the loss is still falling: it may yet come."""
        return not self.compression.found and self.saturated is False

    def to_dict(self) -> dict[str, Json]:
        """As plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Phases:
        """The inverse of `to_dict`, also after a journey through JSON.

        Raises:
            SettingError: a field is missing, or there is one too many.
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
    """What several runs of one configuration allow to say.

    Attributes:
        compression, fitting: whether the phase is claimed, wherever in the run.
        then_compresses: whether compression after fitting is.
        text: counts and decisions in words.
    """

    compression: bool
    fitting: bool
    then_compresses: bool
    text: str


def claim(per_seed: Sequence[Phases]) -> Claim:
    """Claim a phase for a configuration if two thirds of its seeds, and at least two, show it.

    Args:
        per_seed: the phases of runs that differ in their seed only; 2 of 3 are enough.

    Returns:
        The decision for each phase, and the counts in words. A censored seed counts as not shown, and is named.
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
