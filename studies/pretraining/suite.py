"""The runs of the study, as data: which models, on what text, how long, and in what order.

A run's id is a readable name and a hash of everything that decides its numbers, so a stored run is used again only
if it is the same run. Sizes are chosen for two CPU cores: a run takes one to a few minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from infoplane.storage import atomic_files as files

# Counts up whenever the training code gives other numbers: it is part of the id of every run.
TRAINING = 1
BATCH, CONTEXT, STEPS = 16, 128, 1000
SEEDS = (0, 1, 2)
FAMILIES = ("llama", "gpt_neox", "gpt2", "mamba")
# Without its kernels mamba is several times slower than the others, so only the sizes that stay affordable.
MAMBA_SIZES = ("xs",)


@dataclass(frozen=True)
class Size:
    """Width, depth and heads, and the peak learning rate found to do well with them in short trials."""

    width: int
    blocks: int
    heads: int
    learning_rate: float


SIZES = {
    "xs": Size(32, 2, 2, 1e-2),
    "s": Size(64, 3, 4, 6e-3),
    "m": Size(128, 4, 4, 3e-3),
    "l": Size(192, 5, 6, 2e-3),
}


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        family, size, seed: of the model; the seed decides the weights at step 0 and the order of the text.
        arm: `tokens` (all sizes see as many tokens), `ratio` (as many tokens a parameter), or `variant`.
        variant: what is different from the plain run, `base` where nothing is.
        steps, batch, context: of training; `batch` windows of at most `context` tokens a step.
        learning_rate, schedule, warmup, weight_decay: of AdamW; `schedule` is `cosine` (to zero) or `constant`.
        treatment: of the text: `text` (none), `shuffled` (the tokens of each document permuted), or
            `random-labels` (targets are uniform random tokens).
        text_tokens: train on about so many tokens of text, over and over; None for all of it.
        vocabulary: entries of the tokenizer.
        recipe: of the corpus, see `corpus.recipe`.
    """

    family: str
    size: str
    seed: int
    arm: str
    variant: str
    steps: int
    learning_rate: float
    recipe: dict[str, Any]
    batch: int = BATCH
    context: int = CONTEXT
    schedule: str = "cosine"
    warmup: int = 50
    weight_decay: float = 0.1
    treatment: str = "text"
    text_tokens: int | None = None
    vocabulary: int = 4096

    @property
    def id(self) -> str:
        """Readable name and hash; the name of the run's folder."""
        decides = {**asdict(self), "training": TRAINING, "model": asdict(SIZES[self.size])}
        del decides["arm"]  # a label: the same run may stand in two arms
        label = self.variant if self.arm == "variant" else self.arm
        return f"{self.family}-{self.size}-s{self.seed}-{label}-{files.hash_of(decides)[:8]}"

    @property
    def fed(self) -> int:
        """Positions fed, padding included: an upper bound of the tokens seen."""
        return self.steps * self.batch * self.context

    def checkpoints(self) -> tuple[int, ...]:
        """Steps at which weights are kept: 0, powers of two to 64, powers of the root of two after, and the last."""
        found = {0, self.steps}
        power = 0
        while (step := round(2 ** (power / 2))) < self.steps:
            if power % 2 == 0 or step > 64:
                found.add(step)
            power += 1
        return tuple(sorted(found))


VARIANTS: dict[str, dict[str, Any]] = {
    # Little text many times: about 60 passes over 32,000 tokens. Does late compression come with memorising?
    "overtrain": {"text_tokens": 32_000},
    "overtrain-wd0": {"text_tokens": 32_000, "weight_decay": 0.0},
    "wd0": {"weight_decay": 0.0},
    # Learning rate not decayed: is a late change the doing of the schedule?
    "constant": {"schedule": "constant"},
    # Controls. Shuffled: word frequencies can be learned, order cannot. Random labels: nothing can.
    "shuffled": {"treatment": "shuffled"},
    "random-labels": {"treatment": "random-labels"},
    # Labels that mean nothing but come again and again: only memorising lowers this loss.
    "random-labels-overtrain": {"treatment": "random-labels", "text_tokens": 32_000},
    "untrained": {"steps": 0, "warmup": 0},
}
VARIANT_SIZE = "s"  # large enough to learn 32,000 tokens by heart, small enough to be quick


def suite(recipe: dict[str, Any], vocabulary: int = 4096) -> tuple[Run, ...]:
    """All runs, in an order in which stopping early leaves something that can be read.

    First one seed of everything that is small and each control, then the error bars of the smallest, then the other
    sizes, then their seeds, and the second arm last.
    """
    placed = [(key, run) for key, run in _all(recipe, vocabulary)]
    placed.sort(key=lambda one: one[0])
    return tuple(run for _, run in placed)


def _all(recipe: dict[str, Any], vocabulary: int) -> Iterator[tuple[tuple[int, ...], Run]]:
    names = list(SIZES)
    for f, family in enumerate(FAMILIES):
        for z, size in enumerate(names):
            if family == "mamba" and size not in MAMBA_SIZES:
                continue
            for seed in SEEDS:
                run = Run(
                    family, size, seed, "tokens", "base", STEPS, SIZES[size].learning_rate, recipe,
                    vocabulary=vocabulary,
                )  # fmt: skip
                if f == 0 and size == VARIANT_SIZE and seed == 0:
                    key = (1, 0, -1, 0)  # what the first variants are compared with comes before them
                else:
                    key = (0 if z == seed == 0 else 2 if z == 0 else 3 if seed == 0 else 5, z, seed, f)
                yield key, run
                if family != "mamba":
                    # One token a parameter: about what the largest can be given in ten minutes.
                    steps = max(20, round(parameters(run)[0] / (BATCH * CONTEXT)))
                    yield (6, seed, z, f), replace(run, arm="ratio", steps=steps, warmup=max(10, steps // 20))
                if size == VARIANT_SIZE and family != "mamba":
                    for v, (variant, changes) in enumerate(VARIANTS.items()):
                        if family == FAMILIES[0] or seed == 0:  # the error bars of one family, one seed of the others
                            stage = 1 if seed == 0 and f == 0 else 4
                            yield (stage, f, v, seed), replace(run, arm="variant", variant=variant, **changes)


def quick(recipe: dict[str, Any]) -> tuple[Run, ...]:
    """Two runs of some tens of steps, for a look and for tests."""
    return tuple(
        Run(
            family, "xs", 0, "tokens", "base", 48, 1e-2, recipe, batch=8, warmup=5, vocabulary=1024,
        )
        for family in FAMILIES[:2]
    )  # fmt: skip


def config_of(run: Run) -> Any:
    """The model's configuration; everywhere tied embeddings, no dropout, and a context of `run.context`.

    Tied, as with so small a width an untied output layer would be most of the parameters. No dropout, so that the
    loss and what is measured belong to the same network.
    """
    import transformers as t

    size = SIZES[run.size]
    shared: dict[str, Any] = {
        "vocab_size": run.vocabulary, "tie_word_embeddings": True, "use_cache": False,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    common = shared | {
        "hidden_size": size.width, "num_hidden_layers": size.blocks, "num_attention_heads": size.heads,
        "max_position_embeddings": run.context,
    }  # fmt: skip
    if run.family == "llama":
        return t.LlamaConfig(**common, intermediate_size=size.width * 8 // 3 // 8 * 8)
    if run.family == "gpt_neox":
        return t.GPTNeoXConfig(**common, intermediate_size=4 * size.width)
    if run.family == "gpt2":
        return t.GPT2Config(
            **shared, n_embd=size.width, n_layer=size.blocks, n_head=size.heads, n_positions=run.context,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )  # fmt: skip
    if run.family == "mamba":
        return t.MambaConfig(**shared, hidden_size=size.width, num_hidden_layers=size.blocks, state_size=8)
    raise ValueError(f"family {run.family!r} is not known; choose one of {', '.join(FAMILIES)}")


_COUNTED: dict[tuple[str, str, int, int], tuple[int, int]] = {}


def parameters(run: Run) -> tuple[int, int]:
    """Parameters in all, and without the embedding of tokens, counted without making them."""
    key = (run.family, run.size, run.vocabulary, run.context)
    if key not in _COUNTED:
        import torch
        import transformers as t

        with torch.device("meta"):
            auto: Any = t.AutoModelForCausalLM
            model = auto.from_config(config_of(run))
        every = sum(p.numel() for p in model.parameters())
        _COUNTED[key] = every, every - run.vocabulary * SIZES[run.size].width
    return _COUNTED[key]


# Seconds a step of 16 x 128 positions takes, measured on one core of a server CPU (see README.md): for estimates.
SECONDS_A_STEP: dict[str, Sequence[float]] = {
    "llama": (0.115, 0.168, 0.33, 0.65),
    "gpt_neox": (0.080, 0.113, 0.27, 0.59),
    "gpt2": (0.109, 0.159, 0.32, 0.68),
    "mamba": (0.29, 0.90),
}
START = 5.0  # seconds a run takes beside its steps: reading, the first checkpoint, the last


def estimated_seconds(run: Run) -> float:
    """About how long a run takes on one core, evaluations and checkpoints included."""
    step = SECONDS_A_STEP[run.family][list(SIZES).index(run.size)] * run.batch * run.context / (BATCH * CONTEXT)
    evaluated = len(run.checkpoints()) * 2 * 64 / run.batch / 3  # a pass without gradients is a third of a step
    return START + step * (run.steps + evaluated)
