"""Measuring a run that is trained: every checkpoint on the same text, with the command line of infoplane.

A process of its own, so that the memory and threads of training are not in the way, and so that what is run is what
a user would run. The command itself knows what is stored, goes on with what is missing, and leaves a whole trace alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_COMMAND = (sys.executable, "-c", "from infoplane.cli.command_line import main; main()", "trace")


def measure_run(folder: Path, text: Path) -> str:
    """Trace a run into `folder/trace`, and return in words what was done.

    Args:
        folder: of a trained run.
        text: documents to measure on, held out from training.
    """
    out = folder / "trace"
    if sum(1 for _ in folder.glob("checkpoint-*")) < 2:
        return "not traced: one checkpoint is no trajectory (step 0 is the first point of the plain run's)"
    shared, own = text.parent / "bound", out / "bound"  # the frontier is the text's, so all runs have the same
    if (shared / "bound.json").is_file() and not own.exists():
        shutil.copytree(shared, own)
    more = ("--bound", "--steps", str(folder / "steps.csv"), "--text", str(text), "--context", "128")
    more += ("--estimator", "corrected,plugin")
    done = subprocess.run([*_COMMAND, str(folder), "--out", str(out), *more], capture_output=True, text=True)
    if done.returncode == 2 and "is a finished trace" in done.stderr:
        return f"measured before: {out}"
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        return f"NOT measured, infoplane trace ended with {done.returncode}: {said}"
    if (own / "bound.json").is_file() and not shared.exists():
        shutil.copytree(own, shared, dirs_exist_ok=True)
    return f"measured: {out}"
