"""Surveys: the file, the budget of bytes, the lock, what is done and not done again, failures, cost."""

from __future__ import annotations

import gc
import inspect
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import polars as pl
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

import infoplane
from infoplane import loading, surveying
from infoplane.byte_budget import MIN_BYTES, limit_bytes, tokens_enough
from infoplane.cli import app
from infoplane.errors import ModelError, ResultError, SettingError, TextError
from infoplane.measurement import Measurement
from infoplane.survey_cost import CAPTURING, EACH_SET, THROUGHPUTS, costs, throughput_of
from infoplane.survey_file import READY, parse_survey, read_survey, ready_text
from infoplane.survey_lock import Hub, Lock, moved, resolve
from infoplane.survey_record import Survey
from infoplane.surveying import choose, survey
from infoplane.text import Document, read_text
from infoplane.tokenize import make_windows

HEAD = """
[defaults]
bytes = 16000
context = 64
points = 16
orders = [1]
estimators = ["corrected"]
dtype = "float32"
device = "cpu"
"""
MODELS = """
[[model]]
id = "tiny/llama"
path = "llama"
family = "Llama"
parameters_b = 0.00003

[[model]]
path = "broken"

[[model]]
id = "tiny/neox"
path = "neox"
family = "Pythia"
loss = true
"""
SHA = "0123456789abcdef0123456789abcdef01234567"


def save(place: Path, family: str, seed: int = 0) -> Path:
    tiny_model(family, seed).save_pretrained(place)
    byte_tokenizer().save_pretrained(place)
    return place


def models_in(place: Path) -> Path:
    save(place / "llama", "llama")
    save(place / "neox", "gpt_neox")
    (place / "broken").mkdir()
    (place / "broken/config.json").write_text('{"model_type": "llama"}')
    (place / "survey.toml").write_text(HEAD + MODELS)
    return place


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models_in(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def surveyed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Survey, Path, list[str]]:
    """A survey of two families and a broken model; what was alive when each was loaded is told by `alive`."""
    out, said = tmp_path_factory.mktemp("out") / "s", list[str]()
    return survey(models / "survey.toml", out=out, say=said.append), out, said


def contents(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing was left to measure")


# ---------------------------------------------------------------------- a budget of bytes


def documents_of(seed: int, count: int) -> list[Document]:
    random = np.random.default_rng(seed)
    letters = np.array(list("ab é漢😀"))  # one to four bytes each
    sizes = random.integers(1, 900, count)
    return [Document(f"d{i}", "x" + "".join(random.choice(letters, n))) for i, n in enumerate(sizes)]


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_of_bytes_is_spread_over_documents_and_cuts_no_character(seed: int) -> None:
    documents = documents_of(seed, 40)
    whole = {d.name: d.text for d in documents}
    size = int(np.random.default_rng(seed).integers(12_000, 60_000))
    found = limit_bytes(read_text(documents), size)
    read = {d.name: len(d.text.encode()) for d in found.documents}
    assert list(read) == [d.name for d in documents]  # all of them, in their order
    assert all(whole[d.name].startswith(d.text) for d in found.documents)
    total = sum(read.values())
    every = {name: len(text.encode()) for name, text in whole.items()}
    assert size - 4 * len(documents) < total <= size or total == sum(every.values())
    cut = [n for name, n in read.items() if n < every[name]]
    level = max(read.values()) if cut else 0
    assert all(level - n <= 4 for n in cut)  # one level for all that are cut, but for a token's rest and a character
    assert found.provenance["bytes"] == {"budget": size, "read": total, "seed": 0}
    assert found.provenance["sha256"] == read_text(list(found.documents)).provenance["sha256"]


def test_a_small_budget_takes_fewer_documents_by_seed_and_a_large_one_all() -> None:
    documents = [Document(f"d{i}", "é" * 1_000) for i in range(50)]
    text = read_text(documents)
    few = limit_bytes(text, 10 * MIN_BYTES)
    assert len(few) == 10 and {len(d.text.encode()) for d in few.documents} == {MIN_BYTES}
    assert [d.name for d in few.documents] != [d.name for d in limit_bytes(text, 10 * MIN_BYTES, seed=1).documents]
    assert few == limit_bytes(text, 10 * MIN_BYTES)
    assert limit_bytes(text, 10**9).documents == text.documents
    short = read_text(["é"] * 1_000)  # each is less than is worth reading of a long one, and all are read
    assert limit_bytes(short, 2_000).documents == short.documents
    for wrong in (0, MIN_BYTES - 1, 2_000.0, True):
        with pytest.raises(SettingError, match=r"bytes = .*: expected a whole number, 256 or more"):
            limit_bytes(text, wrong)


@pytest.mark.parametrize("bos", [False, True])
def test_all_of_the_limited_text_is_read_whatever_the_tokenizer(bos: bool) -> None:
    text = limit_bytes(read_text(documents_of(0, 60)), 20_000)
    windows = make_windows(text, byte_tokenizer(bos), tokens=tokens_enough(text), context=64, min_window=1)
    assert int(windows.is_text.sum()) == text.provenance["bytes"]["read"]
    assert len(windows.documents) == len(text)


# ---------------------------------------------------------------------- the file


def test_defaults_are_filled_in_and_overridden_and_paths_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/corpus.txt").write_text("words")
    content = """
    [defaults]
    text = "corpus.txt"
    tokens = 5000
    orders = [1, 2]
    [[model]]
    id = "owner/a"
    revision = "step/1"
    [[model]]
    id = "owner/b"
    bytes = 4000
    orders = [1]
    text = "owner/texts"
    [[model]]
    path = "../m/x.gguf"
    name = "mine"
    """
    a, b, c = parse_survey(content, "s.toml", tmp_path / "t")
    assert a.settings["text"] == str((tmp_path / "t/corpus.txt").resolve()) and b.settings["text"] == "owner/texts"
    assert (a.settings["tokens"], a.settings["orders"], a.settings["seed"]) == (5000, [1, 2], 0)
    assert "tokens" not in b.settings and (b.settings["bytes"], b.settings["orders"]) == (4000, [1])
    assert (c.name, c.id, c.path, c.is_local) == ("mine", "x.gguf", str((tmp_path / "m/x.gguf").resolve()), True)
    assert b.name == "owner--b" and not b.is_local
    assert a.name.startswith("owner--a--step_1-") and "/" not in a.name
    (only,) = parse_survey('[[model]]\nid = "smollm2-135m"', "s.toml", tmp_path)
    assert only.settings["tokens"] == 32_768 and only.settings["text"] == "c4-sample" and only.is_local


MODEL = '[[model]]\nid = "o/m"\n'


@pytest.mark.parametrize(
    "content, said",
    [
        ("[defaults\n", r"s.toml is not TOML: .*line 1"),
        ("", r"s.toml lists no model: write \[\[model\]\]"),
        ("[model]\nid = 'o/m'", r"lists no model"),
        ("default = 1\n" + MODEL, r"unknown setting 'default'; near names: defaults"),
        ("[defaults]\ntoken = 5\n" + MODEL, r"\[defaults\]: unknown setting 'token'; near names: tokens, tokenizer"),
        (MODEL + "parameters = 7", r"model 1 \(o/m\): unknown setting 'parameters'; near names: parameters_b"),
        (MODEL + "zzz = 7", r"unknown setting 'zzz'; see docs/survey.md"),
        ("[defaults]\nrevision = 'x'\n" + MODEL, r"\[defaults\]: unknown setting 'revision'"),
        (MODEL + "tokens = '5'", r"model 1 \(o/m\): tokens = '5': expected a whole number, 8 or more"),
        (MODEL + "tokens = true", r"tokens = True: expected a whole number"),
        (MODEL + "loss = 1", r"loss = 1: expected true or false"),
        (MODEL + "orders = [1, 5]", r"orders = \[1, 5\]: expected a list of some of 1, 2, 3, 4"),
        (MODEL + "orders = []", r"orders = \[\]: expected a list"),
        (MODEL + "orders = [true]", r"orders = \[True\]: expected a list"),
        (MODEL + "estimators = ['best']", r"expected a list of some of plugin, corrected, null-curve"),
        (MODEL + "dtype = 'bf16'", r"dtype = 'bf16': expected one of auto, float32, bfloat16"),
        (MODEL + "parameters_b = -1", r"parameters_b = -1: expected a number above 0"),
        (MODEL + "parameters_b = nan", r"expected a number above 0"),
        (MODEL + "bytes = 300\ntokens = 300", r"tokens and bytes are two budgets"),
        (MODEL + MODEL, r"s.toml lists o/m twice: remove one"),
        (MODEL + MODEL + "orders = [1]", r"two models would share the folder 'o--m': give each a name"),
        (MODEL + MODEL + "name = 'other'", r"lists o/m twice with the same settings, as 'o--m' and 'other'"),
        (MODEL + '[[model]]\nid = "O/M"', r"two models would share the folder 'O--M'"),
        ("[[model]]\nfamily = 'x'", r"model 1 \(no id\): expected an id, such as owner/name, or a path"),
        ("[[model]]\nid = '../up'", r"id '../up' is not a hub id owner/name; a folder or file is named with path"),
        ("[[model]]\nid = 'a/b/c'", r"is not a hub id"),
        (MODEL + "name = '../up'", r"name '../up' cannot be a folder's"),
        (MODEL + "name = '..'", r"name '..' cannot be a folder's"),
        ("[[model]]\npath = 'm'\nrevision = 'main'", r"a path has no revision"),
        (MODEL + "text = '-'", r"standard input \(-\) is read once"),
        (MODEL + "text = 'missing.txt'", r"no text at .*missing.txt; expected a path that exists, c4-sample"),
    ],
)
def test_what_is_wrong_in_a_survey_file_is_said(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=said):
        parse_survey(content, "s.toml", tmp_path)


def test_a_survey_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no survey file .*none.toml: expected a TOML file that exists; or one of"):
        read_survey(tmp_path / "none.toml")
    with pytest.raises(SettingError, match="did you mean open-families"):
        read_survey("open-familys")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(SettingError, match=r"cannot be read: .*TOML in UTF-8"):
        read_survey(tmp_path / "latin.toml")


def test_no_name_leads_out_of_the_folder() -> None:
    for revision in ("../../etc", "refs/pr/1", ".", "a b", "x" * 300, "é", "\\..\\x"):
        (entry,) = parse_survey(f"[[model]]\nid = 'o/m'\nrevision = '{revision}'", "s.toml", Path())
        place = Path("/out") / entry.name
        assert place.resolve().parent == Path("/out") and len(entry.name) < 121 and entry.name.isascii(), entry.name


def test_the_ready_survey_has_the_usual_families() -> None:
    (name,) = READY
    entries = read_survey(name)
    families = {e.facts["family"] for e in entries}
    assert len(entries) >= 70 and len(families) >= 12
    assert {"Llama", "Qwen", "Gemma", "Mistral", "OLMo", "Pythia", "SmolLM", "Phi", "Falcon", "Yi", "OPT"} <= families
    assert len({e.id.casefold() for e in entries}) == len(entries)
    assert all(e.revision is None and e.path is None and "/" in e.id for e in entries)
    assert all(0.07 <= e.facts["parameters_b"] <= 71 for e in entries)
    assert all(e.facts["kind"] in ("base", "instruct") for e in entries)
    shared = {json.dumps({k: v for k, v in e.settings.items() if k != "device_map"}, sort_keys=True) for e in entries}
    assert len(shared) == 1  # one setting for all, but for those that need several GPUs
    assert {e.id for e in entries if "device_map" in e.settings} == {
        e.id for e in choose(entries) if e.facts["parameters_b"] > 35
    }
    settings = entries[0].settings
    assert settings["reference_sets"] >= 5 and settings["loss"] and "bytes" in settings
    assert settings["bytes"] <= sum(len(d.text.encode()) for d in read_text(settings["text"]).documents)


# ---------------------------------------------------------------------- which models


def test_globs_and_sizes_choose_models() -> None:
    entries = read_survey("open-families")
    pythia = choose(entries, "pythia")
    assert len(pythia) > 5 and all("pythia" in e.id for e in pythia)
    assert choose(entries, "*/pythia-160m,google--gemma-2b") == choose(entries, "google/gemma-2b,*--pythia-160m")
    assert max(e.facts["parameters_b"] for e in choose(entries, "llama", 9)) == 8.03
    with pytest.raises(SettingError, match=r"--only 'pythai\*' fits no model of the survey; it has "):
        choose(entries, "pythia,pythai*")
    with pytest.raises(SettingError, match="no model of the survey is left"):
        choose(entries, "pythia", 0.01)
    with pytest.raises(SettingError, match=r"--up-to 1: the survey does not tell parameters_b of o/m"):
        choose(parse_survey(MODEL, "s.toml", Path()), None, 1.0)


# ---------------------------------------------------------------------- runs


def test_each_model_is_measured_as_by_itself_and_failures_are_recorded(models: Path, surveyed: Any) -> None:
    found, out, said = surveyed
    assert [(one.id, one.status) for one in found.models] == [
        ("tiny/llama", "measured"), ("broken", "failed"), ("tiny/neox", "measured"),
    ]  # fmt: skip
    assert [s.partition(":")[0] for s in said] == ["1/3 tiny--llama", "2/3 broken", "3/3 tiny--neox"]
    record = json.loads((out / "survey.json").read_text())
    assert record["schema"] == "infoplane/survey/1"
    (failure,) = record["failures"]
    assert failure["name"] == "broken" and failure["error"] == "ModelError"
    assert "holds no weights: expected *.safetensors" in failure["message"]
    text = limit_bytes(read_text("c4-sample"), 16_000)
    more: dict[str, Any] = {"tokens": 20_000, "context": 64, "m": 16, "orders": (1,), "estimators": ("corrected",)}
    alone = infoplane.measure(models / "neox", text, loss=True, dtype="float32", device="cpu", **more)
    assert alone.estimates == found.models[2].measurement.estimates
    assert not list(out.rglob("capture"))
    again = Survey.load(out)
    assert again == found and again.measured[0].measurement == Measurement.load(out / "tiny--llama")
    lock = json.loads((out / "survey.lock.json").read_text())
    hashes = {one["id"]: one["sha256"] for one in lock["models"]}
    assert hashes["tiny/llama"] == loading.folder_hash(models / "llama")
    assert hashes["tiny/llama"] == found.models[0].measurement.provenance["model"]["file_sha256"]


def test_the_table_has_a_row_a_model_with_facts_figures_and_errors(surveyed: Any) -> None:
    found, out, _ = surveyed
    table = pl.read_parquet(out / "survey.parquet")
    assert table.equals(found.table()) and table["model"].to_list() == ["tiny/llama", "tiny/neox"]
    assert table["family"].to_list() == ["Llama", "Pythia"]
    assert table["parameters"].to_list() == [
        sum(p.numel() for p in tiny_model(f).parameters()) for f in ("llama", "gpt_neox")
    ]
    assert set(table["device"]) == {"cpu"} and "transformers 5" in table["versions"][0]
    assert table["text_sha256"].n_unique() == table["windows_hash"].n_unique() == 1  # the same text
    assert table["bytes"].n_unique() == 1 and 15_700 < table["bytes"][0] <= 16_000
    for i, one in enumerate(found.measured):
        for quantity in ("complexity", "expressivity", "optimality"):
            row = one.measurement.get(quantity, order=1)
            assert table[f"{quantity}_1"][i] == row.value and table[f"{quantity}_1_error"][i] == row.standard_error
        assert table["entropy"][i] == one.measurement.get("entropy").value
    assert table["bits_per_byte"].is_null().to_list() == [True, False]
    assert table["complexity_1_error"].is_not_null().all()


def test_columns_tell_orders_estimators_and_weights_apart(models: Path) -> None:
    found = infoplane.measure(
        models / "llama", limit_bytes(read_text("c4-sample"), 16_000), tokens=20_000, context=64, m=16, orders=(1, 2),
        weights=("frequency", "uniform"), dtype="float32", device="cpu", reference_sets=2,
    )  # fmt: skip
    from infoplane.survey_record import Surveyed

    (row,) = Survey((Surveyed("a", "o/a", None, measurement=found),)).table().iter_rows(named=True)
    for column, fields in {
        "complexity_1": {"order": 1, "estimator": "null-curve", "weight": "frequency", "position_set": "P_1"},
        "expressivity_2": {"order": 2, "estimator": "null-curve", "weight": "frequency", "position_set": "P_2"},
        "complexity_2_plugin": {"order": 2, "estimator": "plugin", "weight": "frequency", "position_set": "P_2"},
        "complexity_1_uniform_plugin": {"order": 1, "estimator": "plugin", "weight": "uniform"},
        "entropy_plugin": {"estimator": "plugin", "position_set": "P_1"},
        "share_output_2": {"order": 2, "estimator": "null-curve", "side": "output", "position_set": "P_2"},
    }.items():
        want = found.select(layer="model", quantity=column.split("_")[0], **fields)
        assert row[column] == want[0].value and len({r.side for r in want}) == 1, column
        assert row[f"{column}_reference_error"] == want[0].reference_error


def test_what_is_done_is_not_done_again(models: Path, surveyed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, out, _ = surveyed
    before, said = contents(out), list[str]()
    monkeypatch.setattr(surveying, "measure", never)
    again = survey(models / "survey.toml", out=out, only="tiny/*", say=said.append)
    assert said == ["1/2 tiny--llama: measured already", "2/2 tiny--neox: measured already"]
    assert again == found and contents(out) == before  # the failure of the model not asked for stands too
    monkeypatch.undo()
    survey(models / "survey.toml", out=out, only="broken", say=said.append)  # what failed is tried again
    assert contents(out) == before and "holds no weights" in said[-1]


def test_other_settings_are_refused_and_forced(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, out = tmp_path / "s.toml", tmp_path / "out"
    head = HEAD + f"[[model]]\nid = 't/a'\npath = '{models / 'llama'}'\n"
    other = f"[[model]]\nid = 't/b'\npath = '{models / 'neox'}'\n"
    place.write_text(head + other)
    survey(place, out=out)
    before = contents(out)
    place.write_text(head + "points = 8\n" + other)
    with pytest.raises(
        ResultError, match=r"t--a/measurement.json is a measurement made otherwise \(different: points\)"
    ):
        survey(place, out=out)
    assert contents(out) == before
    measured = list[str]()

    def watched(model: Any, *more: Any, **settings: Any) -> Measurement:
        measured.append(Path(model).name)
        return infoplane.measure(model, *more, **settings)

    monkeypatch.setattr(surveying, "measure", watched)
    found = survey(place, out=out, force=True)
    assert measured == ["llama"] and found.models[0].measurement is not None
    assert found.models[0].measurement.provenance["points"]["m"] == 8
    place.write_text(HEAD.replace("16000", "12000") + head[len(HEAD) :])
    with pytest.raises(ResultError, match=r"survey.json lists 1 measured models that this survey does not \(t--b\)"):
        survey(place, out=out)
    place.write_text((head + "points = 8\n" + other).replace("16000", "12000"))
    with pytest.raises(ResultError, match=r"different: bytes, text"):
        survey(place, out=out)


def test_models_not_asked_for_stay_in_the_table_though_measured_elsewhere(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = survey(models / "survey.toml", out=out, only="tiny/llama")
    assert [one.status for one in first.models] == ["measured", "pending", "pending"]
    monkeypatch.setattr(surveying, "_versions", lambda: {"infoplane": "99"})
    said = list[str]()
    found = survey(models / "survey.toml", out=out, only="tiny/neox", say=said.append)
    assert [one.status for one in found.models] == ["measured", "pending", "measured"]
    assert said[0] == "tiny--llama: stays in the table as it was measured (different: versions)"
    with pytest.raises(ResultError, match=r"tiny--llama/measurement.json is a .* otherwise \(different: versions\)"):
        survey(models / "survey.toml", out=out, only="tiny/llama")


def test_local_weights_that_change_are_refused_and_broken_ones_can_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, out = models_in(tmp_path / "m"), tmp_path / "out"
    done = list[str]()

    def quick(model: Any, *more: Any, **settings: Any) -> Measurement:
        done.append(Path(model).name)
        return infoplane.measure(model, "c4-sample", **{**settings, "tokens": 3_000})

    monkeypatch.setattr(surveying, "measure", quick)
    survey(place / "survey.toml", out=out, only="tiny/llama,broken")
    save(place / "llama", "llama", seed=1)
    save(place / "broken", "llama", seed=2)
    found = survey(place / "survey.toml", out=out, only="tiny/llama,broken")
    llama, broken, _ = found.models
    assert llama.status == "failed" and "weights at" in llama.message and "no longer those locked" in llama.message
    assert broken.status == "measured" and done == ["llama", "broken", "broken"]
    save(place / "llama", "llama", seed=0)
    tokenizer = place / "llama/tokenizer.json"
    kept = tokenizer.read_text()
    tokenizer.write_text(kept.replace("bos", "boz"))
    (llama, *_) = survey(place / "survey.toml", out=out, only="tiny/llama").models
    assert "the tokenizer or configuration at" in llama.message
    tokenizer.write_text(kept)
    (llama, *_) = survey(place / "survey.toml", out=out, only="tiny/llama").models
    assert llama.status == "measured" and len(done) == 3  # what was measured at first stands


def test_a_model_is_gone_before_the_next_is_loaded(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[Any] = []
    load = loading.load_model

    def watched(*args: Any, **kwargs: Any) -> Any:
        assert not [name for name, ref in alive if ref() is not None]
        model = load(*args, **kwargs)
        model.module.itself = [model.module]  # a cycle, which reference counts alone do not free
        alive.append((args[0], weakref.ref(model.module)))
        return model

    monkeypatch.setattr(loading, "load_model", watched)
    gc.disable()
    try:
        found = survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    finally:
        gc.enable()
    assert len(alive) == 2 and not found.failures


def test_an_error_of_any_kind_is_a_models_own_but_a_full_disk_stops_all(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(model: Any, *_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA out of memory\nand much more")

    monkeypatch.setattr(surveying, "measure", breaks)
    found = survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    assert [(f.error, f.message) for f in found.failures] == [("RuntimeError", "CUDA out of memory")] * 2

    def full(model: Any, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(surveying, "measure", full)
    with pytest.raises(OSError, match="No space left"):
        survey(models / "survey.toml", out=tmp_path / "out2")


def test_bad_input_is_found_before_the_first_model(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" ")
    (tmp_path / "s.toml").write_text("[defaults]\ntext = 'empty.txt'\n" + MODEL)
    with pytest.raises(TextError, match="no text in"):
        survey(tmp_path / "s.toml", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "s.toml").write_text("[defaults]\npreferences = 'pairs.jsonl'\n" + MODEL)
    if "preferences" not in inspect.signature(surveying.measure).parameters:
        with pytest.raises(SettingError, match=r"preferences = .* this version can measure"):
            survey(tmp_path / "s.toml", out=tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="is a file; expected a folder"):
        survey(models / "survey.toml", out=tmp_path / "file")


# ---------------------------------------------------------------------- the hub


class FakeHub:
    """What the hub answers, in place of its client."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[tuple[str, str | None]]()

    def __call__(self) -> FakeHub:
        return self

    def model_info(self, name: str, revision: str | None = None, timeout: float | None = None, **_: Any) -> Any:
        self.asked.append((name, revision))
        answer = self.answers[name.partition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return answer


def missing() -> Exception:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=404)
    try:
        return RepositoryNotFoundError("404 Client Error\n\nRepository Not Found", response=response)
    except TypeError:  # other versions of the client
        return RepositoryNotFoundError("404 Client Error\n\nRepository Not Found")


def entries_of(*names: str, more: str = "") -> Any:
    return parse_survey("\n".join(f'[[model]]\nid = "o/{n}"\n{more}' for n in names), "s.toml", Path())


def test_revisions_are_resolved_once_and_moves_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = FakeHub(a=SimpleNamespace(sha=SHA), b=missing())
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    a, b = entries_of("a", "b")
    lock = Lock(tmp_path)
    assert lock.get(a) is None
    lock.add(resolve(a, Hub()))
    with pytest.raises(ModelError, match=r"the hub does not give 'o/b', revision 'main': 404 .* check its name"):
        resolve(b, Hub())
    locked = Lock(tmp_path).get(a)
    assert locked is not None and locked.commit == SHA and moved(a, locked, Hub()) is None
    hub.answers["a"] = SimpleNamespace(sha="f" * 40)
    said = moved(a, locked, Hub())
    assert said is not None and "the hub has moved on from 0123456789ab" in said and "to ffffffffffff" in said
    pinned = entries_of("a", more=f'revision = "{SHA}"')[0]
    hub.asked.clear()
    assert resolve(pinned, Hub()).commit == SHA and moved(pinned, locked, Hub()) is None and not hub.asked
    (tmp_path / "survey.lock.json").write_text('{"schema": "infoplane/survey-lock/9"}')
    with pytest.raises(ResultError, match="has schema 'infoplane/survey-lock/9'"):
        Lock(tmp_path)


def test_a_hub_out_of_reach_is_asked_once_and_nothing_is_made_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = FakeHub(a=ConnectionError("no route"), b=ConnectionError("no route"))
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    asked, (a, b) = Hub(), entries_of("a", "b")
    for entry in (a, b):
        with pytest.raises(ModelError, match=r"the hub cannot be reached, and its cache here does not hold 'o/"):
            resolve(entry, asked)
    assert hub.asked == [("o/a", None)] and not asked.reachable
    refs = tmp_path / "models--o--a/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(SHA)
    (refs / "odd").write_text("not a commit")
    assert resolve(a, asked).commit == SHA
    with pytest.raises(ModelError, match="which commit it is cannot be told"):
        resolve(entries_of("a", more='revision = "odd"')[0], asked)


def test_a_folder_that_would_be_loaded_for_a_hub_id_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o/a").mkdir(parents=True)
    with pytest.raises(ModelError, match="'o/a' is a hub id, and a folder of that name lies where you are"):
        resolve(entries_of("a")[0], Hub())


def cached(home: Path, name: str, family: str, commit: str) -> None:
    """A model in the hub's cache, as the hub's client leaves it."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    save(place / "snapshots" / commit, family)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)


def test_a_killed_survey_of_hub_models_goes_on_at_the_locked_revisions(tmp_path: Path) -> None:
    home, other = tmp_path / "home", "f" * 40
    cached(home, "o/a", "llama", SHA)
    cached(home, "o/b", "gpt_neox", SHA)
    (tmp_path / "s.toml").write_text(HEAD + '[[model]]\nid = "o/a"\n[[model]]\nid = "o/b"\n')
    command = [sys.executable, "-c", "from infoplane.cli import main; main()", "survey", "s.toml", "--out", "out"]
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"PYTHONPATH": str(Path(infoplane.__file__).parents[1])}
    env.pop("HF_HUB_CACHE", None)
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = tmp_path / "out/o--a/measurement.json"
    deadline = time.monotonic() + 240
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert first.exists() and not (tmp_path / "out/o--b/measurement.json").exists()
    when = first.stat().st_mtime_ns
    cached(tmp_path / "later", "o/b", "llama", other)  # the branch moves on while the survey lies still
    snapshot = tmp_path / "later/hub/models--o--b/snapshots" / other
    snapshot.rename(home / "hub/models--o--b/snapshots" / other)
    (home / "hub/models--o--b/refs/main").write_text(other)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "o--a: measured already" in done.stderr and "o--b: measured" in done.stderr
    assert first.stat().st_mtime_ns == when
    found = Survey.load(tmp_path / "out")
    assert [one.weights["commit"] for one in found.models] == [SHA, SHA]
    models = [one.measurement.provenance["model"] for one in found.measured if one.measurement]
    assert [(m["commit"], m["architecture"]) for m in models] == [
        (SHA, "LlamaForCausalLM"), (SHA, "GPTNeoXForCausalLM")
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "o--a", "o--b", "survey.json", "survey.lock.json", "survey.parquet",
    ]  # fmt: skip


# ---------------------------------------------------------------------- what it costs


def test_costs_are_two_operations_a_parameter_and_token(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    files = [("model-1.safetensors", 3_000), ("model-2.safetensors", 2_000), ("config.json", 10),
             ("pytorch_model.bin", 5_000), ("original/consolidated.safetensors", 5_000)]  # fmt: skip
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in files]
    told = SimpleNamespace(sha=SHA, safetensors=SimpleNamespace(total=10**9), siblings=siblings)
    hub = FakeHub(a=told, b=missing(), c=ConnectionError())
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    more = "tokens = 36000\nreference_sets = 5\nparameters_b = 2\n"
    entries = entries_of("a", "b", "c", more=more)
    a, b, c = costs(entries, {}, 1e12, Hub())
    assert (a.parameters, a.told_by, a.download, a.download_is) == (10**9, "hub", 5_010, "hub")
    assert (b.parameters, b.told_by, b.download, b.download_is) == (2 * 10**9, "survey", 4 * 10**9, "estimate")
    assert a.hours == pytest.approx(36_000 * 2 * 1e9 / 1e12 / 3600 * (1 + CAPTURING + 4 * EACH_SET))
    assert b.hours == pytest.approx(2 * a.hours) and c.hours == b.hours
    assert (a.tokens, a.tokens_are) == (36_000, "budget")
    (d,) = costs(entries_of("c", more="bytes = 44000"), {}, 1e12, Hub())
    assert (d.tokens, d.tokens_are, d.hours, d.download) == (10_000, "estimate", None, None)
    short = read_text(["x" * 440])
    assert costs(entries[:1], {entries[0].name: short}, 1e12, Hub())[0].tokens == 100
    llama, broken, _ = costs(read_survey(models / "survey.toml"), {}, 1e12, Hub())
    assert (llama.parameters, llama.told_by) == (sum(p.numel() for p in tiny_model().parameters()), "file")
    assert (llama.download, llama.download_is) == (0, "local") and broken.parameters is None


def test_captures_take_what_was_reckoned(models: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        HEAD.replace("bytes = 16000", "tokens = 3000") + "keep_captures = true\nreference_sets = 2\n"
        "layers = ['embed', 'block.0', 'block.1', 'block.2', 'final_norm']\n"
        f"[[model]]\npath = '{models / 'llama'}'\n"
    )
    (reckoned,) = costs(read_survey(tmp_path / "s.toml"), {}, 1e12, Hub())
    survey(tmp_path / "s.toml", out=tmp_path / "out")
    size = sum(p.stat().st_size for p in (tmp_path / "out/llama/capture").glob("shard*"))
    assert reckoned.capture == pytest.approx(size, rel=0.05)


def test_throughputs_are_numbers_or_have_a_name() -> None:
    assert throughput_of("2e14") == (2e14, "as given")
    assert throughput_of(None) == throughput_of("h100-bf16") and throughput_of(None)[0] == THROUGHPUTS["h100-bf16"][0]
    for wrong in ("fast", "-1", "0", "nan", "inf"):
        with pytest.raises(SettingError, match="expected operations a second such as 2e14, or one of h100-bf16"):
            throughput_of(wrong)


# ---------------------------------------------------------------------- the command line


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_exit_status_tells_all_measured_some_failed_and_bad_input(models: Path, surveyed: Any) -> None:
    _, out, _ = surveyed
    file = str(models / "survey.toml")
    done = call("survey", file, "--out", str(out), "--only", "tiny/*")
    assert done.exit_code == 0, done.output
    assert "tiny/neox" in done.stdout and f"Wrote {out / 'survey.parquet'}" in done.stdout
    assert "1/2 tiny--llama: measured already" in done.stderr
    done = call("survey", file, "--out", str(out), "--json")
    assert done.exit_code == 1 and "1 of 3 models could not be measured: broken" in done.stderr
    assert json.loads(done.stdout)["failures"][0]["name"] == "broken"
    for wrong in (["--only", "zzz"], ["--throughput", "2e14"], ["--dry-run", "--throughput", "fast"]):
        done = call("survey", file, "--out", str(out), *wrong)
        assert isinstance(done.exception, SettingError)  # main() turns these into exit status 2
    command = [sys.executable, "-c", "from infoplane.cli import main; main()", "survey", "none.toml"]
    env = {**os.environ, "PYTHONPATH": str(Path(infoplane.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 2 and done.stderr.startswith("infoplane: no survey file none.toml")


def test_a_dry_run_says_what_it_would_cost_and_runs_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub(**{"pythia-12b": ConnectionError()}))
    monkeypatch.setattr(surveying, "measure", never)
    monkeypatch.chdir(tmp_path)
    done = call("survey", "open-families", "--dry-run", "--only", "*pythia-12b,*pythia-6.9b", "--json")
    record = json.loads(done.stdout)
    assert done.exit_code == 0 and [m["id"][-4:] for m in record["models"]] == ["6.9b", "-12b"]
    assert record["total"]["parameters"] == 18_900_000_000 and record["total"]["download"] == 37_800_000_000
    assert record["total"]["hours"] == pytest.approx(sum(m["hours"] for m in record["models"]))
    assert record["total"]["capture"] == max(m["capture"] for m in record["models"])
    assert any("cannot be reached" in note for note in record["notes"])
    done = call("survey", str(models / "survey.toml"), "--dry-run", "--throughput", "2e9")
    assert done.exit_code == 0 and "total" in done.stdout and "2e+09 operations a second (as given)" in done.stdout
    assert "not in the totals, for nothing tells their parameters (parameters_b): broken" in " ".join(
        done.stdout.split()
    )
    assert not list(tmp_path.iterdir())


def test_a_survey_that_ships_can_be_shown() -> None:
    done = call("survey", "open-families", "--show")
    assert done.exit_code == 0 and done.stdout == ready_text("open-families")
    assert parse_survey(done.stdout, "mine.toml", Path()) == read_survey("open-families")
