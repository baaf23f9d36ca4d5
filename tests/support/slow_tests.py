"""Which tests take long: those of `tests/slow.txt`, which `poe fast` leaves out.

    pytest -n 2 --durations=0 > durations.txt && python tests/support/slow_tests.py durations.txt

writes it anew, with every test that took longer than 0.6 s.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

LIST = Path(__file__).parents[1] / "slow.txt"
LONGEST = 0.6


def slow_tests() -> set[str]:
    """Their ids, without parameters."""
    return set(LIST.read_text("utf-8").split())


def main() -> None:
    taken: Counter[str] = Counter()
    for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
        if found := re.match(r"([\d.]+)s (?:call|setup)\s+(\S+?)(?:\[|$)", line):
            taken[found[2]] += float(found[1])
    LIST.write_text("".join(f"{name}\n" for name in sorted(taken) if taken[name] > LONGEST), "utf-8")


if __name__ == "__main__":
    main()
