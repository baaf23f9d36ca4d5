"""Every reader of a file, on harmed files: `python bench/fuzz.py [--seconds 60] [--only NAME] [--seed 0]`.

Each reader (`tests/support/readers.py`) gets files harmed by `tests/support/mutation.py`, for so many seconds, in a
process of its own with bounded memory and a deadline for each case. Allowed is a result or an `InfoplaneError`.
Everything else is printed with the seed that makes it again: another exception, death (an allocation that the process
cannot survive), a hang, a file written anywhere else.

First come bombs (`--only bomb`): files of a few bytes that unpack to more than any memory, or take many times their
size once they are read, devices and pipes, each read with 3 GiB of memory. Exit status 1 where there was any.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
DEADLINE = 20  # seconds of processor for one case
SPACE = 12 << 30  # address space; torch and polars map a few GB that they never touch


def main() -> None:
    """Exit status 1 where a reader failed otherwise than it may."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60, help="for each reader")
    options.add_argument("--only", default="", help="readers whose name holds this")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--make", help=argparse.SUPPRESS)
    options.add_argument("--case", type=int, help="this one case of the reader named, with its traceback")
    told = options.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")
    from readers import READERS, make

    if told.make:
        make(Path(told.make))
        return
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "files"
        place.mkdir()
        subprocess.run([sys.executable, __file__, "--make", str(place)], check=True)  # so that nothing here has threads
        if told.only in "bombs" and told.case is None:
            bad += _bombs(Path(folder) / "bombs")
        for reader in READERS:
            if told.only not in reader.name:
                continue
            if told.case is not None:
                _case(reader, place, told.case)
                return
            bad += _reader(reader, place, told)
    sys.exit(bad > 0)


def _bombs(place: Path) -> int:
    """Read each bomb in a process of its own; how many of them were neither read nor refused."""
    import gzip
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    place.mkdir()
    text = pa.array(["lorem ipsum dolor " * 58_254])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), text)
    for stored in (False, True):
        path = place / f"text-{stored}.parquet"
        pq.write_table(pa.table({"text": column}), path, compression="zstd", store_schema=stored)
    numbers = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000_000, pa.int32()), pa.array([0.5]))
    pq.write_table(pa.table({"x": numbers, "model": numbers}), place / "cases.parquet", store_schema=False)
    for name in ("a.txt.gz", "a.json.gz", "a.csv.gz", "a.jsonl.gz", "pairs.jsonl.gz"):
        with gzip.open(place / name, "wb", compresslevel=1) as file:
            for _ in range(64):
                file.write(b" " * (1 << 26))
    growing = {  # each byte takes many once it is read
        "objects.json.gz": (b"[", b"{},", b"{}]"), "rows.csv.gz": (b"text,model\n", b"a,b\n", b""),
        "objects.jsonl.gz": (b'{"text": "a", "more": [', b"{},", b"{}]}\n"),
    }  # fmt: skip
    for name, (head, unit, tail) in growing.items():
        with gzip.open(place / name, "wb", compresslevel=1) as file:
            file.write(head)
            for _ in range(16):
                file.write(unit * 10_000_000)
            file.write(tail)
    (place / "deep.json").write_text("[" * 10_000_000)
    (place / "digits.json").write_text(json.dumps({"results": {"a": {"acc": 0.5}}, "config": {}})[:-1] + "9" * 10**7)
    os.mkfifo(place / "pipe.jsonl")
    for name in ("zero.txt", "zero.csv", "zero.json", "zero.npy", "zero.parquet"):
        (place / name).symlink_to("/dev/zero")
    bad = 0
    for path in sorted(place.iterdir()):
        what, seconds, peak = _bomb(path)
        bad += what.startswith("BAD")
        print(
            f"bomb {path.name:18} {path.lstat().st_size:12,} bytes: {what}, {seconds:.1f} s, {peak:,} MiB", flush=True
        )
    return bad


def _bomb(path: Path) -> tuple[str, float, int]:
    """What every reader of a file of that name makes of it, the seconds, and the most memory held."""
    code = (
        "import resource, sys; from pathlib import Path; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from infoplane.analysis.forecasting.case_table import Cases; from infoplane.errors import InfoplaneError;"
        "from infoplane.text.ngram_labels import read_column;"
        "from infoplane.text.pairs.preference_pairs import read_pairs;"
        "from infoplane.analysis.scores.score_files import read_scores;"
        "from infoplane.text.documents import read_text\n"
        "p = Path(sys.argv[1])\n"
        "for read in (read_text, read_pairs, read_scores, read_column, lambda p: Cases.read(p, features=('x',))):\n"
        "    try: read(p); print('read')\n"
        "    except (InfoplaneError, MemoryError) as error: print('refused', str(error)[:0])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    began = time.monotonic()
    try:
        run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "BAD: hangs", time.monotonic() - began, 0
    if run.returncode:
        return f"BAD: {run.stderr.strip().splitlines()[-1:]}", time.monotonic() - began, 0
    *told, peak = run.stdout.split()
    return f"{told.count('read')} read, {told.count('refused')} refused", time.monotonic() - began, int(peak)


def _reader(reader, place, told) -> int:
    good = (place / reader.path).read_bytes()
    counts, seen, number, began, cpu = Counter(), {}, told.seed * 10_000_000, time.monotonic(), _cpu()
    while time.monotonic() - began < told.seconds:
        number, what = _child(reader, place, number, began + told.seconds, counts)
        if what:
            counts["bad"] += 1
            seen.setdefault(what, number)
            number += 1
        (place / reader.path).write_bytes(good)
    print(
        f"{reader.name:32} {sum(counts.values()):7,} cases: {counts['read']:6,} read, {counts['refused']:6,} refused, "
        f"{counts['bad']} BAD ({_cpu() - cpu:.0f} s of processor)" if counts["bad"] else
        f"{reader.name:32} {sum(counts.values()):7,} cases: {counts['read']:6,} read, {counts['refused']:6,} refused "
        f"({_cpu() - cpu:.0f} s of processor)",
        flush=True,
    )  # fmt: skip
    for what, first in seen.items():
        print(f"    {what}   --only {reader.name!r} --case {first}", flush=True)
    return counts["bad"]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _child(reader, place, number, end, counts) -> tuple[int, str]:
    """Cases from `number` on in a forked process, until one is bad; the case after the last, and what was wrong."""
    take, give = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(take)
        if not reader.name.startswith("page"):  # V8 reserves more than it touches
            resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        good = (place / reader.path).read_bytes()
        while time.monotonic() < end:
            os.write(give, b"b%d\n" % number)
            os.write(give, _outcome(reader, place, good, number).encode() + b"\n")
            number += 1
        os._exit(0)
    os.close(give)
    what, started = "", number
    with os.fdopen(take, "rb", buffering=0) as lines:
        rest, last, heard = b"", 0.0, time.monotonic()
        while True:
            ready, _, _ = select.select([lines], [], [], DEADLINE)
            if not ready:
                if _processor(pid) - last < DEADLINE and time.monotonic() - heard < 20 * DEADLINE:
                    continue  # a busy machine, not a hang
                os.kill(pid, signal.SIGKILL)
                what = f"hangs for more than {DEADLINE} s"
                break
            last, heard = _processor(pid), time.monotonic()
            data = lines.read(65536)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                text = line.decode(errors="replace")
                if text.startswith("b"):
                    started = int(text[1:])
                elif text in ("read", "refused"):
                    counts[text] += 1
                    started += 1
                else:
                    what = text
            if what:
                os.kill(pid, signal.SIGKILL)
                break
    _, status = os.waitpid(pid, 0)
    if not what and os.WIFSIGNALED(status):
        what = f"dies by {signal.Signals(os.WTERMSIG(status)).name}"
    if not what and os.WEXITSTATUS(status):
        what = f"exits with {os.WEXITSTATUS(status)}"
    return started, what


def _processor(pid) -> float:
    """Seconds of processor that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _outcome(reader, place, good, number) -> str:
    from mutation import mutated

    from infoplane.errors import InfoplaneError

    (place / reader.path).write_bytes(mutated(good, random.Random(number)))
    before = _listing(place)
    try:
        reader.read(place)
        found = "read"
    except InfoplaneError as error:
        found = "refused" if str(error) else "an InfoplaneError without a message"
    except BaseException as error:  # a panic of polars is no Exception
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "infoplane" in f.filename] or [None]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames[-1] else "?"
        found = f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:140]}"
    return found if _listing(place) == before else "writes files"


def _listing(place) -> list:
    return sorted((str(p), p.stat().st_size) for p in place.parent.rglob("*"))


def _case(reader, place, number) -> None:
    from mutation import mutated

    data = mutated((place / reader.path).read_bytes(), random.Random(number))
    (place / reader.path).write_bytes(data)
    shutil.copy(place / reader.path, "/tmp/case")
    print(f"the harmed file is /tmp/case ({len(data):,} bytes)")
    reader.read(place)


if __name__ == "__main__":
    main()
