"""The estimator laboratory in one command.

python studies/estimators/run.py             everything: under an hour on two cores; stop it and start it again at will
python studies/estimators/run.py --quick     everything, little of it, on one model: some minutes
python studies/estimators/run.py --only points drift
python studies/estimators/run.py --into studies/estimators/results.md
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here is on a hub, so nothing should look there
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import codes
import compare
import damage
import entropies
import settings
import truth
from common import Setting, Table, markdown
from infoplane.cli.terminal import quiet
from infoplane.storage import atomic_files as files
from infoplane.storage.provenance import versions

ROOT = Path(__file__).parents[2]
SECTIONS: dict[str, Callable[[Setting], list[Table]]] = {
    "channels": truth.channels,
    "mixtures": truth.mixtures,
    "coverage": truth.coverage,
    "entropies": entropies.entropies,
    **settings.SECTIONS,
    "orders": compare.orders,
    "known": compare.known,
    "layers": compare.layers,
    **codes.SECTIONS,
    **damage.SECTIONS,
}


def main() -> int:
    """Run the sections that are asked for and not there yet; the exit status is 2 for an unknown one."""
    given = _arguments()
    unknown = sorted(set(given.only) - SECTIONS.keys())
    if unknown:
        print(f"error: no section {unknown[0]!r}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    quiet()
    setting = Setting(given.quick, given.out / ("quick" if given.quick else "full"), given.model)
    began = time.monotonic()
    try:
        for name in given.only or SECTIONS:
            _section(name, setting, given.force)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"{time.monotonic() - began:.0f} s")
    page = _page(setting)
    path = given.into or setting.out / "results.md"
    files.write_text(path, page)
    print(f"Wrote {path}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "estimators", help="folder of states and results")
    parser.add_argument("--quick", action="store_true", help="the short version")
    parser.add_argument("--only", nargs="+", metavar="SECTION", default=[], help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--into", type=Path, help="file that the tables are written to")
    parser.add_argument("--model", type=Path, help="folder of a further model with its tokenizer, for codes")
    parser.add_argument("--force", action="store_true", help="run again what is there")
    return parser.parse_args()


def _section(name: str, setting: Setting, force: bool) -> None:
    path = setting.out / f"{name}.json"
    if path.is_file() and not force:
        print(f"{name}: there", flush=True)
        return
    began = time.monotonic()
    tables = SECTIONS[name](setting)
    record = {
        "section": name, "seconds": round(time.monotonic() - began, 1), "tables": [t.as_json() for t in tables],
        "versions": versions("infoplane", "numpy", "scipy", "torch", "transformers", "scikit-learn"),
    }  # fmt: skip
    files.write_json(path, record)
    print(f"{name}: {record['seconds']:.0f} s", flush=True)


def _page(setting: Setting) -> str:
    parts, total = [], 0.0
    for name in SECTIONS:
        path = setting.out / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text("utf-8"))
            total += record["seconds"]
            parts += [f"## {name}, {record['seconds']:.0f} s\n", *(markdown(t) for t in record["tables"])]
    command = "python studies/estimators/run.py" + (" --quick" if setting.quick else "")
    return f"# The estimator laboratory: results\n\nBy `{command}`, {total / 60:.0f} minutes in all.\n\n" + "\n".join(
        parts
    )


if __name__ == "__main__":
    sys.exit(main())
