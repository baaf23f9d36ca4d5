"""Commands and code of the how-to pages run as they are written, on small stand-ins for models and texts.

A stand-in takes the place of each model, and of budgets that would take minutes. What needs the hub, a cluster or a
storage is read, not run: names, options and the types of their values.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import call
from paths import ROOT
from typer.main import get_command

from infoplane.cli import app

pytest.importorskip("torch", reason="models are measured")

PAGES = [ROOT / "docs/tour.md", ROOT / "docs/explanation/bound.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
MODELS = {
    "smollm2-135m": "tiny", "meta-llama/Llama-3.2-1B": "tiny", "meta-llama/Llama-3.2-1B-Instruct": "tiny",
    "HuggingFaceTB/SmolLM2-360M": "variant-model", "my-quantised-model": "variant-model", "base-model": "tiny",
    "quantised-model": "variant-model", "my-variant": "variant-model",
}  # fmt: skip
"""A stand-in for each model that a page names."""
ELSEWHERE = {
    "a cluster": r"RAY_ADDRESS=|--engine ray",
    "a storage": r"\bs3://",
    "the hub": r"EleutherAI/\S+ --revisions|trl-lib/|survey open-families (?!--dry-run|--show)",
}
INSIDE = r"\btrainer\b|\btracker\b|\blightning\b|RayEngine"
"""What tells code that stands inside a training run, or needs a cluster; `test_docs.py` compiles it."""
SURVEYED = (
    "EleutherAI/pythia-160m", "EleutherAI/pythia-410m", "EleutherAI/pythia-1b", "EleutherAI/pythia-1.4b",
    "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-7B",
    "facebook/opt-1.3b", "facebook/opt-30b", "HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-360M",
)  # fmt: skip
"""Models of the survey file: they have published scores."""
SMALLER = {
    "--tokens": "4000", "--bytes": "6000", "--until-se": "0.5", "--se": "0.2,0.1", "--batch": "512",
}  # fmt: skip
"""Budgets, and what they are here."""


def commands_of(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of a page as a line and as its words after `infoplane`."""
    found = []
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "infoplane" in words:
                after = words[words.index("infoplane") + 1 :]
                found.append((line, after[: after.index(">")] if ">" in after else after))
    return found


def code_of(page: Path) -> list[str]:
    return re.findall(r"^ *```python\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S)


def elsewhere(line: str) -> str | None:
    return next((what for what, pattern in ELSEWHERE.items() if re.search(pattern, line)), None)


def smaller(words: list[str]) -> list[str]:
    """The same command of a stand-in and a small budget."""
    words = [MODELS.get(word, word) for word in words]
    for option, value in SMALLER.items():
        if option in words:
            words[words.index(option) + 1] = value
    model = words[0] in ("measure", "trace") and len(words) > 1 and not words[1].startswith("-")
    if model:
        budget = {"--tokens", "--bytes", "--until-se"} & {*words}
        words += ["--points", "16", "--context", "64"] + ([] if budget else ["--tokens", "4000"])
        words += ["--tokens", "5000"] if "--until-se" in words else []
    return words


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that pages name: models, texts, pairs, tables, a run with checkpoints, results."""
    from peft_adapters import adapted, lora
    from tiny import byte_tokenizer, save_tiny, tiny_model

    place = tmp_path_factory.mktemp("documented")
    save_tiny(place / "tiny")
    steps = [(f"my-run/checkpoint-{10 * seed}", seed) for seed in range(2, 10)]
    for name, seed in (("variant-model", 1), *steps):
        tiny_model(seed=seed).save_pretrained(place / name)
        byte_tokenizer().save_pretrained(place / name)
    adapted(place / "my-adapter", place / "tiny", lora())
    sample = (ROOT / "src/infoplane/data/c4-sample.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in sample[:60]]
    for name in ("my-corpus", "corpus"):
        (place / name).mkdir()
        for i, text in enumerate(texts):
            (place / name / f"{i}.txt").write_text(text, "utf-8")
    pairs = [{"prompt": a[:40], "chosen": a[40:120], "rejected": b[40:120]} for a, b in itertools.pairwise(texts)]
    (place / "pairs.json").write_text(json.dumps(pairs), "utf-8")
    survey = '[defaults]\nbytes = 4000\norders = [1]\npoints = 16\ncontext = 64\ntext_labels = ["word"]\nloss = true\n'
    for seed, name in enumerate(SURVEYED):
        tiny_model(seed=seed).save_pretrained(place / f"surveyed/{seed}")
        byte_tokenizer().save_pretrained(place / f"surveyed/{seed}")
        survey += f'[[model]]\nid = "{name}"\npath = "surveyed/{seed}"\n'
    (place / "survey.toml").write_text(survey)
    small = pl.read_csv(ROOT / "src/infoplane/data/small-models.csv")
    models = small.rename({"swap": "mmlu_pro", "word": "bbh", "parameters": "params"}).drop("swap_se", "word_se")
    models.write_csv(place / "models.csv")
    models.drop("mmlu_pro", "bbh").head(3).with_columns(model=pl.col("model") + "-new").write_csv(
        place / "candidates.csv"
    )
    shutil.copytree(ROOT / "tests/support/score_files", place / "lm-eval-output")
    for path in (place / "lm-eval-output").rglob("*.json"):
        path.write_text(path.read_text("utf-8").replace("toy_a", "arc_easy"), "utf-8")
    (place / "mine.csv").write_text("model,task,metric,value\na/b,arc_easy,acc,61.5\nc/d,arc_easy,acc,48.0\n")
    for name in ("run0", "run1", "run2"):
        for step in (10, 20):
            tiny_model(seed=10 * int(name[-1]) + step).save_pretrained(place / f"{name}/checkpoint-{step}")
            byte_tokenizer().save_pretrained(place / f"{name}/checkpoint-{step}")
        made(place, "trace", name, "--out", f"{name}/trace")
    made(place, "measure", "tiny", "--out", "results/run0")
    made(place, "survey", "survey.toml", "--only", "Qwen/*", "--out", "survey")
    made(place, "measure", "tiny", "--capture", "folder", "--out", "of-folder")
    return place


def made(place: Path, name: str, source: str, *more: str) -> None:
    """A result that pages take for granted."""
    with contextlib.chdir(place):
        budget = [] if name == "survey" else ["--tokens", "1500", "--points", "16", "--context", "64"]
        done = call(name, source, *budget, *more)
    assert done.exit_code == 0, done.output


@pytest.fixture
def here(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all of it, to work in."""
    place = tmp_path / "work"
    shutil.copytree(stand_ins, place)
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_code_run_in_the_order_of_the_page(page: Path, here: Path) -> None:
    for line, words in commands_of(page):
        if elsewhere(line):
            continue
        if page.name == "preferences.md" and words[:3] == ["measure", "--capture", "kept"]:
            pairs = ("--preferences", "pairs.json", "--orders", "1")
            made(here, "measure", "tiny", *pairs, "--capture", "kept", "--out", "of-kept")
        if page.name == "compare.md" and "--beside" in words:
            made(here, "measure", "tiny", "--out", "smollm2")
        done = call(*smaller(words))
        assert done.exit_code == 0, f"{line}\n{done.exception}\n{done.output[-600:]}"
    names: dict[str, Any] = {}
    for code in code_of(page):
        if not re.search(INSIDE, code):
            for model, stand_in in MODELS.items():
                code = code.replace(f'"{model}"', f'"{stand_in}"')
            exec(compile(code.replace("tokens=38_400", "tokens=2_000, context=64"), page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_need_more_can_be_parsed(page: Path) -> None:
    group: Any = get_command(app)
    for line, words in commands_of(page):
        if elsewhere(line):
            command = group.commands[words[0]]
            command.make_context(words[0], words[1:])
