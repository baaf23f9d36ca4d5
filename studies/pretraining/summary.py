"""What the runs did, as tables: one line a run, and what the seeds of a configuration allow to claim.

python studies/pretraining/summary.py [--out runs/pretraining] [--into studies/pretraining/results.md]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from corpus import ROOT
from infoplane import files
from infoplane.phases import Phases, claim, find_phases
from infoplane.trajectory import Series, Trajectory

QUANTITIES = ("complexity", "expressivity", "optimality", "distance_to_ceiling")


def main() -> None:
    """Write or print the tables of every run that was traced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "pretraining", help="folder of the runs")
    parser.add_argument("--into", type=Path, help="file to write; printed otherwise")
    given = parser.parse_args()
    lines = [
        "| run | loss, last | complexity: first, least (step), later most (step), last | its change after that "
        "| expressivity: first, last | optimality: first, most (step), last | its change after that |",
        "|---|---|---|---|---|---|---|",
    ]
    found: dict[tuple[str, str, str], list[Phases]] = defaultdict(list)
    for folder in sorted(given.out.glob("*/trace/trajectory.json")):
        run = json.loads((folder.parents[1] / "run.json").read_text("utf-8"))["run"]
        trajectory = Trajectory.load(folder)
        series = {name: trajectory.series(name) for name in QUANTITIES}
        loss = trajectory.series("loss")
        lines.append(_line(folder.parents[1].name, series, loss))
        for name, one in series.items():
            replicates = one.replicates if one.replicates.shape[1] else None
            phases = find_phases(one.steps, one.values, replicates, loss=loss.values)
            treatment = run["arm"] if run["variant"] == "base" else run["variant"]
            found[run["family"], f"{run['size']} {treatment}", name].append(phases)
    lines += ["", "| family | runs | quantity | claim |", "|---|---|---|---|"]
    for (family, size, name), each in sorted(found.items()):
        lines.append(f"| {family} | {size} | {name.replace('_', ' ')} | {claim(each).text} |")
    text = "\n".join(lines) + "\n"
    if given.into is None:
        print(text, end="")
    else:
        files.write_text(given.into, text)


def _line(name: str, series: dict[str, Series], loss: Series) -> str:
    x, y, o = series["complexity"], series["expressivity"], series["optimality"]
    least, most = int(x.values.argmin()), int(o.values.argmax())
    later = least + int(x.values[least:].argmax())
    return (
        f"| {name.rpartition('-')[0]} | {loss.values[-1]:.3f} "
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
