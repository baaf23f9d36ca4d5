"""Windows: stretches of one document each, as token ids, and which of their positions are measured.

A window never mixes documents, because documents are the unit of every error bar. The rows of a
capture, and every label, follow the order of `Windows.tokens`: one definition of "row" for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infoplane.text.source_record import SourceRecord
from infoplane.uncertainty import blocks_for_errors

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """The W windows of a text: T token ids, one window after the other, and which of them are measured positions.

    Attributes:
        tokens: (T,) int32, ids of all windows one after the other, inserted BOS included.
        starts: (W + 1,) int64; window w is `tokens[starts[w]:starts[w + 1]]`.
        document: (W,) int32, the document that each window comes from, an index into `documents`.
        is_text: (T,) bool, False for an inserted BOS, which is not in the text.
        is_position: (T,) bool, True where the hidden state is measured. An inserted BOS, special tokens, and the first
            token of a window without a BOS before it (an attention sink) are left out by default.
        byte_count: (W,) int64, UTF-8 bytes of the tokens that have a predecessor in the window, which are those that
            the next-token loss predicts. Of a character that is split between windows, each counts the bytes that it
            holds (`infoplane.text.token_bytes`). 0 where the bytes are not known.
        documents: names of the D documents, in the order of the text.
        provenance: what decided the windows: source and hash of the text, tokenizer, context, token budget, seed.
        text: (B,) uint8, the UTF-8 text of all windows one after the other; None if the tokenizer does not say where
            its tokens are in the text.
        ends: (T,) int64, bytes of `text` up to the end of each token.
        fitting: for each fit of a code, windows of the documents that it is made on; these are not measured.
    """

    tokens: npt.NDArray[np.int32]
    starts: IntArray
    document: npt.NDArray[np.int32]
    is_text: npt.NDArray[np.bool_]
    is_position: npt.NDArray[np.bool_]
    byte_count: IntArray
    documents: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    text: npt.NDArray[np.uint8] | None = None
    ends: IntArray | None = None
    fitting: tuple[Windows, ...] = ()

    def __len__(self) -> int:
        return len(self.document)

    def part(self, chosen: IntArray) -> Windows:
        """Select some of the windows; all documents stay listed, and `text`, `ends` and `fitting` are left out.

        Args:
            chosen: indices of the windows, ascending.
        """
        here = np.isin(self.token_window, chosen)
        return Windows(
            tokens=self.tokens[here],
            starts=np.concatenate(([0], np.cumsum(self.lengths[chosen]))).astype(np.int64),
            document=self.document[chosen],
            is_text=self.is_text[here],
            is_position=self.is_position[here],
            byte_count=self.byte_count[chosen],
            documents=self.documents,
            provenance=self.provenance,
        )

    @property
    def lengths(self) -> IntArray:
        """(W,) number of tokens of each window."""
        return np.diff(self.starts)

    def __repr__(self) -> str:
        return f"<Windows: {len(self):,} of {len(self.documents):,} documents, {len(self.tokens):,} tokens>"

    @property
    def n_positions(self) -> int:
        """N, the number of measured positions, and so of the rows of a capture."""
        return int(np.count_nonzero(self.is_position))

    @property
    def token_window(self) -> npt.NDArray[np.int32]:
        """(T,) the window of each token."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    @property
    def position_document(self) -> npt.NDArray[np.int32]:
        """(N,) the document of each measured position."""
        return self.document[self.token_window[self.is_position]]

    @property
    def document_positions(self) -> IntArray:
        """(D,) number of measured positions of each document."""
        return np.bincount(self.position_document, minlength=len(self.documents))

    @property
    def blocks(self) -> npt.NDArray[np.int32] | None:
        """(D,) the block of each document, which replicates withdraw; None if there are too few documents.

        Blocks have about the same size. But if the text was cut to a budget of bytes, documents are assigned in turn,
        so that blocks, and with them paired differences, do not depend on the tokenizer.
        """
        return blocks_for_errors(self.document_positions, in_turn="bytes" in self.source)

    @property
    def source(self) -> SourceRecord:
        """What the provenance says about the text; empty if the windows were made without one."""
        record: SourceRecord | None = self.provenance.get("text")
        return record or {}

    @property
    def tokenizer_name(self) -> str | None:
        """Name of the tokenizer in the provenance; None if it has none."""
        record: Mapping[str, str | None] = self.provenance.get("tokenizer") or {}
        return record.get("name")

    @property
    def row_starts(self) -> IntArray:
        """(W + 1,) int64; in a capture, the rows of window w are `row_starts[w]:row_starts[w + 1]`."""
        counted = np.concatenate(([0], np.cumsum(self.is_position)))
        return counted[self.starts].astype(np.int64)

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides which states are measured and which token labels they have.

        It covers the tokens but not the text itself, whose hash is in the provenance.
        """
        digest = hashlib.sha256()
        for name in ("tokens", "starts", "document", "is_text", "is_position", "byte_count"):
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
            digest.update(array.tobytes())
        digest.update("\0".join(self.documents).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
