"""The tokenizer of the study: byte-level BPE trained on the training documents, and the documents as token ids.

Every run reads the same ids, so they are made once and kept as one flat array. Documents held out play no part in
the merges. (The module is not called `tokenizers`, as that is the name of the library it uses.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from corpus import Document, read_documents
from infoplane.storage import atomic_files as files

END = "<|end|>"  # the one special token, id 0: padding. It stands before and after no text.


@dataclass(frozen=True)
class Tokens:
    """The corpus in tokens.

    Attributes:
        ids: of all documents after each other, shape (tokens,), int32.
        starts: where each document begins, and the end; shape (documents + 1,), int64.
        names: of the documents.
        heldout: whether a document is held out, shape (documents,), bool.
        sha256: over the names and ids: what a run was trained on.
    """

    ids: np.ndarray
    starts: np.ndarray
    names: tuple[str, ...]
    heldout: np.ndarray
    sha256: str

    def of(self, document: int) -> np.ndarray:
        """The ids of one document."""
        return self.ids[self.starts[document] : self.starts[document + 1]]


def make_vocabulary(corpus: Path, size: int) -> Path:
    """Train the tokenizer and tokenize the corpus, unless both are there already; return the tokenizer's folder."""
    folder = corpus / f"bpe-{size}"
    told = folder / "vocabulary.json"
    text = json.loads((corpus / "corpus.json").read_text("utf-8"))["sha256"]
    if told.is_file() and json.loads(told.read_text("utf-8"))["corpus_sha256"] == text:
        return folder
    documents = read_documents(corpus)
    tokenizer = train_tokenizer([d for d in documents if d.split == "train"], size)
    told.unlink(missing_ok=True)  # it vouches for the rest, so it goes first and comes last
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    encoded = tokenizer([d.text for d in documents], add_special_tokens=False)["input_ids"]
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    ids = np.concatenate([np.asarray(one, np.int32) for one in encoded])
    heldout = np.array([d.split == "heldout" for d in documents])
    arrays = {"ids": ids, "starts": starts, "heldout": heldout}
    with files.replacing(folder / "tokens.safetensors") as part:
        save_file(arrays, part)
    names = [d.name for d in documents]
    summary = {
        "corpus_sha256": text,
        "size": len(tokenizer),
        "tokens_train": int(sum(len(e) for e, h in zip(encoded, heldout, strict=True) if not h)),
        "tokens_heldout": int(sum(len(e) for e, h in zip(encoded, heldout, strict=True) if h)),
        "tokens_sha256": files.hash_of([names, files.sha256_file(folder / "tokens.safetensors")]),
        "names": names,
    }
    files.write_text(told, json.dumps(summary, ensure_ascii=False) + "\n")
    return folder


def train_tokenizer(documents: list[Document], size: int) -> Any:
    """A byte-level BPE of `size` entries, the special token included. The same text gives the same merges."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator((d.text for d in documents), trainer, length=len(documents))
    found = backend.get_vocab_size()
    if found != size:
        raise ValueError(f"the text yields {found:,} tokens, {size:,} were asked for: take a smaller vocabulary")
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(
        tokenizer_object=backend, bos_token=END, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )


def read_tokens(folder: Path) -> Tokens:
    """The corpus in tokens, as `make_vocabulary` stored it beside the tokenizer."""
    told = json.loads((folder / "vocabulary.json").read_text("utf-8"))
    arrays = load_file(folder / "tokens.safetensors")
    return Tokens(arrays["ids"], arrays["starts"], tuple(told["names"]), arrays["heldout"], told["tokens_sha256"])
