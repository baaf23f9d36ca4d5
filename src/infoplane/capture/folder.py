"""The folder of a capture: what its files are called, whose it is, and whether they are as they were written.

`manifest.json` says what the capture is; `windows.safetensors` holds the tokens, `code.safetensors` the code, where it
was fitted, and each `shard-NNNNN.safetensors` the assignments of some windows, or their cosines with fitted directions,
with the run id and a checksum of its arrays inside. The manifest is made only where there
is none, so of two runs that begin at once one has the folder; before a shard is written it is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors import numpy as st

from infoplane.capture.manifest import Manifest, array_name
from infoplane.errors import CaptureError
from infoplane.information import FITTED
from infoplane.storage import MARK, OF_A_CAPTURE, is_address, local_copy, refuse_device, write_arrays
from infoplane.storage import atomic_files as files
from infoplane.text import Windows

SCHEMA = "infoplane/capture/3"
MANIFEST, WINDOWS, CODE = "manifest.json", "windows.safetensors", "code.safetensors"
ARRAYS = ("tokens", "starts", "document", "is_text", "is_position", "byte_count")


class Shard(Protocol):
    """An open shard."""

    def get_tensor(self, name: str) -> npt.NDArray[np.generic]:
        """One of its arrays."""
        ...


def write_shard(
    folder: Path, number: int, manifest: Manifest, arrays: Mapping[str, npt.NDArray[np.generic]], code: str = ""
) -> None:
    """Write the arrays of a shard, whole or not at all; `code` is the hash of the fitted code that they are of.

    Raises:
        CaptureError: the folder is another run's meanwhile.
    """
    head = {"run_id": manifest["run_id"], "shard": str(number), "content_sha256": content(arrays), "code": code}
    still_ours(folder, manifest)
    write_arrays(shard_path(folder, number), arrays, head)


def text_arrays(windows: Windows) -> dict[str, npt.NDArray[np.generic]]:
    """The text of windows, if they have it: labels are made of it, but no state depends on it."""
    if windows.text is None or windows.ends is None:
        return {}
    return {"text": windows.text, "ends": windows.ends}


def begun(folder: Path, run_id: str) -> list[list[int]] | None:
    """The shards of a capture of the same run, if one was begun, with whatever memory it had."""
    try:
        there = read_manifest(folder)
    except CaptureError:
        return None
    return there["shards"] if there and there.get("run_id") == run_id and there.get("shards") else None


def claim(folder: Path, manifest: Manifest, force: bool) -> None:
    """Make sure that `folder` is this run's, or nobody's."""
    files.sweep(folder / MANIFEST)  # it is written once, so nobody else sweeps for it
    if folder.exists() and not folder.is_dir():
        raise CaptureError(f"{folder} is a file; expected a folder for the capture")
    lost = False
    try:
        there = read_manifest(folder)
    except CaptureError:
        if not force:
            raise
        there, lost = None, True
    if there is None and not lost:
        if folder.is_dir() and any(
            not p.name.endswith(".part") and p.name != MARK and not (p.name == WINDOWS and is_ours(p))
            for p in folder.iterdir()
        ):
            if not force:
                raise CaptureError(f"{folder} holds other files and is not a capture: choose a new or empty folder")
            throw_away(folder)  # of a capture that has lost its manifest
        _put_manifest(folder, manifest)
        return
    if not _same_run(there, manifest):
        if not force:
            raise _another(folder, there, manifest)
        throw_away(folder)
        _put_manifest(folder, manifest)


def _put_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest where there is none; another process may have been faster."""
    if not files.write_new(folder / MANIFEST, files.sealed(manifest)):
        still_ours(folder, manifest)


def still_ours(folder: Path, manifest: Manifest) -> None:
    there = read_manifest(folder)
    if not _same_run(there, manifest):
        raise _another(folder, there, manifest)


def _same_run(there: Manifest | None, manifest: Manifest) -> bool:
    if there is None:
        return False
    wanted = [manifest["run_id"], manifest["shards"], manifest["text"]]
    return [there.get("run_id"), there.get("shards"), there.get("text", content({}))] == wanted


def _another(folder: Path, there: Manifest | None, manifest: Manifest) -> CaptureError:
    names = ("model", "windows_hash", "text", "codes", "layers", "loss", "shards", "versions")
    held = dict[str, object](there or {})
    differs = ", ".join(name for name in names if held.get(name) != dict(manifest)[name])
    return CaptureError(
        f"{folder} holds the capture of another run (different: {differs}): choose another folder, or --force to throw "
        "it away"
    )


def throw_away(folder: Path) -> None:
    """Remove the files of a capture.

    Raises:
        CaptureError: there are others too; nothing was removed.
    """
    for path in sorted(of_capture(folder), key=lambda p: p.name == MANIFEST):  # killed on the way, it is one still
        path.unlink(missing_ok=True)


def of_capture(folder: Path) -> list[Path]:
    """What lies in a folder, if nothing but a capture does.

    Raises:
        CaptureError: something else does.
    """
    ours = [p for p in folder.iterdir() if OF_A_CAPTURE.fullmatch(p.name) and p.name != MARK]
    if other := next((p for p in ours if not is_ours(p)), None):
        raise CaptureError(f"{other} is of no capture: nothing was removed; choose another folder")
    if others := sorted({p.name for p in folder.iterdir()} - {p.name for p in ours} - {MARK}):
        raise CaptureError(
            f"{folder} holds other files ({others[0]}) than those of a capture: nothing was removed; choose another "
            "folder"
        )
    return ours


def is_ours(path: Path) -> bool:
    """Whether a file that has the name of a part of a capture is one.

    A damaged manifest is taken for one if it names its schema at its beginning, a damaged shard if the
    manifest beside it is of a capture.
    """
    if path.name == MANIFEST:
        refuse_device(path)
        return b"infoplane/capture/" in path.read_bytes()[:400]
    if path.suffix != ".safetensors":  # what a killed writer left
        return True
    try:
        with safe_open(local_copy(path), framework="np") as arrays:
            if path.name == WINDOWS:
                return set(ARRAYS) <= set(arrays.keys())
            mark = {"run_id", "content_sha256"} | (set() if path.name == CODE else {"shard"})
            return mark <= set(arrays.metadata() or {})
    except Exception:  # a damaged header can name a dtype that numpy has not
        return (path.parent / MANIFEST).is_file() and is_ours(path.parent / MANIFEST)


def read_manifest(folder: Path) -> Manifest | None:
    try:
        if (folder / MANIFEST).exists():
            refuse_device(folder / MANIFEST)
        manifest = files.parse_json((folder / MANIFEST).read_text("utf-8"), finite=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if is_address(folder) and isinstance(error, OSError):  # it may be whole: nothing to throw away
            raise
        raise CaptureError(
            f"{folder / MANIFEST} cannot be read: {files.reason(error)}; capture again with --force"
        ) from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not str(schema).startswith("infoplane/capture/"):
        raise CaptureError(
            f"{folder / MANIFEST} is not the manifest of a capture (its schema is {schema!r}, expected {SCHEMA!r}): "
            "name the folder of a capture, or a new folder"
        )
    if schema != SCHEMA:
        raise CaptureError(f"{folder} has schema {schema!r}; this version reads {SCHEMA!r}: capture again")
    try:
        return cast("Manifest", files.check_seal(folder / MANIFEST, manifest))
    except (ValueError, TypeError) as error:
        raise CaptureError(f"{folder / MANIFEST}: {files.reason(error)}; capture again with --force") from None


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"


def content(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.data)
    return digest.hexdigest()


def holds(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> bool:
    """Whether a file holds these arrays and no others.

    Raises:
        OSError: the storage does not answer.
    """
    try:
        here = local_copy(path, fresh=True)
    except FileNotFoundError:
        return False
    try:
        there = st.load_file(here)
    except Exception:  # a damaged header can name a dtype that numpy has not
        return False
    return content(there) == content(arrays)


def read_whole(path: Path) -> tuple[dict[str, str], dict[str, npt.NDArray[np.generic]]] | None:
    """The head and the arrays of a file whose head has their checksum; None where it is missing or damaged.

    Raises:
        OSError: the storage does not answer.
    """
    try:
        here = local_copy(path, fresh=True)
    except FileNotFoundError:
        return None
    try:
        with safe_open(here, framework="np") as stored:
            head = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
    except Exception:  # a damaged header can name a dtype that numpy has not
        return None
    return (head, arrays) if head.get("content_sha256") == content(arrays) else None


def is_whole(folder: Path, number: int, manifest: Manifest, windows: Windows, code: str | None = None) -> bool:
    """Whether a shard is there, of this run and code, of the shape that its place has, and as it was written.

    Args:
        folder, number: where it is.
        manifest, windows: of the run.
        code: hash of the fitted code; any will do where it is None.

    Raises:
        OSError: the storage does not answer.
    """
    try:
        here = local_copy(shard_path(folder, number), fresh=True)
    except FileNotFoundError:
        return False
    try:
        with safe_open(here, framework="np") as shard:
            head = shard.metadata() or {}
            if head.get("run_id") != manifest["run_id"] or head.get("shard") != str(number):
                return False
            if code is not None and head.get("code", "") != code:
                return False
            arrays = {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118 (not a dict)
    except Exception:  # a damaged header can name a dtype that numpy has not
        return False
    forms = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    return forms == _forms(manifest, windows, number) and head.get("content_sha256") == content(arrays)


def _forms(manifest: Manifest, windows: Windows, number: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of each array of a shard."""
    first, last = manifest["shards"][number]
    rows = windows.row_starts
    n = int(rows[last] - rows[first])
    forms: dict[str, tuple[str, tuple[int, ...]]] = {
        array_name(layer, code["code"], s): ("<i2" if code["code"] == FITTED else "<f2", (n, code["m"]))
        for layer in manifest["layers"]
        for code in manifest["codes"]
        for s in range(code["sets"])
    }
    more = {"loss_sum": ("<f8", (last - first,)), "loss_count": ("<i8", (last - first,))} if manifest["loss"] else {}
    return {**forms, **more}


@contextlib.contextmanager
def opened(folder: Path, number: int, run_id: str) -> Iterator[Shard]:
    """A shard, open; it was whole when the capture was, and what befell it since is said."""
    path = shard_path(folder, number)
    try:
        with safe_open(local_copy(path), framework="np") as shard:
            if (shard.metadata() or {}).get("run_id") != run_id:
                raise ValueError("another run wrote it meanwhile")
            yield cast("Shard", shard)
    except (OSError, SafetensorError, ValueError) as error:
        raise CaptureError(
            f"{path} can no longer be read: {files.reason(error)}; name the model again to redo it"
        ) from None
