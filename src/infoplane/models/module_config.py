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


def output_embeddings(module: PreTrainedModel) -> torch.nn.Module | None:
    """The head, where the class names one."""
    head = module.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    return cast("torch.nn.Module | None", head)
