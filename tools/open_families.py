"""Writes the survey of the usual open families, `src/infoplane/data/open-families.toml`, from published tables.

    python tools/open_families.py FOLDER     # with open-llm-leaderboard.csv, base-llm-benchmarks.csv and
                                             # pythia-checkpoint-scores.csv

Which models: pretrained ones and the official instruct models beside them, decoder-only, of text, dense, 0.07 to 71
billion parameters, whose architecture `transformers` has (no remote code). No id is written from memory: one that the
tables do not have stops the script. Parameters are those of the leaderboard, which counted them, or the nominal ones of
the table of base models where the leaderboard has none or half or twice as many; training tokens are those of the table
of base models. No revisions: they are resolved at the first run.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

FAMILIES: dict[str, str] = {
    "Llama": """
        huggyllama/llama-7b huggyllama/llama-13b huggyllama/llama-65b meta-llama/Llama-2-7b-hf
        meta-llama/Llama-2-7b-chat-hf meta-llama/Llama-2-13b-hf meta-llama/Llama-2-13b-chat-hf
        meta-llama/Llama-2-70b-hf meta-llama/Meta-Llama-3-8B meta-llama/Meta-Llama-3-8B-Instruct
        meta-llama/Meta-Llama-3-70B meta-llama/Llama-3.1-8B meta-llama/Llama-3.1-8B-Instruct
        meta-llama/Llama-3.2-1B meta-llama/Llama-3.2-1B-Instruct meta-llama/Llama-3.2-3B
        meta-llama/Llama-3.2-3B-Instruct""",
    "Qwen": """
        Qwen/Qwen1.5-0.5B Qwen/Qwen1.5-1.8B Qwen/Qwen1.5-4B Qwen/Qwen1.5-7B Qwen/Qwen1.5-14B Qwen/Qwen1.5-32B
        Qwen/Qwen2-0.5B Qwen/Qwen2-1.5B Qwen/Qwen2-7B Qwen/Qwen2.5-0.5B Qwen/Qwen2.5-0.5B-Instruct
        Qwen/Qwen2.5-1.5B Qwen/Qwen2.5-1.5B-Instruct Qwen/Qwen2.5-3B Qwen/Qwen2.5-3B-Instruct Qwen/Qwen2.5-7B
        Qwen/Qwen2.5-7B-Instruct Qwen/Qwen2.5-14B Qwen/Qwen2.5-14B-Instruct Qwen/Qwen2.5-32B
        Qwen/Qwen2.5-32B-Instruct""",
    "Gemma": """
        google/gemma-2b google/gemma-2b-it google/gemma-7b google/gemma-7b-it google/gemma-2-2b google/gemma-2-2b-it
        google/gemma-2-9b google/gemma-2-9b-it google/gemma-2-27b google/gemma-2-27b-it""",
    "Mistral": """
        mistralai/Mistral-7B-v0.1 mistralai/Mistral-7B-Instruct-v0.1 mistralai/Mistral-7B-v0.3
        mistralai/Mistral-7B-Instruct-v0.3 mistralai/Mistral-Nemo-Base-2407 mistralai/Mistral-Nemo-Instruct-2407
        mistralai/Mistral-Small-24B-Base-2501""",
    "OLMo": """
        allenai/OLMo-1B-hf allenai/OLMo-7B-hf allenai/OLMo-7B-Instruct-hf allenai/OLMo-7B-0424-hf
        allenai/OLMo-2-1124-7B-Instruct""",
    "Pythia": """
        EleutherAI/pythia-70m-deduped EleutherAI/pythia-160m EleutherAI/pythia-410m EleutherAI/pythia-1b
        EleutherAI/pythia-1.4b EleutherAI/pythia-2.8b EleutherAI/pythia-6.9b EleutherAI/pythia-12b""",
    "GPT-Neo": """
        EleutherAI/gpt-neo-125m EleutherAI/gpt-neo-1.3B EleutherAI/gpt-neo-2.7B EleutherAI/gpt-j-6b
        EleutherAI/gpt-neox-20b""",
    "GPT-2": """
        openai-community/gpt2 openai-community/gpt2-medium openai-community/gpt2-large openai-community/gpt2-xl""",
    "SmolLM": """
        HuggingFaceTB/SmolLM-135M HuggingFaceTB/SmolLM-360M HuggingFaceTB/SmolLM-1.7B HuggingFaceTB/SmolLM2-135M
        HuggingFaceTB/SmolLM2-135M-Instruct HuggingFaceTB/SmolLM2-360M HuggingFaceTB/SmolLM2-360M-Instruct
        HuggingFaceTB/SmolLM2-1.7B HuggingFaceTB/SmolLM2-1.7B-Instruct""",
    "Phi": """
        microsoft/phi-1_5 microsoft/phi-2 microsoft/Phi-3-mini-4k-instruct microsoft/Phi-3-medium-4k-instruct
        microsoft/phi-4""",
    "Falcon": """
        tiiuae/falcon-rw-1b tiiuae/falcon-7b tiiuae/falcon-7b-instruct tiiuae/falcon-11B tiiuae/falcon-40b
        tiiuae/Falcon3-1B-Base tiiuae/Falcon3-3B-Base tiiuae/Falcon3-7B-Base tiiuae/Falcon3-7B-Instruct
        tiiuae/Falcon3-10B-Base""",
    "Yi": """
        01-ai/Yi-6B 01-ai/Yi-9B 01-ai/Yi-34B 01-ai/Yi-1.5-6B 01-ai/Yi-1.5-6B-Chat 01-ai/Yi-1.5-9B 01-ai/Yi-1.5-9B-Chat
        01-ai/Yi-1.5-34B""",
    "OPT": """
        facebook/opt-125m facebook/opt-350m facebook/opt-1.3b facebook/opt-2.7b facebook/opt-6.7b facebook/opt-13b
        facebook/opt-30b""",
    "BLOOM": """
        bigscience/bloom-560m bigscience/bloom-1b1 bigscience/bloom-1b7 bigscience/bloom-3b bigscience/bloom-7b1""",
    "Cerebras-GPT": """
        cerebras/Cerebras-GPT-111M cerebras/Cerebras-GPT-256M cerebras/Cerebras-GPT-590M cerebras/Cerebras-GPT-1.3B
        cerebras/Cerebras-GPT-2.7B cerebras/Cerebras-GPT-6.7B""",
    "Granite": """
        ibm-granite/granite-3.0-2b-base ibm-granite/granite-3.0-2b-instruct ibm-granite/granite-3.0-8b-base
        ibm-granite/granite-3.0-8b-instruct ibm-granite/granite-3.1-2b-base ibm-granite/granite-3.1-8b-base""",
    "StableLM": """
        stabilityai/stablelm-base-alpha-3b stabilityai/stablelm-3b-4e1t stabilityai/stablelm-2-1_6b
        stabilityai/stablelm-2-1_6b-chat stabilityai/stablelm-2-12b""",
    "OpenLLaMA": """
        openlm-research/open_llama_3b openlm-research/open_llama_7b openlm-research/open_llama_13b
        openlm-research/open_llama_3b_v2""",
    "TinyLlama": "TinyLlama/TinyLlama_v1.1 TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "H2O-Danube": "h2oai/h2o-danube3-500m-base h2oai/h2o-danube-1.8b-base h2oai/h2o-danube3-4b-base",
    "DeepSeek": "deepseek-ai/deepseek-llm-7b-base deepseek-ai/deepseek-llm-7b-chat",
    "MPT": "mosaicml/mpt-7b mosaicml/mpt-30b",
    "Command-R": "CohereForAI/aya-expanse-8b CohereForAI/aya-expanse-32b CohereForAI/c4ai-command-r-v01",
    "RedPajama": "togethercomputer/RedPajama-INCITE-Base-3B-v1",
    "XGLM": "facebook/xglm-564M facebook/xglm-1.7B facebook/xglm-4.5B facebook/xglm-7.5B",
}  # fmt: skip
INSTRUCT = ("instruct", "chat", "-it", "aya-expanse", "command-r", "phi-4", "phi-3")
HEAD = """\
# The usual open families: {models} models of {families} families, {least} to {most} billion parameters.
# Written by tools/open_families.py from the published tables of scores: ids, parameters and training tokens are theirs.
# Revisions are resolved at the first run, and locked then.
#
#   infoplane survey open-families --dry-run            # what it costs
#   infoplane survey open-families --up-to 33           # the sizes of the study of arXiv 2604.07569
#   infoplane survey open-families --show > mine.toml   # to change it

[defaults]
text = "c4-sample"
bytes = 600000            # the same text for every tokenizer: 300 documents of C4, some 137,000 tokens
context = 512
orders = [1, 2]
estimators = ["corrected", "plugin"]
dtype = "bfloat16"
loss = true               # bits per byte of the same text, which every forecast must beat
"""
LEAST, MOST = 0.07, 71.0
ONE_GPU = 35.0
"""Billion parameters that one GPU of 80 GB holds in bfloat16; larger models are spread over several."""


def main() -> None:
    folder = Path(sys.argv[1])
    counted, nominal, trained, known = read(folder)
    lines: list[str] = []
    sizes: list[float] = []
    for family, names in FAMILIES.items():
        for name in names.split():
            if name not in known:
                raise SystemExit(f"{name} is in none of the tables")
            size = parameters(counted.get(name), nominal.get(name), name)
            if not LEAST <= size <= MOST:
                raise SystemExit(f"{name} has {size} billion parameters, outside {LEAST} to {MOST}")
            kind = "instruct" if any(mark in name.lower() for mark in INSTRUCT) else "base"
            lines += ["", "[[model]]", f'id = "{name}"', f'family = "{family}"', f'kind = "{kind}"']
            lines.append(f"parameters_b = {size:g}")
            if size > ONE_GPU:
                lines.append('device_map = "auto"')
            if name in trained:
                lines.append(f"training_tokens_t = {trained[name]:g}")
            sizes.append(size)
    ids = [line for line in lines if line.startswith("id = ")]
    if len(set(ids)) != len(ids):
        raise SystemExit("a model is listed twice")
    head = HEAD.format(models=len(sizes), families=len(FAMILIES), least=f"{min(sizes):g}", most=f"{max(sizes):g}")
    out = Path(__file__).parents[1] / "src/infoplane/data/open-families.toml"
    out.write_text(head + "\n".join(lines) + "\n", "utf-8")
    print(f"Wrote {out}: {len(sizes)} models, {len(FAMILIES)} families, {sum(sizes):.0f} billion parameters")


def read(folder: Path) -> tuple[dict[str, float], dict[str, float], dict[str, float], set[str]]:
    """Parameters as counted and as nominal (billions), training tokens (trillions), and all ids of the tables."""
    counted, nominal, trained, known = {}, {}, {}, set()
    for row in rows(folder / "open-llm-leaderboard.csv"):
        known.add(row["model"])
        if row["params_b"] and float(row["params_b"]) > 0:
            counted[row["model"]] = float(row["params_b"])
    for row in rows(folder / "base-llm-benchmarks.csv"):
        known.add(row["model"])
        nominal[row["model"]] = float(row["model_size_b"])
        if row["pretraining_data_size_t"]:
            trained[row["model"]] = float(row["pretraining_data_size_t"])
    known |= {row["model"] for row in rows(folder / "pythia-checkpoint-scores.csv")}
    return counted, nominal, trained, known


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def parameters(counted: float | None, nominal: float | None, name: str) -> float:
    if counted and nominal and not 0.5 < counted / nominal < 2:
        return nominal
    if (found := counted or nominal) is None:
        raise SystemExit(f"the tables do not tell the parameters of {name}")
    return found


if __name__ == "__main__":
    main()
