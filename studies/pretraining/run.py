"""The study in one command: text, tokenizer, every run and its measurement, in an order that may be cut short.

python studies/pretraining/run.py            everything, some hours on two cores; stop it and start it again at will
python studies/pretraining/run.py --quick    two small runs on the sample inside infoplane, no network: two minutes
python studies/pretraining/run.py --list     the table of runs
python studies/pretraining/run.py --only 'llama-s-*'
"""

from __future__ import annotations

import os

# Threads that wait must not spin: on a machine that also does something else they take the cores from those that work,
# and a step takes twenty times as long. Read when torch is loaded, so it stands before that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing here is on a hub, so nothing should look there.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from corpus import ROOT, make_corpus, recipe
from measure import measure_run
from parts import split
from sources import SOURCES, SourceError
from suite import Run, estimated_seconds, parameters, quick, suite


def main() -> int:
    """Run what is asked for; the exit status is 1 where a run failed, 2 where there is nothing to run."""
    given = _arguments()
    names = ["c4"] if given.quick else (given.sources or ",".join(SOURCES)).split(",")
    corpus = given.out / ("corpus-c4" if given.quick else "corpus")
    try:
        if not given.list:
            names = list(make_corpus(corpus, names, strict=given.sources is not None))
        runs = quick(recipe(names)) if given.quick else suite(recipe(names), given.vocabulary)
    except (SourceError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    runs = tuple(r for r in runs if any(fnmatch.fnmatchcase(r.id, glob) for glob in given.only))
    if not runs:
        print(f"error: no run fits {' or '.join(given.only)}; see --list", file=sys.stderr)
        return 2
    if given.list:
        _print_table(runs)
        return 0
    try:
        return _run_all(runs, given.out, corpus, given)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "pretraining", help="folder of text and runs")
    parser.add_argument("--only", metavar="GLOB", nargs="+", default=["*"], help="run only those whose id fits one")
    parser.add_argument("--quick", action="store_true", help="the two-minute version")
    parser.add_argument("--list", action="store_true", help="print the table of runs and stop")
    parser.add_argument("--sources", help="text to use, by commas; all of it, or an error (default: what can be had)")
    parser.add_argument("--vocabulary", type=int, default=4096, help="entries of the tokenizer, up to 8192")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs trained at the same time")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # I/N: how a job is told which runs are its own
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch, in each job; part of what a run's log records"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "auto"), help="auto: a GPU where there is one")
    parser.add_argument("--watch", action="store_true", help="probe each run while it trains too, into its probes/")
    parser.add_argument("--no-measure", action="store_true", help="train only")
    return parser.parse_args()


def _run_all(runs: Sequence[Run], out: Path, corpus: Path, given: argparse.Namespace) -> int:
    import transformers

    from train import StopWithParent, is_complete, train_run
    from vocabulary import make_vocabulary

    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()  # there is one for each checkpoint written, and it says nothing

    vocabulary = make_vocabulary(corpus, runs[0].vocabulary)
    if given.part is None and given.jobs > 1 and len(runs) > 1:
        return split(given.jobs)
    if given.part is not None:
        which, parts = map(int, given.part.split("/"))
        runs = runs[which::parts]
    folders = {run.id: out / run.id for run in runs}
    left = [run for run in runs if not is_complete(folders[run.id], vocabulary)]
    print(f"{len(runs)} runs, {len(runs) - len(left)} complete, about {_duration(_sum(left))} of training left")
    callbacks = [] if given.part is None else [StopWithParent()]
    pace, failed = 1.0, 0  # pace: seconds taken for each second estimated, from the newest run
    for number, run in enumerate(runs, start=1):
        folder = folders[run.id]
        if run in left:
            ahead = _duration(pace * _sum(left[left.index(run) :]))
            about = _duration(pace * estimated_seconds(run))
            print(f"{run.id} [{number}/{len(runs)}]: {run.steps} steps, about {about}; {ahead} for all", flush=True)
            fresh = not (folder / "run.json").exists()
            began = time.monotonic()
            try:
                train_run(
                    run, folder, vocabulary, callbacks=callbacks, threads=given.threads, device=given.device,
                    report=partial(_print_line, run), probed=corpus / "heldout.jsonl" if given.watch else None,
                )  # fmt: skip
            except Exception as error:  # one run that fails must not cost the night
                failed += 1
                print(
                    f"{run.id} FAILED, the others go on: {type(error).__name__}: {error}", file=sys.stderr, flush=True
                )
                continue
            if fresh and run.steps >= 20:
                pace = (time.monotonic() - began) / estimated_seconds(run)
        if not given.no_measure:
            print(f"{run.id} {measure_run(folder, corpus / 'heldout.jsonl')}", flush=True)
    print(f"{len(runs) - failed} of {len(runs)} runs complete in {out}")
    return 1 if failed else 0


def _print_line(run: Run, line: dict[str, Any]) -> None:
    print(
        f"{run.id} step {line['step']}/{run.steps}: loss held out {line['loss_heldout']:.3f}, seen "
        f"{line['loss_seen']:.3f}, {line['tokens']:,} tokens, {line['seconds']:.0f} s",
        flush=True,
    )


def _print_table(runs: Sequence[Run]) -> None:
    print(f"{'id':52} {'parameters':>10} {'no embed.':>10} {'steps':>5} {'tokens <=':>10} {'minutes':>7} {'MB':>5}")
    size = 0.0
    for run in runs:
        every, inner = parameters(run)
        size += (megabytes := len(run.checkpoints()) * (every * 4 + 300_000) / 1e6)
        minutes = estimated_seconds(run) / 60
        print(f"{run.id:52} {every:10,} {inner:10,} {run.steps:5} {run.fed:10,} {minutes:7.1f} {megabytes:5.0f}")
    print(f"{len(runs)} runs, about {_duration(_sum(runs))} of training on one core, {size / 1e3:.1f} GB")


def _sum(runs: Sequence[Run]) -> float:
    return sum(map(estimated_seconds, runs))


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
