"""One mutator for every format: bytes that a disk, a network or an enemy could have made of a good file.

`mutated(data, random)` draws one to three harms. Those of bytes fit any file; those of text look for numbers, strings
and keys as JSON, JSONL, CSV and TOML write them; those of headers set whole 8-byte or 4-byte fields, where binary
formats keep lengths, or rewrite the JSON header of a safetensors file and mend its length, so that it is read.
"""

from __future__ import annotations

import random as r
import re
import struct
from collections.abc import Callable

NUMBER = re.compile(rb"(?<![\w.\"-])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.\"])")
STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
PAIR = re.compile(rb'("(?:[^"\\\n]|\\.)*"\s*:\s*)(-?[\d.]+|"(?:[^"\\\n]|\\.)*"|true|false|null)')
NUMBERS = (
    b"0", b"-1", b"1", b"2", b"1e308", b"1e999", b"-1e999", b"NaN", b"-Infinity", b"1152921504606846976", b"1e-320",
    b"18446744073709551616", b"9" * 5000, b"null", b"true", b'"x"', b"[]", b"{}", b"[1, 2]", b"0.1", b"3.5", b"-0",
)  # fmt: skip
STRINGS = (
    b"", b"../../../../tmp/out-of-here", b"/etc/passwd", b"\\u0000", b"\\n", b"\\ud800", b"\\u202e", b"\\u001b[31m",
    b"x" * 70_000, b"<script>document.title='ran'</script>", b"\xff\xfe", b"model", b"block.0", b"float32", b"..\\\\x",
    b"%s{0}[/bold]", b"NaN", b"con", b"-",
)  # fmt: skip
LENGTHS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**60, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(data: bytes, random: r.Random) -> bytes:
    """One to three harms, drawn."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(HARMS)(data, random)
    return data


def _at(data: bytes, random: r.Random) -> int:
    """A place; headers and footers, which are short, as often as all between."""
    n = len(data)
    near = min(n, 64)
    return random.choice((random.randrange(n + 1), random.randrange(near + 1), n - random.randrange(near + 1)))


def truncate(data: bytes, random: r.Random) -> bytes:
    return data[: _at(data, random)]


def flip(data: bytes, random: r.Random) -> bytes:
    if not data:
        return data
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 8))):
        out[min(_at(data, random), len(out) - 1)] ^= 1 << random.randrange(8)
    return bytes(out)


def insert(data: bytes, random: r.Random) -> bytes:
    at = _at(data, random)
    return data[:at] + bytes(random.randrange(256) for _ in range(random.choice((1, 4, 16)))) + data[at:]


def splice(data: bytes, random: r.Random) -> bytes:
    """A stretch gone, or come from elsewhere in the file."""
    a, b, c = (_at(data, random) for _ in range(3))
    piece = data[c : c + random.choice((0, 1, 8, 100, 4096))]
    return data[: min(a, b)] + piece + data[max(a, b) if random.random() < 0.5 else min(a, b) :]


def _put(data: bytes, found: re.Match[bytes] | None, new: bytes) -> bytes:
    return data if found is None else data[: found.start()] + new + data[found.end() :]


def _one(pattern: re.Pattern[bytes], data: bytes, random: r.Random) -> re.Match[bytes] | None:
    """A match from a place on, or the first there is."""
    return pattern.search(data, _at(data, random)) or pattern.search(data)


def number(data: bytes, random: r.Random) -> bytes:
    return _put(data, _one(NUMBER, data, random), random.choice(NUMBERS))


def string(data: bytes, random: r.Random) -> bytes:
    return _put(data, _one(STRING, data, random), b'"' + random.choice(STRINGS) + b'"')


def kind(data: bytes, random: r.Random) -> bytes:
    """Another type in a string's place, or a string in a number's."""
    pattern = random.choice((STRING, NUMBER))
    return _put(data, _one(pattern, data, random), random.choice(NUMBERS))


def key_twice(data: bytes, random: r.Random) -> bytes:
    found = _one(PAIR, data, random)
    if found is None:
        return data
    return _put(data, found, found[1] + random.choice(NUMBERS) + b", " + found[0])


def nest(data: bytes, random: r.Random) -> bytes:
    deep = random.choice((50, 2_000, 100_000))
    new = random.choice((b"[" * deep + b"]" * deep, b"[" * deep, b'{"a":' * deep + b"1" + b"}" * deep))
    return _put(data, _one(random.choice((NUMBER, STRING)), data, random), new)


def length(data: bytes, random: r.Random) -> bytes:
    """A field where a length could be, set to something else."""
    width, form = random.choice(((8, "<Q"), (4, "<I")))
    at = random.choice((0, 8, 16, 24, max(0, len(data) - 8), _at(data, random) // 4 * 4))
    return data[:at] + struct.pack(form, random.choice(LENGTHS) % 2 ** (8 * width)) + data[at + width :]


def header(data: bytes, random: r.Random) -> bytes:
    """The JSON header of a safetensors file harmed as text, with its length mended."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        return length(data, random)
    new = random.choice((number, string, kind, key_twice, nest, flip))(data[8 : 8 + size], random)
    return len(new).to_bytes(8, "little") + new + data[8 + size :]


HARMS: tuple[Callable[[bytes, r.Random], bytes], ...] = (
    truncate, flip, insert, splice, number, string, kind, key_twice, nest, length, header,
)  # fmt: skip
