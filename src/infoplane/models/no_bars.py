"""Loading without the bars of other packages: who calls this library draws progress as they like, or not at all."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """No bar of transformers or of the hub while weights are fetched and read; as before afterwards."""
    logging = importlib.import_module("transformers.utils.logging")
    gguf = vars(importlib.import_module("transformers.modeling_gguf_pytorch_utils"))
    shown, bar = logging.is_progress_bar_enabled(), gguf.get("tqdm")
    if shown:
        logging.disable_progress_bar()
    if bar is not None:  # which asks nobody
        gguf["tqdm"] = _plain
    try:
        yield
    finally:
        if bar is not None:
            gguf["tqdm"] = bar
        if shown:
            logging.enable_progress_bar()


def _plain(things: Iterable[object], **_: object) -> Iterable[object]:
    return things
