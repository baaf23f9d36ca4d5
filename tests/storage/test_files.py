"""A file exists whole or not at all."""

from pathlib import Path

import pytest

from infoplane.storage import atomic_files as files


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    files.write_text(target, "old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"), files.replacing(target) as part:
        fail(part)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_folders_are_made_and_hashes_are_of_the_bytes(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a" / "b.bin", b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert files.sha256_file(tmp_path / "a" / "b.bin") == known


def test_one_value_has_one_hash() -> None:
    assert files.hash_of({"b": 1, "a": [1.5, None]}) == files.hash_of({"a": [1.5, None], "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.hash_of(float("nan"))
