"""A real browser that opens a page, and what a page does in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)


EVIL = "</script><script>console.error('broken out')</script><img src=x onerror=console.error('ran')>"


def browse(page: Path, *options: str) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what the console said."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--window-size=1200,4000",
        f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=10000",
        "--enable-logging=stderr", "--v=0", *options, page.as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def holders(document: str) -> dict[str, str]:
    """Chart name to what stands in its place, up to the end of its figure."""
    parts = re.split(r'<div class="chart" data-chart="spec-', document)[1:]
    return {part.split('"', 1)[0]: part[: part.index("</figure>")] for part in parts}
