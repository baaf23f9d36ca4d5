"""Benchmark scores: files of lm-eval in both layouts, CSV, the published tables, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from paths import SCORE_FILES

from infoplane.analysis.scores.published_tables import published
from infoplane.analysis.scores.score_files import read_scores
from infoplane.analysis.scores.score_table import SCHEMA, Remark, Scores, concat_scores, near, step_of
from infoplane.errors import ScoreError

# Written by lm_eval 0.4.13 itself (two toy tasks and their group; a dummy model, and a tiny GPT-2 in bfloat16 with
# --limit 3); only `configs` and `pretty_env_info` were taken out.
WRITTEN = SCORE_FILES
# From EleutherAI/pythia, evals/pythia-v1/pythia-160m/zero-shot/160m_step83000.json (Apache-2.0).
OLD: dict[str, Any] = {
    "results": {
        "piqa": {"acc": 0.6240478781284005, "acc_stderr": 0.011301098166895727, "acc_norm": 0.6169749727965179,
                 "acc_norm_stderr": 0.01134208170908284},
        "lambada_openai": {"ppl": 29.178896580439904, "ppl_stderr": 1.0475255665707088, "acc": 0.37182223947215215,
                           "acc_stderr": 0.00673319252229766},
        "hendrycksTest-anatomy": {"acc": 0.23703703703703705, "acc_stderr": 0.03673731683969506},
        "crows_pairs_english": {"likelihood_difference": 3.5244856887298748, "pct_stereotype": 0.5784138342277877},
    },
    "versions": {"piqa": 0, "lambada_openai": 0},
    "config": {"model": "hf-causal", "model_args": "pretrained=EleutherAI/pythia-v1.1-160m,revision=step83000",
               "num_fewshot": 0, "batch_size": 16, "limit": None},
}  # fmt: skip


def row(model: str = "a/b", task: str = "arc", metric: str = "acc", value: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"model": model, "task": task, "metric": metric, "value": value, "source": "here", **more}


def saved(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def new(model: str = "a/b", value: float = 0.5, date: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """A result file in the new layout."""
    record = {
        "results": {"arc": {"alias": "arc", "acc,none": value, "acc_stderr,none": 0.01}},
        "config": {"model": "hf", "model_args": f"pretrained={model},dtype=float16"}, "n-shot": {"arc": 5},
        "n-samples": {"arc": {"original": 100, "effective": 50}}, "model_name": model, **more,
    }  # fmt: skip
    return record if date is None else {**record, "date": date}


# ---------------------------------------------------------------------- lm-eval


def test_a_file_that_lm_eval_wrote_is_read() -> None:
    found = read_scores(WRITTEN / "org__toy")
    record = json.loads(next((WRITTEN / "org__toy").iterdir()).read_text())
    assert found.models == ("org/toy",) and len(found) == 5 and found.warnings == ()
    for one in found.table.iter_rows(named=True):
        there = record["results"][one["task"]]
        assert one["value"] == there[f"{one['metric']},none"]
        assert one["standard_error"] == there[f"{one['metric']}_stderr,none"]
        assert one["n"] == there["sample_len"] and one["n_shot"] == 0
        assert (one["chat_template"], one["precision"], one["revision"], one["step"]) == (False, None, None, None)


def test_precision_items_and_step_are_those_that_the_file_tells() -> None:
    found = read_scores(WRITTEN / "checkpoint-16.json")
    one = found.select(task="toy_a", metric="acc").table.row(0, named=True)
    assert (one["model"], one["precision"], one["n"], one["step"]) == ("./checkpoint-16", "bfloat16", 3, 16)
    assert "only part of each task was scored (limit 3)" in found.warnings[0]


def test_the_old_layout_agrees_with_the_published_table(tmp_path: Path) -> None:
    found = read_scores(saved(tmp_path, "160m_step83000.json", OLD))
    table = published("pythia-checkpoint-scores").select(model="EleutherAI/pythia-160m", step=83_000)
    for task, metric in (("piqa", "acc"), ("piqa", "acc_norm"), ("lambada_openai", "acc"), ("lambada_openai", "ppl")):
        mine = found.select(task=task, metric=metric).table.row(0, named=True)
        theirs = table.select(task=task, metric=metric).table.row(0, named=True)
        assert round(mine["value"], 5) == theirs["value"]
        assert (mine["step"], mine["n_shot"]) == (theirs["step"], theirs["n_shot"]) == (83_000, 0)
        assert mine["standard_error"] == OLD["results"][task][f"{metric}_stderr"]
    assert found.models == ("EleutherAI/pythia-v1.1-160m",) and "hendrycksTest-anatomy:acc" in found.tasks
    assert found.select(metric="likelihood_difference").table["value"].to_list() == [3.5244856887298748]
    assert found.table["chat_template"].null_count() == found.table["n"].null_count() == len(found)


def test_more_of_the_new_layout(tmp_path: Path) -> None:
    record = new(chat_template="{{ messages }}", groups={"all": {"acc,none": 0.4, "acc_stderr,none": "N/A"}})
    record["config"] |= {"model_args": {"pretrained": "a/b", "load_in_4bit": True, "revision": "step3"}}
    record["results"]["gsm8k"] = {
        "exact_match,strict-match": 0.2, "exact_match,flexible-extract": 0.3, "bypass,none": 999, " ": " ",
        "by_kind,none": {"a": 1},
    }  # fmt: skip
    record["results"]["arc"]["acc_stderr,none"] = math.nan
    found = read_scores(saved(tmp_path, "r.json", record))
    assert found.tasks == (
        "all:acc", "arc:acc", "gsm8k:exact_match,strict-match", "gsm8k:exact_match,flexible-extract",
    )  # fmt: skip
    one = found.select(task="arc").table.row(0, named=True)
    assert (one["precision"], one["revision"], one["step"], one["chat_template"]) == ("4bit", "step3", 3, True)
    assert (one["n"], one["n_shot"]) == (50, 5)
    assert found.select(task=["all", "arc"]).table["standard_error"].to_list() == [None, None]
    assert "not numbers, left out: gsm8k:by_kind" in found.warnings[0]


def test_a_run_of_2024_with_a_chat_template_and_a_limit(tmp_path: Path) -> None:
    """As in EleutherAI/lm-evaluation-harness, results/asdiv; n is checked by the error of a mean of zeros and ones."""
    record = {
        "results": {"asdiv": {"alias": "asdiv", "acc,none": 0.92, "acc_stderr,none": 0.0387561713321444}},
        "group_subtasks": {"asdiv": []}, "versions": {"asdiv": 1.0}, "n-shot": {"asdiv": 8},
        "n-samples": {"asdiv": {"original": 2305, "effective": 50}},
        "config": {"model": "hf", "model_args": "pretrained=meta-llama/Meta-Llama-3-8B-Instruct",
                   "model_dtype": "torch.bfloat16", "model_revision": "main", "limit": 50.0},
        "date": 1724211836.1012678, "model_source": "hf", "model_name": "meta-llama/Meta-Llama-3-8B-Instruct",
        "chat_template": "{% set loop_messages = messages %}",
    }  # fmt: skip
    found = read_scores(saved(tmp_path, "results_2024-08-21T03-44-09.494230.json", record))
    one = found.table.row(0, named=True)
    assert (one["precision"], one["revision"], one["n_shot"], one["chat_template"]) == ("bfloat16", "main", 8, True)
    assert one["standard_error"] == pytest.approx(math.sqrt(0.92 * 0.08 / (one["n"] - 1)))
    assert "limit 50" in found.warnings[0]


def test_two_files_of_one_task_are_refused_unless_the_newest_is_asked_for(tmp_path: Path) -> None:
    saved(tmp_path, "a__b/results_2024-05-01T10-00-00.000001.json", new(value=0.4, date=None))
    saved(tmp_path, "a__b/results_2024-05-02T09-00-00.000001.json", new(value=0.6, date=None))
    other = new(value=0.7, date=None)
    other["results"] = {"piqa": {"acc,none": 0.7}}
    saved(tmp_path, "a__b/results_2024-04-01T09-00-00.000001.json", other)
    saved(tmp_path, "a__b/samples_arc_2024-05-01T10-00-00.000001.jsonl", '{"doc_id": 0}\n')
    saved(tmp_path, "c/tokenizer.json", {"version": "1.0"})
    saved(tmp_path, ".cache/info.json", {"of": "a library"})
    with pytest.raises(ScoreError, match=r"2 files score a/b on arc .*--latest"):
        read_scores(tmp_path)
    found = read_scores(tmp_path, latest=True)
    assert found.wide().rows() == [("a/b", 0.7, 0.6)]
    assert "1 .json files are no result files and were left: c/tokenizer.json" in found.warnings[0]
    # the record's own date goes before the name of the file
    saved(tmp_path, "a__b/results_2020-05-02T09-00-00.000001.json", new(value=0.65, date=4e9))
    assert read_scores(tmp_path, latest=True).select(task="arc").table["value"].to_list() == [0.65]
    again = saved(tmp_path, "again.json", new(value=0.9, date=4e9))
    with pytest.raises(ScoreError, match="is not told by a date"):
        read_scores(tmp_path, latest=True)
    again.unlink()
    saved(tmp_path, "undated.json", new(date=None))
    with pytest.raises(ScoreError, match="is not told by a date"):
        read_scores(tmp_path, latest=True)


def test_the_model_is_named_or_asked_for(tmp_path: Path) -> None:
    record = new()
    record["config"], record["model_name"] = {"model": "hf", "model_args": ""}, None
    path = saved(tmp_path, "r.json", record)
    with pytest.raises(ScoreError, match=r"does not name its model.*--model-name"):
        read_scores(path)
    assert read_scores(path, model="x/y").models == ("x/y",)
    record["config"]["model"] = "org/loaded"
    assert read_scores(saved(tmp_path, "r.json", record)).models == ("org/loaded",)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("samples_arc.jsonl", '{"doc_id": 0, "resps": []}\n{"doc_id": 1}\n', "holds samples of an lm-eval run"),
        ("samples.json", [{"doc_id": 0}], "holds samples of an lm-eval run"),
        ("r.json", "{'results': 1}", "is not JSON"),
        ("r.json", {"accuracy": 0.5}, "is not a result file of lm-eval: .* found accuracy"),
        ("r.json", [1], "found a list"),
        ("r.json", {"results": {}, "config": {"model_args": "pretrained=a/b"}}, "holds no score"),
        ("r.json", new(value=math.nan), r"r\.json holds no score .not numbers: arc:acc.; leave the file out"),
        ("r.json", new(value=45.2), r"arc:acc: the largest value is 45.2; .*percent=True \(--percent\)"),
        ("r.json", new(**{"n-samples": 5}), "'n-samples' is 5; expected names"),
        ("r.json", new(groups=["mmlu"]), "'groups' is .'mmlu'.; expected names"),
        ("r.json", new(results={"arc": 0.5}), "results of 'arc' are 0.5; expected metrics"),
        ("r.txt", "model,arc\n", "expected .json"),
    ],
)
def test_what_is_no_result_file_is_said(tmp_path: Path, name: str, content: Any, said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        read_scores(saved(tmp_path, name, content))


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="no file or folder"):
        read_scores(tmp_path / "gone.json")
    with pytest.raises(ScoreError, match=r"no result file of lm-eval \(no .json file\)"):
        read_scores(tmp_path)


# ---------------------------------------------------------------------- CSV


def test_long_and_wide_tables_say_the_same(tmp_path: Path) -> None:
    long = "model,revision,task,metric,value,standard_error,n_shot,chat_template\n" + "".join(
        f"m{i},step{i}0,{task},acc,0.{i}{j},0.0{i},5,true\n"
        for i in (1, 2, 3)
        for j, task in enumerate(("arc", "piqa"))
    )
    wide = "\ufeffmodel,revision,arc:acc,arc:acc_stderr,piqa:acc,piqa:acc_stderr,n_shot,chat_template\n" + "".join(
        f"m{i},step{i}0,0.{i}0,0.0{i},0.{i}1,0.0{i},5,True\n" for i in (1, 2, 3)
    )
    one, two = (read_scores(saved(tmp_path, f"{n}.csv", text)) for n, text in (("long", long), ("wide", wide)))
    assert one.table.drop("source").equals(two.table.drop("source"))
    assert one.table["step"].to_list() == [10, 10, 20, 20, 30, 30]
    assert one.table["standard_error"].to_list() == [0.01, 0.01, 0.02, 0.02, 0.03, 0.03]
    tabs = read_scores(saved(tmp_path, "wide.tsv", wide.replace(",", "\t")))
    assert tabs.table.drop("source").equals(two.table.drop("source"))


def test_columns_about_models_are_set_aside_and_empty_cells_are_no_scores(tmp_path: Path) -> None:
    found = read_scores(saved(tmp_path, "t.csv", "model,family,params_b,mmlu,none\na,F,7,0.5,\nb,G,8,,\n"))
    assert found.table.select("model", "task", "metric", "value").rows() == [("a", "mmlu", "score", 0.5)]
    assert "not read as scores: family, params_b" in found.warnings[0] and "empty columns: none" in found.warnings[1]


@pytest.mark.parametrize(
    "text, said",
    [
        ("model,mmlu\na,0.5\nb,high\n", "line 3, column 'mmlu': 'high' is not a number"),
        ("model,mmlu\na,45%\n", r"'45%' is not a number; write the number without the sign.*--percent"),
        ("model,mmlu\na,nan\n", "'nan'; leave the cell empty"),
        ("model,mmlu\na,45.2\nb,0.3\n", "mmlu: the largest value is 45.2; expected accuracies of 0 to 1"),
        ("model,mmlu\na,-0.1\n", "an accuracy of -0.1"),
        ("name,mmlu\na,0.5\n", "no column 'model'; .* it has name, mmlu"),
        ("model\na\n", "no column of scores"),
        ("model,mmlu\na,\n", "every cell of mmlu is empty"),
        ("model,mmlu\n", "is empty"),
        ("", "is empty"),
        ("model,mmlu,mmlu\na,0.1,0.2\n", "two columns 'mmlu'"),
        ("model,mmlu\na,0.1,0.2\n", "line 2: 3 cells, but the header has 2"),
        ("model,task,value\na,t,0.5\n", "no column 'metric'"),
        ("model,task,metric,value,extra\na,t,acc,0.5,1\n", "unknown column 'extra'"),
        ("model,task,metric,value\na,,acc,0.5\n", "line 2: column 'task' is empty"),
        ("model,task,metric,value,n_shot\na,t,acc,0.5,2.5\n", "column 'n_shot': '2.5'; expected a whole number"),
        ("model,chat_template,mmlu\na,maybe,0.5\n", "'maybe'; expected true or false"),
        ("model,n,mmlu\na,1e30,0.5\n", "column 'n': '1e30'; expected a whole number"),
        ("model,mmlu\na,0.5\0\n", "it holds NUL bytes"),
        ("model,mmlu\na,0.5\na,0.6\n", r"(?s)2 rows give more than one value.*a mmlu:score: 0.5.*0.6"),
    ],
)
def test_a_table_that_cannot_be_read_is_said_with_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        read_scores(saved(tmp_path, "t.csv", text))


def test_per_cent_are_divided_where_they_are_accuracies(tmp_path: Path) -> None:
    text = "model,arc:acc,arc:acc_stderr,lambada_ppl,math_pct\na,45,1.5,230,0.4\nb,55,1.5,120,0.9\n"
    found = read_scores(saved(tmp_path, "t.csv", text), percent=True)
    assert found.wide().rows() == [("a", 45 / 100, 230, 0.4 / 100), ("b", 55 / 100, 120, 0.9 / 100)]
    assert found.select(task="arc").table["standard_error"].to_list() == [0.015, 0.015]
    assert [w for w in found.warnings if "fractions already" in w] == [
        "math_pct: all 2 values are at most 1 per cent (0.9): fractions already?"
    ]
    with pytest.raises(ScoreError, match=r"arc:acc: the largest value is 145; .* even as per cent it is above 100"):
        read_scores(saved(tmp_path, "t.csv", text.replace("45", "145")), percent=True)


def test_a_metric_that_no_rule_knows_is_an_accuracy_in_a_table_and_anything_in_a_file_of_lm_eval(
    tmp_path: Path,
) -> None:
    with pytest.raises(ScoreError, match="squad:f1: the largest value is 61"):
        read_scores(saved(tmp_path, "t.csv", "model,task,metric,value\na,squad,f1,61\n"))
    record = new()
    record["results"] = {"squad": {"f1,none": 61.0}, "cola": {"mcc,none": -0.1}}
    assert read_scores(saved(tmp_path, "r.json", record)).wide().rows() == [("a/b", 61.0, -0.1)]


def test_a_constant_column_is_kept_and_said(tmp_path: Path) -> None:
    found = read_scores(saved(tmp_path, "t.csv", "model,x,y\na,0.5,0.1\nb,0.5,0.2\nc,0.5,0.3\n"))
    assert found.wide()["x:score"].to_list() == [0.5] * 3
    assert found.warnings == ("x:score is 0.5 in all 3 rows: nothing correlates with it",)
    assert found.like(task="y").warnings == ()


# ---------------------------------------------------------------------- the table


def test_a_part_of_a_table() -> None:
    s = Scores.of([
        row("a/x", step=1), row("a/x", step=2, value=0.6), row("b/y", metric="acc_norm"), row("b/y", "piqa", n_shot=5),
    ])  # fmt: skip
    assert s.models == ("a/x", "b/y") and s.tasks == ("arc:acc", "arc:acc_norm", "piqa:acc")
    assert len(s.select(step=None)) == 2 and len(s.select(step=[1, None])) == 3 and len(s.select(n_shot=(5, 1))) == 1
    assert s.like(task="arc").tasks == ("arc:acc", "arc:acc_norm") and s.like(task="*:acc").tasks == (
        "arc:acc",
        "piqa:acc",
    )
    assert s.like(model="a/*").models == ("a/x",)
    assert s.lookup("b/y").models == ("b/y",)
    with pytest.raises(ScoreError, match="no scores of 'b/yy'; near names: b/y"):
        s.lookup("b/yy")
    with pytest.raises(ScoreError, match="no task fits 'mmlu'; there are arc:acc"):
        s.like(task="mmlu")
    with pytest.raises(ScoreError, match="unknown column 'shots'"):
        s.select(shots=5)


def test_a_cell_has_one_value_or_says_what_tells_two_apart() -> None:
    s = Scores.of([row(step=1, value=0.1), row(step=2, value=0.2), row("c/d", step=2, value=0.3)])
    assert s.select(step=2).wide().rows() == [("a/b", 0.2), ("c/d", 0.3)]
    assert s.wide(("model", "step")).rows() == [("a/b", 1, 0.1), ("a/b", 2, 0.2), ("c/d", 2, 0.3)]
    with pytest.raises(
        ScoreError, match=r"a/b has 2 values of arc:acc, which differ in step \(1, 2\).*by=\('model', 'step'\)"
    ):
        s.wide()


def test_tables_are_put_together_and_a_score_that_stands_in_two_is_refused() -> None:
    one, two = Scores.of([row()], [Remark("of one")]), Scores.of([row(n_shot=5)], [Remark("of one"), Remark("of two")])
    both = concat_scores([one, two])
    assert len(both) == 2 and both.warnings == ("of one", "of two")
    with pytest.raises(ScoreError, match=r"(?s)a/b arc:acc: 0.5 \(here\).*a/b arc:acc: 0.7"):
        concat_scores([one, Scores.of([row(value=0.7)])])


def test_a_table_must_be_whole() -> None:
    with pytest.raises(ScoreError, match="1 of 1 scores have no source"):
        Scores.of([row(source=None)])
    with pytest.raises(ScoreError, match="a/b arc:acc: value inf; expected a finite number"):
        Scores.of([row(value=math.inf)])
    with pytest.raises(ScoreError, match="a table of scores has the columns"):
        Scores(pl.DataFrame({"model": ["a"]}))
    assert list(Scores.of([]).table.columns) == list(SCHEMA)


def test_a_remark_is_said_where_its_rows_are() -> None:
    s = Scores.of([row(step=1), row(step=2)], [Remark("odd", (("model", "a/b"), ("step", 2)))])
    assert s.warnings == ("odd",) and s.select(step=1).warnings == () and s.select(step=2).warnings == ("odd",)


def test_near_names_look_at_the_name_and_not_at_the_organisation() -> None:
    assert near("mistral-7b-v0.2", ["google/gemma-2b", "mistralai/Mistral-7B-v0.1"]) == ("mistralai/Mistral-7B-v0.1",)
    assert near("opt", ["EleutherAI/pythia-70m"]) == ()


@pytest.mark.parametrize(
    "revision, model, step",
    [
        ("step143000", "a/b", 143_000), ("main", "a/b", None), (None, "runs/x/checkpoint-500/", 500),
        (None, "someone/model-v6-step2000", None), ("stage1-step150-tokens1B", "a/b", 150),
        ("stage2-ingredient1-step11931-tokens50B", "a/b", None),
    ],
)  # fmt: skip
def test_steps_are_told_by_revisions_and_checkpoint_folders(revision: str | None, model: str, step: int | None) -> None:
    assert step_of(revision, model) == step
