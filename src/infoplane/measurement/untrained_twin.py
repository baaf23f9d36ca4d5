"""The untrained twin of a model: its architecture with fresh weights, on the same windows."""

from __future__ import annotations

from infoplane.measurement.measure_settings import MeasureSettings
from infoplane.measurement.results import Measurement


def of_the_twin(measurement: Measurement, settings: MeasureSettings) -> MeasureSettings:
    """The settings that measure the untrained twin of a model on the windows that the model was measured on.

    Args:
        measurement: the measurement of the model.
        settings: those that it was made with.
    """
    twin: dict[str, object] = {"random_init": True}
    if settings.precision.until_se is not None:  # the budget that was needed
        twin |= {"until_se": None, "until_order": None, "tokens": measurement.provenance["windows"]["token_budget"]}
    return settings.but(twin)
