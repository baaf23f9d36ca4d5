"""Does all that the golden tests compare, by public names and commands alone, and prints it as one JSON record.

    python tests/promises/golden/work.py numbers WORK    from the captures that lie here; no torch
    python tests/promises/golden/work.py ids WORK        ids and keys, with the model that lies here; versions are
    frozen python tests/promises/golden/work.py make WORK       the model and the captures, anew

A name that `infoplane` does not lift is looked for in all its modules, so that this file survives any move of them.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.metadata
import io
import json
import os
import pkgutil
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
CAPTURES = (1, 8, 64)


def named(name: str):
    """A public name, wherever it stands."""
    import infoplane

    with contextlib.suppress(AttributeError):
        return getattr(infoplane, name)
    for module in pkgutil.walk_packages(infoplane.__path__, "infoplane."):
        if not module.name.endswith("__main__"):
            own = getattr(importlib.import_module(module.name), name, None)
            if own is not None and getattr(own, "__module__", module.name) == module.name:
                return own
    raise AttributeError(name)


def run(*arguments: object) -> str:
    """What a command prints; an error is an error here."""
    said, kept = io.StringIO(), sys.argv
    sys.argv = ["infoplane", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_module("infoplane", run_name="__main__")
    except SystemExit as end:
        if end.code not in (0, None):
            raise RuntimeError(f"{arguments}: exit status {end.code}") from None
    finally:
        sys.argv = kept
    return said.getvalue()


def number(cell: str) -> float | str:
    """A cell of a table, as a number if it is one."""
    with contextlib.suppress(ValueError):
        return float(cell)
    return cell


def measured(record: dict) -> list:
    """The numbers of a measurement, with what names them."""
    names = ("quantity", "layer", "order", "position_set", "side", "weight", "estimator", "unit", "value", "n",
             "standard_error", "interval", "control_permuted", "control_shifted", "points_error", "total_error",
             "degrees_of_freedom", "repeated_mass", "warning")  # fmt: skip
    return [[row.get(name) for name in names] for row in record["estimates"]]


def numbers(work: Path) -> dict:
    import numpy as np

    told = {}
    asked = ["--orders", "1,2", "--text-labels", "word,char:2", "--label", "depth=@position"]
    for step in CAPTURES:
        source = HERE / f"capture-{step}"
        record = json.loads(run("measure", "--capture", source, *asked, "--json"))
        told[f"measurement {step}"] = measured(record)
    record = json.loads(run("measure", "--capture", HERE / "capture-1", "--weights", "frequency,uniform", "--orders",
                            "1", "--unit", "bits", "--bound", "--json"))  # fmt: skip
    told["measurement in bits"] = measured(record)
    told["bound"] = record["provenance"]["bound"]

    trace, survey = work / "trace", work / "survey"
    for step in CAPTURES:
        for place in (trace / f"checkpoints/step{step}", survey / f"model-{step}"):
            named("measure_capture")(named("open_capture")(HERE / f"capture-{step}"), orders=(1, 2)).save(place)
    points = [
        {"name": f"step{s}", "step": s, "tokens": 100 * s, "problem": None, "measurement": f"checkpoints/step{s}"}
        for s in CAPTURES
    ]
    provenance = {"settings": {"orders": [1, 2], "unit": "efficiency"}, "gaps": []}
    record = {"schema": "infoplane/trajectory/2", "provenance": provenance, "points": points}
    (trace / "trajectory.json").write_text(json.dumps(record))
    found = named("Trajectory").load(trace)
    for quantity in ("complexity", "expressivity", "optimality", "entropy", "ceiling", "loss"):
        series = found.series(quantity, order=None if quantity in ("entropy", "ceiling", "loss") else 2)
        told[f"trace, {quantity}"] = [
            *(None if part is None else np.asarray(part).tolist()
              for part in (series.steps, series.values, series.standard_errors, series.intervals)),
            series.difference(0, 2),
        ]  # fmt: skip
    noise = [0.3, -0.2, 0.1, 0.4, -0.5, 0.2, -0.1, 0.3]
    values = [0.1 + 0.05 * min(i, 4) - 0.04 * max(i - 4, 0) + 0.002 * noise[i] for i in range(8)]
    replicates = [[v + 0.001 * ((7 * i + 3 * b) % 11 - 5) for b in range(12)] for i, v in enumerate(values)]
    phases = named("find_phases")(STEPS, values, replicates, draws=99)
    told["phases"] = [
        [[p.kind, p.start_step, p.end_step, p.change, list(p.interval), p.p_value] for p in phases.segments],
        [phases.compression.p_value, phases.fitting.p_value, phases.verdict],
    ]

    models = [
        {"name": f"model-{s}", "id": f"own/model-{s}", "revision": None, "facts": {"family": "own", "parameters": s},
         "status": "measured", "measurement": f"model-{s}"}
        for s in CAPTURES
    ]  # fmt: skip
    record = {"schema": "infoplane/survey/2", "provenance": {}, "models": models, "failures": []}
    (survey / "survey.json").write_text(json.dumps(record))
    told["survey"] = named("Survey").load(survey).table().to_dicts()
    told["comparison"] = json.loads(run("compare", survey, "--json"))
    scores = work / "scores.csv"
    scores.write_text("model,task,metric,value\n" + "".join(f"own/model-{s},arc,acc,0.{s}\n" for s in CAPTURES))
    run("cases", survey, "--scores", scores, "--out", work / "cases.csv")
    with (work / "cases.csv").open(newline="") as file:
        told["cases"] = [[number(cell) for cell in row] for row in csv.reader(file)]
    forecast = ["forecast", "small-models", "--score", "swap", "--features", "optimality,complexity", "--draws", "60"]
    told["forecast"] = json.loads(run(*forecast, "--out", work / "forecast", "--json"))
    for name in ("provenance", "sha256", "tables"):  # versions and hashes of files
        told["forecast"].pop(name)
    told["comparison"].pop("provenance", None)
    return told


def ids(work: Path) -> dict:
    true = importlib.metadata.version

    def frozen(name: str) -> str:  # for our records alone: transformers asks too, for what it can do
        return "0" if str(sys._getframe(1).f_globals["__name__"]).startswith("infoplane") else true(name)

    importlib.metadata.version = frozen
    size = ["--tokens", "1600", "--context", "32", "--orders", "1,2", "--points", "8"]
    common = [*size, "--dtype", "float32", "--device", "cpu"]
    told: dict = {}
    model = HERE / "model"
    run("measure", model, *common, "--loss", "--capture", work / "capture", "--out", work / "measured")
    manifest = json.loads((work / "capture/manifest.json").read_text())
    told["capture"] = {k: manifest[k] for k in ("run_id", "windows_hash", "text", "codes", "layers", "shards")}
    told["capture"]["codes"] = [code["hash"] for code in told["capture"]["codes"]]
    record = json.loads((work / "measured/measurement.json").read_text())["provenance"]
    told["request"] = record["request"]
    told["run_id"] = record["run_id"]
    run("measure", model, *common, "--reference-sets", "2", "--seed", "3", "--points-seed", "5", "--calibration",
        "amos-lower", "--layers", "block.0,final_norm", "--no-add-bos", "--out", work / "other")  # fmt: skip
    record = json.loads((work / "other/measurement.json").read_text())["provenance"]
    told["other"] = [record["run_id"], record["request"]]
    for step in (1, 2):
        place = work / f"run/step{step}"
        place.mkdir(parents=True)
        for path in model.iterdir():
            (place / path.name).write_bytes(path.read_bytes())
        (place / "config.json").write_text((place / "config.json").read_text().replace("10000.0", f"{step}0000.0"))
    run("trace", work / "run", *common, "--out", work / "trace")
    record = json.loads((work / "trace/trajectory.json").read_text())["provenance"]
    told["trace"] = {k: v for k, v in record["decides"].items() if k != "model"}  # that is its place
    for step in (1, 2):
        record = json.loads((work / f"trace/checkpoints/step{step}/measurement.json").read_text())["provenance"]
        told[f"checkpoint {step}"] = [record["trace_key"], record["run_id"]]
    (work / "survey.toml").write_text(
        '[defaults]\ntokens = 1600\ncontext = 32\norders = [1, 2]\npoints = 8\ndtype = "float32"\ndevice = "cpu"\n'
        "text_labels = []\nreference_sets = 1\n"  # which were the defaults
        f'[[model]]\npath = "{model}"\nid = "own/tiny"\n'
    )
    run("survey", work / "survey.toml", "--out", work / "survey")
    record = next((work / "survey").glob("*/measurement.json"))
    told["survey"] = json.loads(record.read_text())["provenance"]["survey"]["decides"]
    lock = json.loads((work / "survey/survey.lock.json").read_text())
    told["lock"] = [[one["sha256"], one["words_sha256"]] for one in lock["models"]]
    run("bound", "c4-sample", "--tokenizer", model, "--tokens", "1600", "--orders", "1", "-m", "8", "--out",
        work / "bound")  # fmt: skip
    record = json.loads((work / "bound/bound.json").read_text())["provenance"]
    told["bound"] = [record["windows_hash"], record["request"]]
    return told


def make(work: Path) -> dict:
    sys.path.insert(0, str(HERE.parents[1] / "support"))
    import torch
    from tiny import byte_tokenizer, tiny_model

    tiny_model().save_pretrained(HERE / "model")
    byte_tokenizer().save_pretrained(HERE / "model")
    os.chdir(work)  # so that the record names no place of this machine
    for step in CAPTURES:
        model = tiny_model()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(0.3 + 0.1 * step**0.5)
        model.save_pretrained(f"step{step}")
        byte_tokenizer().save_pretrained(f"step{step}")
        run("measure", f"./step{step}", "--tokens", "2600", "--context", "32", "--points", "8", "--loss", "--dtype",
            "float32", "--layers", "block.0,block.2", "--reference-sets", "2", "--capture",
            HERE / f"capture-{step}", "--json")  # fmt: skip
    return {}


if __name__ == "__main__":
    what, place = sys.argv[1:]
    print(json.dumps({"numbers": numbers, "ids": ids, "make": make}[what](Path(place)), sort_keys=True))
