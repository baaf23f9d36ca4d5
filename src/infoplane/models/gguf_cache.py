"""A .gguf is read once, where transformers reads it for the config, the tokenizer and the weights each.

Its reader goes through all words one by one in Python, which takes seconds, and a table of the names of tensors is made
anew for every module of the model: half of the time in which a small model loads. Both are the same each time.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

_ONE = threading.RLock()  # what is exchanged belongs to the whole process


@contextlib.contextmanager
def read_once() -> Iterator[None]:
    """As long as this lasts, whoever asks the package gguf for a reader, or a table of names, again gets the same."""
    try:
        import gguf
    except ImportError:  # transformers says what is missing
        yield
        return
    with _ONE:
        before = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
        try:
            for name, make in before.items():
                setattr(gguf, name, functools.cache(make))
            yield
        finally:
            for name, make in before.items():
                setattr(gguf, name, make)
