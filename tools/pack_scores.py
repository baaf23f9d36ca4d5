"""Pack the published tables of scores into the package: `python tools/pack_scores.py FOLDER`.

FOLDER holds the CSV files named below. Each is checked (its columns, one line a row, numbers where numbers must be) and
written as it is, gzipped with no time stamp, so that the same table gives the same bytes. What a table means, and which
of its cells are not believed, is said in `infoplane.analysis.scores.table_list`.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

PLACE = Path(__file__).parent.parent / "src" / "infoplane" / "data" / "scores"
WORDS = {
    "model", "family", "kind", "precision", "chat_template", "official_provider", "upload_date", "base_model",
    "model_family", "org", "license", "release_date",
}  # fmt: skip
"""Columns that hold words; every other one holds numbers or nothing."""
TABLES = ("open-llm-leaderboard", "base-llm-benchmarks", "self-reported-benchmarks", "pythia-checkpoint-scores")


def packed(content: bytes, name: str) -> bytes:
    """The gzipped table, checked."""
    header, *lines = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    if "model" not in header or len(set(header)) < len(header):
        raise SystemExit(f"{name}: expected a header with `model` and no name twice, found {header}")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise SystemExit(f"{name}, line {number}: {len(line)} cells under {len(header)} names")
        for column, cell in zip(header, line, strict=True):
            if column not in WORDS and cell:
                float(cell)
    return gzip.compress(content, compresslevel=9, mtime=0)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    PLACE.mkdir(parents=True, exist_ok=True)
    total = 0
    for name in TABLES:
        data = packed((Path(sys.argv[1]) / f"{name}.csv").read_bytes(), name)
        (PLACE / f"{name}.csv.gz").write_bytes(data)
        total += len(data)
        print(f"{name}: {len(data):,} bytes")
    print(f"all: {total:,} bytes")


if __name__ == "__main__":
    main()
