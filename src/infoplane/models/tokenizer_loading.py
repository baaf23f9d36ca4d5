"""Tokenizers: beside the weights, of the run or the base that they belong to, or another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from infoplane.errors import ModelError
from infoplane.models.adapters import is_adapter, own_tokenizer
from infoplane.models.checkpoints import parse_name
from infoplane.models.decoder import Model
from infoplane.models.loader_errors import as_model_error, needed_package
from infoplane.models.locating import BUILT_IN, adapter_base, built_in, check_gguf, is_no_hub_id
from infoplane.models.weight_files import refuse_pipes
from infoplane.storage import Json
from infoplane.storage import atomic_files as files
from infoplane.text import Tokenizer, prefix_of, tokenizer_hash

A_TOKENIZER = f"{BUILT_IN}, a .gguf file, or the folder or hub id of a tokenizer"


def tokenizer_beside(name: str, path: Path, kwargs: Mapping[str, Json]) -> Tokenizer:
    """The tokenizer beside the weights, or of the run whose checkpoint this is: a Trainer may save it there alone."""
    auto = needed_package("transformers").AutoTokenizer
    if not path.is_dir() or own_tokenizer(path):
        return cast("Tokenizer", auto.from_pretrained(name, **kwargs))
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


def words_of(source: str | Path, tokenizer: str | Path | None, revision: str | None) -> Tokenizer | None:
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
    with as_model_error(name, A_TOKENIZER):
        return tokenizer_beside(name, path, {"revision": revision, "trust_remote_code": False})


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


def beside_its_own(model: Model, name: str, **kwargs: Json) -> Model:
    """The model, with a warning where the tokenizer that lies beside its weights is another than its text is cut with.

    Args:
        name: folder or hub id of the weights. Where no tokenizer can be loaded from there, there is nothing to compare.
        **kwargs: for `from_pretrained`.
    """
    try:
        own = needed_package("transformers").AutoTokenizer.from_pretrained(name, **kwargs)
    except Exception:  # the loaders raise OSError, ValueError, KeyError and more
        return model
    if model.tokenizer is None or tokenizer_hash(own) == tokenizer_hash(model.tokenizer):
        return model
    given = str(getattr(model.tokenizer, "name_or_path", "")) or "given"
    warning = (
        f"the text was cut by the tokenizer {given}, which differs from the one beside the weights ({name}): unless "
        "the model was trained with it, it reads tokens that mean something else to it"
    )
    return replace(model, warnings=(*model.warnings, warning))


def load_tokenizer(source: str | Path) -> Tokenizer:
    """The tokenizer alone of `smollm2-135m`, a hub id, a folder or a .gguf file.

    Raises:
        ModelError: missing or unreadable.
    """
    transformers = needed_package("transformers")
    path = built_in() if str(source) == BUILT_IN else Path(source).expanduser()
    if path.suffix.lower() == ".gguf":
        check_gguf(path)
        with as_model_error(str(path), A_TOKENIZER):
            auto = transformers.AutoTokenizer
            return cast(
                "Tokenizer",
                auto.from_pretrained(str(path.parent), gguf_file=path.name, trust_remote_code=False),
            )
    name = str(path) if path.exists() else str(source)
    if path.is_dir():
        refuse_pipes(path)
    elif path.exists() and not path.is_file():
        raise ModelError(f"{path} is no file: expected {A_TOKENIZER}")
    if not path.exists() and is_no_hub_id(name):
        raise ModelError(f"no tokenizer at {name!r}: expected {A_TOKENIZER}")
    with as_model_error(name, A_TOKENIZER):
        # said, or it would ask on the standard input, which may hold the text
        return cast("Tokenizer", transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False))
