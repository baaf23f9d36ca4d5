"""The page of a training run: what it did in sentences, its figures, its checkpoints, where the numbers come from."""

from __future__ import annotations

from pathlib import Path

from infoplane.analysis.training import Series, Trajectory
from infoplane.report.parts import (
    Caveat,
    Glance,
    Reading,
    caveats,
    document,
    opening,
    origin,
    said,
    section,
    tables,
    words,
    write_page,
)
from infoplane.report.training.run_answer import answer_of_run, from_to
from infoplane.report.training.run_figures import TITLES, run_figures, run_plane
from infoplane.report.training.run_view import RunView

READINGS = {
    "run-plane": Reading(
        "The path through the plane",
        "Scatter plot of the checkpoints: complexity across, expressivity upward, joined in the order of training; "
        "the layers of one checkpoint behind them.",
        "Each coloured point is the whole model at one checkpoint, with its 95 % intervals. A model that fits moves to "
        "the right and up; one that compresses moves back to the left. Arrows point the way of training. Move the "
        "slider to see the run grow, and the layers (grey) of the checkpoint it stands at.",
        "The intervals are of each checkpoint by itself. Differences between checkpoints are "
        "surer than they look, because all of them read the same text; and an optimiser wanders more than the text "
        "says. The dashed diagonal is a reference, not a bound.",
    ),
    "run-curves": Reading(
        "Over training",
        "Line plots over training steps of complexity, expressivity, optimality, distances and loss, with the phases "
        "of complexity shaded.",
        "Bands are 95 % intervals. Shades are phases of complexity: fitting while it rises, compression while it "
        "falls, each only where it beats an optimiser's own wandering, as fitted to this run.",
        "A plateau is not proof that nothing happens, only that nothing was found. Where the loss is still falling, "
        "compression may yet come. One run is one seed: claim a phase only if others show it too.",
    ),
    "run-layers": Reading(
        "Layer by layer",
        "Maps of complexity and expressivity, layers upward, checkpoints across.",
        "Each row is a layer, each column a checkpoint. Look for layers that begin to change before others do.",
        "Columns are checkpoints, not time: they may be far apart at the end and close at the beginning.",
    ),
}


def render_run(trajectory: Trajectory) -> str:
    """The report of a trajectory as the text of one self-contained HTML page."""
    view = RunView(trajectory)
    return _page(view, run_figures(view))


def write_run_report(trajectory: Trajectory, folder: str | Path) -> list[Path]:
    """Write the report of a training run: `report.html`, and its figures as SVG and PNG in `figures/`.

    Args:
        trajectory: what is shown.
        folder: folder or address to write to.

    Returns:
        The paths written, the page first.
    """
    view = RunView(trajectory)
    figures = run_figures(view)
    return write_page(_page(view, figures), figures, folder)


def glance_at_run(trajectory: Trajectory) -> Glance:
    """Its title, answer and first figure, as the page has them."""
    view = RunView(trajectory)
    return Glance(_name(view), answer_of_run(view, _name(view)), run_plane(view))


def _name(view: RunView) -> str:
    return str(view.trajectory.provenance.get("model", "a training run")).rstrip("/").split("/")[-1]


def _page(view: RunView, figures: tuple) -> str:  # type: ignore[type-arg]
    name = _name(view)
    drawn = [section(figure, READINGS[figure.name]) for figure in figures]
    body = "\n".join(
        [
            opening("trace", name, answer_of_run(view, name), "".join(drawn[:1])),
            caveats(_caveats(view)),
            f'<section id="detail"><h2>In detail</h2>\n{said(_headline(view))}</section>',
            *drawn[1:],
            f'<section id="tables"><h2>Checkpoints</h2>\n{_table(view)}</section>',
            origin(dict(view.trajectory.provenance)),
            "<footer>A pure function of the stored trajectory. It loads nothing from outside.</footer>",
        ]
    )
    return document(name, body, figures)


def _caveats(view: RunView) -> list[Caveat]:
    found = [Caveat(f"{p.name}: {p.problem}") for p in view.trajectory.points if p.problem]
    for a, b in view.trajectory.provenance.get("gaps", []):
        found.append(Caveat(f"There is no checkpoint between steps {a:,} and {b:,}, where some seem to be missing."))
    if view.series and not view.phases:
        found.append(Caveat("There are too few checkpoints to look for phases: 8 are needed.", doubtful=True))
    return found


def _headline(view: RunView) -> list[str]:
    lines = []
    for quantity, phases in view.phases.items():
        lines.append(words.sentence(f"{TITLES[quantity].partition(':')[0]}: {phases.verdict}"))
    for quantity in ("complexity", "expressivity", "optimality"):
        series = view.series.get(quantity)
        if series is not None and len(series) > 1:
            lines.append(_from_to(quantity, series))
    return lines


def _from_to(quantity: str, series: Series) -> str:
    sentence = from_to(series, quantity)
    return f"{sentence[:-1]} (the error of the change is that of documents all checkpoints read)."


def _table(view: RunView) -> str:
    rows = []
    columns = [q for q in ("complexity", "expressivity", "optimality", "loss") if q in view.series]
    for point in view.trajectory.points:
        cells = []
        for quantity in columns:
            series = view.series[quantity]
            index = series.steps.tolist().index(point.step) if point.step in series.steps else None
            if index is None:
                cells.append(words.MISSING)
                continue
            intervals = series.intervals
            half = None if intervals is None else (intervals[index][1] - intervals[index][0]) / 2
            cells.append(words.cell(series.values[index], half, series.unit))
        seen = words.MISSING if point.tokens is None else words.amount(point.tokens)
        rows.append([point.name, f"{point.step:,}", seen, *cells, point.problem or words.MISSING])
    titles = [words.column_title(q, view.series[q].unit) for q in columns]
    return tables.table(["checkpoint", "step", "training tokens", *titles, "note"], rows)
