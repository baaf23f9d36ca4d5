"""Figures of a measurement: one Altair definition each, drawn as SVG and PNG and, in the page, live."""

from __future__ import annotations

from collections.abc import Callable

from altair.typing import ChartType

from infoplane.measurement import Measurement
from infoplane.report.measurement import bars, planes, preferences, profiles
from infoplane.report.measurement.view import View
from infoplane.report.parts import Figure, draw, files_of

FIGURES: dict[str, Callable[[View], ChartType | None]] = {
    "preferences": preferences.preferences,
    "information-plane": planes.information_plane,
    "ceiling-plane": planes.ceiling_plane,
    "profiles": profiles.profiles,
    "shares": bars.shares,
    "controls": bars.controls,
    "labels": profiles.label_profiles,
}


def draw_figures(view: View) -> tuple[Figure, ...]:
    """Every figure whose rows were measured, in the order of the page."""
    drawn = []
    for name, chart_of in FIGURES.items():
        chart = chart_of(view)
        if chart is not None:
            drawn.append(draw(name, chart))
    return tuple(drawn)


def figure_files(measurement: Measurement) -> dict[str, bytes]:
    """File name to content: each figure as SVG and as PNG."""
    return files_of(draw_figures(View.of(measurement)))
