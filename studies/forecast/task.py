"""A task as lm-eval reads it: items in a JSONL file and a YAML file that points to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from infoplane.storage import atomic_files as files
from item import Item

# Of tasks with choices, and of tasks with one word: each counts up whenever its items or the way they are asked change.
VERSION, WORD_VERSION = 1, 2
_COMMON = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
doc_to_text: context
num_fewshot: 0
metadata:
  version: {version}
"""
_CHOICE = """\
output_type: multiple_choice
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
"""
# Mean squared distance of the probabilities of the choices from the truth: it moves where acc does not yet. Only for
# tasks all of whose items have as many choices, as lm-eval computes it.
_BRIER = """\
  - metric: brier_score
    aggregation: brier_score
    higher_is_better: false
"""
# lm-eval puts a space before a choice, and none before a target.
_WORD = """\
output_type: loglikelihood
doc_to_target: " {{target}}"
metric_list:
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def write_task(folder: Path, name: str, items: Sequence[Item]) -> str:
    """Write `NAME.jsonl` and `NAME.yaml`; return the SHA-256 of the items.

    Items with one choice make a task on which a model is right if that is what it would write next (`lambada`).
    """
    one = all(len(item.choices) == 1 for item in items)
    lines = []
    for item in items:
        row: dict[str, object] = {"context": item.context, "document": item.document}
        row |= {"target": item.choices[0]} if one else {"choices": item.choices, "gold": item.gold}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    data = folder / f"{name}.jsonl"
    files.write_text(data, "".join(lines))
    text = _COMMON.format(name=name, data=json.dumps(str(data.resolve())), version=WORD_VERSION if one else VERSION)
    text += _WORD if one else _CHOICE
    if not one and len({len(item.choices) for item in items}) == 1:
        text += _BRIER
    files.write_text(folder / f"{name}.yaml", text)
    return files.sha256_file(data)
