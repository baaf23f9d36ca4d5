"""Time, processor time and memory of one measurement by this process, and by 1 and 2 workers of Ray.

python bench/workers.py [--tokens 16384] [--model smollm2-135m]

Each row is a command of its own, seen from outside: processor time and memory are of all its processes, those of Ray
included; memory is proportional (what processes share is counted once), read four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time

import psutil

CONFIGURATIONS = {
    "local": [],
    "ray, 1 worker": ["--engine", "ray", "--workers", "1"],
    "ray, 2 workers": ["--engine", "ray", "--workers", "2"],
}


def measured(command: list[str]) -> dict[str, float]:
    """Run it; seconds of its stages, processor seconds and peak MB of all its processes."""
    started = time.monotonic()
    environment = {**os.environ, "RAY_worker_niceness": "0"}  # Ray's own is 15, and other rows have none
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    spent, peak = dict[int, float](), 0
    file = process.stdout
    lines = []

    reader = threading.Thread(target=lambda: lines.append(file.read()))
    reader.start()
    while process.poll() is None:
        held = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
                held += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, held)
        time.sleep(0.25)
    reader.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    told = json.loads(lines[0])["provenance"]["wall_time"]
    return {**told, "command_s": time.monotonic() - started, "cpu_s": sum(spent.values()), "peak_mb": peak / 2**20}


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--model", default="smollm2-135m")
    given = parser.parse_args()
    call = [sys.executable, "-c", "from infoplane.cli import main; main()", "measure", given.model]
    call += ["--tokens", str(given.tokens), "--dtype", "float32", "--json"]
    print("| | loading | capturing | measuring | whole command | processor | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for name, more in CONFIGURATIONS.items():
        x = measured([*call, *more])
        stages = (x["loading_s"], x["capturing_s"], x["measuring_s"], x["command_s"], x["cpu_s"])
        print(f"| {name} | " + " | ".join(f"{s:.1f} s" for s in stages) + f" | {x['peak_mb']:,.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
