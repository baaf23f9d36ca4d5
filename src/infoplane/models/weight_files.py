"""Which files of a folder are loaded as a model, and the hash of them and of nothing else.

As transformers looks for weights: what the config names, `model.safetensors`, the shards that
`model.safetensors.index.json` names (they may lie in subfolders), and only then pickles; as PEFT does, for an adapter.
What lies beside them decides nothing: neither a hash, nor whether the weights are pickled.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from infoplane.errors import ModelError
from infoplane.models.distributed_checkpoint import INDEX, parts_of
from infoplane.storage import atomic_files as files
from infoplane.storage import refuse_device

_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"
_ADAPTER = "adapter_config.json"
_CONFIGS = ("config.json", _ADAPTER, "hf_quant_config.json", "quantize_config.json")


def weight_files(folder: Path) -> list[Path]:
    """The files with weights that would be loaded, and the index that names them.

    Raises:
        ModelError: there are none, or an index is damaged, names a file that is not there, or one outside the folder.
    """
    if (folder / _ADAPTER).is_file():
        names: tuple[str, ...] = ("adapter_model.safetensors", "adapter_model.bin")
    else:
        named = _config(folder).get("transformers_weights")
        names = (*([str(named)] if named else ()), _SAFE, f"{_SAFE}.index.json", _PICKLED, f"{_PICKLED}.index.json")
    for name in names:
        check_inside(name, f"{folder}/config.json")
        if not (folder / name).is_file():
            continue
        if not name.endswith(".index.json"):
            return [folder / name]
        shards = shards_of(folder / name)
        if missing := [shard for shard in shards if not (folder / shard).is_file()]:
            raise ModelError(
                f"{folder / name} names {len(shards)} files of weights, and {missing[0]} is not there: get the whole "
                "model"
            )
        return [folder / name, *(folder / shard for shard in shards)]
    if parts := parts_of(folder):
        return parts
    raise ModelError(f"{folder} holds no weights: expected {' or '.join(names[:2])}")


def stored(paths: Iterable[Path]) -> dict[str, str]:
    """The number type of each tensor in safetensors files, by its key, as their headers tell."""
    types: dict[str, str] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            with path.open("rb") as file, contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                size = int.from_bytes(file.read(8), "little")
                if size <= 1 << 28:  # more is no header: who loads it says so
                    header = files.parse_json(file.read(size).decode("utf-8"))
                    types |= {key: str(tensor.get("dtype")) for key, tensor in header.items() if key != "__metadata__"}
    return types


def beside(folder: Path) -> tuple[str, ...]:
    """A warning where a folder holds a second set of weights, which is not read."""
    used = {path.name for path in weight_files(folder)}
    others = [n for n in (_SAFE, f"{_SAFE}.index.json") if (folder / n).is_file() and n not in used]
    if not others:
        return ()
    return (
        f"{folder} holds {others[0]} too, which was not read ({min(used)} was): two sets of weights in one folder, "
        "one of them perhaps of an earlier save",
    )


def shards_of(index: Path) -> list[str]:
    """The files that an index names.

    Raises:
        ModelError: it is damaged, or names a file outside of its folder.
    """
    try:
        named = files.parse_json(index.read_text("utf-8"))["weight_map"].values()
        shards = sorted({str(name) for name in named})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights: {files.reason(error)}; get the file again") from None
    for shard in shards:
        check_inside(shard, str(index))
    return shards


def check_inside(name: str, source: str) -> None:
    """Refuse a file that is named outside of its folder.

    Raises:
        ModelError: it is.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise ModelError(f"{source} names the file {name!r}, which lies outside of its folder: it is refused")


def refuse_pipes(folder: Path) -> None:
    """Refuse a folder that holds what is waited for, or read, without end: the libraries that load it would.

    Raises:
        ModelError: it holds a named pipe, a device or a socket.
    """
    for path in folder.iterdir():
        try:
            refuse_device(path)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a link that leads nowhere is no matter
                raise ModelError(f"{path}: {files.reason(error)}") from None


def refuse_pickle(paths: Iterable[Path | str], source: object, allowed: bool) -> None:
    """Refuse weights that are stored as pickle, which can run code when it is read.

    Raises:
        ModelError: one of the files is no safetensors file.
    """
    for path in paths:
        if Path(path).name == INDEX and not allowed:
            raise ModelError(
                f"{source} is a distributed checkpoint, whose index ({INDEX}) is a pickle, which can run code: merge "
                f"its parts (accelerate merge-weights {Path(path).parent} OUT, then put config.json and the tokenizer "
                "in OUT), or name allow_pickle if you trust their source",
                settings=("allow_pickle",),
            )
        if not str(path).endswith((".safetensors", ".safetensors.index.json")) and not allowed:
            raise ModelError(
                f"{source} holds its weights as pickle ({Path(path).name}), which can run code: convert them to "
                "safetensors, or name allow_pickle if you trust their source",
                settings=("allow_pickle",),
            )


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and hashes of the files that decide what is computed.

    Raises:
        ModelError: the folder holds no weights.
    """
    named = [*weight_files(folder), *(folder / name for name in _CONFIGS)]
    if _config(folder).get("auto_map"):  # the architecture is the folder's own code
        named += [path for path in folder.rglob("*.py") if path.is_file()]
    unique = {path.relative_to(folder).as_posix(): path for path in named if path.is_file()}
    return files.hash_of({name: files.sha256_file(path) for name, path in sorted(unique.items())})


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        config = files.parse_json((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):  # who loads it says what is wrong
        return {}
    return config if isinstance(config, dict) else {}
