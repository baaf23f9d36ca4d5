"""`infoplane report`: the page of a stored result, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infoplane.cli.options import TWIN_FOLDER
from infoplane.cli.terminal import named_source, say
from infoplane.errors import ResultError, SettingError
from infoplane.storage import check_folder, kind_at, reach_location

if TYPE_CHECKING:
    from infoplane.measurement import Measurement


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder of a measurement, trace, bound, survey, comparison or forecast; or several traces, each as "
            "NAME=FOLDER.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report; by default that of the source, if there is only one.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing report.")] = False,
) -> None:
    """Draw the report of a stored result again, or one report of several traces. No model is needed.

    Traces with the same NAME count as seeds of one configuration: their differences are the noise against which
    phases are judged, and a phase is claimed if at least two thirds of them, and at least two, show it.
    """
    from infoplane.analysis.comparison import Comparison, compare
    from infoplane.analysis.forecasting import Forecast
    from infoplane.analysis.surveys import Survey
    from infoplane.analysis.training import Trajectory, grouped
    from infoplane.bottleneck import Bound
    from infoplane.measurement import Measurement
    from infoplane.report.comparison import write_comparison_report
    from infoplane.report.forecasting import write_forecast_report
    from infoplane.report.measurement import write_report
    from infoplane.report.text_bound import write_bound_report
    from infoplane.report.training import write_run_report, write_several_report

    named = [named_source(source) for source in sources]
    source = named[0][1]
    if out is None and len(named) > 1:
        raise SettingError("several traces: name a folder for their report with --out")
    folder = reach_location(out, "--out") if out else source if source.is_dir() else source.parent
    check_folder(folder)
    if (folder / "report.html").exists() and not force:
        raise ResultError(f"{folder / 'report.html'} exists: choose another --out, or --force to overwrite it")
    drawers: dict[str | None, Callable[[], list[Path]]] = {
        "trajectory.json": lambda: write_run_report(Trajectory.load(source), folder),
        "comparison.json": lambda: write_comparison_report(Comparison.load(source), folder),
        "forecast.json": lambda: write_forecast_report(Forecast.load(source), folder),
        "survey.json": lambda: write_comparison_report(compare(Survey.load(source).members()), folder),
        "bound.json": lambda: write_bound_report(Bound.load(source), folder),
    }
    if len(named) > 1:
        drawn = write_several_report(grouped([(name, Trajectory.load(path)) for name, path in named]), folder)
    elif kind := drawers.get(kind_at(source)):
        drawn = kind()
    else:
        measurement = Measurement.load(source)
        drawn = write_report(measurement, folder, twin=_twin(source, measurement))
    say(f"Wrote {drawn[0]}")


def _twin(source: Path, model: Measurement) -> Measurement | None:
    """The untrained twin that `infoplane measure --baseline random-init` left beside a measurement."""
    from infoplane.measurement import JSON_NAME, Measurement

    folder = (source if source.is_dir() else source.parent) / TWIN_FOLDER
    if not (folder / JSON_NAME).is_file():
        return None
    twin = Measurement.load(folder)
    if twin.origin.windows_hash == model.origin.windows_hash and twin.origin.blocks_hash == model.origin.blocks_hash:
        return twin
    say(f"Note: {folder} was measured on another text than the model, and is not shown beside it", err=True)
    return None
