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

    from infoplane.models.weight_files import check_inside

    try:
        reader = FileSystemReader(index.parent)
        metadata = reader.read_metadata()
        for place in (metadata.storage_data or {}).values():
            check_inside(str(getattr(place, "relative_path", "")), str(index))
        stored, own = metadata.state_dict_metadata, module.state_dict()
        before = _prefix(list(stored), list(own), name)
        there = {key.removeprefix(before): value for key, value in stored.items() if key.startswith(before)}
        sizes = {key: getattr(value, "size", None) for key, value in there.items()}
        if wrong := [key for key in own if key in sizes and sizes[key] is None]:
            raise ModelError(f"{name}: {before}{wrong[0]} is no tensor in its distributed checkpoint")
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
    except ModelError:
        raise
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


def _prefix(stored: list[str], own: list[str], name: str) -> str:
    """What stands before the names of the weights: that with which most of them are there.

    Raises:
        ModelError: there are several such sets of weights, such as a model and its average.
    """
    known = set(stored)
    found = {key.removesuffix(wanted) for wanted in own[:20] for key in stored if key.endswith(wanted)}
    held = {before: sum(before + key in known for key in own) for before in found}
    most = max(held.values(), default=0)
    best = sorted(before for before, count in held.items() if count == most)
    if len(best) > 1:
        raise ModelError(
            f"{name}: its distributed checkpoint holds {len(best)} sets of these weights, whose names begin with "
            f"{', '.join(map(repr, best))}: save the one that is meant by itself"
        )
    return best[0] if best else ""
