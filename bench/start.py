"""How long the command takes to start: `python bench/start.py [--runs 20]`.

Seconds of `infoplane --help`, `infoplane measure --help`, `import infoplane`, and of reading a stored capture's answer,
each in processes of its own, beside `python -c pass`; the median and the best of the runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import infoplane": ["-c", "import infoplane"],
    "infoplane --help": ["-m", "infoplane", "--help"],
    "infoplane measure --help": ["-m", "infoplane", "measure", "--help"],
    "import of Measurement": ["-c", "import infoplane; infoplane.Measurement"],
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=20)
    runs = options.parse_args().runs
    # As on a user's machine, where modules are compiled once.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for words in COMMANDS.values():
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    for name, words in COMMANDS.items():
        taken = []
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
            taken.append(time.perf_counter() - began)
        print(f"{name:28} median {statistics.median(taken):.3f} s, best {min(taken):.3f} s")


if __name__ == "__main__":
    main()
