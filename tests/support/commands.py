"""Commands, run in this process."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str]:
    """Exit status and what was written to standard error."""
    from infoplane.cli import main

    before, sys.argv = sys.argv, ["infoplane", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as stop:
            main()
    finally:
        sys.argv = before
    return int(stop.value.code or 0), capsys.readouterr().err


def command(*arguments: str) -> int:
    from infoplane.cli import main

    before, sys.argv = sys.argv, ["infoplane", *arguments]
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        sys.argv = before
    return int(stopped.value.code or 0)


def call(*arguments: object) -> Any:
    """What a command gives: exit status, output and exception."""
    from typer.testing import CliRunner

    from infoplane.cli import app

    return CliRunner().invoke(app, [str(a) for a in arguments])
