"""Comparisons: only what is about the same thing compares, and documents that are shared are shared in the error."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import command
from tiny import byte_tokenizer, merging_tokenizer, tiny_model
from transformers import AutoModelForCausalLM, LlamaConfig

import infoplane
from infoplane.analysis.comparison.comparing import compare
from infoplane.analysis.comparison.comparison import Comparison
from infoplane.analysis.surveys.record import Survey, Surveyed
from infoplane.errors import ResultError
from infoplane.measurement.members import Member
from infoplane.measurement.results import Measurement
from infoplane.report.comparison.page import render_comparison
from infoplane.text.documents import Text, read_text
from infoplane.uncertainty.document_jackknife import standard_error_of
from infoplane.uncertainty.drawn_points import PointsPart

SETTINGS: dict[str, Any] = {"tokens": 10**6, "context": 2048, "orders": (1,), "m": 10, "text_labels": ("word",)}


def same_bytes() -> Text:
    """150 documents of 120 bytes, cut where a character ends, as a budget of bytes cuts them."""
    sample = read_text("c4-sample", limit=150)
    heads = [replace(d, text=d.text.encode()[:120].decode("utf-8", "ignore")) for d in sample.documents]
    return Text(tuple(heads), {**sample.provenance, "bytes": {"budget": 18_000}})


def measured(tokenizer: Any, seed: int = 0, **more: Any) -> Measurement:
    model = tiny_model("llama", seed)
    model.resize_token_embeddings(len(tokenizer))
    text = more.pop("text", None) or same_bytes()
    return infoplane.measure(model, text, tokenizer=tokenizer, **{**SETTINGS, **more})


@pytest.fixture(scope="module")
def found() -> dict[str, Measurement]:
    return {
        "bytes": measured(byte_tokenizer()),
        "bytes2": measured(byte_tokenizer(), 1),
        "merged": measured(merging_tokenizer()),
    }


def members(found: dict[str, Measurement], *names: str) -> list[Member]:
    return [Member(name, f"family of {name}", found[name]) for name in names]


def row_of(comparison: Comparison, name: str, quantity: str, position_set: str) -> dict[str, Any]:
    c = pl.col
    rows = comparison.differences.filter(
        (c("name") == name) & (c("quantity") == quantity) & (c("position_set") == position_set)
    )
    assert len(rows) == 1
    return rows.to_dicts()[0]


def test_of_one_tokenizer_everything_compares_and_errors_are_paired(found: dict[str, Measurement]) -> None:
    both = compare(members(found, "bytes", "bytes2"))
    assert {s: good for s, (good, _) in both.fairness.items()} == {"P_1": True, "word:1": True}
    row = row_of(both, "bytes2", "complexity", "P_1")
    difference = found["bytes2"].minus(found["bytes"]).get("complexity", order=1)
    assert row["difference"] == pytest.approx(difference.value, abs=1e-15)
    for error in ("standard_error", "points_error", "total_error"):
        assert row[error] == pytest.approx(getattr(difference, error), rel=1e-12)
    assert (row["low"], row["high"]) == difference.interval
    assert row["paired"] and row["points"] == "paired"


def test_between_tokenizers_words_compare_and_tokens_do_not(found: dict[str, Measurement]) -> None:
    both = compare(members(found, "bytes", "merged"))
    assert not both.fairness["P_1"][0] and "the tokenizers differ" in both.fairness["P_1"][1]
    good, why = both.fairness["word:1"]
    assert good and "whatever the tokenizer" in why
    assert set(both.differences["position_set"]) == {"word:1"}
    a, b = (found[n].get("expressivity", position_set="word:1") for n in ("merged", "bytes"))
    assert a.n == b.n
    row = row_of(both, "merged", "expressivity", "word:1")
    assert row["paired"]
    error = standard_error_of(np.subtract(a.replicates, b.replicates))
    assert row["standard_error"] == pytest.approx(error)
    assert both.best_set == "word:1"


def test_where_blocks_differ_errors_add_up(found: dict[str, Measurement]) -> None:
    other = replace(found["bytes2"], provenance={**found["bytes2"].provenance, "blocks_hash": "another"})
    row = row_of(compare([*members(found, "bytes"), Member("x", None, other)]), "x", "complexity", "P_1")
    rows = [found[n].get("complexity", order=1) for n in ("bytes", "bytes2")]
    errors = [one.standard_error for one in rows]
    assert not row["paired"] and row["standard_error"] == pytest.approx(math.hypot(*errors))
    half = (row["high"] - row["low"]) / 2
    assert half > 1.96 * math.hypot(row["total_error"], *(one.correction_error for one in rows))


def test_the_error_of_points_is_counted_or_nothing_is_claimed(found: dict[str, Measurement]) -> None:
    def of_width(m: Measurement, width: int, more: float, single: bool = False) -> Measurement:
        points = {
            **m.provenance["points"],
            "d": width,
            "hash": str(width),
            "sets": 1 if single else m.provenance["points"]["sets"],
        }
        rows = [replace(r, value=r.value + more) for r in m]
        if single:
            rows = [
                replace(r, points=r.points and PointsPart({k: u[:1] for k, u in r.points.by_draw.items()}))
                for r in rows
            ]
        return Measurement(tuple(rows), {**m.provenance, "points": points, "points_hash": str(width)})

    plain = found["bytes"]
    alone = of_width(plain, 32, 5.0, single=True)
    unknown = compare([Member("a", None, plain), Member("b", None, alone)])
    row = row_of(unknown, "b", "complexity", "P_1")
    assert row["difference"] == pytest.approx(5.0) and row["high"] < 5.1
    assert not row["claimed"] and row["points"] == "unknown"
    assert any("a single set of reference points" in w and w.startswith("b:") for w in unknown.warnings)
    value = plain.get("complexity", order=1)
    same, wider = (compare([Member("a", None, plain), Member("b", None, of_width(plain, d, 5.0))]) for d in (32, 99))
    row = row_of(same, "b", "complexity", "P_1")
    assert row["points"] == "paired" and row["claimed"] and row["points_error"] == pytest.approx(0, abs=1e-15)
    row = row_of(wider, "b", "complexity", "P_1")
    assert row["points"] == "added" and row["standard_error"] == pytest.approx(0, abs=1e-15)
    assert row["total_error"] == pytest.approx(2**0.5 * value.points_error)


def test_figures_of_different_protocols_are_not_compared(found: dict[str, Measurement]) -> None:
    plain = found["bytes"]
    other = Measurement(
        plain.estimates, {**plain.provenance, "protocol": {"name": "paper", "version": 1, "changed": []}}
    )
    with pytest.raises(ResultError, match=r"different protocols, .*\(a by standard 1, b by paper 1\): measure again"):
        compare([Member("a", None, plain), Member("b", None, other)])
    with pytest.raises(ResultError, match="different protocols"):
        plain.minus(other)


def test_other_text_or_length_does_not_compare(found: dict[str, Measurement]) -> None:
    longer = measured(merging_tokenizer(), text=read_text("c4-sample", limit=60), tokens=6000)
    both = compare([*members(found, "bytes"), Member("longer", None, longer)])
    assert not any(good for good, _ in both.fairness.values())
    assert "the texts are not the same" in both.fairness["word:1"][1]
    assert not len(both.differences)
    page = render_comparison(both)
    assert "None of these figures compare between the models" in page


def test_a_comparison_is_read_back_and_drawn_the_same(found: dict[str, Measurement], tmp_path: Path) -> None:
    all_of_them = compare(members(found, "bytes", "bytes2", "merged"))
    all_of_them.save(tmp_path)
    again = Comparison.load(tmp_path)
    assert again.values.equals(all_of_them.values) and again.fairness == all_of_them.fairness
    page = render_comparison(again)
    assert page == render_comparison(all_of_them)
    assert "3 models of 3 families" in page and page.count("<tr>") > 6
    record = json.loads((tmp_path / "comparison.json").read_text())
    (tmp_path / "comparison.json").write_text(json.dumps({**record, "schema": "infoplane/comparison/9"}))
    with pytest.raises(ResultError, match="this version reads"):
        Comparison.load(tmp_path)


def test_what_cannot_be_compared_is_refused(found: dict[str, Measurement]) -> None:
    for chosen, message in (
        (members(found, "bytes"), "a comparison needs two or more"),
        (members(found, "bytes", "bytes"), "two measurements are called 'bytes'"),
        (
            [*members(found, "bytes"), Member("d", None, found["bytes2"].minus(found["bytes"]))],
            "d is a difference of two measurements already",
        ),
    ):
        with pytest.raises(ResultError, match=message):
            compare(chosen)
    bits = replace(found["bytes2"], provenance={**found["bytes2"].provenance, "settings": {"unit": "bits"}})
    with pytest.raises(ResultError, match=r"different units \(bytes in efficiency, b in bits\)"):
        compare([*members(found, "bytes"), Member("b", None, bits)])


def test_the_command(found: dict[str, Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, m in found.items():
        m.save(tmp_path / name)
    runs = [str(tmp_path / name) for name in found]
    out = ["--out", str(tmp_path / "all")]
    assert command("compare", *runs, *out, "--family", "merged=Merged") == 0
    said = capsys.readouterr().out
    assert (
        "not merged: labels and positions are those" in said
        and "About the last word and the next word: the same" in said
        and "Wrote" in said
    )
    assert Comparison.load(tmp_path / "all").members["family"].to_list()[2] == "Merged"
    page = (tmp_path / "all" / "report.html").read_bytes()
    shutil.rmtree(tmp_path / "all" / "figures")
    assert command("report", str(tmp_path / "all"), "--force") == 0
    capsys.readouterr()
    assert (tmp_path / "all" / "report.html").read_bytes() == page
    for wrong, message in (
        ([*runs, *out], "exists: choose another --out"),
        ([runs[0], "--out", str(tmp_path / "n")], "needs two or more"),
        ([*runs, "--family", "x=Y", "--out", str(tmp_path / "n")], "no measurement has that name; there are"),
        ([*runs, "--family", "Y", "--out", str(tmp_path / "n")], "expected NAME=FAMILY"),
        ([runs[0], str(tmp_path / "none"), "--out", str(tmp_path / "n")], "no measurement at"),
    ):
        assert command("compare", *wrong) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "n").exists()


def test_preferences_of_models_on_the_same_pairs_compare_and_on_other_tokens_do_not() -> None:
    words = np.array(["the", "of", "a", "blue", "red", "sky", "sea", "is", "was", "not", "very", "far", "near"])
    draw = np.random.default_rng(0)

    def some() -> str:
        return " ".join(draw.choice(words, int(draw.integers(3, 8))))

    rows = [{"question": some(), "chosen": some(), "rejected": some()} for _ in range(41)]
    settings: dict[str, Any] = {"preferences": rows, "tokens": 6000, "context": 128, "orders": (1,), "m": 8}

    def of(tokenizer: Any, seed: int) -> Measurement:
        model = tiny_model("llama", seed)
        model.resize_token_embeddings(len(tokenizer))
        return infoplane.measure(model, tokenizer=tokenizer, layers=["block.0"], **settings)

    a, b = of(byte_tokenizer(), 0), of(byte_tokenizer(), 1)
    two = compare([Member("a", None, a), Member("b", None, b)])
    for quantity in ("preference", "preference_given_token"):
        row = row_of(two, "b", quantity, "matched")
        pair = [m.get(quantity, position_set="matched") for m in (b, a)]
        assert row["difference"] == pytest.approx(pair[0].value - pair[1].value, abs=1e-15) and row["paired"]
        error = standard_error_of(np.subtract(pair[0].replicates, pair[1].replicates))
        assert row["standard_error"] == pytest.approx(error, rel=1e-12)
    assert row_of(two, "b", "preference", "answers") and two.fairness["matched"][0]
    page = render_comparison(two)
    assert "Matched answers (matched), about which of two answers is preferred" in page
    assert "matched answers: preference, %" in page
    other = compare([Member("a", None, a), Member("c", None, of(merging_tokenizer(), 0))])
    assert not other.fairness["matched"][0] and "tokens of different windows" in other.fairness["matched"][1]
    assert len(other.values.filter(pl.col("quantity") == "preference")) == 4  # shown all the same


def test_a_copy_has_the_same_figures_and_few_documents_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 20 documents no difference has an error; that all figures are the same is seen without one."""
    texts = [" ".join(f"word{i % 13}" for i in range(60 + k)) for k in range(20)]
    settings: dict[str, Any] = {"tokens": 900, "context": 64, "m": 8, "orders": (1,), "tokenizer": byte_tokenizer()}
    for name, seed in (("a", 0), ("copy", 0), ("b", 1)):
        infoplane.measure(tiny_model("llama", seed), texts, **settings).save(tmp_path / name)
    assert command("compare", str(tmp_path / "a"), str(tmp_path / "copy"), "--out", str(tmp_path / "same")) == 0
    assert "copy and a have the same figures in all of 5 layers." in capsys.readouterr().out
    assert command("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "other")) == 0
    said = capsys.readouterr().out
    assert "b is not compared with a layer by layer: no difference of a layer has an error" in said
    assert "differences cannot be judged" in said and "0 of 0" not in said


def test_a_survey_is_compared_and_drawn(
    found: dict[str, Measurement], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = tmp_path / "survey"
    rows = [
        Surveyed("one", "o/one", None, {}, {"family": "First"}, found["bytes"]),
        Surveyed("two", "o/two", None, error="ModelError", message="no such model"),
        Surveyed("three", "o/three", None, {}, {}, found["merged"]),
    ]
    for row in rows:
        if row.measurement:
            row.measurement.save(survey / row.name)
    Survey(tuple(rows)).save(survey)
    assert command("compare", str(survey), "--out", str(tmp_path / "all"), "--family", "three=Third") == 0
    members = Comparison.load(tmp_path / "all").members
    assert members.select("name", "family").rows() == [("one", "First"), ("three", "Third")]
    assert command("report", str(survey)) == 0
    page = (survey / "report.html").read_text()
    assert "Words (word:1), about the last word and the next word: the same" in page
    assert page.index("Figures that compare") < page.index("words: complexity, %") < page.index("that do not compare")
    capsys.readouterr()
    Survey(tuple(rows[:2])).save(survey)
    assert command("report", str(survey), "--force") == 2
    assert "needs two or more" in capsys.readouterr().err


def test_models_of_three_tokenizers_and_widths_compare_by_the_defaults_of_a_survey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"bytes": (byte_tokenizer(), 32), "bos": (byte_tokenizer(bos=True), 48), "merged": (merging_tokenizer(), 64)}
    lines = ['[defaults]\nbytes = 40000\npoints = 8\norders = [1]\ndtype = "float32"\ndevice = "cpu"']
    for name, (tokenizer, width) in made.items():
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        )  # fmt: skip
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        lines.append(f'[[model]]\nid = "own/{name}"\npath = "{name}"\nfamily = "{name}"')
    (tmp_path / "s.toml").write_text("\n".join(lines))
    survey, out = tmp_path / "survey", tmp_path / "compared"
    assert command("survey", str(tmp_path / "s.toml"), "--out", str(survey)) == 0
    assert command("compare", str(survey), "--out", str(out)) == 0
    assert "No set of labels compares" not in capsys.readouterr().out
    found = Comparison.load(out)
    assert found.fairness["word:1"][0] and not found.fairness["P_1"][0]  # words are the same for all, tokens are not
    differences = found.differences.filter(pl.col("position_set") == "word:1", pl.col("quantity") == "complexity")
    assert differences.height == 2
    for row in differences.iter_rows(named=True):
        assert row["total_error"] > 0 and row["points"] == "added" and row["low"] < row["high"]
    page = (out / "report.html").read_text("utf-8")
    assert "word:1" in page and list((out / "figures").glob("*.svg"))


def test_figures_of_different_estimators_are_not_compared() -> None:
    from infoplane.analysis.forecasting import join

    place = Path(__file__).parents[2] / "promises/golden"
    old, new = (
        infoplane.measure_capture(infoplane.open_capture(place / name), orders=(1,), estimators=(estimator, "plugin"))
        for name, estimator in (("capture-8", "null-curve"), ("capture-64", "corrected"))
    )
    said = r"by different estimators, which do not compare \(a by null-curve, b by thinned-curve\)"
    with pytest.raises(ResultError, match=said):
        compare([Member("a", None, old), Member("b", None, new)])
    told = [{"model": "a"}, {"model": "b"}]
    with pytest.raises(ResultError, match=said):
        join([old, new], infoplane.Scores.of([]), told=told)
