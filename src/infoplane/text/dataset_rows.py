"""Rows of `datasets`: from the hub, or from a folder that the package saved or knows.

From a hub dataset that is streamed documents are drawn from a buffer, since it may have no end in sight.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.errors import TextError
from infoplane.storage import reason
from infoplane.text.document_files import Pairs, Picker
from infoplane.text.source_record import SourceRecord

STREAM_LIMIT = 10_000  # a hub dataset may have no end in sight: taken when no limit is given


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def is_dataset(path: Path, split: str, config: str | None) -> bool:
    """Whether the splits of a folder must be kept apart, which only `datasets` knows how to do."""
    if config is not None or split != "train" or _is_saved(path) or (path / "dataset_infos.json").is_file():
        return True
    card = path / "README.md"
    with contextlib.suppress(OSError):
        if card.is_file():
            front = card.read_bytes()[:65536]
            if front.startswith(b"---") and re.search(rb"^(configs|dataset_info):", front, re.MULTILINE):
                return True
    return any(re.search(r"-\d{5}-of-\d{5}", file.name) for file in path.rglob("*"))


def dataset_documents(
    path: Path | None, source: str, column: str | None, streaming: bool, seed: int, record: SourceRecord
) -> Pairs:
    rows = load_rows(path, source, streaming, record)
    pick = Picker(column, record)
    if rows.column_names:  # a stream may not know them before its first row
        rows = rows.select_columns([pick.choose(list(rows.column_names), source)])
    yield from ((name, pick(row, name)) for name, row in _chosen_rows(rows, path is not None, source, seed, record))


def load_rows(path: Path | None, source: str, streaming: bool, record: SourceRecord) -> Any:
    """The rows of a dataset, a folder at `path` or the id `source`: its `split`, `config` and `revision` in `found`.

    Raises:
        TextError: `datasets` is not installed or cannot load it.
    """
    try:
        import datasets
    except ImportError:
        raise TextError(
            f"{source} is read with the package datasets, which is not installed: pip install 'infoplane[hf]'"
        ) from None
    split = record["split"]
    try:
        if path is not None and _is_saved(path):
            rows = datasets.load_from_disk(str(path))
            if isinstance(rows, datasets.DatasetDict):
                if split not in rows:
                    raise TextError(f"{source} has no split {split!r}; it has: {', '.join(rows)}")
                return rows[split]
            record["split"] = None
            return rows
        return datasets.load_dataset(
            str(path or source),
            record["config"],
            split=split,
            revision=record["revision"],
            streaming=streaming,
        )
    except TextError:
        raise
    except Exception as error:  # the library, the hub and the network each have their own families
        missing = f"there is no local path {source!r}, and " if path is None else ""
        raise TextError(
            f"{missing}datasets cannot load {source} (split {split!r}, config {record['config']!r}): {reason(error)}"
        ) from None


def _chosen_rows(
    rows: Any, local: bool, source: str, seed: int, record: SourceRecord
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    label = record["split"] or "row"
    try:
        if hasattr(rows, "__len__"):
            order: Iterable[int] = range(len(rows))
            if record["limit"] is not None:
                record["choice"] = f"shuffled, seed {seed}"
                order = np.random.Generator(np.random.PCG64(seed)).permutation(len(rows))
            for index in order:  # row by row: Dataset.shuffle would write beside the data
                yield f"{label}:{index + 1}", rows[int(index)]
            return
        if record["limit"] is None and not local:
            record["limit"] = STREAM_LIMIT
        if record["limit"] is not None:
            buffer = min(10_000, 4 * record["limit"])
            record["choice"] = f"shuffled stream, seed {seed}, buffer {buffer}"
            rows = rows.shuffle(seed=seed, buffer_size=buffer)
        for number, row in enumerate(rows, start=1):
            yield f"{label}:{number}", row
    except Exception as error:
        raise TextError(f"datasets stopped reading {source}: {reason(error)}") from None
