"""A trace killed again and again against one that was not: `python bench/resume.py [folder]`.

Trains a small run of the study with 21 checkpoints on the built-in text, traces it whole, traces it with a kill -9
after 3, 4.5, 6.8, .. seconds until it is done, and compares every number of the two.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

STUDY = Path(__file__).parents[1] / "studies" / "pretraining"
TRACE = (sys.executable, "-c", "from infoplane.cli import main; main()", "trace")
KILL_AFTER = 3.0  # seconds at first, half as much more each time, so that there is an end


def main() -> None:
    """Exit status 1 where a number differs."""
    sys.path.insert(0, str(STUDY))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import numpy as np

    from infoplane.analysis.training.trajectory import Trajectory

    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    run, text = _trained(place)
    asked = [*TRACE, str(run), "--steps", str(run / "steps.csv"), "--text", str(text), "--context", "128"]
    for name in ("whole", "killed"):
        shutil.rmtree(place / name, ignore_errors=True)
    subprocess.run([*asked, "--out", str(place / "whole")], check=True, stdout=subprocess.DEVNULL)
    kills = 0
    while not _ended(subprocess.Popen([*asked, "--out", str(place / "killed")], stdout=subprocess.DEVNULL), kills):
        kills += 1
    whole, killed = (Trajectory.load(place / name) for name in ("whole", "killed"))
    assert len(whole.measured) == 21 and [p.step for p in whole.points] == [p.step for p in killed.points]
    rows = worst = 0
    for a, b in zip(whole.measured, killed.measured, strict=True):
        assert a.measurement is not None and b.measurement is not None
        for x, y in zip(a.measurement, b.measurement, strict=True):
            rows += 1
            worst = max(worst, float(np.abs(np.subtract((x.value, *x.replicates), (y.value, *y.replicates))).max()))
    print(f"killed {kills} times; {rows:,} rows of {len(whole.measured)} checkpoints, largest difference {worst:g}")
    sys.exit(worst != 0)


def _trained(place: Path) -> tuple[Path, Path]:
    from corpus import make_corpus, recipe
    from suite import Run, quick
    from train import train_run
    from vocabulary import make_vocabulary

    class Dense(Run):
        def checkpoints(self) -> tuple[int, ...]:
            return tuple(range(0, 61, 3))

    corpus = place / "corpus"
    make_corpus(corpus, ["c4"], strict=True)
    first = quick(recipe(["c4"]))[0]
    run = Dense(**vars(replace(first, steps=60)))
    train_run(run, place / "run", make_vocabulary(corpus, run.vocabulary), report=lambda line: None)
    return place / "run", corpus / "heldout.jsonl"


def _ended(process: subprocess.Popen[bytes], kills: int) -> bool:
    """Whether it came to its end before it was killed."""
    began = time.monotonic()
    while time.monotonic() - began < KILL_AFTER * 1.5**kills:
        if process.poll() is not None:
            if process.returncode:
                raise SystemExit(f"the trace ended with status {process.returncode}")
            return True
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return False


if __name__ == "__main__":
    main()
