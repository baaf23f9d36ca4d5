"""Reports: a stored measurement as one page to look at, and its figures as files.

A report is a pure function of the measurement and the reference models beside it: no model, no network, no clock. The
same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infoplane.analysis.references import Reference, known_references
from infoplane.measurement import Measurement
from infoplane.report.measurement.answer import answer
from infoplane.report.measurement.figures import FIGURES, draw_figures, figure_files
from infoplane.report.measurement.page import render
from infoplane.report.measurement.prose import caveats_of
from infoplane.report.measurement.view import View
from infoplane.report.parts import Caveat, Glance, write_page

__all__ = ["figure_files", "glance_at_measurement", "render_report", "said_of", "write_report"]


def render_report(
    measurement: Measurement, references: Sequence[Reference] | None = None, twin: Measurement | None = None
) -> str:
    """The report of a measurement as the text of one self-contained HTML page; arguments as for `write_report`."""
    view = _view(measurement, references, twin)
    return render(view, draw_figures(view))


def write_report(
    measurement: Measurement,
    folder: Path,
    references: Sequence[Reference] | None = None,
    twin: Measurement | None = None,
) -> list[Path]:
    """Write the report of a measurement: `report.html`, and its figures as SVG and PNG in `figures/`.

    Each file is written completely or not at all.

    Args:
        measurement: what is shown.
        folder: folder or address to write to.
        references: reference models to mark on the plane if they can be compared; by default those that come with the
            package and those that the user added.
        twin: the measurement of the untrained twin on the same windows, to be marked too, with paired differences.

    Returns:
        The paths written, the page first.
    """
    view = _view(measurement, references, twin)
    figures = draw_figures(view)
    return write_page(render(view, figures), figures, folder)


def glance_at_measurement(measurement: Measurement) -> Glance:
    """Its title, answer and first figure, as the page has them."""
    view = _view(measurement, None, None)
    charts = (chart_of(view) for chart_of in FIGURES.values())
    return Glance(view.model_name, answer(view), next((chart for chart in charts if chart is not None), None))


def said_of(measurement: Measurement, twin: Measurement | None = None) -> tuple[list[str], list[Caveat]]:
    """The answer and the caveats of its page."""
    view = _view(measurement, (), twin)
    return answer(view), caveats_of(view)


def _view(measurement: Measurement, references: Sequence[Reference] | None, twin: Measurement | None) -> View:
    if references is not None:
        return View.of(measurement, references, twin)
    known, unreadable = known_references()
    return View.of(measurement, known, twin, unreadable)
