"""A model to be measured, named or loaded already, as what holds it opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from infoplane.engines import Advance
from infoplane.errors import ModelError, SettingError
from infoplane.text import Tokenizer

if TYPE_CHECKING:
    import torch

    from infoplane.models.decoder import Facts, Model


ModelSource: TypeAlias = "str | Path | Model | torch.nn.Module"
"""A model by its name, loaded, or as a module."""
TokenizerSource: TypeAlias = "str | Path | Tokenizer"
LOADING = ("revision", "dtype", "device", "device_map", "trust_remote_code", "allow_pickle", "random_init")


@dataclass(frozen=True)
class Source:
    """A model to load, or one that is loaded already."""

    model: ModelSource
    tokenizer: TokenizerSource | None
    loading: Mapping[str, Any]

    def open(self) -> Model:
        return ready_model(self.model, self.tokenizer, self.loading)


@dataclass(frozen=True)
class AskFacts:
    """Asking a worker what its model is."""

    def open(self, model: Model) -> Callable[[None, Advance], Facts]:
        return lambda _, advance: model.facts


def ready_model(model: ModelSource, tokenizer: TokenizerSource | None, loading: Mapping[str, Any]) -> Model:
    from infoplane.models.decoder import Model
    from infoplane.models.loading import load_model
    from infoplane.models.tokenizer_loading import beside_its_own

    if unknown := sorted(set(loading) - set(LOADING)):
        raise SettingError(f"unknown setting {unknown[0]!r}; loading a model takes {', '.join(LOADING)}")
    if isinstance(model, Model):
        if tokenizer is not None:
            raise SettingError("a Model comes with its tokenizer: name another one where it is loaded, load_model(...)")
        ready = model
    elif isinstance(model, str | Path):
        if tokenizer is not None and not isinstance(tokenizer, str | Path):
            raise SettingError(f"a model that is named takes its tokenizer by name, not as {type(tokenizer).__name__}")
        ready = load_model(model, tokenizer=tokenizer, **loading)
    else:
        if loading:
            raise SettingError(f"a loaded module is measured as it is: {', '.join(loading)} cannot be set")
        ready = Model.from_module(model, None if isinstance(tokenizer, str | Path) else tokenizer)
    if ready.tokenizer is None:
        raise ModelError("a loaded module needs its tokenizer: measure(module, documents, tokenizer=...)")
    if tokenizer is not None and not isinstance(model, str | Path):
        # nothing is asked of the hub for it: a module is measured without a network
        name = str(getattr(model, "name_or_path", ""))
        ready = beside_its_own(ready, name, local_files_only=True, trust_remote_code=False) if name else ready
    return ready
