"""Surveys as they run: what is measured, what is not measured again, failures, memory, killed and gone on with."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny import byte_tokenizer, tiny_model
from typer.testing import CliRunner

import infoplane
from infoplane.analysis.surveys import entries as survey_entries
from infoplane.analysis.surveys import worker as survey_work
from infoplane.analysis.surveys.cost import costs
from infoplane.analysis.surveys.lock import Hub
from infoplane.analysis.surveys.record import Survey
from infoplane.analysis.surveys.survey_file import read_survey
from infoplane.analysis.surveys.surveying import survey
from infoplane.cli import app
from infoplane.errors import ResultError, SettingError, TextError
from infoplane.measurement.results import Measurement
from infoplane.models import loading, weight_files
from infoplane.text.byte_budget import limit_bytes
from infoplane.text.documents import read_text

pytestmark = pytest.mark.usefixtures("no_figures")

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
MODEL = '[[model]]\nid = "o/m"\n'
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


# ---------------------------------------------------------------------- runs


def test_each_model_is_measured_as_by_itself_and_failures_are_recorded(models: Path, surveyed: Any) -> None:
    found, out, said = surveyed
    assert [(one.id, one.status) for one in found.models] == [
        ("tiny/llama", "measured"), ("broken", "failed"), ("tiny/neox", "measured"),
    ]  # fmt: skip
    assert [s.partition(":")[0] for s in said] == ["1/3 tiny--llama", "2/3 broken", "3/3 tiny--neox"]
    record = json.loads((out / "survey.json").read_text())
    assert record["schema"] == "infoplane/survey/2"
    (failure,) = record["failures"]
    assert failure["name"] == "broken" and failure["error"] == "ModelError"
    assert "holds no weights: expected model.safetensors or model.safetensors.index.json" in failure["message"]
    text = limit_bytes(read_text("c4-sample"), 16_000)
    more: dict[str, Any] = {"tokens": 20_000, "context": 64, "m": 16, "orders": (1,), "estimators": ("corrected",)}
    more |= {"text_labels": ["word"]}  # the defaults of surveys
    alone = infoplane.measure(models / "neox", text, loss=True, dtype="float32", device="cpu", **more)
    assert alone.estimates == found.models[2].measurement.estimates
    assert not list(out.rglob("capture"))
    again = Survey.load(out)
    assert again == found and again.measured[0].measurement == Measurement.load(out / "tiny--llama")
    lock = json.loads((out / "survey.lock.json").read_text())
    hashes = {one["id"]: one["sha256"] for one in lock["models"]}
    assert hashes["tiny/llama"] == weight_files.folder_hash(models / "llama")
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
            assert table[f"{quantity}_1"][i] == row.value and table[f"{quantity}_1_error"][i] == row.total_error
        assert table["entropy"][i] == one.measurement.get("entropy").value
    assert table["bits_per_byte"].is_null().to_list() == [True, False]
    assert table["complexity_1_error"].is_not_null().all()


def test_columns_tell_orders_estimators_and_weights_apart(models: Path) -> None:
    found = infoplane.measure(
        models / "llama", limit_bytes(read_text("c4-sample"), 16_000), tokens=20_000, context=64, m=16, orders=(1, 2),
        weights=("frequency", "uniform"), dtype="float32", device="cpu", reference_sets=2,
        estimators=("corrected", "plugin"),
    )  # fmt: skip
    from infoplane.analysis.surveys.record import Surveyed

    (row,) = Survey((Surveyed("a", "o/a", None, measurement=found),)).table().iter_rows(named=True)
    for column, fields in {
        "complexity_1": {"order": 1, "estimator": "thinned-curve", "weight": "frequency", "position_set": "P_1"},
        "expressivity_2": {"order": 2, "estimator": "thinned-curve", "weight": "frequency", "position_set": "P_2"},
        "complexity_2_plugin": {"order": 2, "estimator": "plugin", "weight": "frequency", "position_set": "P_2"},
        "complexity_1_uniform_plugin": {"order": 1, "estimator": "plugin", "weight": "uniform"},
        "entropy_plugin": {"estimator": "plugin", "position_set": "P_1"},
        "share_output_2": {"order": 2, "estimator": "thinned-curve", "side": "output", "position_set": "P_2"},
    }.items():
        want = found.select(layer="model", quantity=column.split("_")[0], **fields)
        assert row[column] == want[0].value and len({r.side for r in want}) == 1, column
        assert row[f"{column}_points_error"] == want[0].points_error


def test_what_is_done_is_not_done_again(models: Path, surveyed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, out, _ = surveyed
    before, said = contents(out), list[str]()
    monkeypatch.setattr(survey_work, "measure", never)
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

    monkeypatch.setattr(survey_work, "measure", watched)
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
    monkeypatch.setattr(survey_entries, "deciding_versions", lambda: {"infoplane": "99"})
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

    monkeypatch.setattr(survey_work, "measure", quick)
    survey(place / "survey.toml", out=out, only="tiny/llama,broken")
    save(place / "llama", "llama", seed=1)
    save(place / "broken", "llama", seed=2)
    found = survey(place / "survey.toml", out=out, only="tiny/llama,broken")
    llama, broken, _ = found.models
    assert llama.status == "failed" and "weights at" in llama.message and "no longer those locked" in llama.message
    assert broken.status == "measured" and done == ["llama", "broken"]  # what has no weights is not loaded
    save(place / "llama", "llama", seed=0)
    tokenizer = place / "llama/tokenizer.json"
    kept = tokenizer.read_text()
    tokenizer.write_text(kept.replace("bos", "boz"))
    (llama, *_) = survey(place / "survey.toml", out=out, only="tiny/llama").models
    assert "the tokenizer, configuration or base at" in llama.message
    tokenizer.write_text(kept)
    (llama, *_) = survey(place / "survey.toml", out=out, only="tiny/llama").models
    assert llama.status == "measured" and len(done) == 2  # what was measured at first stands


def test_an_adapter_is_measured_and_its_base_watched(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    save(tmp_path / "base", "llama")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tuned = get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    told = tmp_path / "adapter/adapter_config.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "base_model_name_or_path": str(tmp_path / "base")}))
    byte_tokenizer().save_pretrained(tmp_path / "adapter")
    (tmp_path / "s.toml").write_text(HEAD + '[[model]]\npath = "adapter"\n')
    (one,) = survey(tmp_path / "s.toml", out=tmp_path / "out").models
    assert one.status == "measured", one.message
    save(tmp_path / "base", "llama", seed=1)
    (one,) = survey(tmp_path / "s.toml", out=tmp_path / "out").models
    assert one.status == "failed" and "base at" in one.message and "no longer those locked" in one.message


def test_pairs_that_change_are_noticed(models: Path, tmp_path: Path) -> None:
    def pairs(word: str) -> None:
        told = [{"prompt": f"question {i}?", "chosen": f"{word} {i} indeed", "rejected": f"no {i}"} for i in range(60)]
        (tmp_path / "pairs/train.jsonl").write_text("\n".join(map(json.dumps, told)))

    (tmp_path / "pairs").mkdir()
    pairs("yes")
    (tmp_path / "s.toml").write_text(HEAD + f'[[model]]\npath = "{models / "llama"}"\npreferences = "pairs"\n')
    (one,) = survey(tmp_path / "s.toml", out=tmp_path / "out").models
    assert one.status == "measured", one.message
    assert survey(tmp_path / "s.toml", out=tmp_path / "out").models == (one,)
    pairs("surely")
    with pytest.raises(ResultError, match=r"made otherwise \(different: preferences\)"):
        survey(tmp_path / "s.toml", out=tmp_path / "out")


def test_a_damaged_measurement_is_made_anew(models: Path, tmp_path: Path) -> None:
    first = survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    (tmp_path / "out/tiny--llama/measurement.json").write_text("{")
    with pytest.raises(ResultError, match="not of a survey, or of another version: choose another --out, or --force"):
        survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    (tmp_path / "out/tiny--llama/measurement.json").unlink()
    again = survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    assert [one.status for one in again.models] == [one.status for one in first.models]
    assert again.models[0].measurement.estimates == first.models[0].measurement.estimates


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

    monkeypatch.setattr(survey_work, "measure", breaks)
    found = survey(models / "survey.toml", out=tmp_path / "out", only="tiny/*")
    assert [(f.error, f.message) for f in found.failures] == [("RuntimeError", "CUDA out of memory and much more")] * 2

    def full(model: Any, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(survey_work, "measure", full)
    with pytest.raises(OSError, match="No space left"):
        survey(models / "survey.toml", out=tmp_path / "out2")


def test_bad_input_is_found_before_the_first_model(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" ")
    (tmp_path / "s.toml").write_text("[defaults]\ntext = 'empty.txt'\n" + MODEL)
    with pytest.raises(TextError, match="no text in"):
        survey(tmp_path / "s.toml", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="is a file; expected a folder"):
        survey(models / "survey.toml", out=tmp_path / "file")


# ---------------------------------------------------------------------- killed


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
    (tmp_path / "s.toml").write_text(HEAD + '[[model]]\nid = "o/a"\n[[model]]\nid = "o/b"\nbytes = 100000\n')
    command = [
        sys.executable,
        "-c",
        "from infoplane.cli import main; main()",
        "survey",
        "s.toml",
        "--out",
        "out",
    ]
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


# ---------------------------------------------------------------------- cost


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


# ---------------------------------------------------------------------- the command line


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_exit_status_tells_all_measured_some_failed_and_bad_input(models: Path, surveyed: Any) -> None:
    _, out, _ = surveyed
    file = str(models / "survey.toml")
    done = call("survey", file, "--out", str(out), "--only", "tiny/*")
    assert done.exit_code == 0, done.output
    assert "tiny/neox" in done.stdout and f"Nothing was left to do: {out}" in done.stdout
    assert "1/2 tiny--llama: measured already" in done.stderr
    done = call("survey", file, "--out", str(out), "--json")
    assert done.exit_code == 1 and "1 of 3 models could not be measured: broken" in done.stderr
    assert f"Wrote {out / 'survey.json'}, with survey.parquet" in done.stderr
    assert json.loads(done.stdout)["failures"][0]["name"] == "broken"
    for wrong in (["--only", "zzz"], ["--throughput", "2e14"], ["--dry-run", "--throughput", "fast"]):
        done = call("survey", file, "--out", str(out), *wrong)
        assert isinstance(done.exception, SettingError)  # main() turns these into exit status 2
    command = [sys.executable, "-c", "from infoplane.cli import main; main()", "survey", "none.toml"]
    env = {**os.environ, "PYTHONPATH": str(Path(infoplane.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 2 and done.stderr.startswith("infoplane: no survey file none.toml")
