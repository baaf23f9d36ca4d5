"""Reports: a stored measurement as one page to look at, and its figures as files.

A report is a pure function of the measurement: no model, no network, no clock. The same record gives
the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from infoplane.measurement import Measurement
from infoplane.report.measurement.figures import draw_figures, figure_files
from infoplane.report.measurement.page import render
from infoplane.report.measurement.view import View
from infoplane.report.parts import write_page

__all__ = ["figure_files", "render_report", "write_report"]


def render_report(measurement: Measurement) -> str:
    """The report of a measurement as the text of one self-contained HTML page."""
    view = View.of(measurement)
    return render(view, draw_figures(view))


def write_report(measurement: Measurement, folder: Path) -> list[Path]:
    """Write `report.html`, and its figures as SVG and PNG in `figures/`, each file whole or not at all.

    Returns:
        The paths written, the page first.
    """
    view = View.of(measurement)
    figures = draw_figures(view)
    return write_page(render(view, figures), figures, folder)
