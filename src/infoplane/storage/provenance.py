"""What computed a result: versions of packages, and in what two records of a computation differ."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache


def versions(*names: str) -> dict[str, str | None]:
    """Installed versions, None where a package is not there."""
    return {name: _version(name) for name in names}


@cache  # a monitor asks at every probe, and each answer is read from a file
def _version(name: str) -> str | None:
    from importlib import metadata  # slow to import, and `--help` asks for no version

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def deciding_versions() -> dict[str, str | None]:
    """Versions of the packages that compute the numbers."""
    return versions("infoplane", "torch", "transformers")


def differences(then: Mapping[str, object] | None, now: Mapping[str, object]) -> list[str]:
    """What decided the numbers of a stored measurement otherwise."""
    then = then or {}
    return sorted(k for k in {*then, *now} if then.get(k) != now.get(k))
