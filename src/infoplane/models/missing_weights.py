"""What the files of a model lack: read from the loading report of transformers, which draws at random what is missing.

A model with weights of chance measures, exits with 0, and gives other numbers at each run. So whatever the decoder
needs and no file holds is refused, with what the keys look like and what to do. A head that is missing is noted: only
the loss needs it. Weights that the decoder has no place for are a warning; those of a vision tower are nobody's loss.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infoplane.errors import ModelError
from infoplane.models.adapters import NO_DECODER
from infoplane.models.module_config import output_embeddings, quantisation_of, text_config
from infoplane.models.weight_keys import BLOCK, block_numbers, common_prefix, few, ranges

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


_WRAPPERS = {
    "_orig_mod": "torch.compile",
    "module": "DataParallel or DeepSpeed",
    "_forward_module": "Lightning",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
_OTHER_SENSES = re.compile(
    r"vision|visual|image|audio|speech|video|projector|connector|merger|resampler|^mtp\.|\.mtp\."
)
_BUFFERS = re.compile(r"\.(inv_freq|masked_bias|position_ids|attn\.bias|attention\.bias)$")
_TRAINED_BUFFERS = re.compile(r"(bias|biases|layer_scalar|tid2eid)$")
"""Buffers that are trained, or tables: expert biases, the scalars of layers, hashes of tokens."""
_QUANTISED = re.compile(
    r"\.(weight_scale(_inv|_2)?|input_scale|scales?|scale_inv|qweight|qzeros|g_idx|SCB|weight_packed|weight_shape|"
    r"weight_format|absmax|weight\.(absmax|quant_map|nested_\w+|quant_state\.\w+))$"
)


@dataclass(frozen=True)
class Lack:
    """What is to be said of weights that are usable all the same.

    Attributes:
        no_head: why there is no loss, as a clause; None where the head is there.
        warnings: for the result.
    """

    no_head: str | None = None
    warnings: tuple[str, ...] = ()


def check_report(
    report: Mapping[str, Any],
    module: PreTrainedModel,
    name: str,
    types: Mapping[str, str] | None = None,
    config: PreTrainedConfig | None = None,
) -> Lack:
    """Refuse a model that would be measured with weights of chance.

    Args:
        report: `output_loading_info` of `from_pretrained`, shapes that differ included.
        module: what was loaded.
        name: what the user called it.
        types: number types of the tensors in its files, by their keys; see `infoplane.models.weight_files.stored`.
        config: as it lies beside them; that of the module may have changed when it was loaded.

    Raises:
        ModelError: weights of the decoder are missing, have another shape, or are quantised without a word of how.
    """
    unexpected = sorted(report.get("unexpected_keys") or ())
    _refuse_shapes(report.get("mismatched_keys") or (), name)
    if errors := report.get("error_msgs"):
        raise ModelError(f"{name}: its weights do not load: {' '.join(str(errors[0]).split())[:300]}")
    method = quantisation_of(module.config if config is None else config)
    _refuse_quantised(unexpected, name, method)
    _refuse_unscaled(types or {}, name, method)
    _refuse_two_sets(types or {}, module, name)
    parameters = {key for key, _ in module.named_parameters(remove_duplicate=False)}
    missing = [key for key in sorted(report.get("missing_keys") or ()) if not _OTHER_SENSES.search(key)]
    lacked = [
        key for key in missing if key in parameters or (_TRAINED_BUFFERS.search(key) and not _BUFFERS.search(key))
    ]
    made = [key for key in missing if key not in lacked and not _BUFFERS.search(key)]
    head = _head_keys(module)
    if decoder := [key for key in lacked if key not in head]:
        raise ModelError(_missing(decoder, unexpected, module, name))
    no_head = (
        f"{name} holds no weights of the head ({lacked[0]}), which is not tied to the embedding" if lacked else None
    )
    warnings = [f"the files lack {few(made)}: constants that were read as the class makes them"] if made else []
    return Lack(no_head, (*warnings, *_left_over(unexpected, module)))


_MOST_BLOCKS, _MOST_NUMBERS, _SMALL = 4096, 1 << 40, 1 << 28


def refuse_sizes(config: PreTrainedConfig, name: str, types: Mapping[str, str]) -> None:
    """Refuse a config that asks for more than its files hold, or than any model has, before a model is made of it.

    Raises:
        ModelError: it does.
    """
    text = config.get_text_config()
    blocks = getattr(text, "num_hidden_layers", 0)
    held = max(block_numbers(types), default=-1) + 1
    if isinstance(blocks, int) and blocks > max(_MOST_BLOCKS if not held else 4 * held + 64, 0):
        there = f"its files hold {held}" if held else f"no model has more than {_MOST_BLOCKS:,}"
        raise ModelError(
            f"the config of {name} asks for {blocks:,} blocks, and {there}: it is broken, or of another model; "
            "expected the config.json that was saved with these weights"
        )
    size = [getattr(text, key, 1) for key in ("vocab_size", "hidden_size")]
    if all(isinstance(n, int) for n in size) and size[0] * size[1] > _MOST_NUMBERS:
        raise ModelError(
            f"the config of {name} asks for an embedding of {size[0]:,} rows of width {size[1]:,}: it is broken; "
            "expected the config.json that was saved with these weights"
        )


def refuse_numbers(module: PreTrainedModel, name: str, held: int) -> None:
    """Refuse a model of far more numbers than its files hold: what they lack would be made, and take all memory.

    Args:
        module: the model as its config asks for, on the device `meta`, where it takes no memory.
        name: what the user called it.
        held: bytes of its files.

    Raises:
        ModelError: it is.
    """
    parts = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    wanted = sum(part.numel() for part in parts.values())
    if wanted > _SMALL + 8 * held:  # a number takes a bit or more, and masks and tables are made small
        key, largest = max(parts.items(), key=lambda entry: entry[1].numel())
        raise ModelError(
            f"the config of {name} asks for {wanted:,} numbers, and its files hold {held:,} bytes: the largest part, "
            f"{key}, is of shape {list(largest.shape)}; it is broken, or of another model; expected the config.json "
            "that was saved with these weights"
        )


def check_block_count(names: Iterable[str], blocks: int) -> tuple[str, ...]:
    """A warning where the tensors of a .gguf are of more blocks than its header says."""
    numbers = {int(match[1]) for name in names if (match := re.match(r"blk\.(\d+)\.", name))}
    return (_more_blocks(numbers, blocks),) if numbers and max(numbers) >= blocks else ()


# ---------------------------------------------------------------------- refusals


def _refuse_shapes(mismatched: Collection[Any], name: str) -> None:
    if not mismatched:
        return
    key, file, model = min((str(k), tuple(a), tuple(b)) for k, a, b in mismatched)
    if ".experts." in key:
        raise ModelError(
            f"{name}: {key} has the shape {list(file)} in the file and {list(model)} in the model: an expert of that "
            "layer is missing from the file, or its config is of another model"
        )
    empty = any(0 in tuple(shape) for _, shape, _ in mismatched)
    what = (
        "it is empty, as of a run under ZeRO-3 that saved without gathering: convert the checkpoint with "
        "zero_to_fp32.py, or save with stage3_gather_16bit_weights_on_model_save"
        if empty
        else "its config is of another model: expected the config.json that was saved with these weights"
    )
    raise ModelError(
        f"{name}: {key} has the shape {list(file)} in the file and {list(model)} in the model "
        f"({len(mismatched)} such weights); {what}"
    )


def _refuse_quantised(unexpected: Collection[str], name: str, method: str | None) -> None:
    if scales := [key for key in unexpected if _QUANTISED.search(key) and not _OTHER_SENSES.search(key)]:
        why = (
            "its config.json does not say how (quantization_config)"
            if method is None
            else f"this version of transformers did not read them as {method!r}, the method that its config names"
        )
        raise ModelError(
            f"{name} holds quantised weights ({few(scales)}), and {why}: they would be read without their scales; "
            "mend that entry, or convert the weights"
        )


def _refuse_unscaled(types: Mapping[str, str], name: str, method: str | None) -> None:
    """Narrow numbers mean nothing without their scales: integers, and float8 where the config says that it has some."""
    narrow = ("I8", "U8", *(("F8_E4M3", "F8_E5M2") if method else ()))
    bare = [
        key
        for key, kind in types.items()
        if kind in narrow
        and key.endswith(".weight")
        and (method in (None, "fp8") or kind.startswith("F8"))
        and not any(key + end in types for end in ("_scale_inv", "_scale", ".absmax", ".SCB"))
        and key.removesuffix("weight") + "scale" not in types
        and key.removesuffix("weight") + "SCB" not in types
    ]
    if bare:
        raise ModelError(
            f"{name} holds {len(bare)} weights of type {types[bare[0]]} without their scales ({few(bare)}): they "
            "are not the numbers that the model was trained to; get the whole model, or convert it anew"
        )


def _refuse_two_sets(types: Mapping[str, str], module: PreTrainedModel, name: str) -> None:
    prefix = str(getattr(module, "base_model_prefix", "") or "")
    if prefix and (both := [key for key in types if f"{prefix}.{key}" in types]):
        raise ModelError(
            f"{name} holds {len(both)} weights twice, as {both[0]} and as {prefix}.{both[0]}: which of them are the "
            "model's cannot be told; remove one set from the file"
        )


def _missing(keys: Collection[str], unexpected: Collection[str], module: PreTrainedModel, name: str) -> str:
    message = f"{name} lacks {len(keys)} weights of the model ({few(keys)}), which would be drawn at random: "
    if part := re.search(r"-(\d{5})-of-(\d{5})\.gguf$", name):
        return (
            f"{message}it is part {int(part[1])} of {int(part[2])} of a split file; merge them first, with "
            "llama-gguf-split --merge"
        )
    wanted = set(keys)
    for wrapper, maker in _WRAPPERS.items():
        bare = {".".join(part for part in key.split(".") if part != wrapper) for key in unexpected}
        if len(bare & wanted) > len(wanted) // 2:
            return (
                f"{message}the keys of the file hold {wrapper!r}, which {maker} puts there ({few(unexpected, 1)}); "
                "save the inner module, or rename the keys without it"
            )
    if prefix := common_prefix(wanted, unexpected):
        return f"{message}the keys of the file begin with {prefix!r} ({few(unexpected, 1)}); rename them without it"
    have, blocks = block_numbers(unexpected), block_numbers(keys)
    others = f"; it holds {few(unexpected)} in their place" if unexpected else ""
    if blocks and not have:
        of = f"block {ranges(blocks)} of {_count(module)}"
        return f"{message}they are of {of}{others}; get the whole model, or mend its config"
    return f"{message}expected all of them in its files{others}; get the whole model, or the config that belongs to it"


# ---------------------------------------------------------------------- warnings


def _left_over(unexpected: Collection[str], module: PreTrainedModel) -> tuple[str, ...]:
    """What of the decoder's weights was not read."""
    left = [
        key for key in unexpected if not (_OTHER_SENSES.search(key) or NO_DECODER.search(key) or _BUFFERS.search(key))
    ]
    count = _count(module)
    beyond = [key for key in left if (match := BLOCK.search(key)) and count is not None and int(match[1]) >= count]
    warnings = []
    if beyond and count is not None:
        warnings.append(_more_blocks(block_numbers(beyond), count))
    if rest := [key for key in left if key not in beyond]:
        warnings.append(f"the file holds {len(rest)} weights that this architecture has no place for: {few(rest)}")
    return tuple(warnings)


def _more_blocks(numbers: Collection[int], blocks: int) -> str:
    return (
        f"the config says {blocks} blocks, and the file holds weights of block "
        f"{ranges([n for n in numbers if n >= blocks])} too: they were left out, so this is a part of the model"
    )


# ---------------------------------------------------------------------- keys


def _head_keys(module: PreTrainedModel) -> set[str]:
    try:
        head = output_embeddings(module)
    except Exception:  # not every class has one to name
        head = None
    own = {id(p) for p in head.parameters()} if head is not None else set()
    own -= (
        {id(p) for p in module.get_input_embeddings().parameters()} if own else set()
    )  # tied: the embedding is missing
    return {key for key, p in module.named_parameters(remove_duplicate=False) if id(p) in own}


def _count(module: PreTrainedModel) -> int | None:
    count = getattr(text_config(module), "num_hidden_layers", None)
    return count if isinstance(count, int) else None
