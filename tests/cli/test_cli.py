"""The command line: what it writes, and what it says when it cannot."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from children import COMMAND, WITHOUT_FIGURES, Child, run
from tiny import byte_tokenizer, tiny_model

from infoplane.storage.working_folders import MARK

SMALL = ["--tokens", "3000", "--context", "64", "--orders", "1,2", "--points", "16", "--dtype", "float32"]


def infoplane(*arguments: str, cwd: Path, stdin: str = "", figures: bool = True) -> Any:
    return run(COMMAND if figures else WITHOUT_FIGURES, *arguments, cwd=cwd, stdin=stdin)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    tiny_model().save_pretrained(place / "tiny")
    byte_tokenizer().save_pretrained(place / "tiny")
    return place


def test_measure_writes_a_record_a_table_a_report_and_asks_again(folder: Path, tmp_path: Path) -> None:
    run = infoplane("measure", str(folder / "tiny"), *SMALL, "--out", "out", "--capture", "cap", "--loss", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    # plain lines of progress when piped, and nothing of other packages
    assert all(re.fullmatch(r"[a-z]+( \.\.\.|: done in \d+ s)", line) for line in run.stderr.splitlines())
    assert "Wrote out/report.html, with measurement.json, measurement.parquet" in run.stdout
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"measurement.json", "measurement.parquet", "report.html", "figures"}
    record = json.loads((tmp_path / "out" / "measurement.json").read_text())
    assert record["provenance"]["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert {"complexity", "loss", "bits_per_byte"} <= {row["quantity"] for row in record["estimates"]}

    again = infoplane("measure", str(folder / "tiny"), *SMALL, "--out", "out", cwd=tmp_path)
    said = "exists and was made otherwise (different: loss): choose another --out, or --force"
    assert again.returncode == 2 and said in again.stderr
    asked = infoplane("measure", "--capture", "cap", "--orders", "3", "--estimator", "plugin", "--json", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    rows = json.loads(asked.stdout)["estimates"]
    assert {row["estimator"] for row in rows} == {"plugin", None}
    assert any(row["order"] == 3 and row["quantity"] == "expressivity" for row in rows)
    drawn = infoplane("report", "out", "--out", "drawn", cwd=tmp_path)
    assert drawn.returncode == 0
    assert (tmp_path / "drawn/report.html").read_bytes() == (tmp_path / "out/report.html").read_bytes()


def test_underscores_standard_input_and_the_untrained_twin(folder: Path, tmp_path: Path) -> None:
    text = "\n".join(json.dumps({"text": f"document {i} says something of its own, number {i * i}"}) for i in range(60))
    command = ["measure", str(folder / "tiny"), *SMALL, "--text", "-", "--baseline", "random-init", "--out", "out"]
    run = infoplane(*command, "--reference_sets", "2", cwd=tmp_path, figures=False, stdin=text)
    assert run.returncode == 0, run.stderr
    mine, twin = (json.loads((tmp_path / p / "measurement.json").read_text()) for p in ("out", "out/baseline"))
    assert twin["provenance"]["model"]["random_init"] and not mine["provenance"]["model"].get("random_init")
    assert mine["provenance"]["windows_hash"] == twin["provenance"]["windows_hash"]
    assert mine["estimates"][0]["points_error"] is not None
    assert mine["provenance"]["text"]["kind"] == "stdin jsonl"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["measure", "./nowhere"], "no model at './nowhere'"),
        (["measure", "nowhere.gguf"], "no file nowhere.gguf"),
        (["measure", "TINY", "--text", "missing.txt"], "no file or folder 'missing.txt'"),
        (["measure", "TINY", "--text", "broken.jsonl"], "broken.jsonl, line 2: not JSON"),
        (["measure", "TINY", "--text", "empty.txt"], "no text in"),
        (["measure", "TINY", "--text", "binary.txt"], "is not text"),
        (["measure", "TINY", "--text", "short.txt"], "shorter than one window"),
        (["measure", "TINY", "--text", "good.jsonl", "--column", "body"], "no column 'body'"),
        (["measure", "TINY", "--orders", "1,x"], "--orders 1,x: expected some of 1, 2, 3, 4"),
        (["measure", "TINY", "--orders", "7"], "--orders 7: expected some of 1, 2, 3, 4"),
        (["measure", "TINY", "--estimator", "best"], "--estimator best: expected some of corrected, plugin"),
        (["measure", "TINY", "--dtype", "int4"], "--dtype int4: expected one of auto, float32"),
        (["measure", "TINY", "--device", "warp"], "device 'warp' cannot be used"),
        (["measure", "TINY", "--layers", "block.77"], "no layer 'block.77'"),
        (["measure", "TINY", "--label", "x"], "expected name=file"),
        (["measure", "TINY", "--label", "x=missing.npy"], "cannot be read"),
        (["measure", "PICKLE"], "holds its weights as pickle (pytorch_model.bin)"),
        (["measure", "EMPTY"], "holds no config.json"),
        (["measure", "BERT"], "expected a decoder-only language model"),
        (["measure", "T5"], "is an encoder-decoder"),
        (["measure", "NAN"], "NaN or infinity in layer block.1"),
        (["measure", "--capture", "good"], "holds no capture to ask"),
        (["bound", "good.jsonl", "--tokenizer", "TINY", "--orders", "4"], "--orders 4: expected some of 1, 2, 3"),
        (["report", "nowhere"], "no measurement at"),
        (["report", "a=nowhere", "b=elsewhere"], "name a folder for their report with --out"),
        (["report", "a=nowhere", "b=elsewhere", "--out", "both"], "no trajectory at nowhere"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_message_and_leaves_nothing(
    arguments: list[str], message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from infoplane.cli import app
    from infoplane.errors import InfoplaneError

    (tmp_path / "broken.jsonl").write_text('{"text": "fine, and long enough"}\n{"text": \n')
    (tmp_path / "good.jsonl").write_text('{"text": "fine, and long enough"}\n')
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "good").mkdir()
    (tmp_path / "good/x.txt").write_text("x")
    places = {"TINY": folder / "tiny", **_bad_models(folder)}
    arguments = [str(places.get(word, word)) for word in arguments]
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    more = ["--tokens", "2000", "--context", "64"] if arguments[0] == "measure" else []
    result = CliRunner().invoke(app, [*arguments, *more])
    assert isinstance(result.exception, InfoplaneError), result.output
    assert message in str(result.exception)
    left = [p.name for p in tmp_path.iterdir() if not p.name.startswith("infoplane-")]
    assert sorted(left) == before
    assert not list(tmp_path.rglob("measurement.json")) and not list(tmp_path.rglob("*.part"))


def _bad_models(folder: Path) -> dict[str, Path]:
    import transformers as t

    places = {name: folder / name.lower() for name in ("PICKLE", "EMPTY", "BERT", "T5", "NAN")}
    if places["NAN"].exists():
        return places
    places["EMPTY"].mkdir()
    shutil.copytree(folder / "tiny", places["PICKLE"])
    (places["PICKLE"] / "model.safetensors").unlink()
    (places["PICKLE"] / "pytorch_model.bin").write_bytes(b"x")
    small = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    t.BertForMaskedLM(t.BertConfig(**small, intermediate_size=48)).save_pretrained(places["BERT"])
    t5 = t.T5Config(vocab_size=300, d_model=32, d_ff=32, num_layers=2, num_heads=2, d_kv=16)
    t.T5ForConditionalGeneration(t5).save_pretrained(places["T5"])
    for name in ("BERT", "T5"):
        byte_tokenizer().save_pretrained(places[name])
    broken = tiny_model()
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    broken.save_pretrained(places["NAN"])
    byte_tokenizer().save_pretrained(places["NAN"])
    return places


def test_exit_status_is_2_without_a_traceback(tmp_path: Path) -> None:
    run = infoplane("measure", "./nowhere", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("infoplane: no model at") and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_command_goes_on_where_it_stopped_when_it_is_repeated(folder: Path, tmp_path: Path) -> None:
    command = ["measure", str(folder / "tiny"), "--tokens", "36000", *SMALL[2:], "--capture", "cap"]
    whole = infoplane(*command[:-1], "whole-cap", "--out", "whole", cwd=tmp_path, figures=False)
    assert whole.returncode == 0, whole.stderr
    child = Child(WITHOUT_FIGURES, *command, "--out", "out", cwd=tmp_path)
    child.wait_for(tmp_path / "cap" / "shard-00001.safetensors")
    child.send(signal.SIGKILL)
    child.wait()
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cap").glob("shard-*.safetensors")}
    assert len(done) < len(list((tmp_path / "whole-cap").glob("shard-*.safetensors")))
    assert not (tmp_path / "out").exists()
    again = infoplane(*command, "--out", "out", cwd=tmp_path, figures=False)
    assert again.returncode == 0, again.stderr
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cap").glob("shard-*.safetensors")}
    assert all(kept[name] == when for name, when in done.items())  # not one was done again
    found, want = (json.loads((tmp_path / p / "measurement.json").read_text())["estimates"] for p in ("out", "whole"))
    assert found == want


@pytest.mark.skipif(shutil.which("unshare") is None, reason="a small disk of our own needs util-linux")
def test_a_full_disk_is_said_and_nothing_is_left_half_written(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=300k tmpfs {disk} || exit 77"
    words = " ".join(shlex.quote(w) for w in ("measure", str(folder / "tiny"), *SMALL, "--out", str(disk / "out")))
    call = f"{sys.executable} -c 'from infoplane.cli import main; main()' {words}"
    script = f"{mount}; {call}; echo status $?; find {disk} -type f"
    run = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    if run.returncode in (1, 77) and "status" not in run.stdout:
        pytest.skip(f"no small disk can be mounted here: {run.stderr.strip()}")
    assert "infoplane: the capture takes" in run.stderr and "Traceback" not in run.stderr
    assert "status 2" in run.stdout
    left = {Path(line).name for line in run.stdout.splitlines() if line.startswith("/")}
    assert left <= {MARK}, left


def test_an_adapter_is_measured_on_its_base(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from infoplane.models.loading import load_model

    base = AutoModelForCausalLM.from_pretrained(folder / "tiny")
    tuned = get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(folder / "tiny")
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps(config))
    plain, adapted = (load_model(p, dtype="float32") for p in (folder / "tiny", tmp_path / "adapter"))
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert not torch.allclose(plain.run(ids), adapted.run(ids))
        torch.testing.assert_close(adapted.run(ids), tuned.eval().get_base_model().model(ids)[0])
