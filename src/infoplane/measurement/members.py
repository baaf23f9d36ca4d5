"""A measurement among others: its name, and the family of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infoplane.errors import ResultError
from infoplane.measurement.results import Measurement


@dataclass(frozen=True)
class Member:
    """A measured model, to be compared with others.

    Attributes:
        name: the name to show; no two models of a comparison may have the same.
        family: the family of the model; None if it is not known.
        measurement: its measurement.
    """

    name: str
    family: str | None
    measurement: Measurement

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None if it is not known."""
        return self.measurement.origin.model.parameters


def refuse_other_estimators(measurements: Mapping[str, Measurement]) -> None:
    """Refuse measurements whose figures are by different estimators, by their resolved ids.

    Args:
        measurements: by the names that the message has.

    Raises:
        ResultError: the first estimator of two of them differs.
    """
    first = {
        name: settings.estimators[0]
        for name, measurement in measurements.items()
        if (settings := measurement.origin.settings).estimators
    }
    if len(set(first.values())) > 1:
        listed = ", ".join(f"{name} by {estimator}" for name, estimator in first.items())
        raise ResultError(
            f"the measurements are by different estimators, which do not compare ({listed}): measure again, or ask "
            "their captures again, with one --estimator"
        )
