"""The published tables: every cell, what is withheld, and the command that shows them."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from typer.testing import CliRunner

from infoplane.analysis.scores.published_tables import FOLDER, model_facts, published
from infoplane.analysis.scores.score_files import read_scores
from infoplane.analysis.scores.table_list import TABLES
from infoplane.cli import app
from infoplane.errors import InfoplaneError


def cells(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_published_cell_is_a_score(name: str) -> None:
    """Counted and compared through another reader than the one that made the table."""
    table = TABLES[name]
    expected = {}
    for line in cells(name):
        about = tuple(line.get(column) or None for column in ("model", "step", "precision", "chat_template"))
        for column, (task, metric, _, over) in table.scores.items():
            if line[column] and line["model"] not in table.left_out:
                key = (*about, task, metric)
                assert key not in expected
                expected[key] = float(line[column]) / over
    found = {
        (*(None if one[c] is None else str(one[c]) for c in ("model", "step", "precision", "chat_template")),
         one["task"], one["metric"]): one["value"]
        for one in published(name).table.iter_rows(named=True)
    }  # fmt: skip
    assert found == expected


def test_what_is_left_out_could_not_be_told_apart() -> None:
    for name, table in TABLES.items():
        seen: dict[tuple[str, ...], int] = {}
        for line in cells(name):
            key = tuple(line.get(c, "") for c in ("model", "step", "precision", "chat_template"))
            seen[key] = seen.get(key, 0) + 1
        assert {key[0] for key, n in seen.items() if n > 1} == set(table.left_out)


def test_normalised_scores_are_raw_ones_between_chance_and_all_right() -> None:
    """So the about page of Open LLM Leaderboard 2 says: both columns then have the scale that we claim."""
    scores = published("open-llm-leaderboard")
    for task, chance in (("ifeval", 0.0), ("mmlu_pro", 0.1), ("gpqa", 0.25)):
        both = scores.select(task=task).wide(("model", "precision", "chat_template")).drop_nulls(f"{task}:raw")
        wanted = ((both[f"{task}:raw"] - chance) / (1 - chance)).clip(lower_bound=0)
        assert both.height > 3_700
        assert (both[f"{task}:normalised"] - wanted).abs().quantile(0.99) < 2e-4
    values = scores.table["value"]
    assert values.min() >= 0 and values.max() <= 1  # type: ignore[operator]


def test_the_disputed_rows_say_so_and_only_they() -> None:
    pythia = published("pythia-checkpoint-scores")
    assert "issue 118" in pythia.select(model="EleutherAI/pythia-160m", step=143_000).warnings[0]
    assert pythia.select(model="EleutherAI/pythia-160m", step=133_000).warnings == ()
    assert pythia.select(model="EleutherAI/pythia-410m", step=143_000).warnings == ()
    value = pythia.select(model="EleutherAI/pythia-160m", step=143_000, task="lambada_openai", metric="acc").table[
        "value"
    ][0]
    assert f"{value:.3f}" in pythia.warnings[0]


def test_facts_hold_together() -> None:
    """FLOPs are 6 N D in the source; a model has one row; what was withheld is null and said."""
    told = model_facts("base-llm-benchmarks")
    flops = told.table.drop_nulls(["parameters_b", "training_tokens_t", "flops_1e21"])
    ratio = flops["flops_1e21"] / (6 * flops["parameters_b"] * flops["training_tokens_t"])
    assert flops.height == 121 and (ratio - 1).abs().max() < 0.03  # type: ignore[operator]
    assert told.get("cerebras/btlm-3b-8k-base") == {
        **dict.fromkeys(told.table.columns), "model": "cerebras/btlm-3b-8k-base", "family": "BTLM", "parameters_b": 3.0,
        "source": "base-llm-benchmarks",
    }  # fmt: skip
    every = model_facts()
    assert every.table["model"].is_unique().all() and every.table["parameters_b"].drop_nulls().min() > 0  # type: ignore[operator]
    for table in TABLES.values():
        for model, _, why in table.withheld:
            assert any(model in w and why in w for w in every.warnings)
    one = every.get("meta-llama/Llama-2-7b-hf")
    assert one is not None and (one["training_tokens_t"], one["flops_1e21"], one["family"]) == (2.0, 84.0, "Llama-2")
    assert every.get("huggyllama/llama-7b")["family"] == "Llama-1"  # type: ignore[index]
    assert every.get("no/such") is None


def test_the_tables_are_small_and_documented() -> None:
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) < 400_000
    notice = (FOLDER.parent / "NOTICE").read_text()
    assert {p.name for p in FOLDER.iterdir()} == {f"{name}.csv.gz" for name in TABLES}
    assert all(f"{name}.csv.gz" in notice for name in TABLES)


def test_packing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from pack_scores import packed
    finally:
        sys.path.pop(0)
    content = gzip.decompress((FOLDER / "base-llm-benchmarks.csv.gz").read_bytes())
    assert gzip.decompress(packed(content, "t")) == content and packed(content, "t") == packed(content, "t")
    with pytest.raises(SystemExit, match="line 2: 1 cells under 2 names"):
        packed(b"model,x\na\n", "t")
    with pytest.raises(ValueError):
        packed(b"model,x\na,b\n", "t")


def test_reading_scores_loads_nothing_heavy() -> None:
    code = (
        "import sys; from infoplane.analysis.scores.published_tables import published, model_facts; "
        "from infoplane.analysis.scores.model_matching import match_models; "
        "match_models(['gpt2'], published('base-llm-benchmarks')); model_facts(); "
        "bad = {'torch', 'transformers', 'altair', 'scipy', 'sklearn'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------- the command


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["scores", *args])


def test_the_command_lists_shows_and_exports(tmp_path: Path) -> None:
    listed = run()
    assert listed.exit_code == 0 and all(name in listed.output for name in TABLES) and "Apache-2.0" in listed.output
    record = json.loads(run("--format", "json").output)
    assert [t["scores"] for t in record["tables"]] == [len(published(name)) for name in TABLES]
    shown = run("pythia-checkpoint-scores", "--model", "EleutherAI/pythia-1b", "--task", "wsc")
    assert shown.exit_code == 0 and "Note: EleutherAI/pythia-1b was taken for EleutherAI/pythia-1b-bf16" in shown.output
    out = tmp_path / "arc.csv"
    assert run("base-llm-benchmarks", "--model", "Qwen/*", "--task", "arc*", "--out", str(out)).exit_code == 0
    again = read_scores(out)
    whole = published("base-llm-benchmarks").like(model="Qwen/*", task="arc*")
    assert again.table.equals(whole.table) and len(whole) > 10
    assert "choose another --out" in str(run("base-llm-benchmarks", "--out", str(out)).exception)
    assert run("base-llm-benchmarks", "--out", str(out), "--force").exit_code == 0
    rows = json.loads(run("base-llm-benchmarks", "--facts", "--model", "gpt2", "--format", "json").output)["rows"]
    assert [(r["model"], r["parameters_b"]) for r in rows] == [("openai-community/gpt2", 0.124)]


@pytest.mark.parametrize(
    "args, said",
    [
        (["open-llm-leaderbord"], "no file and no published table .*near names: open-llm-leaderboard"),
        (["base-llm-benchmarks", "--model", "mistralai/Mistral-7B-v0.2"], "near names: mistralai/Mistral-7B-v0.1"),
        (["base-llm-benchmarks", "--task", "nope"], "no task fits 'nope'"),
        (["base-llm-benchmarks", "--percent"], "are for files"),
        (["base-llm-benchmarks", "--format", "xml"], "expected table, csv, json"),
        (["base-llm-benchmarks", "--out", "x.txt"], "expected csv or json"),
        (["--model", "gpt2"], "name one of"),
        (["--facts"], "name one of"),
        (["nowhere", "--facts"], "told by published tables, and 'nowhere' is none"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(args: list[str], said: str) -> None:
    done = run(*args)
    assert isinstance(done.exception, InfoplaneError)
    with pytest.raises(InfoplaneError, match=said):
        raise done.exception


def test_per_cent_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,mmlu\na,45\nb,55\n")
    assert "--percent" in str(run(str(path)).exception)
    record = json.loads(run(str(path), "--percent", "--format", "json").output)
    assert [r["value"] for r in record["rows"]] == [0.45, 0.55]
