"""What the provenance of a text or of preference pairs says of their source."""

from __future__ import annotations

from typing import TypedDict


class BytesRecord(TypedDict):
    """A budget of bytes, and what was read of it."""

    budget: int
    read: int
    seed: int
    ended: bool


class SourceRecord(TypedDict, total=False):
    """A source, as it was named and as it turned out to be.

    `kind` is the kind of source, `choice` which documents were taken, `skipped` the files of a folder that are not
    text, `documents`, `empty`, `copies`, `pairs`, `standard` and `identical` are counts, `sha256` the hash of what was
    kept. `bytes` is there where the text was cut to a budget of them.
    """

    source: str
    kind: str
    column: str | None
    split: str | None
    config: str | None
    revision: str | None
    choice: str
    limit: int | None
    skipped: list[str]
    documents: int
    empty: int
    copies: int
    pairs: int
    standard: int
    identical: int
    sha256: str
    bytes: BytesRecord
