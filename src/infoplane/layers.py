"""The named layers of a decoder: `embed`, `block.0`, `block.1`, ..., `final_norm`.

`embed` is what enters the first block, `block.N` what leaves block N, `final_norm` what leaves the
last norm. Blocks are read with hooks, not from `hidden_states`, whose last entry many models norm already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infoplane.errors import ModelError, SettingError

if TYPE_CHECKING:
    import torch

EMBED, FINAL_NORM = "embed", "final_norm"


@dataclass(frozen=True)
class Layer:
    """A name, and where its states pass: the input of `module`, or its output."""

    name: str
    module: torch.nn.Module
    is_input: bool = False


def named_layers(backbone: torch.nn.Module) -> tuple[Layer, ...]:
    """All layers of a decoder without its head, in the order of the data.

    Raises:
        ModelError: no list of blocks was found.
    """
    path, blocks = _blocks(backbone)
    layers = [Layer(EMBED, blocks[0], is_input=True)]
    layers += [Layer(f"block.{i}", block) for i, block in enumerate(blocks)]
    parent = backbone.get_submodule(path.rpartition(".")[0])
    norms = [
        module
        for name, module in parent.named_children()
        if "norm" in type(module).__name__.lower() and "embed" not in name
    ]
    if norms:  # the last one declared; some models have none
        layers.append(Layer(FINAL_NORM, norms[-1]))
    return tuple(layers)


def select_layers(layers: tuple[Layer, ...], names: tuple[str, ...] | None) -> tuple[Layer, ...]:
    """The layers with these names, all of them for None."""
    chosen = select_names(tuple(layer.name for layer in layers), names)
    return tuple(layer for layer in layers if layer.name in chosen)


def select_names(layers: tuple[str, ...], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Of the names of all layers those that are wanted, in the order of the model; all of them for None."""
    if names is None:
        return layers
    for name in names:
        if name not in layers:
            last = sum(one.startswith("block.") for one in layers) - 1
            raise SettingError(f"no layer {name!r}; the model has embed, block.0 to block.{last}, final_norm")
    return tuple(layer for layer in layers if layer in names)


def _blocks(backbone: torch.nn.Module) -> tuple[str, list[torch.nn.Module]]:
    """Path and members of the list of blocks: the outermost list as long as the config says."""
    from torch import nn

    config: Any = getattr(backbone, "config", None)
    sizes = (getattr(config, name, None) for name in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"))
    wanted = {size for size in sizes if isinstance(size, int)}
    found = [
        (path, list(module))
        for path, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 0
    ]
    fits = [entry for entry in found if len(entry[1]) in wanted] if wanted else found
    if not fits:
        raise ModelError(
            f"{type(backbone).__name__}: no list of blocks was found (the config says {sorted(wanted) or 'nothing'}); "
            "expected a decoder whose blocks stand in one nn.ModuleList"
        )
    return min(fits, key=lambda entry: (entry[0].count("."), -len(entry[1])))
