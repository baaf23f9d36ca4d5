"""The answer and the figure of any kind of result."""

from __future__ import annotations

from functools import singledispatch
from html import escape

from altair.typing import ChartType

from infoplane.analysis.comparison import Comparison, compare
from infoplane.analysis.forecasting import Forecast
from infoplane.analysis.surveys import Survey
from infoplane.analysis.training import Trajectory
from infoplane.bottleneck import Bound
from infoplane.measurement import Measurement
from infoplane.report.comparison import glance_at_comparison
from infoplane.report.forecasting import glance_at_forecast
from infoplane.report.measurement import glance_at_measurement
from infoplane.report.parts import Glance, draw, dressed, still
from infoplane.report.text_bound import glance_at_bound
from infoplane.report.training import glance_at_run


@singledispatch
def glance_at(result: object) -> Glance:
    """The title, the answer and the first figure of a result.

    Raises:
        TypeError: it is no result.
    """
    raise TypeError(f"{type(result).__name__} is no result of infoplane")


glance_at.register(Measurement, glance_at_measurement)
glance_at.register(Trajectory, glance_at_run)
glance_at.register(Bound, glance_at_bound)
glance_at.register(Comparison, glance_at_comparison)
glance_at.register(Survey, lambda survey: glance_at_comparison(compare(survey.members())))
glance_at.register(Forecast, glance_at_forecast)


def chart_of(result: object) -> ChartType | None:
    """The figure that stands first on the page of a result; None where it has not the rows for it."""
    chart = glance_at(result).chart
    return None if chart is None else dressed(chart)


def html_of(result: object) -> str:
    """The title, the answer and the figure, as HTML that a notebook shows; what all is in it is said last."""
    glance = glance_at(result)
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in glance.answer)
    image = ""
    if glance.chart is not None:
        source = still(draw("glance", glance.chart).svg)
        image = f'<img alt="" style="max-width:100%;background:#fff" src="{source}">'
    return (
        f'<div style="max-width:60rem"><b>{escape(glance.title)}</b>{said}{image}'
        f"<p><small>{escape(repr(result))} · .table(), .plot(), .to_pandas()</small></p></div>"
    )
