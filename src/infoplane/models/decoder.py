"""Models ready to run: any decoder-only `transformers` model, split into its decoder and its head.

A model is checked to be causal by what it does, not by its name: a token that comes later must not change a state
that came before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from infoplane.errors import ModelError
from infoplane.models.adapters import refuse_wrapped
from infoplane.models.language_head import logits_by
from infoplane.models.layers import Layer
from infoplane.models.module_config import max_context, quantisation_of
from infoplane.models.module_hashes import active_adapters, config_hash, unsaved_state, weights_hash
from infoplane.models.sharding import refuse_what_cannot_be_run, sharding_of
from infoplane.models.structure import Structure, find_structure
from infoplane.models.trial_passes import run_decoder
from infoplane.text import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from infoplane.text import Windows


@dataclass(frozen=True, eq=False)
class Facts:
    """What decides windows and captures of a model, without its weights.

    Attributes:
        provenance, warnings, tokenizer: of the model.
        layers: names of all its layers, in their order.
        embedding_rows: ids lie below.
        max_context: longest window that it has positions for, where its config says so.
        no_head, no_loss: why there is no next-token loss, where there is none; see
            `infoplane.models.structure.Structure`.
    """

    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]
    tokenizer: Tokenizer | None
    layers: tuple[str, ...]
    embedding_rows: int
    max_context: int | None
    no_head: str | None = None
    no_loss: str | None = None

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
            name = windows.tokenizer_name
            raise ModelError(
                f"the text holds the token id {largest}, and the model's embedding has {rows} rows: ids up to "
                f"{rows - 1} were expected. The tokenizer{f' {name}' if name else ''} is not that of the model: leave "
                "--tokenizer out, or name the one that the model was trained with"
            )

    def check_loss(self, loss: bool) -> tuple[bool, tuple[str, ...]]:
        """Whether the loss that is asked for is computed, and what a result says where it is not.

        Raises:
            ModelError: it is asked for, and the model has no head.
        """
        if loss and self.no_head is not None:
            raise ModelError(
                f"the next-token loss was asked for, and {self.no_head}: measure without loss (leave --loss out, or "
                "name --no-loss), or give the whole causal language model"
            )
        if loss and self.no_loss is not None:
            return False, (f"measured without the next-token loss: {self.no_loss}",)
        return loss, ()


@dataclass(frozen=True, eq=False)
class Model:
    """A decoder-only language model, ready to run.

    Attributes:
        module: the whole model, with its head.
        structure: its parts: the decoder without its head, the layers, and how the head is reached.
        tokenizer: its tokenizer; None for a module that was given without one.
        provenance: where it comes from and what decides its numbers, as JSON values.
        warnings: what readers of its numbers should know; every capture of the model stores them.
    """

    module: torch.nn.Module
    structure: Structure
    tokenizer: Tokenizer | None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        p = self.provenance
        return (
            f"<Model {p.get('source', '?')}: {p.get('architecture')}, {p.get('parameters', 0):,} parameters, "
            f"{p.get('blocks')} blocks of width {p.get('width')}, {p.get('dtype')} on {p.get('device')}>"
        )

    @property
    def backbone(self) -> torch.nn.Module:
        """The decoder without its head."""
        return self.structure.backbone

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order in which data passes through them."""
        return self.structure.layers

    @classmethod
    def from_module(
        cls,
        module: torch.nn.Module,
        tokenizer: Tokenizer | None = None,
        name: str | None = None,
        together: bool = False,
    ) -> Model:
        """Make a model from a loaded module, and hash its weights to identify it.

        Args:
            module: a causal `transformers` model.
            tokenizer: its tokenizer.
            name: the name to show; by default the name of its class.
            together: whether its weights are spread over several processes, all of which call this and run the model
                together. The weights are then not hashed.

        Raises:
            ModelError: not a causal decoder, a module that cannot be run here, or weights that are spread over several
                processes without `together`.
        """
        refuse_what_cannot_be_run(module)
        provenance = {"source": "module", "name": name or type(module).__name__}
        if not together:
            if (sharding := sharding_of(module)) is not None:
                raise ModelError(
                    f"the weights of this {type(module).__name__} lie in parts on several processes ({sharding.kind}): "
                    "probe it with infoplane.Monitor, made on every one of them, or measure the checkpoints that it "
                    "saves (infoplane trace)"
                )
            provenance["weights_sha256"] = weights_hash(module)
        return checked(module, tokenizer, provenance)

    @property
    def device(self) -> torch.device:
        """The device that token ids are sent to."""
        device: torch.device = next(self.backbone.parameters()).device
        return device

    @property
    def width(self) -> int:
        """d, the width of the hidden states."""
        return int(self.provenance["width"])

    @property
    def vocabulary(self) -> int:
        """Size of the vocabulary, as the config states it."""
        return int(self.provenance["vocabulary"])

    @property
    def embedding_rows(self) -> int:
        """Number of rows of the token embedding; token ids must be below. It may be padded beyond the vocabulary."""
        rows = self.vocabulary
        with contextlib.suppress(NotImplementedError, AttributeError, TypeError):
            embedding = cast("PreTrainedModel", self.module).get_input_embeddings()
            shape = cast("torch.Tensor", embedding.weight).shape
            # a module that is being trained on several devices may hold a part only, flat or empty
            rows = max(rows, int(shape[0]) if len(shape) == 2 else 0)
        return rows

    @property
    def facts(self) -> Facts:
        """What decides windows and captures of the model, without its weights."""
        names, s = tuple(layer.name for layer in self.layers), self.structure
        return Facts(
            self.provenance,
            self.warnings,
            self.tokenizer,
            names,
            self.embedding_rows,
            self.max_context,
            s.no_head,
            s.no_loss,
        )

    def check_tokens(self, windows: Windows) -> None:
        """Check, before anything is run, that the embedding has every token of some windows.

        Raises:
            ModelError: it lacks one.
        """
        self.facts.check_tokens(windows)

    @property
    def max_context(self) -> int | None:
        """Longest window, in tokens, that the model has positions for; None if its config does not say."""
        return max_context(self.module)

    def run(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states (batch, tokens, d) of token ids (batch, tokens), without the head and without a cache."""
        return run_decoder(self.backbone, self.module, ids)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states (batch, tokens, d), with any scaling or capping that the model applies."""
        assert self.structure.head is not None, "the model has no head"
        return logits_by(self.module, self.structure.head, states)


def checked(
    module: torch.nn.Module, tokenizer: Tokenizer | None, where: Mapping[str, Any], no_head: str | None = None
) -> Model:
    """A Model with its provenance complete, once it is known to be causal.

    Args:
        module, tokenizer, where: of the model, and where it comes from.
        no_head: why there is no loss, where its files lack the head.
    """
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(
            f"{type(module).__name__} has no transformers config; expected a decoder-only transformers model"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(module).__name__} is an encoder-decoder; expected a decoder-only language model")
    for adapter in active_adapters(module):
        refuse_wrapped(adapter, type(module).__name__)
    structure = find_structure(module)
    if no_head is not None:
        structure = replace(structure, no_head=no_head)
    layers = structure.layers
    text = config.get_text_config()
    parameter, method = next(structure.backbone.parameters()), quantisation_of(config)
    facts = {
        **where,
        "architecture": type(module).__name__,
        "parameters": sum(p.numel() for p in module.parameters()),
        "width": structure.width,
        "blocks": sum(layer.name.startswith("block.") for layer in layers),
        "vocabulary": int(text.vocab_size),
        "config_sha256": config_hash(
            config, active_adapters(module), unsaved_state(module) if where.get("source") == "module" else ()
        ),
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "device": parameter.device.type,
        **({} if method is None else {"quantization": method}),
    }
    model = Model(module, structure, tokenizer, facts, _hooked(module) if where.get("source") == "module" else ())
    if tokenizer is None:
        return model
    return replace(model, warnings=(*model.warnings, *_compared_sizes(len(tokenizer), model.embedding_rows)))


def _hooked(module: torch.nn.Module) -> tuple[str, ...]:
    """A warning where hooks change, or may change, what a module computes."""
    hooks = [h for part in module.modules() for h in (*part._forward_hooks.values(), *part._forward_pre_hooks.values())]
    # those of PyTorch's own sharding gather weights and share out numbers, and change nothing
    count = sum(not str(getattr(hook, "__module__", "")).startswith("torch.distributed") for hook in hooks)
    if not count:
        return ()
    return (f"the module has {count} forward hooks: what they do is part of what was measured",)


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
