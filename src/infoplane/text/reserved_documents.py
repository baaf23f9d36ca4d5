"""Documents that are kept for fitting and not measured, chosen by what they hold, before anything is cut.

The eighth of the documents whose texts have the smallest hashes is reserved, and dealt in turn to the fits. Which
documents these are depends on neither their order nor their names, and on neither a budget of tokens nor the tokenizer.
A budget of bytes is applied before, so it includes the reserved documents.
"""

from __future__ import annotations

import hashlib

from infoplane.errors import TextError
from infoplane.text.documents import Document, Text

SHARE = 8
"""One document of so many is reserved."""
_EACH = 2  # documents of a fit, at least


def reserve(text: Text, fits: int) -> tuple[Text, tuple[Text, ...]]:
    """What is measured of a text, and what each of some fits is made on.

    Args:
        text: the documents.
        fits: how many fits there are.

    Raises:
        TextError: too few documents.
    """
    needed = 2 * _EACH * fits
    if len(text) < needed:
        raise TextError(
            f"{len(text)} document{'' if len(text) == 1 else 's'}: a fitted code needs {needed} or more, as some are "
            f"reserved for its {fits} fit{'' if fits == 1 else 's'}; give more documents, fewer "
            "reference_sets, or use the code random",
            settings=("code", "reference_sets"),
        )
    count = max(_EACH * fits, -(-len(text) // SHARE))
    order = sorted(range(len(text)), key=lambda i: _hash(text.documents[i]))
    kept = [order[s:count:fits] for s in range(fits)]
    return _part(text, sorted(order[count:])), tuple(_part(text, sorted(some)) for some in kept)


def _hash(document: Document) -> bytes:
    return hashlib.sha256(document.text.encode()).digest()


def _part(text: Text, chosen: list[int]) -> Text:
    return Text(tuple(text.documents[i] for i in chosen), text.provenance)
