"""Preference pairs: reading, the end of the prompt, the controls, and what is refused."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pytest
from pair_captures import PairChannel
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

import infoplane
from infoplane.capture.stored_capture import Capture
from infoplane.cli import app
from infoplane.errors import InfoplaneError, LabelError, SettingError, TextError
from infoplane.measurement import measuring as run
from infoplane.measurement.asking import measure_capture
from infoplane.measurement.preference_information import Asked, token_information, with_preferences
from infoplane.measurement.results import Measurement
from infoplane.measurement.swap_control import CENTRED, PLUGIN_CENTRED, centred, score_interval
from infoplane.models.decoder import Model
from infoplane.models.tokenizer_loading import load_tokenizer
from infoplane.report.measurement.writing import render_report
from infoplane.text.cut_windows import make_windows
from infoplane.text.documents import read_text
from infoplane.text.pairs.cut_pair_windows import make_pair_windows
from infoplane.text.pairs.pair_rows import PairRows
from infoplane.text.pairs.preference_pairs import ASSISTANT, SYSTEM, USER, Message, read_pairs

CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ASK, YES, NO = Message(USER, "Is it?"), Message(ASSISTANT, "Yes, it is."), Message(ASSISTANT, "No.")


def said(*messages: Message) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def tokenizer(template: str | None = CHAT, bos: bool = False) -> Any:
    found = byte_tokenizer(bos)
    found.chat_template = template
    return found


# ---------------------------------------------------------------------- reading

ROWS: dict[str, dict[str, Any]] = {
    "conversational": {"prompt": said(ASK), "chosen": said(YES), "rejected": said(NO)},
    "conversational, implicit prompt": {"chosen": said(ASK, YES), "rejected": said(ASK, NO)},
    "answers that repeat the prompt": {"prompt": "Is it?", "chosen": said(ASK, YES), "rejected": said(ASK, NO)},
    "prompt a string, answers messages": {"prompt": "Is it?", "chosen": said(YES), "rejected": said(NO)},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Is it?"}],
        "chosen": {"from": "gpt", "value": "Yes, it is."},
        "rejected": {"from": "gpt", "value": "No."},
    },
    "prompt messages, answers strings": {"prompt": said(ASK), "chosen": "Yes, it is.", "rejected": "No."},
    "question": {"question": "Is it?", "chosen": "Yes, it is.", "rejected": "No."},
    "instruction": {"instruction": "Is it?", "input": "", "chosen": "Yes, it is.", "rejected": "No."},
    "hh": {"chosen": "\n\nHuman: Is it?\n\nAssistant: Yes, it is.", "rejected": "\n\nHuman: Is it?\n\nAssistant: No."},
}  # fmt: skip


@pytest.mark.parametrize("layout", ROWS)
def test_every_layout_gives_the_same_pair(layout: str) -> None:
    (pair,) = read_pairs([ROWS[layout]]).pairs
    assert (pair.prompt, pair.chosen, pair.rejected, pair.standard) == ((ASK,), (YES,), (NO,), False)


def test_strings_are_a_text_to_go_on_from_with_or_without_their_prompt() -> None:
    explicit = {"prompt": "The sky is", "chosen": " blue.", "rejected": " bleak."}
    implicit = {"chosen": "The sky is blue.", "rejected": "The sky is bleak."}
    for row in (explicit, implicit):  # the words begin alike: the prompt ends with a word, not within one
        (pair,) = read_pairs([row]).pairs
        assert pair.standard and pair.prompt[0].content == "The sky is"
        assert (pair.chosen[0].content, pair.rejected[0].content) == (" blue.", " bleak.")


def test_system_input_and_history_come_before_the_question() -> None:
    row = {"system": "S", "history": [["a", "b"]], "instruction": "q", "input": "i", "chosen": "x", "rejected": "y"}
    (pair,) = read_pairs([row]).pairs
    assert pair.prompt == (Message(SYSTEM, "S"), Message(USER, "a"), Message(ASSISTANT, "b"), Message(USER, "q\ni"))


def test_files_of_every_kind_hold_the_same_pairs(tmp_path: Path) -> None:
    rows = [{**ROWS["conversational"], "prompt": said(Message(USER, f"Is it {i}?"))} for i in range(3)]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress((tmp_path / "p.jsonl").read_bytes()))
    pl.DataFrame(rows).write_parquet(tmp_path / "p.parquet")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    found = [read_pairs(tmp_path / name) for name in ("p.json", "p.jsonl", "p.jsonl.gz", "p.parquet", "saved")]
    expected = [dataclasses.replace(p, name="") for p in read_pairs(rows).pairs]
    for pairs in found:
        assert [dataclasses.replace(p, name="") for p in pairs.pairs] == expected
    assert found[0].pairs[1].name == "p.json:2" and len(found[0].provenance["sha256"]) == 64
    assert len(read_pairs(rows, limit=2)) == 2


def test_identical_and_empty_answers_are_left_out_and_counted() -> None:
    same, bare = {**ROWS["hh"], "rejected": ROWS["hh"]["chosen"]}, {**ROWS["question"], "rejected": " "}
    found = read_pairs([same, ROWS["question"], bare, same])
    assert len(found) == 1 and found.provenance["identical"] == 2 and found.provenance["empty"] == 1


# ---------------------------------------------------------------------- windows


def measured(windows: Any, cutter: Any) -> list[str]:
    """The text of the measured tokens of each window."""
    bounds = zip(windows.starts[:-1], windows.starts[1:], strict=True)
    return [cutter.decode(windows.tokens[a:b][windows.is_position[a:b]]) for a, b in bounds]


@pytest.mark.parametrize("bos", [False, True])
def test_the_answer_is_measured_and_nothing_else(bos: bool) -> None:
    cutter = tokenizer(bos=bos)
    windows = make_pair_windows(read_pairs([ROWS["hh"]]), cutter)
    assert measured(windows, cutter) == ["Yes, it is.", "No."]
    whole = cutter.decode(windows.tokens[windows.starts[0] : windows.starts[1]])
    assert whole == "<user>Is it?</>\n<assistant>Yes, it is."  # a template brings its own BOS, or none
    bare = make_pair_windows(read_pairs([ROWS["hh"]]), cutter, chat_template="no")
    assert measured(bare, cutter) == ["Yes, it is.", "No."]
    assert (
        cutter.decode(bare.tokens[: bare.starts[1]]) == "<|bos|>" * bos + "\n\nHuman: Is it?\n\nAssistant: Yes, it is."
    )
    assert bool(bare.is_text[0]) is not bos and bare.provenance["bos"] == [0] * bos


def test_tokens_that_the_template_adds_after_an_answer_are_cut_and_between_answers_are_no_positions() -> None:
    cutter = tokenizer()
    chosen = said(ASK, Message(ASSISTANT, " a "), Message(USER, "b"), Message(ASSISTANT, "c"))
    windows = make_pair_windows(read_pairs([{"chosen": chosen, "rejected": said(ASK, NO)}]), cutter)
    assert measured(windows, cutter) == [" a c", "No."]


def test_a_template_that_trims_or_thinks_is_followed_and_one_that_rewrites_is_refused() -> None:
    row = {"prompt": said(ASK), "chosen": said(Message(ASSISTANT, "  Yes \n")), "rejected": said(NO)}
    thinks = CHAT.replace("{{ m.content }}", "{% if m.role == 'assistant' %}[t]{% endif %}{{ m.content | trim }}")
    cutter = tokenizer(thinks)
    assert measured(make_pair_windows(read_pairs([row]), cutter), cutter) == ["Yes", "No."]
    for template, words in (
        ("{{ messages | length }}" + CHAT, "writes the prompt differently when the answer follows"),
        (CHAT.replace("{{ m.content }}", "{{ m.content | replace('e', '3') }}"), "rewrites the answer"),
        ("{{ raise_exception('no system here') }}", "refuses its messages: no system here"),
    ):
        with pytest.raises(TextError, match=words):
            make_pair_windows(read_pairs([row]), tokenizer(template))


def test_special_tokens_in_an_answer_are_positions_only_when_asked_for() -> None:
    pairs = read_pairs([{"question": "q", "chosen": "a<|bos|>b", "rejected": "c"}])
    cutter = tokenizer()
    assert measured(make_pair_windows(pairs, cutter), cutter) == ["ab", "c"]
    assert measured(make_pair_windows(pairs, cutter, include_special=True), cutter) == ["a<|bos|>b", "c"]


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return load_tokenizer("smollm2-135m")


def test_a_token_across_the_end_of_the_prompt_is_the_prompts(smollm2: Any) -> None:
    cutter = smollm2
    row = {"prompt": "He went home to his wi", "chosen": "fe and slept.", "rejected": "de and vast garden."}
    windows = make_pair_windows(read_pairs([row]), cutter)
    # "wife" and "wide" are one token each, and begin in the prompt
    assert set(measured(windows, cutter)) == {" and slept.", " and vast garden."}


def test_real_template_of_a_real_tokenizer(smollm2: Any) -> None:
    cutter = smollm2
    windows = make_pair_windows(read_pairs([ROWS["conversational"]]), cutter)
    assert measured(windows, cutter) == ["Yes, it is.", "No."]
    whole = cutter.apply_chat_template(said(ASK, YES))["input_ids"]
    ours = windows.tokens[: windows.starts[1]].tolist()
    assert whole[: len(ours)] == ours and cutter.decode(whole[len(ours) :]) == "<|im_end|>\n"


def test_a_pair_is_one_document_and_the_windows_say_which_answer_is_which() -> None:
    cutter = tokenizer()
    rows = [{"question": f"q{i}", "chosen": "c" * (10 + i), "rejected": "r" * (25 - 3 * i)} for i in range(6)]
    windows = make_pair_windows(read_pairs(rows), cutter)
    found = PairRows.of(windows)
    letters = np.array(list("".join(measured(windows, cutter))))
    assert ((letters == "r") == found.rejected).all()
    assert windows.documents == tuple(f"pair:{i + 1}" for i in range(6))
    for i in range(6):
        n_c, n_r = 10 + i, 25 - 3 * i
        own = found.pair == i
        assert (own & (found.rejected == 0)).sum() == n_c and (own & (found.rejected == 1)).sum() == n_r
        for side in (0, 1):  # as many of both, at the same places
            assert found.place[own & found.matched & (found.rejected == side)].tolist() == list(range(min(n_c, n_r)))
    swapped = read_pairs([{**r, "chosen": r["rejected"], "rejected": r["chosen"]} for r in rows])
    assert make_pair_windows(swapped, cutter).hash != windows.hash


def test_the_budget_is_of_answer_tokens_and_spread_over_pairs() -> None:
    rows = [{"question": "q" * 40, "chosen": "c" * 200, "rejected": "r" * (100 + i)} for i in range(8)]
    windows = make_pair_windows(read_pairs(rows), tokenizer(), tokens=1000)
    n = np.diff(windows.row_starts)
    assert n.sum() <= 1000 < n.sum() + 16 and len(set(n)) == 1 and len(windows.documents) == 7  # 64 each, then fewer
    facts = windows.provenance["pairs"]
    assert facts["answers_cut_by_budget"] == 14 and facts["not_reached"] == 1 and facts["answer_tokens"] == n.sum()


def test_what_does_not_fit_the_context_is_left_out_or_cut_and_counted() -> None:
    rows = [{"question": "q" * n, "chosen": "c" * 40, "rejected": "r" * 4} for n in (10, 70, 200)]
    cutter = tokenizer()
    windows = make_pair_windows(read_pairs(rows), cutter, context=64)
    facts = windows.provenance["pairs"]
    assert facts["pairs"] == 1 and facts["context_full"] == 2 and facts["answers_cut_by_context"] == 1
    assert "2 pairs are left out: their prompts fill the context" in windows.provenance["warnings"][0]
    cut = make_pair_windows(read_pairs(rows), cutter, context=64, prompt_truncate=True)
    assert cut.provenance["pairs"]["prompts_truncated"] == 2 and len(cut.documents) == 3
    assert measured(cut, cutter)[3:] == ["rrrr"] * 3 and cut.lengths.max() <= 64
    last = 3 + int(np.flatnonzero(cut.document[3:] == 2)[0])
    first = cut.tokens[cut.starts[last] : cut.starts[last + 1]]
    assert cutter.decode(first).endswith("</>\n<assistant>rrrr") and len(first) == 36  # the prompt's last 32 tokens


@pytest.mark.parametrize("bos", [False, True])
def test_windows_of_pairs_are_paid_for_the_bytes_they_hold(bos: bool) -> None:
    """Those of a prompt that was cut from the left were counted after an inserted BOS, and characters as wholes."""
    rows = [{"question": "東京" * n, "chosen": "タワー" * 40, "rejected": "é🗼" * 9} for n in (2, 60)]
    for context in (199, 200, 201):
        windows = make_pair_windows(
            read_pairs(rows), tokenizer(None, bos), context=context, chat_template="no", prompt_truncate=True
        )
        assert windows.provenance["pairs"]["prompts_truncated"] == 1 and windows.provenance["bos"] == [0] * bos
        assert (windows.byte_count == windows.lengths - 1).all()  # a byte a token


# ---------------------------------------------------------------------- controls


def figures(capture: Capture, swaps: int = 16) -> dict[tuple[str, str], Any]:
    empty = Measurement((), {"settings": {"unit": "nats"}})
    found = with_preferences(empty, capture, swaps=swaps)
    assert len(found.select(layer="model", quantity="token_preference")) == 1
    assert found.get("preference_given_token").estimator == PLUGIN_CENTRED  # the one that stands first
    return {
        (r.quantity, "plugin" if r.estimator == PLUGIN_CENTRED else r.position_set or ""): r
        for r in found.select(layer="model")
        if r.estimator in (CENTRED, PLUGIN_CENTRED) and not r.quantity.endswith("_swapped")
    }


def inside(row: Any, truth: float) -> bool:
    return bool(row.interval[0] <= truth <= row.interval[1])


def test_a_known_preference_is_found_raw_matched_and_beyond_the_token() -> None:
    channel = PairChannel(effect=0.4)
    rows = figures(channel.capture(seed=1, pairs=160))
    for key, truth in (
        (("preference", "answers"), channel.truth),
        (("preference", "matched"), channel.truth),
        (("preference_given_token", "matched"), channel.truth_given_token),
    ):
        assert truth > 5 * rows[key].standard_error and inside(rows[key], truth), (key, truth, rows[key])
    lower = rows["preference_given_token", "plugin"]  # rare tokens have their part taken
    assert lower.interval[0] > 0 and 0.5 * channel.truth_given_token < lower.value < lower.interval[1]
    assert lower.value < 1.1 * channel.truth_given_token


def test_words_that_differ_are_not_taken_for_states_that_do() -> None:
    """States that hold the token alone: what they say of the preference is what its words say, and nothing beyond."""
    channel = PairChannel(words=0.5)
    rows = figures(channel.capture(seed=2, pairs=160))
    assert rows["preference", "matched"].interval[0] > 0 and rows["token_preference", "plugin"].interval[0] > 0
    assert inside(rows["preference", "matched"], channel.truth)
    assert inside(rows["token_preference", "plugin"], channel.truth_of_token)
    assert inside(rows["preference_given_token", "matched"], 0.0)
    assert inside(rows["preference_given_token", "plugin"], 0.0)


def test_length_alone_gives_a_raw_figure_and_nothing_once_matched() -> None:
    """Rejected answers are longer, of the same kind of tokens, in states that know their place."""
    channel = PairChannel(place=1.0)
    rows = figures(channel.capture(seed=3, pairs=160, longer=40))
    raw, matched = rows["preference", "answers"], rows["preference", "matched"]
    assert raw.interval[0] > 0.0005 and inside(matched, 0.0) and matched.interval[1] < raw.interval[0]
    assert inside(rows["preference_given_token", "matched"], 0.0)
    assert inside(rows["preference_given_token", "plugin"], 0.0)


def test_random_assignments_cover_zero() -> None:
    """Chosen and rejected by a coin: the intervals hold 0 in about 95 % of draws, for each figure."""
    capture = PairChannel(place=0.5, words=0.0).capture(seed=4, pairs=60, mean=20, longer=10)
    draws, swaps = 96, 16
    asked = Asked(capture, draws)
    asked.add("block.0")
    pick = np.random.default_rng(0)
    for quantity, sample, plugin in (
        ("preference", "answers", False),
        ("preference", "matched", False),
        ("preference_given_token", "matched", False),
        ("preference_given_token", "matched", True),
    ):
        figures = [asked.value(["block.0"], quantity, sample, f"swap{r}", plugin) for r in range(draws)]
        values = [figure.columns for figure in figures if figure is not None]
        assert len(values) == draws
        held = 0
        for r, value in enumerate(values):
            others = pick.choice(np.delete(np.arange(draws), r), swaps, replace=False)
            row = centred(quantity, "model", value, np.array([values[o][0] for o in others]), unit="nats")
            held += inside(row, 0.0)
        assert 0.88 <= held / draws <= 1.0, (quantity, sample, held)  # 95 % by 96 draws: 0.95 +- 3 x 0.022


def test_a_swap_keeps_pairs_lengths_and_places() -> None:
    found = PairRows.of(PairChannel().windows(seed=5, pairs=50, mean=20)[0])
    kept = changed = 0
    for draw in range(4):
        swapped = found.swapped(draw)
        for i in range(50):
            own = found.pair == i
            same = bool((swapped[own] == found.rejected[own]).all())
            assert same or (swapped[own] == 1 - found.rejected[own]).all()
            kept, changed = kept + same, changed + (not same)
        assert (found.swapped(draw) == swapped).all()
    assert 60 < kept < 140 and kept + changed == 200


def test_the_interval_is_the_swaps_at_zero_and_the_jackknifes_far_from_it() -> None:
    swaps = np.random.default_rng(0).normal(0.3, 1.0, 400)
    s, t = swaps.std(ddof=1) * np.sqrt(1 + 1 / 400), 2.0395
    for value, covers in ((1.02 * t * s, False), (0.98 * t * s, True), (-0.98 * t * s, True), (-1.02 * t * s, False)):
        _, (low, high) = score_interval(value, 5.0, swaps, 32)
        assert (low <= 0 <= high) == covers
    error, (low, high) = score_interval(1000.0, 5.0, swaps, 32)
    assert error == pytest.approx(5.0, rel=1e-3) and low == pytest.approx(1000 - 5 * t, abs=0.2)
    assert high == pytest.approx(1000 + 5 * t, abs=0.2)
    below = score_interval(t * s - 1e-9, 5.0, swaps, 32)[1]
    above = score_interval(t * s + 1e-9, 5.0, swaps, 32)[1]
    assert np.allclose(below, above, atol=1e-6)  # no jump where the interval lets go of 0


def test_what_words_say_is_the_information_of_a_table_of_counts() -> None:
    from sklearn.metrics import mutual_info_score

    random = np.random.default_rng(0)
    label = random.integers(0, 2, 4000).astype(np.int32)
    token = random.integers(0, 20 + 5 * label).astype(np.int32)
    pair = np.repeat(np.arange(80), 50).astype(np.int32)
    block = (np.arange(80) % 32).astype(np.int32)
    found = token_information(token, label, pair, block)
    assert found[0] == pytest.approx(mutual_info_score(token, label))
    assert len(found) == 33


# ---------------------------------------------------------------------- the whole way


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.from_module(tiny_model(), tokenizer(), "tiny")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    words = np.array(["the", "of", "a", "blue", "red", "sky", "sea", "is", "was", "not", "very", "far", "near"])

    def some(n: int) -> str:
        return " ".join(random.choice(words, n))

    return [{"question": some(3), "chosen": some(5), "rejected": some(int(random.integers(3, 9)))} for _ in range(44)]


def test_a_model_is_measured_and_its_capture_asked_again(model: Model, rows: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"m": 16, "orders": (1,)}
    found = infoplane.measure(model, preferences=rows, tokens=8000, context=96, capture=tmp_path / "c", **settings)
    row = found.get("preference", position_set="matched")
    assert row.estimator == "null-curve, swap-centred" and row.unit == "efficiency" and row.interval is not None
    assert found.provenance["preferences"]["pairs"] == 44 and found.provenance["documents"] == 44
    assert found.get("complexity", order=1).n is not None  # the rest of the measurement stands on the answers too
    again = infoplane.measure(None, capture=tmp_path / "c", orders=(1,))
    assert [r for r in again if "preference" in r.quantity] == [r for r in found if "preference" in r.quantity]
    found.save(tmp_path / "out")
    assert Measurement.load(tmp_path / "out").estimates == found.estimates
    assert "preference" in render_report(found)
    plain = next(
        r for r in found.select(quantity="preference", layer="model", position_set="answers", estimator="plugin")
    )
    kept = infoplane.open_capture(tmp_path / "c")
    column = PairRows.of(kept.windows).rejected
    same = measure_capture(kept, orders=(1,), estimators=("plugin",), labels={"p": column}).get(
        "information", side="label:p", estimator="plugin"
    )
    assert plain.value == pytest.approx(same.value, rel=1e-12)  # the published figure is that of any other column
    assert plain.standard_error == pytest.approx(same.standard_error, rel=1e-9)


def test_reference_sets_give_the_error_of_the_points(model: Model, rows: Any) -> None:
    found = infoplane.measure(
        model, preferences=rows[:41], tokens=8000, context=96, m=8, orders=(1,), reference_sets=2, layers=["block.0"]
    )
    assert found.get("preference", position_set="matched").points_error is not None


# ---------------------------------------------------------------------- bad input


BAD: list[tuple[Any, str]] = [
    ([{"prompt": "a", "completion": "b", "label": True}], "unpaired preferences .* as for KTO"),
    ([{"prompt": "a", "chosen": "b"}], "no column 'rejected'; it has: prompt, chosen"),
    ([{"a": "b"}], "no column 'chosen' and no column 'rejected'; it has: a"),
    ([{"chosen": "same", "rejected": "same", "prompt": "x"}], "1 have chosen and rejected alike"),
    ([{"prompt": "a", "chosen": "b", "rejected": said(NO)}], "one of chosen and rejected is a string"),
    ([{"chosen": "Red.", "rejected": "Blue."}], "no prompt: expected a column of prompt"),
    ([{"chosen": said(YES), "rejected": said(NO)}], "no prompt: expected a column"),
    ([{"chosen": said(ASK, YES), "rejected": said(Message(USER, "?"), NO)}], "begin with different messages"),
    ([{"chosen": said(ASK, YES), "rejected": said(ASK)}], "one of chosen and rejected is the beginning of the other"),
    ([{"chosen": said(ASK, YES), "rejected": said(ASK, ASK, NO)}], "rejected has no message of the assistant"),
    ([{"prompt": "a", "chosen": "b", "rejected": "c", "images": ["x.png"]}], "column 'images' holds more than text"),
    (
        [{"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": said(YES), "rejected": said(NO)}],
        "prompt, message 1: content is list, expected a string; images",
    ),
    ([{"prompt": "a", "chosen": [{"role": "tool", "content": "b"}], "rejected": said(NO)}], "role 'tool' is not known"),
    ([{"prompt": "a", "chosen": [{"text": "b"}], "rejected": said(NO)}], "expected a message with role and content"),
    ([{"prompt": "a", "chosen": 3, "rejected": 4}], "expected a string or a list of messages, found int"),
    (["x"], "expected a row with named columns, found str"),
    ([], "no preference pair in"),
]  # fmt: skip


@pytest.mark.parametrize("content, words", BAD)
def test_bad_rows_are_refused_on_the_command_line(content: Any, words: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(content))
    answer = CliRunner().invoke(
        app, ["measure", "no-such-model", "--preferences", str(file), "--out", str(tmp_path / "o")]
    )
    assert isinstance(answer.exception, InfoplaneError) and not (tmp_path / "o").exists()
    with pytest.raises(InfoplaneError, match=words):
        raise answer.exception


def test_bad_settings_are_refused_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps([{"question": "q" * 80, "chosen": "yes", "rejected": "no"}] * 2))
    monkeypatch.setattr(
        "infoplane.models.source.ready_model", lambda *_: Model.from_module(tiny_model(), tokenizer(None), "tiny")
    )

    def refused(*options: str) -> str:
        answer = CliRunner().invoke(
            app, ["measure", "x", "--preferences", str(file), "--out", str(tmp_path / "o"), *options]
        )
        assert isinstance(answer.exception, InfoplaneError), answer.output
        return str(answer.exception)

    assert "has no chat template: name one that has" in refused("--chat-template", "yes")
    assert "--chat-template maybe: expected one of auto, yes, no" in refused("--chat-template", "maybe")
    assert "none of the 2 preference pairs leaves room for an answer in 64 tokens (2 prompts fill it)" in refused(
        "--context", "64"
    )
    assert "--preferences are measured without --text:" in refused("--text", "other.txt")
    assert "--preferences are measured without --column:" in refused("--column", "a")
    assert "measured without --until-se" in refused("--until-se", "0.1")
    assert "measured without --bound" in refused("--bound")
    labels = tmp_path / "labels.txt"
    labels.write_text("0\n1\n")
    assert "measured without --label" in refused("--label", f"a={labels}")
    with pytest.raises(SettingError, match="a capture has its own text"):
        run.measure(None, preferences=[ROWS["hh"]], capture=tmp_path)
    assert "read from .json, .jsonl or .parquet files" in refused("--preferences", __file__)
    assert "no file or folder" in refused("--preferences", "nothing.json")


def test_without_a_template_conversations_are_written_plainly_and_that_is_said(tmp_path: Path) -> None:
    windows = make_pair_windows(read_pairs([ROWS["hh"]]), tokenizer(None))
    assert windows.provenance["warnings"] == [
        r"no chat template was used: conversations are written as \n\nHuman: ...\n\nAssistant: ..."
    ]
    assert windows.provenance["pairs"]["format"] == "plain"


def test_windows_of_a_text_have_no_preference(model: Model) -> None:
    windows = make_windows(read_text(["some text that is long enough"]), model.tokenizer)
    with pytest.raises(LabelError, match="of a text, not of preference pairs"):
        PairRows.of(windows)
    with pytest.raises(SettingError, match="4 or more"):
        with_preferences(Measurement((), {"settings": {"unit": "nats"}}), PairChannel().capture(0, 41, mean=5), swaps=2)


def test_too_few_pairs_give_a_value_without_an_interval() -> None:
    row = figures(PairChannel().capture(seed=6, pairs=20, mean=20))["preference", "matched"]
    assert row.interval is None and row.standard_error is None
