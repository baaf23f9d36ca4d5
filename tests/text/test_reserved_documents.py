"""Documents that are kept for fitting."""

from __future__ import annotations

import pytest

from infoplane.errors import TextError
from infoplane.text.documents import Document, Text, read_text
from infoplane.text.reserved_documents import reserve


def names(text: Text) -> set[str]:
    return {d.text for d in text.documents}


def some(count: int) -> Text:
    return read_text([f"document {i} says {i * i}" for i in range(count)])


@pytest.mark.parametrize(("count", "fits"), [(8, 2), (4, 1), (100, 2), (101, 5), (3000, 3)])
def test_every_document_is_measured_or_in_one_fit(count: int, fits: int) -> None:
    text = some(count)
    measured, kept = reserve(text, fits)
    parts = [names(measured), *map(names, kept)]
    assert set().union(*parts) == names(text) and sum(map(len, parts)) == count
    sizes = [len(part) for part in kept]
    assert sum(sizes) == max(2 * fits, -(-count // 8)) and max(sizes) - min(sizes) <= 1
    assert [d.name for d in measured.documents] == [d.name for d in text.documents if d.text in names(measured)]


def test_neither_order_nor_names_decide() -> None:
    text = some(50)
    turned = Text(tuple(Document(f"x{i}", d.text) for i, d in enumerate(reversed(text.documents))), text.provenance)
    one, two = reserve(text, 2), reserve(turned, 2)
    assert names(one[0]) == names(two[0]) and [*map(names, one[1])] == [*map(names, two[1])]


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(
        TextError, match=r"7 documents: a fitted code needs 8 or more, .* 2 fits.* code random"
    ) as error:
        reserve(some(7), 2)
    assert "code" in error.value.settings
    with pytest.raises(TextError, match="1 document: "):
        reserve(read_text(["one"]), 1)
