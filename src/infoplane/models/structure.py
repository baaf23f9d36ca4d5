"""What a model is made of, found by running it on a few tokens: its decoder, its layers, its head.

Names of modules differ from family to family, and a wrong one is not noticed: a norm of the same width gives numbers
too. So a part is accepted for what it does. The decoder is the part that, run alone, gives the states that it gives
within the model. Its blocks are the outermost list of as many modules as the config says, all of which ran. The last
norm is the one whose output is the last hidden state. The head is reached if the model's own logits come out of it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.errors import ModelError, spoken
from infoplane.models.language_head import find_head
from infoplane.models.layers import EMBED, FINAL_NORM, Layer, streams_of
from infoplane.models.module_config import text_config
from infoplane.models.running import evaluating
from infoplane.models.sharding import gathered_around, spread_again, whole
from infoplane.models.trial_passes import (
    SAME,
    arguments,
    first_states,
    reraise_out_of_memory,
    run_decoder,
    same,
    slack_of,
    state_in,
    trial_ids,
)

if TYPE_CHECKING:
    import torch

    from infoplane.models.layers import Passed

_SIZES = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "num_decoder_layers")


@dataclass(frozen=True, eq=False)
class Structure:
    """The parts of a model.

    Attributes:
        backbone: the decoder without its head.
        layers: in the order of the data.
        width: d, of the states that leave the last block.
        head: the part that a stand-in replaces to put states into the head; None where there is no loss.
        no_head: the model has none (or not one of a language model): why, as a clause.
        no_loss: the head is there and cannot be given states: why, as a clause.
    """

    backbone: torch.nn.Module
    layers: tuple[Layer, ...]
    width: int
    head: torch.nn.Module | None = None
    no_head: str | None = None
    no_loss: str | None = None


def find_structure(module: torch.nn.Module) -> Structure:
    """The structure of a causal decoder, with the weights as they are; a few forward passes over 16 tokens.

    Raises:
        ModelError: no decoder, no list of blocks, states of a shape without a rule, or a model that is not causal.
    """
    import torch

    with torch.no_grad(), evaluating(module), spread_again(module):
        ids = trial_ids(module)
        passed = Whole.run(module, ids)
        backbone, states = _decoder(module, ids, passed)
        _check_causal(module, states)
        layers, width = _layers(backbone, module, ids)
        return Structure(backbone, layers, width, **find_head(module, backbone, ids, passed, states))


# ---------------------------------------------------------------------- running


@dataclass(eq=False)
class Whole:
    """A pass through the whole model.

    Attributes:
        logits: (2, 8, vocabulary), None where it has none.
        parts: last hidden states of each part that may be the decoder and ran.
        error: why it did not run.
    """

    logits: torch.Tensor | None
    parts: dict[int, torch.Tensor]
    error: str | None = None

    @classmethod
    def run(cls, module: torch.nn.Module, ids: torch.Tensor) -> Whole:
        parts: dict[int, torch.Tensor] = {}

        def note(part: torch.nn.Module, args: tuple[Passed, ...], output: Passed) -> None:
            states = first_states(output)
            if states is not None:
                parts[id(part)] = states

        with contextlib.ExitStack() as stack:
            for part in _candidates(module):
                if part is not module:
                    stack.callback(part.register_forward_hook(note).remove)
            try:
                out = module(**arguments(ids))
            except Exception as error:  # a model's own code may raise anything
                reraise_out_of_memory(error)
                return cls(None, parts, spoken(error))
        logits = getattr(out, "logits", None)
        return cls(whole(logits) if logits is not None and logits.ndim == 3 else None, parts)


# ---------------------------------------------------------------------- the decoder


def _candidates(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Parts that may be the decoder, the likeliest first; the module itself last."""
    candidates: list[torch.nn.Module] = []

    def add(part: torch.nn.Module) -> None:
        if hasattr(part, "named_modules") and not any(part is other for other in (*candidates, module)):
            candidates.append(part)

    for name in ("get_decoder", "get_text_decoder"):
        with contextlib.suppress(Exception):  # not every architecture has one to name
            add(getattr(module, name)())
    inner = getattr(module, "base_model", None)
    if inner is not None and inner is not module:
        with contextlib.suppress(Exception):
            add(inner.get_decoder())
        add(inner)
    for path, _ in _lists(module):  # what stands around a list of blocks, inside out
        names = path.split(".")[:-1]
        for end in range(len(names), 0, -1):
            add(module.get_submodule(".".join(names[:end])))
    return [*candidates, module]


def _decoder(module: torch.nn.Module, ids: torch.Tensor, whole: Whole) -> tuple[torch.nn.Module, torch.Tensor]:
    """The part that gives the same states alone as within the model, and its last states (2, 8, d)."""
    why = []
    for part in _candidates(module):
        if not _lists(part):
            continue
        try:
            with gathered_around(part, module):
                states = first_states(part(**arguments(ids)))
        except Exception as error:  # a model's own code may raise anything
            reraise_out_of_memory(error)
            why.append(f"{type(part).__name__} alone raises {spoken(error)}")
            continue
        if states is None or states.shape[:2] != ids.shape:
            why.append(f"{type(part).__name__} gives no states of (windows, tokens, width)")
        elif part is module and whole.logits is not None:
            why.append(f"{type(part).__name__} gives logits, not states")
        elif part is not module and whole.error is None and id(part) not in whole.parts:
            why.append(f"{type(part).__name__} does not run within the model")
        elif id(part) in whole.parts and not same(whole.parts[id(part)], states, SAME):
            why.append(f"{type(part).__name__} gives other states alone than within the model")
        else:
            return part, states
    name = type(module).__name__
    if not why:
        raise ModelError(f"{name}: {_no_blocks(module)}")
    raise ModelError(
        f"{name}: no part of it can be run alone on token ids as its decoder ({'; '.join(why)}); expected a "
        "decoder-only language model of text"
    )


def _check_causal(module: torch.nn.Module, states: torch.Tensor) -> None:
    if not same(states[0, :-1], states[1, :-1], slack_of(states)):
        raise ModelError(
            f"{type(module).__name__} is not causal: a later token changes an earlier state, as in an encoder; "
            "expected a decoder-only language model"
        )


# ---------------------------------------------------------------------- its layers


def _sizes(backbone: torch.nn.Module) -> set[int]:
    config = getattr(backbone, "config", None)
    with contextlib.suppress(Exception):
        config = text_config(backbone)
    sizes = []
    for name in _SIZES:
        with contextlib.suppress(Exception):  # some configs refuse to tell what differs between layers
            sizes.append(getattr(config, name, None))
    return {size for size in sizes if isinstance(size, int)}


def _lists(backbone: torch.nn.Module) -> list[tuple[str, list[torch.nn.Module]]]:
    """Lists of modules that may be the blocks: path and members, the outermost first."""
    from torch import nn

    wanted = _sizes(backbone)
    lists = [
        (path, list(part))
        for path, part in backbone.named_modules()
        if isinstance(part, nn.ModuleList | nn.Sequential) and len(part) > 0
    ]
    fits = [entry for entry in lists if len(entry[1]) in wanted] if wanted else lists
    return sorted(fits, key=lambda entry: (entry[0].count("."), -len(entry[1])))


def _no_blocks(module: torch.nn.Module) -> str:
    sizes = sorted(_sizes(module))
    return (
        f"no list of blocks was found (the config says {sizes or 'nothing'}); expected a decoder whose blocks stand in "
        "one nn.ModuleList"
    )


def _layers(backbone: torch.nn.Module, module: torch.nn.Module, ids: torch.Tensor) -> tuple[tuple[Layer, ...], int]:
    """The layers, each with what it passed on as the witness that it is one, and the width of their states."""
    lists = _lists(backbone)
    inside = {id(part) for _, blocks in lists for block in blocks for part in block.modules()}
    norms = [
        part for _, part in backbone.named_modules() if "norm" in type(part).__name__.lower() and id(part) not in inside
    ]
    passed: dict[int, torch.Tensor | None] = {}
    entered: dict[int, torch.Tensor | None] = {}

    def after(part: torch.nn.Module, args: tuple[Passed, ...], output: Passed) -> None:
        passed[id(part)] = first_states(output)

    def before(part: torch.nn.Module, args: tuple[Passed, ...], kwargs: dict[str, Passed]) -> None:
        entered.setdefault(id(part), state_in(args, kwargs))

    with contextlib.ExitStack() as stack:
        for part in {id(p): p for p in (*(b for _, blocks in lists for b in blocks), *norms)}.values():
            stack.callback(part.register_forward_hook(after).remove)
            stack.callback(part.register_forward_pre_hook(before, with_kwargs=True).remove)
        last = run_decoder(backbone, module, ids)
    ran = [blocks for _, blocks in lists if all(passed.get(id(b)) is not None for b in blocks)]
    if not ran or entered[id(ran[0][0])] is None:
        raise ModelError(f"{type(backbone).__name__}: {_no_blocks(backbone)}")
    blocks = ran[0]
    config = getattr(backbone, "config", None)

    def layer(name: str, part: torch.nn.Module, states: torch.Tensor | None, is_input: bool = False) -> Layer:
        assert states is not None
        batch, tokens = ids.shape
        try:
            return Layer(name, part, is_input, streams_of(tuple(states.shape), batch, tokens, config))
        except ModelError as error:
            raise ModelError(f"{type(backbone).__name__}, {name}: {error}") from None

    layers = [layer(EMBED, blocks[0], entered[id(blocks[0])], is_input=True)]
    layers += [layer(f"block.{i}", block, passed[id(block)]) for i, block in enumerate(blocks)]
    for part in norms:  # some models have none, or do more after it
        states = passed.get(id(part))
        if states is not None and states.shape == last.shape and same(states, last, 0.0):
            layers.append(Layer(FINAL_NORM, part))
            break
    leaving = passed[id(blocks[-1])]
    assert leaving is not None
    return tuple(layers), int(layers[len(blocks)].states(leaving).shape[-1])
