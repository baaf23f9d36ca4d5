"""PEFT adapters: applied to their base where its decoder alone shows them, refused by name where it does not.

Prompt and prefix tuning, X-LoRA and activated LoRA live in the forward of PEFT's wrapper, which is not what is read
here. Of all others each weight must find its place: PEFT loads what fits and says nothing of the rest.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from infoplane.errors import ModelError
from infoplane.models.module_config import output_embeddings
from infoplane.storage import atomic_files as files

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel


CONFIG = "adapter_config.json"
NO_DECODER = re.compile(r"(^|\.)(lm_head|score|classifier|v_head|value_head|pooler|summary|reward_head)\.")
"""Keys of heads, which no state of the decoder depends on."""
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / CONFIG).is_file()


def base_of(folder: Path) -> str:
    """What an adapter's config calls its base model: a hub id or a place.

    Raises:
        ModelError: it names none.
    """
    try:
        base = files.parse_json((folder / CONFIG).read_text("utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}/{CONFIG} does not name its base model: {error!r}") from None
    if not base:
        raise ModelError(f"{folder}/{CONFIG} does not name its base model")
    return str(base)


def base_revision(folder: Path) -> str | None:
    """Branch, tag or commit of the base that an adapter was made for, where its config says so."""
    revision = files.parse_json((folder / CONFIG).read_text("utf-8")).get("revision")
    return str(revision) if revision else None


def own_tokenizer(folder: Path) -> Path | None:
    """The folder again, where a tokenizer lies in it: the one that these weights were trained with."""
    return folder if any((folder / name).is_file() for name in _TOKENIZERS) else None


def refuse_wrapped(config: PeftConfig, name: str) -> None:
    """Refuse a kind of adapter that works in the forward of PEFT's wrapper alone.

    Args:
        config: a `PeftConfig`.
        name: what the user called it.

    Raises:
        ModelError: of that kind.
    """
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if getattr(config, "is_prompt_learning", False):
        why = "puts virtual tokens before the text"
    elif kind == "XLORA":
        why = "mixes its parts anew for each text"
    elif str(getattr(config, "init_lora_weights", "")).startswith("pissa_niter"):
        raise ModelError(
            f"{name} is an adapter that begins by a random decomposition of its base (init_lora_weights = "
            f"{getattr(config, 'init_lora_weights', None)!r}), which is another one each time it is loaded: save it "
            "converted, with path_initial_model_for_weight_conversion"
        )
    elif getattr(config, "alora_invocation_tokens", None):
        kind, why = "activated LORA", "acts after its invocation tokens only"
    else:
        return
    raise ModelError(
        f"{name} is an adapter of the kind {kind}, which {why}, in a forward pass of its own: the decoder alone does "
        "not "
        "show it, so its numbers would be those of the base; expected LoRA or another kind that changes weights, or "
        "the base model by its own name"
    )


def check_kind(folder: Path) -> None:
    """Refuse an adapter by its config, before its base is loaded.

    Raises:
        ModelError: a config that PEFT does not know, or a kind that works in the wrapper's forward alone.
    """
    import peft

    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # KeyError, ValueError and TypeError of a kind, or a field, that it does not know
        raise ModelError(
            f"{folder}/{CONFIG} is of no adapter that peft {peft.__version__} knows ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); expected one that this version, or a later one, has saved"
        ) from None
    refuse_wrapped(config, str(folder))


def with_adapter(module: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, str | None]:
    """The base model with an adapter in it.

    Args:
        module: the base.
        folder: of the adapter.

    Returns:
        The module, and why it has no head of its own where the adapter added tokens to the embedding alone.

    Raises:
        ModelError: of a kind that cannot be shown, or a weight of it that has no place in this model, or none at all.
    """
    import peft
    from peft.utils import load_peft_weights

    weights = load_peft_weights(str(folder), device="cpu")
    if not weights:
        raise ModelError(f"{folder} holds an adapter without weights: its file is empty; save it again")
    no_head = _resize(module, weights)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = peft.PeftModel.from_pretrained(module, str(folder))
    except Exception as error:  # KeyError of a weight that the file lacks, RuntimeError of a shape, and more
        raise ModelError(
            f"{folder}: its adapter does not load on its base ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}): the file lacks a weight, or is of another model or {CONFIG}"
        ) from None
    # again, for what it tells: keys that fit nothing, once those of older versions have their names of today
    loaded = peft.set_peft_model_state_dict(adapted, dict(weights))
    # an embedding that is saved whole and was resized too stands in the file twice
    unexpected: list[str] = loaded.unexpected_keys  # type: ignore[attr-defined]  # it is one of torch's named tuples
    astray = [k for k in unexpected if k.replace(".modules_to_save", "", 1) not in {*weights} - {k}]
    if astray := [key for key in astray if not NO_DECODER.search(key)]:
        raise ModelError(_astray(folder, astray, len(weights), adapted.state_dict()))
    held = {_plain(key) for key in weights}
    wanted = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    if lacking := [key for key in wanted if _plain(key) not in held and not NO_DECODER.search(key)]:
        raise ModelError(
            f"{folder}: {len(lacking)} weights of the adapter are missing, and would be as they are before training "
            f"({', '.join(sorted(lacking)[:2])}); expected the file that was saved with this {CONFIG}"
        )
    return cast("PreTrainedModel", adapted.get_base_model()), no_head


def _astray(folder: Path, astray: Collection[str], count: int, places: Collection[str]) -> str:
    shown = ", ".join(sorted(astray)[:2])
    wanted = next((key for key in sorted(places) if ".lora_" in key or "adapter" in key), None)
    what = "they were saved from another kind of model"
    if any("_orig_mod." in key for key in astray):
        what = "they were saved from a compiled model: save the inner module, or rename the keys without '_orig_mod.'"
    elif any("language_model." in key for key in astray):
        what = (
            "it was trained on the multimodal class of the model, and this is its text decoder: train it on that, or "
            "rename its keys"
        )
    expected = f" ({wanted} was expected)" if wanted else ""
    lost = f"{len(astray)} of {count} weights of the adapter have no place in its base"
    return f"{folder}: {lost}: {shown}{expected}; {what}"


def _resize(module: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> str | None:
    """Make the embedding as long as the one that was saved with the adapter; why the head is then not whole, if so."""
    embedding, head = module.get_input_embeddings(), output_embeddings(module)
    rows = int(cast("torch.Tensor", embedding.weight).shape[0])
    brought = {
        name: int(tensor.shape[0])
        for key, tensor in weights.items()
        if "lora_" not in key
        for name, part in (("embedding", embedding), ("head", head))
        if part is not None and tensor.ndim == 2 and _names(module, part) & {_bare(key)}
    }
    size = brought.get("embedding", brought.get("head", rows))
    if size == rows:
        return None
    module.resize_token_embeddings(size, mean_resizing=False)
    tied = head is None or head.weight is embedding.weight or getattr(module.config, "tie_word_embeddings", False)
    if size > rows and not tied and "head" not in brought:
        return f"the adapter adds {size - rows} tokens to the embedding and brings no rows of the head for them"
    return None


def _names(module: PreTrainedModel, part: torch.nn.Module) -> set[str]:
    return {f"{name}.weight" for name, submodule in module.named_modules() if submodule is part}


def _plain(key: str) -> str:
    """A key without what versions of PEFT call differently."""
    return key.replace(".modules_to_save", "").removesuffix(".weight")


def _bare(key: str) -> str:
    """A key of an adapter's file as a key of its base."""
    return key.removeprefix("base_model.model.").replace(".modules_to_save", "").replace(".original_module", "")
