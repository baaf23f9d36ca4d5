"""Runs of one configuration that differ in their seed: what they do alike, and what they allow to claim.

Models of one shape share their reference points and, measured on the same windows, their documents. So at each
checkpoint the runs differ by their seed alone, and that difference is the noise against which phases are judged
(`infoplane.analysis.training.phases.phases_of_seeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from infoplane.analysis.training.phases import MIN_CHECKPOINTS, Claim, Phases, claim, find_phases, phases_of_seeds
from infoplane.analysis.training.series import Series, SeriesFields
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.errors import ResultError, SettingError
from infoplane.information import Floats
from infoplane.storage import Json

if TYPE_CHECKING:
    from typing_extensions import Unpack


SHARED = ("windows_hash", "like", "settings")
"""What the provenance of all runs of a configuration has in common."""


@dataclass(frozen=True)
class Seeds:
    """One or more training runs of a configuration, which differ only in their seed.

    Attributes:
        name: name of the configuration.
        runs: the trajectories, one for each seed.

    Raises:
        SettingError: no run, runs that differ in text, settings or the shape of the model, or the same run twice.
    """

    name: str
    runs: tuple[Trajectory, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise SettingError(f"{self.name}: no runs; give a trajectory for each seed")
        for key in SHARED:
            keys = [_deciding(run.provenance.get(key)) for run in self.runs]
            if any(other != keys[0] for other in keys):
                odd = next(i for i, other in enumerate(keys) if other != keys[0])
                raise SettingError(
                    f"{self.name}: runs 1 and {odd + 1} are not seeds of one configuration, their {key} differ "
                    f"({_short(keys[0])}, {_short(keys[odd])}); give them different names"
                )
        numbers = [
            tuple((p.step, tuple(row.value for row in p.measurement)) for p in run.measured if p.measurement)
            for run in self.runs
        ]
        for i, own in enumerate(numbers):
            if own in numbers[:i]:
                raise SettingError(
                    f"{self.name}: runs {numbers.index(own) + 1} and {i + 1} have the same numbers: they are one "
                    "trace, not two seeds; leave one out"
                )

    def series(self, quantity: str, **fields: Unpack[SeriesFields]) -> tuple[Series, ...]:
        """Get a quantity of each run, at the checkpoints that all runs have.

        Args:
            quantity: as for `Trajectory.series`.
            **fields: layer, order and other fields, as there.

        Raises:
            ResultError: a run lacks the quantity, or the runs have no checkpoint in common.
        """
        runs = [run.series(quantity, **fields) for run in self.runs]
        common = set.intersection(*(set(run_series.steps.tolist()) for run_series in runs))
        if not common:
            raise ResultError(f"{self.name}: its runs have no checkpoint in common")
        return tuple(run_series.at(sorted(common)) for run_series in runs)

    def phases(self, quantity: str, **fields: Unpack[SeriesFields]) -> tuple[Phases, ...]:
        """Find the phases of each run by `phases_of_seeds`, or those of a single run by `find_phases`.

        Raises:
            ResultError: as for `series`.
            SettingError: fewer than 8 checkpoints in common.
        """
        every = self.series(quantity, **fields)
        steps, values = every[0].steps, [series.values for series in every]
        losses = self._losses(steps.tolist())
        blocks = min(series.replicates.shape[1] for series in every)
        rows = [series.replicates for series in every] if blocks else None
        points = [series.of_points for series in every]
        if len(every) == 1:
            return (find_phases(steps, values[0], rows and rows[0], points=points[0], loss=losses and losses[0]),)
        return phases_of_seeds(steps, values, rows, points=points, losses=losses)

    def claim(self, quantity: str, **fields: Unpack[SeriesFields]) -> Claim:
        """What can be claimed from all runs together; see `infoplane.claim`."""
        return claim(self.phases(quantity, **fields))

    @cached_property
    def checkpoints(self) -> int:
        """Number of checkpoints that were measured in all runs."""
        return len(set.intersection(*({p.step for p in run.measured} for run in self.runs)))

    @property
    def enough(self) -> bool:
        """Whether there are enough checkpoints, 8, to look for phases."""
        return self.checkpoints >= MIN_CHECKPOINTS

    def _losses(self, steps: list[int]) -> list[Floats] | None:
        try:
            losses = self.series("loss")
        except ResultError:
            return None
        if not set(steps) <= set(losses[0].steps.tolist()):
            return None
        return [series.at(steps).values for series in losses]


def grouped(named: Sequence[tuple[str, Trajectory]]) -> tuple[Seeds, ...]:
    """Runs by the name of their configuration, in the order in which the names first come."""
    groups: dict[str, list[Trajectory]] = {}
    for name, run in named:
        groups.setdefault(name, []).append(run)
    return tuple(Seeds(name, tuple(runs)) for name, runs in groups.items())


def _deciding(value: Json) -> Json:
    """Without what adds rows and changes none: the bound."""
    return {k: v for k, v in value.items() if k != "bound"} if isinstance(value, Mapping) else value


def _short(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())[:120]
    return str(value)[:16]
