"""The published tables that come with the package: what their columns mean, and which cells are not believed.

Shots are those of the task files that made the scores: Open LLM Leaderboard 1 (ARC 25, HellaSwag 10, MMLU 5, TruthfulQA
0, Winogrande 5, GSM8K 5) and 2 (lm-evaluation-harness, `tasks/leaderboard`: IFEval 0, BBH 3, MATH 4, GPQA 0, MuSR 0,
MMLU-Pro 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infoplane.analysis.scores.score_table import Remark

Column = tuple[str, str, int | None, float]
"""(task, metric, shots, what the published number is divided by)."""


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: what `published` takes.
        title, source, licence, note: in words.
        scores: for each column of the file that scores, what it is.
        facts: names of `FACTS` by the columns of the file that tell them.
        withheld: (model, columns of the file, why): cells that are not believed.
        left_out: models that stand twice in the file with other scores and nothing that tells their rows apart.
        remarks: on the scores.
    """

    name: str
    title: str
    source: str
    licence: str
    note: str
    scores: Mapping[str, Column]
    facts: Mapping[str, str]
    withheld: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    left_out: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


FACTS_FROM = ("base-llm-benchmarks", "open-llm-leaderboard", "self-reported-benchmarks", "pythia-checkpoint-scores")


FAMILIES = {
    "Llama": "Llama-1",
    "GPT-Neo/J": "GPT-Neo/J/NeoX",
    "Gemma": "Gemma-1",
    "OLMo": "OLMo-1",
    "H2O-Danube": "h2o-danube",
    "RedPajama-INCITE-Base": "RedPajama",
    "InternLM2": "InternLM",
    "StarCoder2": "StarCoder",
    "Yi-200K": "Yi",
    "DeepSeek-LLM": "DeepSeek",
    "DeepSeek-MoE": "DeepSeek",
}
"""Families of base-llm-benchmarks that open-llm-leaderboard names otherwise, of the same models."""


_SHOTS = {"ifeval": 0, "bbh": 3, "math_lvl5": 4, "gpqa": 0, "musr": 0, "mmlu_pro": 5}


_DISPUTED = Remark(
    "EleutherAI/pythia-160m at step 143000 is disputed: others measured 0.121 on lambada_openai with the published "
    "weights where these results say 0.328 (github.com/EleutherAI/pythia, issue 118)",
    (("model", "EleutherAI/pythia-160m"), ("step", 143_000)),
)


def _leaderboard(prefix: str, suffix: str, metric: str, over: float, tasks: Iterable[str]) -> dict[str, Column]:
    return {f"{prefix}{task}{suffix}": (task, metric, _SHOTS.get(task), over) for task in tasks}


TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        Table(
            "open-llm-leaderboard",
            "Open LLM Leaderboard 2, all kinds of models",
            "Hugging Face, open-llm-leaderboard/contents",
            "no licence of the table is known to us; the leaderboard's requests are Apache-2.0",
            "normalised: chance is 0 and all right is 1, as shown there; raw: the accuracy itself.",
            {
                **_leaderboard("", "", "normalised", 100.0, [*_SHOTS, "average"]),
                **_leaderboard("", "_raw", "raw", 1.0, [t for t in _SHOTS if t != "math_lvl5"]),
            },
            {
                "family": "family",
                "kind": "kind",
                "parameters_b": "params_b",
                "base_model": "base_model",
                "upload_date": "upload_date",
            },
            (("internlm/internlm2-1_8b", ("params_b",), "8.0 billion parameters of a model named 1.8b"),),
            (
                "GuilhermeNaturaUmana/Nature-Reason-1.2-reallysmall",
                "kavonalds/BunderMaxx-0710",
                "oopere/Llama-FinSent-S",
                "ontocord/wide_3b_sft_stage1.1-ss1-with_generics_intr_math_stories.no_issue",
            ),
        ),
        Table(
            "base-llm-benchmarks",
            "Base models with training tokens and FLOPs",
            "github.com/ryoungj/ObsScaling (Ruan et al. 2024, arXiv 2405.10938), eval_results",
            "no licence is stated",
            "Collected from Open LLM Leaderboard 1 and 2, EvalPlus and lm-eval.",
            {
                "mmlu": ("mmlu", "score", 5, 1.0),
                "arc_c": ("arc_challenge", "score", 25, 1.0),
                "hellaswag": ("hellaswag", "score", 10, 1.0),
                "winograd": ("winogrande", "score", 5, 1.0),
                "truthfulqa": ("truthfulqa", "score", 0, 1.0),
                "gsm8k": ("gsm8k", "score", 5, 1.0),
                "xwinograd": ("xwinograd", "score", None, 1.0),
                "humaneval": ("humaneval", "score", None, 1.0),
                **{
                    f"leaderboard_{name}": (task, "raw", _SHOTS[task], 1.0)
                    for name, task in {
                        "bbh": "bbh",
                        "gpqa": "gpqa",
                        "ifeval": "ifeval",
                        "math_hard": "math_lvl5",
                        "mmlu_pro": "mmlu_pro",
                        "musr": "musr",
                    }.items()
                },
            },
            {
                "family": "model_family",
                "parameters_b": "model_size_b",
                "training_tokens_t": "pretraining_data_size_t",
                "flops_1e21": "flops_1e21",
            },
            (
                (
                    "cerebras/btlm-3b-8k-base",
                    ("pretraining_data_size_t", "flops_1e21"),
                    "627 trillion training tokens; SlimPajama, which it was trained on, has 627 billion",
                ),
                (
                    "openlm-research/open_llama_7b_v2",
                    ("model_size_b", "flops_1e21"),
                    "13.0 billion parameters of a model named 7b",
                ),
            ),
        ),
        Table(
            "self-reported-benchmarks",
            "What makers report of their own models",
            "github.com/JonathanChavezTamales/LLMStats, which cites each maker's report",
            "MIT",
            "Prompts and shots are the makers' own and differ; names are not hub ids.",
            {
                name: (task, "score", None, 1.0)
                for name, task in {
                    "mmlu": "mmlu",
                    "mmlu-pro": "mmlu_pro",
                    "mmlu-redux": "mmlu_redux",
                    "gpqa": "gpqa",
                    "ifeval": "ifeval",
                    "math": "math",
                    "math-500": "math_500",
                    "big-bench-hard": "bbh",
                    "gsm8k": "gsm8k",
                    "arc-c": "arc_challenge",
                    "hellaswag": "hellaswag",
                    "winogrande": "winogrande",
                    "truthfulqa": "truthfulqa",
                    "humaneval": "humaneval",
                    "mbpp": "mbpp",
                    "livecodebench": "livecodebench",
                    "piqa": "piqa",
                    "boolq": "boolq",
                    "triviaqa": "triviaqa",
                }.items()
            },
            {
                "organisation": "org",
                "licence": "license",
                "parameters_b": "params_b",
                "training_tokens_t": "training_tokens_t",
                "upload_date": "release_date",
            },
            (
                ("nvidia-nemotron-nano-9b-v2", ("params_b",), "88.9 billion parameters of a model named 9b"),
                *(
                    (f"phi-4-{name}", ("training_tokens_t",), "training tokens of its fine-tuning, not of pre-training")
                    for name in ("reasoning", "reasoning-plus", "mini-reasoning")
                ),
            ),
        ),
        Table(
            "pythia-checkpoint-scores",
            "16 Pythia models at 27 training steps each, zero-shot",
            "github.com/EleutherAI/pythia, evals/pythia-v1 (lm-eval, 2023)",
            "Apache-2.0",
            "ppl are perplexities; a step is 2,097,152 tokens (arXiv 2304.01373); pythia-1b is named pythia-1b-bf16.",
            {
                f"{task}:{metric}": (task, metric, 0, 1.0)
                for task, metrics in {
                    "arc_challenge": ("acc", "acc_norm"),
                    "arc_easy": ("acc", "acc_norm"),
                    "lambada_openai": ("acc", "ppl"),
                    "logiqa": ("acc", "acc_norm"),
                    "piqa": ("acc", "acc_norm"),
                    "sciq": ("acc", "acc_norm"),
                    "winogrande": ("acc",),
                    "wsc": ("acc",),
                }.items()
                for metric in metrics
            },
            {},
            remarks=(_DISPUTED,),
        ),
    )
}
