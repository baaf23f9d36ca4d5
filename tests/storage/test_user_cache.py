"""What is kept in the user's cache is what would be made, or is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from infoplane.storage import cached_text


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("infoplane.storage.user_cache.user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


def never() -> str:
    raise AssertionError("it was made again")


def test_a_text_is_made_once(cache: Path) -> None:
    text = "first\r\nsecond\n\u2028"
    assert cached_text("a.js", lambda: text) == text
    assert cached_text("a.js", never) == text
    with pytest.raises(AssertionError):
        cached_text("b.js", never)


@pytest.mark.parametrize("damage", [b"", b"no digest", b"\xff\xfe", b"0" * 64 + b"\nother"])
def test_what_is_damaged_is_made_anew(damage: bytes, cache: Path) -> None:
    cached_text("a.js", lambda: "text")
    (cache / "a.js").write_bytes(damage)
    assert cached_text("a.js", lambda: "text") == "text"
    assert cached_text("a.js", never) == "text"


def test_where_nothing_can_be_kept_it_is_made_each_time(cache: Path) -> None:
    cache.write_text("a file in the way")
    assert [cached_text("a.js", lambda: "text") for _ in range(2)] == ["text", "text"]
    assert cache.read_text() == "a file in the way"
