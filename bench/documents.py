"""Very many documents: python bench/documents.py [--documents 1000000]. Seconds and memory, alone on a quiet machine.

Each text is read from JSONL and cut into windows of a budget of 32,768 tokens, in a process of its own: documents of
one token, ordinary ones of some 200, and half of each. Linear means that ten times as many take ten times as long.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
ORDINARY = "a document that is long enough to be read, with some words of its own in it, number {0}. " * 2
KINDS = {
    "one token": lambda i: "a",
    "ordinary": ORDINARY.format,
    "half of each": lambda i: "a" if i % 2 else ORDINARY.format(i),
}


def main() -> None:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--documents", type=int, default=1_000_000)
    options.add_argument("--of", help=argparse.SUPPRESS)
    told = options.parse_args()
    if told.of:
        _cut(Path(told.of))
        return
    print(
        "| documents | kind | MB | reading, s | cutting, s | tokens | peak, MiB |\n| --- | --- | --- | --- | --- | "
        "--- | --- |"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.jsonl"
        for kind, text in KINDS.items():
            for count in (told.documents // 10, told.documents):
                with path.open("w", encoding="utf-8") as file:
                    file.writelines(json.dumps({"text": text(i)}) + "\n" for i in range(count))
                    file.writelines(json.dumps({"text": ORDINARY.format(i)}) + "\n" for i in range(50))
                run = subprocess.run(
                    [sys.executable, __file__, "--of", str(path)], capture_output=True, text=True, check=True
                )
                size = path.stat().st_size / 1e6
                print(f"| {count:,} | {kind} | {size:,.0f} | {run.stdout.strip()} |", flush=True)


def _cut(path: Path) -> None:
    from tiny import byte_tokenizer

    from infoplane.text.cut_windows import make_windows
    from infoplane.text.documents import read_text

    tokenizer, began = byte_tokenizer(), time.monotonic()
    text = read_text(path)
    read = time.monotonic()
    windows = make_windows(text, tokenizer)
    done, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{read - began:.1f} | {done - read:.1f} | {int(windows.is_text.sum()):,} | {peak:,}")


if __name__ == "__main__":
    main()
