"""Data flows one way, and heavy packages load only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import infoplane

SOURCE = Path(infoplane.__file__).parent
ORDER = [
    "errors", "machine", "locks", "addresses", "temporary", "copies", "storage", "files", "work_folders",
    "readable", "watchdog", "results", "shapes", "tables", "engine", "ray_package", "ray_share", "ray_worker",
    "ray_engine", "engines", "calibration", "points", "assign", "jackknife", "text_files", "text", "windows",
    "token_bytes", "tokenize", "pair_files", "pairs", "chat", "pair_windows", "layers", "running", "structure",
    "adapters", "models", "missing_weights", "weight_files", "checkpoints", "gguf_once", "loading", "forward",
    "capture_folder", "capture", "capturing", "labels", "text_labels", "grouping", "rows", "memory",
    "uniform_mean", "label_sums", "marginal", "estimators", "ladder", "halves", "bottleneck", "frontier",
    "questions", "answers", "measurement", "comparison", "budget", "swaps", "preference", "placing", "record",
    "asking", "sizes", "bound", "until", "run", "byte_budget", "survey_file", "survey_lock", "survey_record",
    "survey_entries", "survey_cost", "survey_work", "surveying", "phase_types", "wandering", "phase_shape",
    "phases", "trajectory", "seeds", "trace_work", "tracing", "monitor", "callback", "scores", "score_metrics",
    "lm_eval_files", "score_csv", "score_files", "published", "name_keys", "model_names", "joining", "cases",
    "resampling", "paper_correlations", "correlations", "partial", "ridge", "predicting", "power", "verdicts",
    "forecast", "report", "cli_common", "cli_options", "cli_repeat", "cli_bound", "cli_budget", "cli_cases",
    "cli_compare", "cli_forecast", "cli_preferences", "cli_measure", "cli_report", "cli_scores", "cli_survey",
    "cli_trace", "cli",
]  # fmt: skip


def test_a_module_knows_only_what_lies_before_it() -> None:
    assert {p.stem for p in SOURCE.glob("*.py")} - {"__init__", "__main__"} | {"report"} == set(ORDER)
    for name in ORDER:
        paths = (SOURCE / name).rglob("*.py") if name == "report" else [SOURCE / f"{name}.py"]
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("infoplane"):
                    parts = [*(node.module or "").split("."), *(a.name for a in node.names)]
                    other = parts[1]
                    if other in ORDER and other != name:
                        assert ORDER.index(other) < ORDER.index(name), f"{path.name} imports {other}"


def test_reading_and_drawing_stored_results_needs_no_torch() -> None:
    code = (
        "import sys, infoplane; infoplane.Measurement, infoplane.open_capture, infoplane.measure_capture, "
        "infoplane.write_report, infoplane.read_text, infoplane.ReferencePoints; import infoplane.cli; "
        "bad = [m for m in ('torch', 'transformers', 'datasets', 'peft') if m in sys.modules]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    light = "import sys, infoplane.cli; assert 'altair' not in sys.modules and 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", light], check=True)
