"""The code that states are read with: reference points, and the temperature of their soft assignment."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.setting_kinds import flag, one_of, whole
from infoplane.settings import Settings, setting

GROUP = "Reference points"
CALIBRATIONS = ("exact", "leading-order", "amos-lower")


@dataclass(frozen=True)
class CodeSettings(Settings):
    """Which reference points; see `PointSets.make`."""

    m: int = setting(100, whole(2), "Reference points.", group=GROUP, option="--points", short="-m", key="points")
    points_seed: int = setting(0, whole(0), "Seed of the points.", group=GROUP)
    reference_sets: int | None = setting(
        None,
        whole(1),
        "Independent sets of points of each layer. By default 16 divided by the number of blocks, rounded up, at least "
        "2; 5 where points are shared. 1 leaves their error unknown.",
        group=GROUP,
    )
    shared_points: bool = setting(
        False,
        flag(),
        "The same points for all layers: steps between layers are sharper then, and the mean over them less so.",
        group=GROUP,
    )
    calibration: str = setting(
        "exact", one_of(*CALIBRATIONS), "Temperature: exact, leading-order or amos-lower.", group=GROUP
    )
