"""How the estimates change with the number of tokens, and how much of that is depth in the document.

    python bench/drift.py [FOLDER FOR CAPTURES]

First table: 2k to 131k tokens of the built-in model and text. Second: from the largest, quarters of the positions at
random, then the first 110 tokens of each window and later ones, as many of each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from infoplane.capture.stored_capture import open_capture
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.measuring import measure
from infoplane.models.loading import load_model
from infoplane.text.ngram_labels import NGrams

SIZES = (2_048, 8_192, 32_768, 131_072)
DEPTH = 110
ESTIMATORS = ("plugin", "corrected", "null-curve")


def main(folder: Path) -> None:
    model = load_model()
    print("| tokens | quantity | order | `plugin` | `null-curve` | `corrected` | standard error | 95 % interval |")
    print("|---|---|---|---|---|---|---|---|")
    for tokens in SIZES:
        one = {"reference_sets": 1, "shared_points": True}  # the change is then that of the text alone
        found = measure(model, tokens=tokens, estimators=ESTIMATORS, capture=folder / f"c{tokens}", **one)
        for quantity, order in (
            ("complexity", 1), ("expressivity", 1), ("optimality", 1), ("complexity", 2), ("expressivity", 2)
        ):  # fmt: skip
            own = {"order": order, "position_set": f"P_{order}"}
            row, plugin, null = (found.get(quantity, estimator=e, **own) for e in ("corrected", "plugin", "null-curve"))
            errors = "| "  # too few documents for any
            if row.interval is not None:
                errors = f"{row.standard_error:.4f} | {row.interval[0]:.4f} to {row.interval[1]:.4f}"
            print(
                f"| {tokens:,} | {quantity} | {order} | {plugin.value:.4f} | {null.value:.4f} | {row.value:.4f} "
                f"| {errors} |",
                flush=True,
            )
    print()
    by_depth(folder / f"c{SIZES[-1]}")


def by_depth(folder: Path) -> None:
    capture = open_capture(folder)
    w, grams = capture.windows, NGrams(capture.windows, 1)
    token = np.flatnonzero(w.is_position)
    shallow = token - w.starts[w.token_window[token]] < DEPTH
    draw = np.random.default_rng(0).random(len(token))
    parts = {
        "all": np.ones(len(token), bool),
        **{f"random quarter {i + 1}": (draw >= i / 4) & (draw < (i + 1) / 4) for i in range(4)},
        f"first {DEPTH} tokens of a window": shallow,
        "later ones, as many": ~shallow & (draw < shallow.sum() / (~shallow).sum()),
    }
    columns = {}
    for side, labels in (("complexity", grams.input(1)), ("expressivity", grams.output(1))):
        codes = np.full(len(token), -1)
        codes[labels.rows] = labels.codes
        columns |= {f"{name}|{side}": np.where(part, codes, -1) for name, part in parts.items()}
    found = measure_capture(capture, orders=(1,), labels=columns, estimators=ESTIMATORS)
    print("| positions | n | | `corrected` | `null-curve` | `plugin` |")
    print("|---|---|---|---|---|---|")
    for name in parts:
        for quantity in ("complexity", "expressivity"):
            row, plugin, null = (
                found.get("information", side=f"label:{name}|{quantity}", estimator=e)
                for e in ("corrected", "plugin", "null-curve")
            )
            print(
                f"| {name} | {row.n:,} | {quantity} | {row.value:.4f} ± {row.standard_error:.4f} | {null.value:.4f} "
                f"| {plugin.value:.4f} |"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
