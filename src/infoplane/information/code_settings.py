"""The code that states are read with: its kind, its directions, and the temperature of their soft assignment."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.errors import SettingError
from infoplane.setting_kinds import flag, one_of, some_of, whole, word
from infoplane.settings import Settings, setting

GROUP = "Reference points"
RANDOM, FITTED = "random", "fitted"
CODES = (RANDOM, FITTED)
FITS = 2
"""How many fits a layer has, where nobody says: their spread is the error of the code."""
CAPACITY = 0.25
"""What a fitted code holds, unless it is said, as a share of log m."""
SHARPEST = 1e6
"""The largest inverse temperature of a fitted code: an assignment is then to the nearest direction alone."""
MANY = 1 << 16
"""Rows that a temperature is calibrated on, at most."""
CALIBRATIONS = ("exact", "leading-order", "amos-lower")


@dataclass(frozen=True)
class CodeSettings(Settings):
    """Which reference points; see `PointSets.make` and `FittedCode`."""

    code: tuple[str, ...] = setting(
        (RANDOM,),
        some_of(*CODES),
        "One or both of random (random directions, as published) and fitted (directions where the states lie, fitted "
        "on an eighth of the documents, which are then not measured); the first is the main one.",
        group=GROUP,
        with_pairs=False,
    )
    code_of: str | None = setting(
        None,
        word(),
        "Folder of a capture whose fitted code, with its temperature, is used instead of fitting a new one: for "
        "variants and checkpoints of the model captured there.",
        group=GROUP,
        decides=False,  # a name: what is there is hashed
        with_pairs=False,
    )
    m: int = setting(
        100, whole(2), "Number m of reference points.", group=GROUP, option="--points", short="-m", key="points"
    )
    points_seed: int = setting(0, whole(0), "Random seed of the reference points.", group=GROUP)
    reference_sets: int | None = setting(
        None,
        whole(1),
        "Independent sets of reference points per layer. By default 16 divided by the number of blocks, rounded up, at "
        "least 2; 5 if points are shared; 2 fits for a fitted code. With 1 the error of the points is unknown.",
        group=GROUP,
    )
    shared_points: bool = setting(
        False,
        flag(),
        "Use the same reference points for all layers: differences between layers become more precise, the mean over "
        "blocks less.",
        group=GROUP,
    )
    calibration: str = setting(
        "exact",
        one_of(*CALIBRATIONS),
        "Rule for the temperature of random reference points: exact, leading-order or amos-lower.",
        group=GROUP,
    )

    def check_use(self) -> None:
        """Refuse settings of a code that is not asked for.

        Raises:
            SettingError: one was given.
        """
        if self.code_of is not None and FITTED not in self.code:
            raise SettingError(
                "code_of names the capture whose fitted code is used, and none is asked for: leave code_of out, or add "
                "fitted to code",
                settings=("code_of", "code"),
            )
        if RANDOM in self.code:
            return
        if self.code_of is not None and "points_seed" in self.other_than_default():
            raise SettingError(
                "points_seed is of what is drawn or fitted, and code_of names a code that is there: leave one out",
                settings=("points_seed", "code_of"),
            )
        given = [name for name in ("shared_points", "calibration") if name in self.other_than_default()]
        if given:
            raise SettingError(
                f"{given[0]} is of random reference points, and none are asked for: leave {given[0]} out, or add "
                "random to code",
                settings=(given[0], "code"),
            )
