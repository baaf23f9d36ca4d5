"""What a module of `transformers` says of itself, with types: its config and its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


def config_of(module: torch.nn.Module) -> PreTrainedConfig:
    """The config of a module that is known to have one."""
    return cast("PreTrainedConfig", module.config)


def text_config(module: torch.nn.Module) -> PreTrainedConfig:
    """The part of it that is of the decoder of text."""
    return config_of(module).get_text_config()


def quantisation_of(config: PreTrainedConfig) -> str | None:
    """How a config says that the weights are quantised."""
    quantization = getattr(config, "quantization_config", None)
    if not quantization:
        return None
    method = (
        quantization.get("quant_method")
        if isinstance(quantization, dict)
        else getattr(quantization, "quant_method", None)
    )
    return str(getattr(method, "value", method))


def max_context(module: torch.nn.Module) -> int | None:
    """Longest window that a module has positions for, where its config says so."""
    if not hasattr(getattr(module, "config", None), "get_text_config"):
        return None
    config = text_config(module)
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(limit) if isinstance(limit, int) and limit > 0 else None


def output_embeddings(module: PreTrainedModel) -> torch.nn.Module | None:
    """The head, where the class names one."""
    head = module.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    return cast("torch.nn.Module | None", head)
