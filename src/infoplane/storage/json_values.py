"""Types of what JSON holds, and of the descriptions by which it is checked."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
"""A value that a record can hold."""
Hint: TypeAlias = "type | types.UnionType | Mapping[str, Hint] | None"
"""What a value must be, as `infoplane.storage.schema` reads it: a type, or a hint for each key."""
