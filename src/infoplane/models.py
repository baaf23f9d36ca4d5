"""Models ready to run: any decoder-only `transformers` model, split into its decoder and its head.

A model is checked to be causal by what it does, not by its name: a token that comes later must not change a state
that came before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from infoplane.errors import ModelError
from infoplane.layers import named_layers

if TYPE_CHECKING:
    import torch

    from infoplane.windows import Windows


@dataclass(frozen=True, eq=False)
class Facts:
    """What decides windows and captures of a model, without its weights.

    Attributes:
        provenance, warnings, tokenizer: of the model.
        layers: names of all its layers, in their order.
        embedding_rows: ids lie below.
        max_context: longest window that it has positions for, where its config says so.
    """

    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]
    tokenizer: Any
    layers: tuple[str, ...]
    embedding_rows: int
    max_context: int | None

    @property
    def width(self) -> int:
        """d, the width of the hidden states."""
        return int(self.provenance["width"])

    def check_tokens(self, windows: Windows) -> None:
        """Refuse windows with a token that the embedding does not have, before anything is run.

        Raises:
            ModelError: there is one.
        """
        largest, rows = int(windows.tokens.max(initial=0)), self.embedding_rows
        if largest >= rows:
            name = (windows.provenance.get("tokenizer") or {}).get("name")
            raise ModelError(
                f"the text holds the token id {largest}, and the model's embedding has {rows} rows: ids up to "
                f"{rows - 1} were expected. The tokenizer{f' {name}' if name else ''} is not that of the model: leave "
                "--tokenizer out, or name the one that the model was trained with"
            )


@dataclass(frozen=True, eq=False)
class Model:
    """A decoder ready to run.

    Attributes:
        module: the whole model, head included.
        backbone: the decoder without its head.
        tokenizer: what turns text to its tokens; None for a module that came without one.
        provenance: where it comes from and what decides its numbers, JSON values only.
        warnings: what a reader of its numbers should know; every capture of it keeps them.
    """

    module: Any
    backbone: Any
    tokenizer: Any
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_module(cls, module: torch.nn.Module, tokenizer: Any = None, name: str | None = None) -> Model:
        """Wrap a loaded model; its weights are hashed, since no file vouches for them."""
        provenance = {"source": "module", "name": name or type(module).__name__, "weights_sha256": _hash(module)}
        return checked(module, tokenizer, provenance)

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        device: torch.device = next(self.backbone.parameters()).device
        return device

    @property
    def width(self) -> int:
        """d, the width of the hidden states."""
        return int(self.provenance["width"])

    @property
    def vocabulary(self) -> int:
        """Rows of the head."""
        return int(self.provenance["vocabulary"])

    @property
    def embedding_rows(self) -> int:
        """Rows of the token embedding: ids lie below. There may be more than tokens, for speed."""
        rows = self.vocabulary
        with contextlib.suppress(NotImplementedError, AttributeError, TypeError):
            shape = self.module.get_input_embeddings().weight.shape
            # a module that is being trained on several devices may hold a part only, flat or empty
            rows = max(rows, int(shape[0]) if len(shape) == 2 else 0)
        return rows

    @property
    def facts(self) -> Facts:
        """All that is to be known of it without its weights."""
        names = tuple(layer.name for layer in named_layers(self.backbone))
        return Facts(self.provenance, self.warnings, self.tokenizer, names, self.embedding_rows, self.max_context)

    def check_tokens(self, windows: Windows) -> None:
        """Refuse windows with a token that the embedding does not have, before anything is run.

        Raises:
            ModelError: there is one.
        """
        self.facts.check_tokens(windows)

    @property
    def max_context(self) -> int | None:
        """Longest window that the model has positions for, where its config says so."""
        config = self.module.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        return int(limit) if isinstance(limit, int) and limit > 0 else None

    def run(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states (batch, width, d) of token ids (batch, width); no head, no cache."""
        out = self.backbone(input_ids=ids, use_cache=False, return_dict=True)
        states: torch.Tensor = out[0]
        return states

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The head on states (1, n, d), with whatever scaling or capping the model puts around it."""
        import torch

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            return _States(states)

        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        with _replaced(self.backbone, stand_in):
            out: torch.Tensor = self.module(input_ids=ids, use_cache=False, return_dict=True).logits
        return out


class _States:
    """What a decoder would return had it only states; whatever else a head asks for is None."""

    def __init__(self, states: torch.Tensor) -> None:
        self.last_hidden_state = states

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]


@contextlib.contextmanager
def _replaced(module: Any, forward: Any) -> Iterator[None]:
    module.forward = forward  # an attribute of the object, which hides the method of its class
    try:
        yield
    finally:
        del module.forward


def _hash(module: torch.nn.Module) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_RAN_OUT = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or here."""
    import torch

    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _RAN_OUT)
    )


_NAMES = ("_name_or_path", "_commit_hash", "transformers_version", "dtype", "torch_dtype")


def _hash_of_config(config: Any) -> str:
    """SHA-256 of what the config says beside names: rotation, capping and kinds of attention are in no weight."""
    told = {name: value for name, value in config.to_dict().items() if name not in _NAMES}
    told["attention"] = getattr(config, "_attn_implementation", None)

    def plain(value: Any) -> Any:
        return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)

    return hashlib.sha256(json.dumps(told, sort_keys=True, default=plain).encode()).hexdigest()


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Dropout off; each module's own mode is put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def checked(module: Any, tokenizer: Any, where: Mapping[str, Any]) -> Model:
    """A Model with its provenance complete, once it is known to be causal."""
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(
            f"{type(module).__name__} has no transformers config; expected a decoder-only transformers model"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(module).__name__} is an encoder-decoder; expected a decoder-only language model")
    backbone = _backbone(module)
    layers = named_layers(backbone)
    text = config.get_text_config()
    parameter = next(backbone.parameters())
    model = Model(
        module,
        backbone,
        tokenizer,
        {
            **where,
            "architecture": type(module).__name__,
            "parameters": sum(p.numel() for p in module.parameters()),
            "width": int(text.hidden_size),
            "blocks": sum(layer.name.startswith("block.") for layer in layers),
            "vocabulary": int(text.vocab_size),
            "config_sha256": _hash_of_config(config),
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "device": parameter.device.type,
        },
    )
    _check_causal(model)
    return (
        model if tokenizer is None else replace(model, warnings=_compared_sizes(len(tokenizer), model.embedding_rows))
    )


def _compared_sizes(tokens: int, rows: int) -> tuple[str, ...]:
    """Embeddings are often padded by a few per cent, so fewer tokens than rows are no warning unless far fewer."""
    if tokens > rows + 4096:
        raise ModelError(
            f"the tokenizer has {tokens} tokens and the model's embedding {rows} rows: they do not belong together; "
            "leave --tokenizer out, or name the one that the model was trained with"
        )
    if tokens > rows:
        why = "tokens were added to it, or it is not that of the model"
    elif tokens < rows / 2:
        why = (
            "no embedding is padded that far, so it is not that of the model, which reads tokens that it does not know"
        )
    else:
        return ()
    return (f"the tokenizer has {tokens:,} tokens and the model's embedding {rows:,} rows: {why}",)


def _backbone(module: Any) -> Any:
    for found in (getattr(module, "get_decoder", lambda: None)(), getattr(module, "base_model", None)):
        if found is not None and found is not module:
            return found
    return module


def _check_causal(model: Model) -> None:
    import torch

    ids = torch.arange(2, 10, device=model.device)[None] % model.vocabulary
    other = ids.clone()
    other[0, -1] = (int(ids[0, -1]) + 7) % model.vocabulary
    # Rounding alone may differ, since a mixture of experts batches its tokens anew.
    slack = 1e-4 if model.provenance["dtype"] in ("float32", "float64") else 0.02
    with torch.no_grad(), evaluating(model.module):
        a, b = model.run(ids)[0, :-1].float(), model.run(other)[0, :-1].float()
    if not bool((a - b).norm() <= slack * a.norm()) and bool(a.isfinite().all()):
        raise ModelError(
            f"{type(model.module).__name__} is not causal: a later token changes an earlier state, as in an encoder; "
            "expected a decoder-only language model"
        )
