"""The codes that a model is to be read with: reference points, a code that is fitted to it, or one that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infoplane.capture import Fitting, KeptCode, code_identity, plan_points, stored_code
from infoplane.errors import SettingError
from infoplane.information import FITS, FITTED, CodeSettings

if TYPE_CHECKING:
    from infoplane.information import PointSets
    from infoplane.measurement.measure_settings import MeasureSettings
    from infoplane.models import Facts
    from infoplane.text import Windows


def points_of(facts: Facts, layers: Sequence[str], code: CodeSettings, memory: int | str | None = None) -> PointSets:
    """The reference points that layers of a model are read with, where they are at random.

    Raises:
        SettingError: more than the memory can hold.
    """
    width = facts.width
    sets, shared = code.reference_sets, code.shared_points
    return plan_points(width, code.m, code.points_seed, code.calibration, layers, sets, shared, memory)


def codes_of(
    facts: Facts,
    layers: Sequence[str],
    windows: Windows,
    code: CodeSettings,
    capacity: float,
    memory: int | str | None = None,
    kept: KeptCode | None = None,
) -> list[PointSets | Fitting | KeptCode]:
    """The codes that settings ask for, the primary one first.

    Args:
        facts, layers, windows: of what is captured.
        code: which; where a capture is named, the fitted code is that one's.
        capacity: of a fitted code.
        memory: that reference points may take.
        kept: a fitted code that is there.

    Raises:
        SettingError: more reference points than the memory can hold, or a kept code of another size.
        TextError: fewer positions to fit on than directions.
        CaptureError: a kept code that is not of this model's layers, or that is not there.
    """

    def one(kind: str) -> PointSets | Fitting | KeptCode:
        if kind != FITTED:
            return points_of(facts, layers, code, memory)
        there = stored_code(code.code_of, capacity) if code.code_of and kept is None else kept
        if there is None:
            return Fitting(windows.fitting, code.m, code.points_seed)
        _refuse_other_size(there, code)
        return there.some(layers, facts.width)

    return [one(kind) for kind in dict.fromkeys(code.code)]


def _refuse_other_size(kept: KeptCode, code: CodeSettings) -> None:
    for name, asked, there in (("m", code.m, kept.m), ("reference_sets", code.reference_sets or FITS, kept.sets)):
        if asked != there:
            raise SettingError(
                f"the code of {kept.record['of']} was made with {name} = {there}, and {asked} is asked for: use {name} "
                f"= {there}",
                settings=(name, "code_of"),
            )


def code_identity_of(settings: MeasureSettings) -> str | None:
    """What vouches for the code of another capture, where one is to be used.

    Raises:
        CaptureError: no capture is there.
    """
    return None if settings.code.code_of is None else code_identity(settings.code.code_of)
