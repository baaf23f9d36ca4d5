"""The page of several training runs: their paths in one plane, and what the seeds of each configuration show."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from infoplane.analysis.training import Claim, Seeds, claim
from infoplane.errors import ResultError
from infoplane.report.parts import (
    Caveat,
    Figure,
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
from infoplane.report.training.run_answer import answer_of_several
from infoplane.report.training.run_figures import TITLES
from infoplane.report.training.run_view import PHASED
from infoplane.report.training.several_figures import series_of, several_figures

READINGS = {
    "runs-plane": Reading(
        "The paths through the plane",
        "Scatter plot: complexity across, expressivity upward, one path for each run in the order of training.",
        "A run that fits moves to the right and up; one that compresses moves back to the left. Runs of one colour "
        "differ in their seed only. Move the slider to see them grow side by side.",
        "Models of different width share no reference directions, so compare the shapes of their paths, not small "
        "differences of height. The dashed diagonal is a reference, not a bound.",
    ),
    "runs-curves": Reading(
        "Over training",
        "Line plots over training steps of complexity, expressivity, optimality, distances and loss, one line a run.",
        "Lines of one colour are seeds of one configuration: how far they are apart is what chance does. A difference "
        "between colours means something where it is larger than that.",
        "The text's own error is not drawn here, as all runs read the same text; it is in each run's own report.",
    ),
}


def render_several(groups: Sequence[Seeds]) -> str:
    """The report of several runs as the text of one self-contained HTML page."""
    return _page(groups, several_figures(groups))


def write_several_report(groups: Sequence[Seeds], folder: str | Path) -> list[Path]:
    """Write the report of several training runs: `report.html`, and its figures as SVG and PNG in `figures/`.

    Args:
        groups: the runs to show, by configuration.
        folder: folder or address to write to.

    Returns:
        The paths written, the page first.
    """
    figures = several_figures(groups)
    return write_page(_page(groups, figures), figures, folder)


def _page(groups: Sequence[Seeds], figures: tuple[Figure, ...]) -> str:
    runs = sum(len(g.runs) for g in groups)
    title = f"{runs} runs of {len(groups)} configurations" if len(groups) > 1 else f"{runs} runs of {groups[0].name}"
    drawn = [section(figure, READINGS[figure.name]) for figure in figures]
    body = "\n".join(
        [
            opening("traces", title, answer_of_several(groups, _claimed(groups)), "".join(drawn[:1])),
            caveats(_caveats(groups)),
            *drawn[1:],
            f'<section id="claims"><h2>Phases</h2>\n{_claims(groups)}</section>',
            f'<section id="tables"><h2>Runs</h2>\n{_runs(groups)}</section>',
            origin({group.name: _origin(group) for group in groups}),
            "<footer>A pure function of the stored trajectories. It loads nothing from outside.</footer>",
        ]
    )
    return document(title, body, figures)


def _claimed(groups: Sequence[Seeds]) -> list[tuple[Seeds, Claim]]:
    """Of each configuration with checkpoints enough what its seeds allow to claim of complexity."""
    found = []
    for group in groups:
        with contextlib.suppress(ResultError):
            if group.enough:
                found.append((group, claim(group.phases("complexity"))))
    return found


def _caveats(groups: Sequence[Seeds]) -> list[Caveat]:
    lines = []
    if len({str(g.runs[0].provenance.get("windows_hash")) for g in groups}) > 1:
        lines.append("the configurations were not measured on the same windows: their heights do not compare")
    if len({str((g.runs[0].provenance.get("like") or {}).get("width")) for g in groups}) > 1:
        lines.append(
            "models of different width have different reference points, whose own error is not known here: "
            "small differences between such configurations mean nothing"
        )
    for group in groups:
        if len(group.runs) == 1:
            lines.append(f"{group.name} is one run: give other seeds the same name")
        if not group.enough:
            lines.append(f"{group.name}: {group.checkpoints} checkpoints in common, and phases need 8")
        lines += [f"{p.name}: {p.problem}" for run in group.runs for p in run.points if p.problem]
    return [Caveat(words.sentence(line)) for line in lines]


def _claims(groups: Sequence[Seeds]) -> str:
    rows = []
    for group in groups:
        for quantity in PHASED if group.enough else ():
            try:
                phases = group.phases(quantity)
            except ResultError:
                continue
            seeds = "; ".join(p.outline for p in phases)
            rows.append([group.name, TITLES[quantity].partition(":")[0], claim(phases).text, seeds])
    if not rows:
        return said(["No configuration has checkpoints enough to look for phases."])
    return tables.table(["configuration", "quantity", "what the seeds allow to claim", "each seed"], rows, names=4)


def _runs(groups: Sequence[Seeds]) -> str:
    rows = []
    columns = ("complexity", "expressivity", "optimality", "loss")
    for group in groups:
        for run in group.runs:
            cells = []
            for quantity in columns:
                series = series_of(run, quantity)
                ends = () if series is None else (words.number(series.values[i], 4) for i in (0, -1))
                cells.append(" to ".join(ends) or words.MISSING)
            name = str(run.provenance.get("model", "a run")).rstrip("/").split("/")[-1]
            rows.append([group.name, name, str(len(run.measured)), *cells])
    return tables.table(["configuration", "run", "checkpoints", *columns], rows, names=2)


def _origin(group: Seeds) -> dict[str, object]:
    kept = {k: v for k, v in group.runs[0].provenance.items() if k in ("text", "settings", "like", "versions")}
    return {"runs": [str(run.provenance.get("model")) for run in group.runs], **kept}
