"""Measures what the forecast is made from and the traces do not have: preferences, and models outside the suite.

python studies/forecast/measure.py --pairs preferences.json                    the last checkpoint of every run
python studies/forecast/measure.py --pairs preferences.json --only --model smollm2-135m gemma3-270m=gemma.gguf

Preference information of each model goes to NAME/preferences. A model outside the suite is also measured on the text
that the suite was traced on, with the frontier of its own tokens, to NAME/text. What is there is not measured again.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "pretraining"))
from infoplane import measure
from infoplane.errors import InfoplaneError
from infoplane.measurement.results import JSON_NAME, Measurement
from infoplane.text.byte_budget import limit_bytes, tokens_enough
from infoplane.text.documents import read_text
from scored import Scored, checkpoints, named

ROOT = Path(__file__).resolve().parents[2]
ANSWER_TOKENS = 38_400
# The suite was traced on 16,384 tokens of held-out text, in windows of 128; they are so many bytes.
TEXT_BYTES, CONTEXT = 52_000, 128


def main() -> int:
    """Measure what is not there yet; the exit status is 1 where a model failed, 2 where there is nothing to measure."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=Path, default=ROOT / "runs" / "pretraining", help="folder of the runs")
    asked.add_argument(
        "--pairs", type=Path, required=True, help="prompt, chosen and rejected: docs/how-to/preferences.md"
    )
    asked.add_argument("--out", type=Path, default=ROOT / "runs" / "forecast" / "measured")
    asked.add_argument("--only", metavar="GLOB", nargs="*", default=["*-tokens-*", "*-ratio-*"], help="of the runs")
    asked.add_argument("--model", metavar="SOURCE", nargs="+", default=[], help="smollm2-135m, a folder, a .gguf file")
    asked.add_argument("--threads", type=int, default=1)
    given = asked.parse_args()
    runs = [m for m in checkpoints(given.runs, False) if any(fnmatch.fnmatchcase(m.name, g) for g in given.only)]
    others = named(given.model)
    if not runs and not others:
        print(f"error: no finished run in {given.runs} fits {' or '.join(given.only)}", file=sys.stderr)
        return 2
    import torch

    torch.set_num_threads(given.threads)
    text = given.runs / "corpus" / "heldout.jsonl"
    todo: list[tuple[Path, Callable[[], Measurement]]] = []
    for model in runs + others:
        todo.append((given.out / model.name / "preferences", lambda m=model: _preferences(m, given)))
    for model in others:
        todo.append((given.out / model.name / "text", lambda m=model: _text(m, text, given)))
    failed = 0
    for number, (folder, work) in enumerate(todo, start=1):
        if (folder / JSON_NAME).is_file():
            continue
        began = time.monotonic()
        try:
            work().save(folder)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            return 130
        except InfoplaneError as error:  # one model that fails must not cost the others
            failed += 1
            print(f"{folder} FAILED, the others go on: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{folder} [{number}/{len(todo)}] {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


def _preferences(model: Scored, given: argparse.Namespace) -> Measurement:
    # The contexts of the suite hold 128 tokens: prompts are cut, for all models alike.
    asked: dict[str, Any] = {"context": CONTEXT, "windows": {"prompt_truncate": True}, "orders": (1,)}
    return measure(model.source, preferences=given.pairs, tokens=ANSWER_TOKENS, threads=given.threads, **asked)


def _text(model: Scored, path: Path, given: argparse.Namespace) -> Measurement:
    text = limit_bytes(read_text(path), TEXT_BYTES)
    return measure(
        model.source, text, tokens=tokens_enough(text), context=CONTEXT, orders=(1, 2), loss=True, bound=True,
        estimators=("corrected", "plugin"), threads=given.threads,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
