"""Everything that reads a file: a good folder for each, and what reads it, for the tests and for `bench/fuzz.py`.

`make(place)` writes the good files, once. A `Reader` names the file that is harmed and a function of its folder that
reads and uses it, as a command would. Good input must be read; harmed input must be read, or refused by an
`InfoplaneError`: anything else is a defect.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Reader:
    """What reads a file.

    Attributes:
        name: of the reader.
        path: of the file that is harmed, from where `make` wrote.
        read: called with that place; it reads the file and uses what it read.
        heavy: needs torch, or seconds.
    """

    name: str
    path: str
    read: Callable[[Path], object]
    heavy: bool = False


def make(place: Path) -> None:
    """Write the good files of all readers."""
    _texts(place)
    _scores(place)
    _results(place)
    _models(place)
    for name in ("measurement", "trajectory", "bound", "comparison", "forecast", "survey"):
        # without its seal, or every harm would be found by it, and none by what is behind it
        path = place / name / f"{name}.json"
        record = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("sha256", "tables")}, indent=1))


def _texts(place: Path) -> None:
    lines = [{"text": f"document {i} says something of its own, number {i * i}", "n": i} for i in range(12)]
    pairs = [{"prompt": f"what is {i}?", "chosen": f"it is {i}.", "rejected": f"it is {i + 1}!"} for i in range(12)]
    for name, rows in (("text", lines), ("pairs", pairs)):
        folder = place / name
        folder.mkdir(parents=True)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (folder / "a.jsonl").write_bytes(content)
        (folder / "a.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
        (folder / "a.json").write_text(json.dumps(rows))
        pl.DataFrame(rows).write_parquet(folder / "a.parquet")
    (place / "text" / "a.txt").write_text("\n".join(row["text"] for row in lines))


def _scores(place: Path) -> None:
    folder = place / "scores"
    folder.mkdir()
    long = [["model", "task", "metric", "value", "standard_error", "n", "step"]]
    long += [[f"a/m{i}", task, "acc", 0.3 + 0.05 * i, 0.01, 100, i] for i in range(8) for task in ("arc", "piqa")]
    wide = [["model", "family", "parameters_b", "arc:acc", "arc:acc_stderr", "piqa"]]
    wide += [[f"a/m{i}", f"f{i % 4}", 0.1 * (i + 1), 0.3 + 0.02 * i, 0.01, 0.5] for i in range(12)]
    for name, rows in (("long", long), ("wide", wide)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    table = pl.DataFrame(wide[1:], schema=["model", "family", "size", "arc", "arc_se", "piqa"], orient="row")
    table.write_parquet(folder / "cases.parquet")
    table.write_csv(folder / "cases.csv")
    (folder / "results_2026-01-02T03-04-05.json").write_text(json.dumps({
        "results": {"arc": {"alias": "arc", "acc,none": 0.4, "acc_stderr,none": 0.02, "acc_norm,none": 0.45}},
        "n-shot": {"arc": 0}, "n-samples": {"arc": {"original": 200, "effective": 200}}, "date": 1.7e9,
        "config": {"model": "hf", "model_args": "pretrained=a/b,revision=step10", "model_dtype": "torch.bfloat16",
                   "num_fewshot": 0, "limit": 10.0},
        "model_name": "a/b", "chat_template": None,
    }, indent=1))  # fmt: skip
    (place / "labels").mkdir()
    np.save(place / "labels" / "a.npy", np.arange(30, dtype=np.int64) % 3)
    (place / "labels" / "a.json").write_text(json.dumps({f"d{i}": f"kind {i % 3}" for i in range(10)}))
    (place / "labels" / "a.txt").write_text("".join(f"{i % 3}\n" for i in range(30)))
    (place / "labels" / "steps.csv").write_text("name,step,tokens\n" + "".join(f"c{i},{i},{i}e3\n" for i in range(5)))


def small_measurement(**provenance: Any) -> Any:
    """A made-up measurement of three layers, with all kinds of rows."""
    from report_factory import full_measurement

    from infoplane.measurement.results import Measurement

    full = full_measurement()
    rows = tuple(r for r in full if r.layer in ("embed", "block.0", "block.1", "model"))
    return Measurement(rows, {**full.provenance, **provenance})


def _results(place: Path) -> None:
    from bounds import made_bound as made
    from runs import made_run as run
    from synthetic import models

    from infoplane.analysis.comparison.comparing import compare
    from infoplane.analysis.forecasting.structure_forecast import forecast
    from infoplane.analysis.surveys.record import Survey, Surveyed
    from infoplane.measurement.members import Member

    found = small_measurement()
    found.save(place / "measurement")
    trajectory = run(checkpoints=4)
    for point in trajectory.points:
        assert point.measurement is not None
        point.measurement.save(place / "trajectory" / point.name)
    trajectory.save(place / "trajectory", {p.name: p.name for p in trajectory.points})
    made().save(place / "bound")
    compare([Member("a", "f", found), Member("b", None, small_measurement(dtype="float16"))]).save(place / "comparison")
    cases = models("size alone", 10, seed=3)
    structure = [c for c in cases.features.columns if c != "size"]
    forecast(cases, baselines=["size"], structure=structure, new=cases, draws=20).save(place / "forecast")
    found.save(place / "survey" / "one")
    told = {"family": "f", "parameters_b": 0.1}
    models_ = (Surveyed("one", "a/one", None, {"commit": "0" * 40}, told, found),
               Surveyed("two", "a/two", "main", {}, {}, None, "ModelError", "it is not there"))  # fmt: skip
    Survey(models_, {"survey": "python"}).save(place / "survey")
    (place / "survey" / "survey.lock.json").write_text(json.dumps({
        "schema": "infoplane/survey-lock/1",
        "models": [{"id": "a/one", "revision": None, "commit": "0" * 40}, {"id": "a/two", "revision": "main"}],
    }, indent=1))  # fmt: skip
    (place / "survey.toml").write_text(
        '[defaults]\ntext = "text/a.jsonl"\ntokens = 2000\norders = [1, 2]\nloss = true\ncontext = 64\n\n'
        '[[model]]\nid = "a/one"\nfamily = "f"\nparameters_b = 0.1\ntraining_tokens_t = 2.0\n\n'
        '[[model]]\npath = "model"\nname = "mine"\nbytes = 4000\ndtype = "float32"\n'
    )


def _models(place: Path) -> None:
    from gguf import GGUFWriter
    from tiny import byte_tokenizer, save_tiny, tiny_model

    import infoplane

    folder = place / "model"
    save_tiny(folder)
    infoplane.measure(folder, tokens=3000, context=64, orders=(1,), m=8, dtype="float32", loss=True,
                      capture=place / "capture")  # fmt: skip
    writer = GGUFWriter(place / "tiny.gguf", "llama")
    model, words = tiny_model(), byte_tokenizer()
    c = model.config
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(128)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = [t for t, _ in sorted(words.get_vocab().items(), key=lambda item: item[1])]
    tokens[-1] = "ab"  # a merge must have its token
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        short = name.removeprefix("model.").replace("embed_tokens", "token_embd").replace("layers.", "blk.")
        short = "output_norm.weight" if short == "norm.weight" else short
        for theirs, ours in names.items():
            short = short.replace(theirs, ours)
        writer.add_tensor(short, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---------------------------------------------------------------------- readers


def _text(path: Path) -> None:
    from infoplane.text.documents import read_text

    read_text(path)


def _pairs(path: Path) -> None:
    from infoplane.text.pairs.preference_pairs import read_pairs

    read_pairs(path)


def _score(path: Path) -> None:
    from infoplane.analysis.scores.score_files import read_scores

    read_scores(path)


def _cases(path: Path) -> None:
    from infoplane.analysis.forecasting.case_table import Cases

    cases = Cases.read(path, features=["size"], scores=["arc"])
    cases.varying().sample(["size"], "arc")
    cases.reliability("arc")


def _labels(path: Path) -> None:
    from infoplane.text.ngram_labels import label_column, read_column
    from infoplane.text.windows import Windows

    n = 30
    w = Windows(
        np.arange(n, dtype=np.int32), np.arange(0, n + 1, 3), np.arange(10, dtype=np.int32), np.ones(n, bool),
        np.ones(n, bool), np.full(10, 3), tuple(f"d{i}" for i in range(10)),
    )  # fmt: skip
    label_column(read_column(path), w)


def _steps(path: Path) -> None:
    from infoplane.models.checkpoints import read_table

    read_table(path)


def _measurement(path: Path) -> None:
    from infoplane.measurement.results import Measurement

    use_measurement(Measurement.load(path))


def use_measurement(found: Any) -> None:
    """What commands do with a measurement, short of drawing it."""
    from infoplane.analysis.comparison.comparing import compare
    from infoplane.measurement.columns import figures_by_column
    from infoplane.measurement.members import Member

    found.table()
    found.to_json()
    found.minus(small_measurement())
    figures_by_column(found)
    compare([Member("a", None, found), Member("b", None, small_measurement())])


def _page(path: Path) -> None:
    from infoplane.measurement.results import Measurement
    from infoplane.report.measurement.writing import render_report

    render_report(Measurement.load(path))


def _trajectory(path: Path) -> None:
    from infoplane.analysis.training.trajectory import Trajectory, outliers

    found = Trajectory.load(path)
    found.table()
    outliers(found)
    found.series("complexity").difference(0, -1)


def _bound(path: Path) -> None:
    from infoplane.bottleneck.text_bound import Bound

    found = Bound.load(path)
    for f in found.frontiers:
        f.summary()


def _comparison(path: Path) -> None:
    from infoplane.analysis.comparison.comparison import Comparison

    found = Comparison.load(path)
    found.to_dict()
    _ = found.best_set


def _forecast(path: Path) -> None:
    from infoplane.analysis.forecasting.forecasts import Forecast

    Forecast.load(path).to_dict()


def _pages_of(kind: str) -> Callable[[Path], None]:
    def draw(place: Path) -> None:
        path = place / kind
        from infoplane.analysis.comparison.comparison import Comparison
        from infoplane.analysis.forecasting.forecasts import Forecast
        from infoplane.analysis.training.trajectory import Trajectory
        from infoplane.bottleneck.text_bound import Bound
        from infoplane.report.comparison.page import render_comparison
        from infoplane.report.forecasting.page import render_forecast
        from infoplane.report.text_bound.page import render_bound
        from infoplane.report.training.run_page import render_run

        {
            "bound": lambda: render_bound(Bound.load(path)),
            "comparison": lambda: render_comparison(Comparison.load(path)),
            "forecast": lambda: render_forecast(Forecast.load(path)),
            "trajectory": lambda: render_run(Trajectory.load(path)),
        }[kind]()

    return draw


def _survey(path: Path) -> None:
    from infoplane.analysis.surveys.record import Survey

    Survey.load(path).table()


def _lock(path: Path) -> None:
    from infoplane.analysis.surveys.lock import Lock
    from infoplane.analysis.surveys.survey_file import parse_survey

    lock = Lock(path)
    (entry,) = parse_survey('[[model]]\nid = "a/one"', "x", Path())
    lock.get(entry)


def _survey_file(path: Path) -> None:
    from infoplane.analysis.surveys.survey_file import read_survey

    read_survey(path)


def _capture(path: Path) -> dict[Any, float]:
    from infoplane.capture.stored_capture import open_capture
    from infoplane.measurement.asking import measure_capture

    return {row.key: row.value for row in measure_capture(open_capture(path), orders=(1,), threads=1)}


def _model(path: Path) -> None:
    import torch

    from infoplane.models.loading import load_model

    model = load_model(path, dtype="float32")
    model.run(torch.arange(8)[None] % model.vocabulary)


READERS: tuple[Reader, ...] = (
    *(Reader(f"text {s}", f"text/a.{s}", lambda p, s=s: _text(p / f"text/a.{s}"))
      for s in ("txt", "jsonl", "jsonl.gz", "json", "parquet")),
    *(Reader(f"pairs {s}", f"pairs/a.{s}", lambda p, s=s: _pairs(p / f"pairs/a.{s}"))
      for s in ("jsonl", "json", "parquet")),
    *(Reader(f"scores {s}", f"scores/{s}", lambda p, s=s: _score(p / "scores" / s))
      for s in ("long.csv", "wide.csv", "results_2026-01-02T03-04-05.json")),
    *(Reader(f"cases {s}", f"scores/cases.{s}", lambda p, s=s: _cases(p / f"scores/cases.{s}"))
      for s in ("csv", "parquet")),
    *(Reader(f"labels {s}", f"labels/a.{s}", lambda p, s=s: _labels(p / f"labels/a.{s}"))
      for s in ("npy", "json", "txt")),
    Reader("steps csv", "labels/steps.csv", lambda p: _steps(p / "labels/steps.csv")),
    *(Reader(f"measurement {s}", f"measurement/measurement.{s}", lambda p: _measurement(p / "measurement"))
      for s in ("json", "parquet")),
    Reader("trajectory json", "trajectory/trajectory.json", lambda p: _trajectory(p / "trajectory")),
    *(Reader(f"bound {s}", f"bound/bound.{s}", lambda p: _bound(p / "bound")) for s in ("json", "parquet")),
    Reader("comparison json", "comparison/comparison.json", lambda p: _comparison(p / "comparison")),
    *(Reader(f"forecast {s}", f"forecast/forecast.{s}", lambda p: _forecast(p / "forecast"))
      for s in ("json", "parquet")),
    Reader("survey json", "survey/survey.json", lambda p: _survey(p / "survey")),
    Reader("survey lock", "survey/survey.lock.json", lambda p: _lock(p / "survey")),
    Reader("survey toml", "survey.toml", lambda p: _survey_file(p / "survey.toml")),
    *(Reader(f"capture {f}", f"capture/{f}", lambda p: _capture(p / "capture"), heavy=True)
      for f in ("manifest.json", "windows.safetensors", "shard-00000.safetensors")),
    *(Reader(f"page of {kind}", f"{kind}/{kind}.json", _pages_of(kind), heavy=True)
      for kind in ("bound", "comparison", "forecast", "trajectory")),
    Reader("page of measurement", "measurement/measurement.json", lambda p: _page(p / "measurement"), heavy=True),
    *(Reader(f"model {f}", f"model/{f}", lambda p: _model(p / "model"), heavy=True)
      for f in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")),
    Reader("model gguf", "tiny.gguf", lambda p: _model(p / "tiny.gguf"), heavy=True),
)  # fmt: skip
