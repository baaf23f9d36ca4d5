"""Reading text: every kind of source, and every way in which one can be broken."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest

from infoplane.errors import SettingError, TextError
from infoplane.text.documents import Document, read_text

ROWS = [{"text": "erste Zeile"}, {"text": "zweite – mit Strich"}, {"text": "  "}]


def texts(source: object, **more: object) -> list[str]:
    return [d.text for d in read_text(source, **more).documents]  # type: ignore[arg-type]


def test_the_built_in_sample_ships_with_the_package() -> None:
    sample = read_text("c4-sample")
    assert len(sample) == 300 and sample.provenance["kind"] == "built-in"
    assert len({d.name for d in sample.documents}) == 300


def test_files_of_every_kind_hold_the_same_documents(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.json").write_text(json.dumps(ROWS))
    pl.DataFrame(ROWS).write_parquet(tmp_path / "c.parquet")
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("a.jsonl", "b.json", "c.parquet", "d.jsonl.gz"):
        found = read_text(tmp_path / name)
        assert [d.text for d in found.documents] == [r["text"] for r in ROWS[:2]], name
        assert found.provenance["empty"] == 1
    assert texts("-", stdin=io.StringIO(lines)) == texts(tmp_path / "a.jsonl")
    (tmp_path / "e.txt").write_text("\ufeffein Dokument\nmit zwei Zeilen")
    assert texts(tmp_path / "e.txt") == ["ein Dokument\nmit zwei Zeilen"]


def test_a_document_that_occurs_again_is_read_once_and_counted(tmp_path: Path) -> None:
    """Each copy was one more independent unit of the errors."""
    rows = ["one", "two", "one", "  ", "two ", "one", "three"]
    found = read_text(rows)
    assert [d.name for d in found.documents] == ["document:1", "document:2", "document:5", "document:7"]
    assert found.provenance["copies"] == 2 and found.provenance["documents"] == 4 and found.provenance["empty"] == 1
    assert read_text(["one", "two", "two ", "three"]).provenance["copies"] == 0
    for name, text in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / f"{name}.txt").write_text(text)
    assert [d.name for d in read_text(tmp_path).documents] == ["a.txt", "b.txt"]
    stream = (
        row for row in ["one"] * 100 + ["two"] * 100 + ["three"]
    )  # a limit counts copies, so that it bounds what is read
    assert [d.text for d in read_text(stream, limit=150).documents] == ["one", "two"]
    assert sum(row == "two" for row in stream) == 50


def test_a_folder_is_read_in_order_and_pictures_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.jsonl").write_text('{"content": "third"}')
    (tmp_path / "figure.png").write_bytes(b"\x89PNG\0\0")
    found = read_text(tmp_path)
    assert [d.text for d in found.documents] == ["first", "second", "third"]
    assert found.provenance["skipped"] == ["figure.png"]
    assert texts(tmp_path, limit=2) == ["first", "second"]


def test_dataset_folders(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    data = datasets.Dataset.from_dict({"body": [f"document {i}" for i in range(30)], "n": list(range(30))})
    data.save_to_disk(tmp_path / "saved")
    assert len(texts(str(tmp_path / "saved"))) == 30
    chosen = [texts(str(tmp_path / "saved"), limit=5, seed=s) for s in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    (tmp_path / "laid/data").mkdir(parents=True)
    data.to_parquet(tmp_path / "laid/data/validation-00000-of-00001.parquet")
    for streaming in (True, False):
        found = texts(str(tmp_path / "laid"), split="validation", streaming=streaming, column="body")
        assert sorted(found) == sorted(f"document {i}" for i in range(30))
    with pytest.raises(TextError, match="datasets cannot load"):
        read_text(str(tmp_path / "laid"), split="test")


def test_python_sources_and_hashes() -> None:
    a = read_text(["one", Document("x", "two"), {"text": "three"}])
    assert [d.text for d in a.documents] == ["one", "two", "three"]
    assert a.provenance["sha256"] == read_text(list(a.documents)).provenance["sha256"]
    assert a.provenance["sha256"] != read_text(["one", "two", "three"]).provenance["sha256"]
    assert read_text(a) is a


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"title": "x"}', "none of the columns text, content"),
        ("a.jsonl", b'{"text": 3}', "column 'text' holds int, expected a string"),
        ("a.jsonl", b"[1]", "expected a row with named columns, found list"),
        ("a.json", b'{"text": "x"}', "holds a JSON dict; expected a list"),
        ("a.txt", b"", "no text in"),
        ("a.txt", b"x\0y", "a NUL byte at offset 1"),
        ("a.txt", "täxt".encode("latin-1"), "byte 0xe4, which is not UTF-8, at offset 1"),
        ("a.txt", "text".encode("utf-16"), "it looks like UTF-16"),
        ("a.parquet", b"PAR1 broken", "as Parquet"),
        ("a.txt.gz", b"\x1f\x8b broken", "cannot read"),
    ],
)
def test_broken_files_say_where_and_what(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextError, match=message):
        read_text(tmp_path / name)


def test_sources_that_are_not_there() -> None:
    with pytest.raises(TextError, match=r"no file or folder 'nowhere\.txt'"):
        read_text("nowhere.txt")
    with pytest.raises(TextError, match="cannot be a file name; to pass text itself, put it in a list"):
        read_text("a sentence " * 100)
    with pytest.raises(TextError, match="expected a path or a list of strings"):
        read_text(b"bytes")  # type: ignore[arg-type]
    with pytest.raises(TextError, match="half of a surrogate pair"):
        read_text(["x\ud800"])
    with pytest.raises(SettingError, match="limit = 0"):
        read_text(["x"], limit=0)
