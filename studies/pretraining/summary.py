"""What the runs did, as tables: one line a run, and what the seeds of a configuration allow to claim.

python studies/pretraining/summary.py --into studies/pretraining/results.md
python studies/pretraining/summary.py --only 'llama s tokens' 'llama s overtrain' --report page     figures, in page/
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
from pathlib import Path

import numpy as np

from corpus import ROOT
from infoplane.analysis.training.phases import Phases, claim
from infoplane.analysis.training.seeds import Seeds, grouped
from infoplane.analysis.training.series import Series
from infoplane.analysis.training.trajectory import Trajectory
from infoplane.errors import ResultError
from infoplane.report.training.several_page import write_several_report
from infoplane.storage import atomic_files as files
from suite import FAMILIES, SIZES

QUANTITIES = ("complexity", "expressivity", "optimality", "distance_to_ceiling", "gap", "context_gain")


def main() -> None:
    """Write or print the tables of every run that was traced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "pretraining", help="folder of the runs")
    parser.add_argument("--into", type=Path, help="file to write; printed otherwise")
    parser.add_argument("--only", metavar="GLOB", nargs="+", default=["*"], help="configurations whose name fits one")
    parser.add_argument("--report", type=Path, help="folder for a page with the runs' paths and curves; no tables then")
    given = parser.parse_args()
    found: list[tuple[tuple[int, ...], str, str, Trajectory]] = []
    for folder in given.out.glob("*/trace/trajectory.json"):
        run = json.loads((folder.parents[1] / "run.json").read_text("utf-8"))["run"]
        treatment = run["arm"] if run["variant"] == "base" else run["variant"]
        place = list(SIZES).index(run["size"]), FAMILIES.index(run["family"])
        key = (treatment != "tokens", treatment == "ratio", *place)
        configuration = f"{run['family']} {run['size']} {treatment}"
        if any(fnmatch.fnmatchcase(configuration, glob) for glob in given.only):
            found.append((key, configuration, folder.parents[1].name, Trajectory.load(folder)))
    found.sort(key=lambda one: one[:3])
    groups = grouped([(configuration, run) for _, configuration, _, run in found])
    if given.report is not None:
        print(f"Wrote {write_several_report(groups, given.report)[0]}")
        return
    lines = [
        "| run | loss: least (step), last | complexity: first, least (step), later most (step), last "
        "| its change after that | expressivity: first, last | optimality: first, most (step), last "
        "| its change after that |",
        "|---|---|---|---|---|---|---|",
        *(_line(name, run) for _, _, name, run in found),
        "",
        "| configuration | quantity | `corrected` | its phases, each seed | `plugin` |",
        "|---|---|---|---|---|",
    ]
    for group in groups:
        for quantity in QUANTITIES if len(group.runs) > 1 else ():  # one run allows no claim
            with contextlib.suppress(ResultError):  # traced without the bound, say
                lines.append(_claims(group, quantity))
    text = "\n".join(lines) + "\n"
    if given.into is None:
        print(text, end="")
    else:
        files.write_text(given.into, text)


def _claims(group: Seeds, quantity: str) -> str:
    first = group.runs[0].measured[0].measurement
    assert first is not None
    corrected = group.phases(quantity, estimator=first.estimates[0].estimator)
    bound = quantity in ("gap", "context_gain")  # of one estimator alone
    plugin = "" if bound else _said(group.phases(quantity, estimator="plugin"))
    seeds = "; ".join(p.outline for p in corrected)
    return f"| {group.name} | {quantity.replace('_', ' ')} | {_said(corrected)} | {seeds} | {plugin} |"


def _said(phases: tuple[Phases, ...]) -> str:
    """Counts of the seeds that show each phase, bold where that is enough to claim it."""
    n, claimed = len(phases), claim(phases)
    words = []
    for name, field, shows in (
        ("fitting", "fitting", [p.fitting.found for p in phases]),
        ("compression", "compression", [p.compression.found for p in phases]),
        ("after fitting", "then_compresses", [p.then_compresses for p in phases]),
    ):
        shown = f"{name} {sum(shows)} of {n}"
        words.append(f"**{shown}**" if getattr(claimed, field) else shown)
    censored = sum(p.saturated is False for p in phases)
    return ", ".join(words) + (f"; loss still falling in {censored}" if censored else "; loss at rest")


def _line(name: str, run: Trajectory) -> str:
    x, y, o, loss = (run.series(q) for q in ("complexity", "expressivity", "optimality", "loss"))
    least, most = int(x.values.argmin()), int(o.values.argmax())
    later = least + int(x.values[least:].argmax())
    return (
        f"| {name.rpartition('-')[0]} | {_at(loss, int(np.argmin(loss.values)))}, {loss.values[-1]:.3f} "
        f"| {x.values[0]:.3f}, {_at(x, least)}, {_at(x, later)}, {x.values[-1]:.3f} | {_since(x, later)} "
        f"| {y.values[0]:.3f}, {y.values[-1]:.3f} "
        f"| {o.values[0]:.3f}, {_at(o, most)}, {o.values[-1]:.3f} | {_since(o, most)} |"
    )


def _at(series: Series, index: int) -> str:
    return f"{series.values[index]:.3f} ({series.steps[index]})"


def _since(series: Series, index: int) -> str:
    """Change to the last checkpoint, with its paired 95 % interval."""
    if index == len(series) - 1:
        return "none left"
    value, _, interval = series.difference(index, len(series) - 1)
    return f"{value:.3f}" + ("" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.3f}")


if __name__ == "__main__":
    main()
