"""What sees that a model was damaged, and does it rank variants as benchmarks do? The measurements of the study.

python studies/damage/run.py                                  all models and variants, some hours; see README.md
python studies/damage/run.py --model smollm2-135m --only none 'noise *'

Each variant is scored by lm-eval on fixed subsets of three benchmarks, measured paired with the model before, and read
by the rivals, all timed. One small file a variant, data/MODEL/VARIANT.json, is written once it is whole; what is there
is not made again, so stop it and start it again at will. A file of other items or settings is refused.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import contextlib
import fnmatch
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).resolve().parents[1] / other) for other in ("estimators", "forecast", "pretraining"))

import infoplane
from benchmark_scores import TASKS, Scorer, write_items
from infoplane.cli.terminal import quiet
from infoplane.measurement.results import Measurement
from infoplane.models.decoder import Model
from infoplane.storage import atomic_files as files
from infoplane.storage.provenance import versions
from infoplane.text import cut_windows, read_text
from rivals import as_record, entropies_of, jackknife, weights_of
from states import GEMMA, QWEN, SMOLLM2, Missing, loaded
from variants import ALL, HELD_OUT, NONE, SMALL, Variant, damaged, hurt_block

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SETTINGS: dict[str, Any] = {"tokens": 32_768, "orders": (1, 2), "reference_sets": 2, "entropy_tokens": 8_192}
QUANTITIES = ("ceiling", "complexity", "expressivity", "optimality")
MODELS = {SMOLLM2: ALL, GEMMA: ALL, QWEN: HELD_OUT}


def main() -> int:
    """Make what is asked for and not there yet; the exit status is 2 where something does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--only", metavar="GLOB", nargs="+", default=["*"], help="variants that fit one")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the results go")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="items, files of models, captures")
    given = parser.parse_args()
    quiet()
    items = write_items(given.runs / "damage" / "items")
    try:
        for name in given.model:
            with contextlib.suppress(Missing):
                _of_model(name, given, items)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class Refused(Exception):
    """A stored result does not fit."""


def _of_model(name: str, given: argparse.Namespace, items: dict[str, str]) -> None:
    folder, expected = given.data / name, json.loads(json.dumps({"items": items, "settings": SETTINGS}))
    chosen = [v for v in MODELS[name] if any(fnmatch.fnmatch(str(v), glob) for glob in given.only)]
    wanted: list[Variant | None] = [None, *chosen]
    left = [v for v in wanted if not _is_there(_path(folder, v), expected)]
    print(f"{name}: {len(left)} of {len(wanted)} variants to make", flush=True)
    if not left:
        return
    model = loaded(name, given.runs / "estimators" / "full" / "states")
    scorer = Scorer(model, given.runs / "damage" / "items", bos=name == GEMMA)
    place = given.runs / "damage" / "captures" / name
    before = _measured(model, capture=place) if not place.is_dir() else None
    if before is not None:
        before.save(place.with_suffix(".measured"))
    before = Measurement.load(place.with_suffix(".measured"))
    for variant in left:
        began = time.monotonic()
        try:
            with damaged(model, variant) if variant else contextlib.nullcontext():
                record = _record(name, variant, model, scorer, before, place, folder)
        except KeyboardInterrupt:
            raise
        except Exception as error:  # one that fails is recorded, and the others go on
            record = {"failed": f"{type(error).__name__}: {error}"}
        record = {
            "model": name, "variant": str(variant or NONE), **expected, "machine": _processor(), **record,
            "versions": versions("infoplane", "torch", "transformers", "lm-eval", "weightwatcher"),
        }  # fmt: skip
        files.write_text(_path(folder, variant), json.dumps(record, separators=(",", ":")) + "\n")
        print(f"{name} {variant or NONE}: {time.monotonic() - began:.0f} s", record.get("failed", ""), flush=True)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor()}, {os.cpu_count()} cores"


def _path(folder: Path, variant: Variant | None) -> Path:
    return folder / f"{str(variant or NONE).replace(' ', '-')}.json"


def _is_there(path: Path, expected: dict[str, Any]) -> bool:
    if not path.is_file():
        return False
    found = json.loads(path.read_text("utf-8"))
    for key, value in expected.items():
        if found.get(key) != value:
            raise Refused(f"{path} has other {key}: {found.get(key)}, expected {value}; remove it to make it again")
    return "failed" not in found


def _record(
    name: str, variant: Variant | None, model: Model, scorer: Scorer, before: Measurement, place: Path, folder: Path
) -> dict[str, Any]:
    began = time.monotonic()
    measured = before if variant is None else _measured(model, code_of=str(place))
    took = before.provenance["wall_time"]["total_s"] if variant is None else time.monotonic() - began
    seconds = {"measured": took, "wall_time": measured.provenance["wall_time"]}
    windows = cut_windows.make_windows(read_text("c4-sample"), model.tokenizer, tokens=SETTINGS["entropy_tokens"])
    entropies, seconds["entropy"] = entropies_of(model, windows)
    own = entropies if variant is None else json.loads(_path(folder, None).read_text("utf-8"))["entropies"]
    weights = weights_of(model)
    seconds["weights"] = weights.pop("seconds")
    return {
        "hurt_block": hurt_block(model, variant) if variant else None,
        "loss": _rows(measured, before, variant, ("loss",)),
        "measured": _rows(measured, before, variant, QUANTITIES),
        "scores": None if variant in SMALL else {task: scorer.score(task) for task in TASKS},
        "weights": as_record(weights),
        "entropy": {layer: as_record(list(jackknife(entropies[layer], own[layer]))) for layer in entropies},
        "entropies": as_record(entropies) if variant is None else None,
        "seconds": as_record(seconds),
    }


def _measured(model: Model, **more: Any) -> Measurement:
    return infoplane.measure(
        model.module, tokenizer=model.tokenizer, tokens=SETTINGS["tokens"], orders=SETTINGS["orders"],
        code=("random", "fitted"), reference_sets=SETTINGS["reference_sets"], controls=False, parts=False, loss=True,
        **more,
    )  # fmt: skip


def _rows(
    measured: Measurement, before: Measurement, variant: Variant | None, quantities: tuple[str, ...]
) -> list[list[Any]]:
    """Of each quantity, code, order, layer and estimator the value; and its paired difference from before, with its
    total error, half of its 95 % interval and its degrees of freedom."""
    difference = None if variant is None else {_key(row): row for row in measured.minus(before).estimates}
    rows: list[list[Any]] = []
    for row in measured.estimates:
        if row.quantity not in quantities or row.weight not in (None, "frequency"):
            continue
        by = None if difference is None else difference.get(_key(row))
        half = None if by is None or by.interval is None else (by.interval[1] - by.interval[0]) / 2
        found = [row.value, *([] if by is None else [by.value, by.total_error, half, by.degrees_of_freedom])]
        rows.append([*_key(row), *(None if x is None else round(x, 6) for x in found)])
    return rows


def _key(row: Any) -> tuple[Any, ...]:
    return row.quantity, row.code, row.order, row.layer, row.estimator


if __name__ == "__main__":
    sys.exit(main())
