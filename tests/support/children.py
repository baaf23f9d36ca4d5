"""Processes for tests that kill commands and repeat them, forked from a server that has imported torch.

A new interpreter imports for seconds before a small command begins. Each child has a working folder, environment and
streams of its own and runs its exit handlers, so that it differs from a new interpreter in its imports alone. Tests of
imports, of the start, of memory, or of what libraries read from the environment when they are imported, start one.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from infoplane.cli.terminal import quiet

COMMAND = "from infoplane.cli import main; main()"
WITHOUT_FIGURES = (
    "from infoplane.report.measurement import figures; figures.FIGURES = {};"
    "from infoplane.report.training import run_page; run_page.run_figures = lambda view: ();" + COMMAND
)
"""Code that runs a command whose pages have no charts, which take most of its time."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([
    "torch", "transformers.models.llama.modeling_llama", "transformers.models.llama.tokenization_llama", "altair",
    "infoplane.cli", "infoplane.capture.writer", "infoplane.models.loading", "infoplane.measurement.measuring",
    "infoplane.report.measurement.writing", "infoplane.analysis.training.tracing",
])  # fmt: skip


def _start_server() -> None:
    """Start it as a command would import what it needs: quietly, which libraries learn when they are imported."""
    before = dict(os.environ)
    quiet()
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)


class Child:
    """A process that runs code of Python with arguments.

    Args:
        code: as of `python -c`.
        arguments: its `sys.argv[1:]`.
        cwd: its working folder.
        env: variables beside those of this process.
        stdin: what it reads.
    """

    def __init__(
        self, code: str, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> None:
        self._streams = Path(tempfile.mkdtemp(prefix="child-"))
        weakref.finalize(self, shutil.rmtree, self._streams, ignore_errors=True)
        (self._streams / "stdin").write_text(stdin, "utf-8")
        words, variables = [str(word) for word in arguments], {**os.environ, **(env or {})}
        _start_server()
        self._process = _SERVER.Process(target=_run, args=(code, words, str(cwd), variables, str(self._streams)))
        self._process.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """Its exit status, or minus the signal that ended it."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"a child has not ended within {seconds} s; it said: {self.stderr}")
        return self._process.exitcode

    def wait_for(self, path: Path, seconds: float = 120) -> None:
        """Until there is a file; an error where the child ends before."""
        end = time.monotonic() + seconds
        while not path.exists():
            assert self.running and time.monotonic() < end, f"no {path}: {self.stderr}"
            time.sleep(0.002)

    @property
    def stdout(self) -> str:
        """What it has written to standard output."""
        return (self._streams / "stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        """What it has written to standard error."""
        return (self._streams / "stderr").read_text("utf-8")


def run(
    code: str, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run code in a child to its end."""
    child = Child(code, *arguments, cwd=cwd, env=env, stdin=stdin)
    return subprocess.CompletedProcess((code, *arguments), child.wait(), child.stdout, child.stderr)


def _run(code: str, arguments: list[str], cwd: str, env: dict[str, str], streams: str) -> None:
    """In the child: what makes it a process like any other, then the code."""
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))
    ):
        os.dup2(os.open(Path(streams) / name, flags), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # what TMPDIR says now
    sys.argv = ["-c", *arguments]
    try:
        exec(code, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
