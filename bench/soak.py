"""A measurement killed again and again: `python bench/soak.py [--kills 200] [--seed 0] [--minutes 60]`.

Runs `infoplane measure MODEL --capture F --out R` on a tiny model, kills it with SIGKILL at a random moment of a random
stage, repeats the command, and so on; whenever it comes to its end, every number, table and provenance (but times) is
compared with a run that nobody disturbed, and all begins anew. Interpreters are forked from one that has imported
everything, so that a kill costs what the work costs; figures are not drawn (that is seconds of processor, not state),
but files of their size are written in their place, unless `--pages`. Beside the results lie folders of the user that
are called like ours. After every fourth measurement the weights are changed: the command must refuse the capture, and
with --force give the numbers of the new weights. Exit status 1 where a result differs, a whole shard was made again, a
command failed, something half-written is left, a file of the user is gone, or an old number was given for new weights.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
SHARED = mmap.mmap(-1, 1)  # how far a run has come
STAGES = ("loading", "capturing", "measuring", "writing")
DOCUMENTS, LENGTH = 120, 330  # 40,000 tokens of one byte: five shards
USERS = ("F.until-40000/notes.md", "F.until-notes/notes.md", "R/capture/notes.md", "R/baseline-capture/notes.md")
ASKED = ("--tokens", "40000", "--context", "64", "--orders", "1", "--points", "8", "--dtype", "float32", "--loss")


@dataclass
class Soak:
    """What happened.

    Attributes:
        kills: by stage.
        redone: whole shards that a later run made again.
        differ: results that were not those of the undisturbed run.
        failed: commands that ended by themselves with an error, and what they said.
        left: half-written files that were there after a run had come to its end.
        finished: measurements that came to their end.
        gone: files of the user that were changed or removed.
        stale: old numbers for new weights, or new weights that were not refused.
        changed: how often the weights were changed.
    """

    kills: Counter[str] = field(default_factory=Counter)
    redone: int = 0
    differ: int = 0
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    finished: int = 0
    gone: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    changed: int = 0

    @property
    def good(self) -> bool:
        return not (self.redone or self.differ or self.failed or self.left or self.gone or self.stale)


def main() -> None:
    """Exit status 1 where anything was not as it should be."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--minutes", type=float, default=60, help="the most it may take")
    options.add_argument("--pages", action="store_true", help="draw the figures of every report")
    told = options.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), told.kills, told.seed, 60 * told.minutes, told.pages)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("| killed while | kills |\n| --- | --- |")
    for stage in STAGES:
        print(f"| {stage} | {found.kills[stage]} |")
    print(f"| all | {found.kills.total()} |\n")
    print(
        f"{found.finished} measurements came to their end after {found.kills.total()} kills (seed {told.seed}): "
        f"{found.finished - found.differ} identical to the undisturbed one, {found.redone} whole shards made again, "
        f"{len(found.left)} half-written files left, {len(found.failed)} commands failed, {len(found.gone)} files of "
        f"the user gone, {len(found.stale)} old numbers in {found.changed} changes of the weights; "
        f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor"
    )
    for line in (*found.failed, *found.left, *found.gone, *found.stale):
        print(f"  {line}")
    sys.exit(not found.good or found.kills.total() < told.kills)


def soak(place: Path, kills: int, seed: int, seconds: float, pages: bool = False) -> Soak:
    """Kill until there were so many, or the time is over; then let the last one come to its end."""
    import torch
    import transformers  # noqa: F401

    import infoplane.cli.measure_command
    import infoplane.report.measurement.writing  # noqa: F401

    torch.set_num_threads(1)
    model = place / "model"
    _whole(place, lambda: _make(model))
    _whole(place, lambda: _command(place, "whole", pages=pages, imports=place / "imports"))
    for name in (place / "imports").read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)  # what is imported here, no fork imports again
    if len(list((place / "whole").rglob("measurement.json"))) != 1:
        raise SystemExit("the undisturbed run wrote nothing")
    wanted, found, draw, end = _result(place, "whole"), Soak(), random.Random(seed), time.monotonic() + seconds
    _swap(place)
    _whole(place, lambda: _command(place, "other", pages=pages))
    _swap(place)
    other = _result(place, "other")
    while found.kills.total() < kills and time.monotonic() < end:
        for name in ("F", "R"):
            shutil.rmtree(place / name, ignore_errors=True)
        for name in USERS:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("mine")
        finished, SHARED[0] = False, 0
        while not finished:
            done = _shards(place)
            more = found.kills.total() < kills and time.monotonic() < end
            # half of those that came far may end, so that there is something to capture again
            kill = draw.choice(STAGES) if more and (_stage() != "writing" or draw.random() < 0.5) else None
            finished = _attempt(place, kill, draw, found, pages)
            found.redone += sum(_shards(place).get(name, when) != when for name, when in done.items())
            if found.failed:
                return found
        found.finished += 1
        found.differ += _result(place, "R") != wanted
        found.left += [str(p.relative_to(place)) for f in ("F", "R") for p in (place / f).rglob("*.part")]
        if found.finished % 4 == 1:
            _change(place, wanted, other, found, pages)
        found.gone += [name for name in USERS if not (place / name).exists() or (place / name).read_text() != "mine"]
    return found


def _swap(place: Path) -> None:
    """Put the other weights in the place of those that lie there."""
    here, other = place / "model" / "model.safetensors", place / "other.safetensors"
    here.rename(place / "between.safetensors")
    other.rename(here)
    (place / "between.safetensors").rename(other)


def _change(place: Path, wanted: str, other: str, found: Soak, pages: bool) -> None:
    """The same command after the weights have changed, without --force and with it."""
    found.changed += 1
    _swap(place)
    pid = _fork(place, lambda: _command(place, "R2", "F", pages))
    _, status = os.waitpid(pid, 0)
    said = (place / "said").read_text("utf-8")
    if os.waitstatus_to_exitcode(status) != 2 or "another run" not in said:
        found.stale.append(f"new weights in a kept capture: status {os.waitstatus_to_exitcode(status)}: {said[-200:]}")
    _whole(place, lambda: _command(place, "R2", "F", pages, force=True))
    if _result(place, "R2") != other:
        found.stale.append("with --force the numbers are not those of the new weights")
    _swap(place)
    shutil.rmtree(place / "R2", ignore_errors=True)


def _attempt(place: Path, stage: str | None, draw: random.Random, found: Soak, pages: bool) -> bool:
    """One run of the command, killed in a stage, if it gets that far; whether it came to its end."""
    SHARED[0] = 0
    pid = _fork(place, lambda: _command(place, "R", "F", pages))
    while stage is not None and STAGES.index(_stage()) < STAGES.index(stage):
        if ended := _ended(pid, place, found):
            return ended
        time.sleep(0.001)
    until = time.monotonic() + draw.random() ** 3 * 0.3
    while stage is None or time.monotonic() < until:
        if _ended(pid, place, found):
            return True
        time.sleep(0.001 if stage else 0.01)
    at = _stage()
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return True
    found.kills[at] += 1
    return False


def _stage() -> str:
    return STAGES[SHARED[0]]


@contextlib.contextmanager
def _told() -> Iterator[Any]:
    """In place of the progress bars: the stage, where the process that kills sees it."""

    def progress(stage: str, done: int, total: int) -> None:
        SHARED[0] = max(SHARED[0], {"capturing": 1, "measuring": 2}.get(stage, 0))

    yield progress


def _shards(place: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (place / "F").glob("shard-*.safetensors")}


def _ended(pid: int, place: Path, found: Soak) -> bool:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended and status:
        found.failed.append((place / "said").read_text("utf-8").strip()[-300:] or f"status {status}")
    return bool(ended)


def _whole(place: Path, do: Any) -> None:
    pid = _fork(place, do)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f"a run that was not disturbed failed: {(place / 'said').read_text('utf-8')}")


def _fork(place: Path, do: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        said = os.open(place / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said, 2)
        do()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(status)


def _make(model: Path) -> None:
    from tiny import byte_tokenizer, tiny_model

    from infoplane.text.documents import read_text

    lines = (d.text[:LENGTH] for d in read_text("c4-sample").documents if len(d.text) >= LENGTH)
    rows = [json.dumps({"text": line}) for line in itertools.islice(lines, DOCUMENTS)]
    (model.parent / "text.jsonl").write_text("\n".join(rows), "utf-8")
    tiny_model(seed=1).save_pretrained(model)
    (model / "model.safetensors").rename(model.parent / "other.safetensors")
    tiny_model().save_pretrained(model)
    byte_tokenizer().save_pretrained(model)


def _command(
    place: Path,
    out: str,
    capture: str | None = None,
    pages: bool = False,
    imports: Path | None = None,
    force: bool = False,
) -> None:
    import infoplane.cli.measure_command
    import infoplane.report.measurement.writing
    from infoplane.cli import main

    draw = infoplane.report.measurement.writing.write_report if pages else _stand_in

    def write(found: Any, folder: Path, **more: Any) -> list[Path]:
        SHARED[0] = STAGES.index("writing")
        return draw(found, folder, **more)

    infoplane.report.measurement.writing.write_report = write
    infoplane.cli.measure_command.bars = _told

    kept = ("--capture", str(place / capture)) if capture else ()
    # a run that was killed at its very end is repeated all the same; any other has to go on without
    more = ("--force",) if force or (place / out / "measurement.json").exists() else ()
    sys.argv = ["infoplane", "measure", str(place / "model"), "--text", str(place / "text.jsonl"), *ASKED, *kept, *more]
    sys.argv += ["--out", str(place / out)]
    try:
        main()  # it ends with SystemExit
    finally:
        if imports:
            imports.write_text("\n".join(name for name in sys.modules if "vl_convert" not in name))


def _stand_in(found: Any, folder: Path, **_: Any) -> list[Path]:
    from infoplane.storage import atomic_files as files

    page = b'<p class="eyebrow">infoplane measurement</p>' + json.dumps(found.to_dict()).encode()
    # the page first, as the real writer does: it says whose the files beside it are
    paths = [
        folder / "report.html",
        *(folder / "figures" / f"{name}.svg" for name in ("plane", "profiles", "controls")),
    ]
    for path in paths:
        files.write_bytes(path, page)
    return paths


def _result(place: Path, name: str) -> str:
    """All that a measurement says, without its times; read in a process of its own, for a fork must find no threads."""
    _whole(place, lambda: _write_result(place, name))
    return (place / "result").read_text("utf-8")


def _write_result(place: Path, name: str) -> None:
    from infoplane.measurement.results import Measurement

    found = Measurement.load(place / name)
    provenance = {k: v for k, v in found.provenance.items() if k != "wall_time"}
    (place / "result").write_text(repr((found.table().to_dicts(), provenance)), "utf-8")


if __name__ == "__main__":
    main()
