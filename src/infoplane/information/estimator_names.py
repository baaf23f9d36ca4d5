"""The names of the estimators; apart, since results are read without making any."""

from __future__ import annotations

PLUGIN, NULL_CURVE, THINNED = "plugin", "null-curve", "thinned-curve"
ESTIMATORS = {"plugin": PLUGIN, "corrected": THINNED, "null-curve": NULL_CURVE}
"""Names that may be asked for, and the ids they stand for."""
LESS_THINNED = "thinned-curve, less"
"""Not for results: what `thinned-curve` would be if rare labels were not quite like the frequent ones."""
