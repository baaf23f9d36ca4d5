"""Checkpoints of `torch.distributed.checkpoint`: a folder with parts (`*.distcp`) and an index (`.metadata`).

The index is a pickle, so it is read only where pickles are allowed. The weights are found by their names, whatever
stands before them (`model.` of a Trainer, `app.model.`, nothing), and are read into a model that its config.json makes;
one process reads all parts.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.errors import ModelError, spoken

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INDEX, PART = ".metadata", "*.distcp"


def parts_of(folder: Path) -> list[Path]:
    """The index and the parts of the weights in a folder, or in its one subfolder that holds them; [] for none."""
    folders = [folder, *sorted(inside for inside in folder.iterdir() if inside.is_dir())] if folder.is_dir() else []
    found = [one for one in folders if (one / INDEX).is_file() and not one.name.startswith("optimizer")]
    if (folder / INDEX).is_file():
        found = [folder]
    if len(found) != 1:
        return []
    return [found[0] / INDEX, *sorted(found[0].glob(PART))]


def read_parts(module: PreTrainedModel, index: Path, name: str) -> dict[str, object]:
    """Put the weights of a checkpoint into a module.

    Args:
        module: as its config makes it; its weights are written over.
        index: the file of that name, which is unpickled.
        name: what the user called it.

    Returns:
        What is missing, left over and of another shape, as the loading report of transformers has it.

    Raises:
        ModelError: it cannot be read.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        reader = FileSystemReader(index.parent)
        stored = reader.read_metadata().state_dict_metadata
        own = module.state_dict()
        before = _prefix(list(stored), list(own))
        there = {key.removeprefix(before): value for key, value in stored.items() if key.startswith(before)}
        sizes = {key: getattr(value, "size", None) for key, value in there.items()}
        other = [
            (key, sizes[key], tensor.shape)
            for key, tensor in own.items()
            if key in there and sizes[key] != tensor.shape
        ]
        fits = {before + key: tensor for key, tensor in own.items() if key in there and sizes[key] == tensor.shape}
        if fits:
            with warnings.catch_warnings():  # that this is a single process
                warnings.simplefilter("ignore", UserWarning)
                load(fits, storage_reader=reader, no_dist=True)
    except (Exception, CheckpointException) as error:  # a damaged index can be anything, and raise anything
        why = next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error
        raise ModelError(
            f"{name}: its distributed checkpoint cannot be read ({spoken(why)}); get all of its parts again"
        ) from None
    read = {own[key].data_ptr() for key in own if before + key in fits}
    missing = {key for key, tensor in own.items() if key not in there and tensor.data_ptr() not in read}
    kinds = {key.partition(".")[0] for key in own}  # others are of an optimizer, a scheduler, ...
    left = {key for key in there if key not in own and key.partition(".")[0] in kinds}
    return {"missing_keys": missing, "unexpected_keys": left, "mismatched_keys": other, "error_msgs": []}


def _prefix(stored: list[str], own: list[str]) -> str:
    """What stands before the names of the weights: that with which most of them are there."""
    wanted = own[0]
    candidates = {"", *(key.removesuffix(wanted) for key in stored if key.endswith(wanted))}
    known = set(stored)
    return max(sorted(candidates), key=lambda before: sum(before + key in known for key in own))
