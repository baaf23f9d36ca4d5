"""A measurement among others: its name, and the family of its model."""

from __future__ import annotations

from dataclasses import dataclass

from infoplane.measurement.results import Measurement


@dataclass(frozen=True)
class Member:
    """One of the models that are compared.

    Attributes:
        name: shown; no two have the same.
        family: None where it is not known.
        measurement: of it.
    """

    name: str
    family: str | None
    measurement: Measurement

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        return self.measurement.origin.model.parameters
