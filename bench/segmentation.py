"""The same model on the same text under two segmentations: which figures agree?

SmolLM2-135M reads the text as its tokenizer cuts it, and as the first merges of that tokenizer alone cut it, into
smaller tokens that it knows too. The model is the same and so is the text; token labels are about other things, labels
of words, characters and bytes about the same. Prints a table of the whole model's figures and how far apart they are.

    python bench/segmentation.py                     # 120,000 bytes of the sample, about 3 minutes on two cores
    python bench/segmentation.py --bytes 60000 --merges 3000
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

import infoplane
from infoplane.analysis.comparison.comparing import compare
from infoplane.measurement.members import Member
from infoplane.models.tokenizer_loading import load_tokenizer
from infoplane.text.byte_budget import limit_bytes, tokens_enough
from infoplane.text.documents import read_text


def fewer_merges(folder: Path, merges: int) -> str:
    """A tokenizer of the same vocabulary that stops merging early, in a folder."""
    whole = load_tokenizer("smollm2-135m")
    assert isinstance(whole, PreTrainedTokenizerBase)
    whole.save_pretrained(folder)
    place = folder / "tokenizer.json"
    record = json.loads(place.read_text("utf-8"))
    record["model"]["merges"] = record["model"]["merges"][:merges]
    place.write_text(json.dumps(record), "utf-8")
    return str(folder)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--bytes", type=int, default=120_000)
    asked.add_argument("--merges", type=int, default=4_000)
    asked.add_argument("--reference-sets", type=int, default=1)
    given = asked.parse_args()
    text = limit_bytes(read_text("c4-sample"), given.bytes)
    settings: dict[str, Any] = {
        "tokens": tokens_enough(text), "context": 2048, "orders": (1, 2), "estimators": ("corrected",),
        "text_labels": ("word", "char:4", "byte:4", "byte:1"), "reference_sets": given.reference_sets,
        "dtype": "float32",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        own = infoplane.measure("smollm2-135m", text, **settings)
        finer = infoplane.measure("smollm2-135m", text, tokenizer=fewer_merges(Path(folder), given.merges), **settings)
    both = compare([Member("own", None, own), Member("finer", None, finer)])
    tokens = {m["name"]: m["tokens"] for m in both.members.to_dicts()}
    print(f"{given.bytes:,} bytes: {tokens['own']:,} tokens, or {tokens['finer']:,} with {given.merges:,} merges\n")
    print("| positions | n | quantity | own | finer | finer / own | difference ± 95 % |")
    print("|---|---|---|---|---|---|---|")
    by = {(r["name"], r["position_set"], r["quantity"]): r for r in both.values.to_dicts()}
    gap = {(r["position_set"], r["quantity"]): r for r in both.differences.to_dicts()}
    for name in both.fairness:
        for quantity in ("complexity", "expressivity", "optimality"):
            a, b = (by[run, name, quantity] for run in ("own", "finer"))
            d = gap.get((name, quantity))
            said = "" if d is None else f"{d['difference']:+.4f} ± {(d['high'] - d['low']) / 2:.4f}"
            print(
                f"| {name} | {a['n']:,}, {b['n']:,} | {quantity} | {a['value']:.4f} | {b['value']:.4f} | "
                f"{b['value'] / a['value']:.2f} | {said} |"
            )


if __name__ == "__main__":
    main()
