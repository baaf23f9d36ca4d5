"""The code that states are read with: reference points, and the temperature of their soft assignment."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.setting_kinds import one_of, whole
from infoplane.settings import Settings, setting

GROUP = "Reference points"
CALIBRATIONS = ("exact", "leading-order", "amos-lower")


@dataclass(frozen=True)
class CodeSettings(Settings):
    """Which reference points; see `ReferencePoints.make`. Set r is drawn with points_seed + r."""

    m: int = setting(100, whole(2), "Reference points.", group=GROUP, option="--points", short="-m", key="points")
    points_seed: int = setting(0, whole(0), "Seed of the points.", group=GROUP)
    reference_sets: int = setting(1, whole(1), "Independent sets of points; 5 or more give their error.", group=GROUP)
    calibration: str = setting(
        "exact", one_of(*CALIBRATIONS), "Temperature: exact, leading-order or amos-lower.", group=GROUP
    )
