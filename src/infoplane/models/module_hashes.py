"""Hashes of what decides the numbers of a module: its weights, its config, its adapters, hooks and buffers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from infoplane.storage import Json

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedConfig


def weights_hash(module: torch.nn.Module) -> str:
    """SHA-256 of the names, types and numbers of all weights; of quantised ones those that they are made of."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in _plain(dict(module.state_dict())):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors, those of a subclass that is made of others (as torchao's are) as these."""
    for name, tensor in tensors.items():
        if hasattr(tensor, "__tensor_flatten__"):
            inner, _ = tensor.__tensor_flatten__()
            yield from _plain({f"{name}.{part}": getattr(tensor, part) for part in inner})
        else:
            yield name, tensor


def unsaved_state(module: torch.nn.Module) -> list[Json]:
    """What decides numbers and stands in no weight: adapters as they are set, hooks, and buffers that are not saved."""
    parts: list[Json] = []
    saved = set(module.state_dict())
    for name, part in module.named_modules():
        active = getattr(type(part), "active_adapters", None)
        if isinstance(active, property) and isinstance(getattr(type(part), "disable_adapters", None), property):
            scaling = dict(getattr(part, "scaling", None) or {})
            parts.append(
                [
                    name,
                    list(part.active_adapters),
                    bool(part.disable_adapters),
                    list(getattr(part, "merged_adapters", ())),
                    scaling,
                ]
            )
        parts += [[name, _named(hook)] for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values())]
    for name, buffer in module.named_buffers():
        if name not in saved and not buffer.is_meta:
            parts.append([name, hashlib.sha256(buffer.detach().float().cpu().numpy().tobytes()).hexdigest()])
    return parts


def _named(hook: Callable[..., object]) -> str:
    return f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', type(hook).__name__)}"


_NAMES = ("_name_or_path", "_commit_hash", "transformers_version", "dtype", "torch_dtype")


def active_adapters(module: torch.nn.Module) -> list[PeftConfig]:
    """Configs of the adapters that are active in a module of PEFT."""
    configs = getattr(module, "peft_config", None)
    if not isinstance(configs, Mapping):
        return []
    active = getattr(module, "active_adapters", None)  # of transformers' own modules a method, which names none here
    return [config for name, config in configs.items() if not isinstance(active, list) or name in active]


def config_hash(config: PreTrainedConfig, adapters: Sequence[PeftConfig] = (), state: Sequence[Json] = ()) -> str:
    """SHA-256 of what the config says beside names: rotation, capping and kinds of attention are in no weight.

    Nor are the adapters of a module, its hooks, and buffers that are not saved: `state`, of a module that was loaded.
    """
    entries = {name: value for name, value in config.to_dict().items() if name not in _NAMES}
    entries["attention"] = getattr(config, "_attn_implementation", None)
    if adapters:
        entries["adapters"] = [adapter.to_dict() for adapter in adapters]
    if state:
        entries["state"] = state

    def plain(value: object) -> Json:
        return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)

    return hashlib.sha256(json.dumps(entries, sort_keys=True, default=plain).encode()).hexdigest()
