"""What is scored: checkpoints of the pre-training runs, and models given by name; and where their results stand."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoplane.storage import atomic_files as files


class ScoreError(RuntimeError):
    """Results that are not of these items, or a model that is not there."""


@dataclass(frozen=True)
class Scored:
    """One model.

    Attributes:
        name: of the run, or of the model; the first folder of its results.
        revision: its checkpoint, `main` where there is but one; the second folder.
        source: folder of the weights, or what `infoplane.load_model` takes.
    """

    name: str
    revision: str
    source: str

    @property
    def id(self) -> str:
        """Name and revision, as `--only` takes them."""
        return f"{self.name}/{self.revision}"


def checkpoints(runs: Path, every: bool) -> list[Scored]:
    """Checkpoints of the finished runs below a folder: the last of each, or all, in the order of their steps."""
    found = []
    for done in sorted(runs.glob("*/done.json")):
        steps = sorted(
            int(match[1])
            for folder in done.parent.iterdir()
            if (match := re.fullmatch(r"checkpoint-(\d+)", folder.name)) and (folder / "config.json").is_file()
        )
        for step in steps if every else steps[-1:]:
            folder = done.parent / f"checkpoint-{step}"
            found.append(Scored(done.parent.name, folder.name, str(folder)))
    return found


def named(sources: Sequence[str]) -> list[Scored]:
    """Models outside the study: `smollm2-135m`, a folder, a .gguf file; NAME=SOURCE names it otherwise."""
    found = []
    for given in sources:
        name, equals, source = given.partition("=")
        found.append(Scored(name if equals else Path(given).stem, "main", source if equals else given))
    return found


def tasks_of(items: Path, globs: Sequence[str]) -> dict[str, str]:
    """Names of the tasks that fit, each with the hash of its items.

    Raises:
        ScoreError: there are no items, or none fits.
    """
    told = items / "items.json"
    if not told.is_file():
        raise ScoreError(f"no {told}: make the items first, with python studies/forecast/items.py --out {items}")
    tasks = json.loads(told.read_text("utf-8"))["tasks"]
    found = {n: t["sha256"] for n, t in tasks.items() if any(fnmatch.fnmatchcase(n, glob) for glob in globs)}
    if not found:
        raise ScoreError(f"no task fits {' or '.join(globs)}; there are {', '.join(tasks)}")
    for name, sha256 in found.items():
        if files.sha256_file(items / f"{name}.jsonl") != sha256:
            raise ScoreError(f"{items / name}.jsonl is not what {told} tells of: make the items again")
    return found


def results_in(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The result files below a folder, in the order of their paths."""
    for path in sorted(folder.rglob("results_*.json")):
        yield path, json.loads(path.read_text("utf-8"))


def missing(folder: Path, tasks: dict[str, str]) -> list[str]:
    """Tasks for which a model's folder has no result yet.

    Raises:
        ScoreError: it has one, of other items.
    """
    left = dict(tasks)
    for path, result in results_in(folder):
        for name, sha256 in result["items_sha256"].items():
            if left.get(name, sha256) != sha256:
                raise ScoreError(
                    f"{path} holds {name} of other items ({sha256[:8]}, now {tasks[name][:8]}): scores of both cannot "
                    "be compared; take another --out, or delete that file"
                )
            left.pop(name, None)
    return list(left)
