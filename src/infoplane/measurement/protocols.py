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

from infoplane.errors import ResultError

if TYPE_CHECKING:
    from infoplane.measurement.results import Measurement
    from infoplane.setting_kinds import Value

STANDARD, PAPER = "standard", "paper"
VERSIONS: Mapping[str, int] = MappingProxyType({STANDARD: 1, PAPER: 1})
PROTOCOLS: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        STANDARD: MappingProxyType(
            {
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


def refuse_other_protocols(measurements: Mapping[str, Measurement]) -> None:
    """Refuse measurements by different protocols, or versions of one.

    Args:
        measurements: by the names that the message has.

    Raises:
        ResultError: the protocols of two of them differ.
    """
    by = {name: measurement.origin.protocol for name, measurement in measurements.items()}
    named = {name: f"{p.name} {p.version}" for name, p in by.items() if p.name is not None}
    if len(set(named.values())) > 1:
        listed = ", ".join(f"{name} by {protocol}" for name, protocol in named.items())
        raise ResultError(
            f"the measurements are by different protocols, whose figures do not compare ({listed}): measure again with "
            "one --protocol"
        )
