"""Protocols: under one name all settings that must agree before figures of two measurements compare.

`standard` is this library's: each layer has its own reference points, in several sets, and the estimator is
`corrected`. `paper` is the published one, that of the package soft-entropy 0.1.5: one set that all layers share, the
plug-in estimator, the temperature of that package, windows of 128 tokens of which every token is measured. A protocol
has a version, which changes with anything that changes its figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from infoplane.errors import ResultError, SettingError
from infoplane.information import CAPACITY, FITTED, RANDOM

if TYPE_CHECKING:
    from infoplane.capture import Capture
    from infoplane.measurement.measure_settings import MeasureSettings
    from infoplane.measurement.results import Measurement
    from infoplane.setting_kinds import Value
    from infoplane.storage import Json

STANDARD, PAPER = "standard", "paper"
VERSIONS: Mapping[str, int] = MappingProxyType({STANDARD: 1, PAPER: 1})
PROTOCOLS: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        STANDARD: MappingProxyType(
            {
                "code": (RANDOM,),
                "capacity": CAPACITY,
                "estimators": ("corrected",),
                "reference_sets": None,
                "shared_points": False,
                "calibration": "exact",
                "weights": ("frequency",),
                "context": 512,
                "include_first": False,
                "include_special": False,
            }
        ),
        PAPER: MappingProxyType(
            {
                "code": (RANDOM,),
                "capacity": CAPACITY,
                "estimators": ("plugin",),
                "reference_sets": 1,
                "shared_points": True,
                "calibration": "amos-lower",
                "weights": ("frequency",),
                "context": 128,
                "include_first": True,
                "include_special": True,
            }
        ),
    }
)
"""The settings of each, by keyword."""


def protocol_of(settings: MeasureSettings, capture: Capture) -> dict[str, Json]:
    """The protocol of a measurement, for its provenance: name, version, and which settings are not its own.

    Raises:
        SettingError: the capture was made by another one.
    """
    windows, codes = capture.windows.provenance, capture.codes
    if FITTED not in codes and settings.questions.capacity != CAPACITY:
        raise SettingError(
            "capacity is what a fitted code holds, and the capture has none: leave capacity out, or capture the model "
            "with the code fitted",
            settings=("capacity", "code"),
        )
    points = next((code for code in capture.manifest["codes"] if code["code"] != FITTED), capture.record)
    made: dict[str, object] = {
        "code": tuple(code if code == FITTED else RANDOM for code in codes),
        "capacity": settings.questions.capacity if FITTED in codes else CAPACITY,
        "calibration": None if points["code"] == FITTED else points["calibration"],
        "reference_sets": points["sets"],
        "shared_points": points["shared"],
        "context": windows.get("context"),
        "include_first": windows.get("include_first", False),
        "include_special": windows.get("include_special", False),
        "estimators": settings.questions.estimators,
        "weights": settings.questions.weights,
    }
    own = PROTOCOLS[settings.protocol]
    if own["reference_sets"] is None:
        made["reference_sets"] = None if points["sets"] > 1 else 1
    changed = sorted(name for name, value in own.items() if made[name] is not None and made[name] != value)
    # windows are shorter where a model has fewer positions
    shorter = int(windows.get("context", 0)) < settings.windows.context
    contradicts = [name for name in changed if name != "context" or not shorter]
    if settings.protocol == PAPER and contradicts:
        name = contradicts[0]
        raise SettingError(
            f"the capture was made with {name} = {made[name]}, and the protocol paper has {own[name]}: capture the "
            "model anew with that protocol, or leave it out",
            settings=("protocol",),
        )
    return {"name": settings.protocol, "version": VERSIONS[settings.protocol], "changed": changed}


def refuse_other_protocols(measurements: Mapping[str, Measurement]) -> None:
    """Refuse measurements by different protocols, or versions of one.

    Args:
        measurements: by the names that the message has.

    Raises:
        ResultError: the protocols of two of them differ.
    """
    by = {name: measurement.origin.protocol for name, measurement in measurements.items()}
    named = {name: f"{p.name} {p.version}" for name, p in by.items() if p.name is not None}
    _refuse_other_codes(measurements)
    if len(set(named.values())) > 1:
        listed = ", ".join(f"{name} by {protocol}" for name, protocol in named.items())
        raise ResultError(
            f"the measurements are by different protocols, whose figures do not compare ({listed}): measure again with "
            "one --protocol"
        )


def _refuse_other_codes(measurements: Mapping[str, Measurement]) -> None:
    """Refuse figures of a random and a fitted code, of two capacities, or of a kept code and another than that."""
    fitted_codes = {
        name: code for name, each in measurements.items() for code in each.origin.codes if code.code == FITTED
    }
    kept = next(((name, code) for name, code in fitted_codes.items() if code.kept.of is not None), None)
    if kept is not None:
        for name, code in fitted_codes.items():
            if code.directions_hash != kept[1].directions_hash:
                raise ResultError(
                    f"{kept[0]} was read with the code of {kept[1].kept.of}, and {name} with another one: what differs "
                    "is the code too; measure both with one --code-of"
                )
    said, capacities = dict[str, str](), set[float | None]()
    for name, measurement in measurements.items():
        codes = measurement.origin.codes
        fitted = next((code for code in codes if code.code == FITTED), None)
        capacities |= set() if fitted is None else {fitted.capacity}
        if codes[0].code is not None:
            kinds = [FITTED if code.code == FITTED else RANDOM for code in codes]
            capacity = "" if fitted is None else f" at capacity {fitted.capacity}"
            said[name] = " and ".join(kind + capacity if kind == FITTED else kind for kind in kinds)
    if len({code.partition(" ")[0] for code in said.values()}) > 1 or len(capacities) > 1:
        listed = ", ".join(f"{name}: {code}" for name, code in said.items())
        raise ResultError(
            f"the measurements are by different codes, whose figures do not compare ({listed}): measure again with one "
            "--code and one --capacity"
        )
