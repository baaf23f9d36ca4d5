"""TOML, by the standard library or, before Python 3.11, by tomli."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_toml(content: str) -> dict[str, Any]:
    """The table that a text holds.

    Raises:
        ValueError: it is not TOML.
        RecursionError: it is nested too deeply.
    """
    return tomllib.loads(content)
