"""What the models of a survey were when it first ran: commits of the hub, hashes of local weights.

A branch of the hub moves, and a folder can be written anew, so at the first run each model is resolved, and the answer
is kept in `survey.lock.json`; later runs measure what is locked. Nothing is made up: a commit comes from the hub, from
the hub's own cache on this machine where the hub cannot be reached, or from the survey file if it names one; local
weights are hashed as their provenance is (`infoplane.models.weight_files.folder_hash`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from infoplane.analysis.surveys.survey_file import Entry
from infoplane.errors import ModelError, ResultError
from infoplane.models import BUILT_IN, adapter_base, built_in, folder_hash, tokenizer_folder
from infoplane.storage import atomic_files as files
from infoplane.storage import read_record

SCHEMA = "infoplane/survey-lock/1"
LOCK_NAME = "survey.lock.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT = 15.0
"""Seconds that the hub has for an answer."""


@dataclass(frozen=True)
class Locked:
    """One model as it was.

    Attributes:
        id, revision: as the survey asks for it.
        name: of its folder in the survey, for local weights; others are told apart by id and revision.
        commit: of a hub model.
        sha256: of local weights.
        words_sha256: of the small files beside local weights, the tokenizer among them.
    """

    id: str
    revision: str | None
    name: str | None = None
    commit: str | None = None
    sha256: str | None = None
    words_sha256: str | None = None

    @property
    def weights(self) -> dict[str, str]:
        """What vouches for the model."""
        return {k: v for k in ("commit", "sha256", "words_sha256") if (v := getattr(self, k))}

    @property
    def key(self) -> str:
        """What the lock calls it."""
        return files.canonical_json([self.name] if self.name else [self.id, self.revision])


class Lock:
    """The locked models in a folder; written whole at each addition.

    Raises:
        ResultError: the file there is not a lock of a known schema.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self.models: dict[str, Locked] = {}
        if self.path.exists():
            record = read_record(self.path, SCHEMA, "lock of a survey", "survey")
            try:
                models = [Locked(**model) for model in record["models"]]
            except (KeyError, TypeError) as error:
                raise ResultError(f"{self.path} does not hold what schema {SCHEMA!r} promises: {error!r}") from None
            self.models = {model.key: model for model in models}

    def get(self, entry: Entry) -> Locked | None:
        """What is locked of an entry, None if it never was."""
        return self.models.get(_blank(entry).key)

    def add(self, locked: Locked) -> None:
        """Keep an answer, and write the file."""
        self.models[locked.key] = locked
        rows = [{k: v for k, v in asdict(model).items() if v} for _, model in sorted(self.models.items())]
        files.write_json(self.path, {"schema": SCHEMA, "models": [{"revision": None, **row} for row in rows]})


def _blank(entry: Entry) -> Locked:
    return Locked(entry.id, entry.revision, entry.name if entry.is_local else None)


@dataclass
class Hub:
    """The hub, asked until it first cannot be reached: a survey of many models waits once, not for each."""

    reachable: bool = True

    def info(self, name: str, revision: str | None, **more: Any) -> Any:
        """What the hub says of a model; None where it cannot be reached.

        Raises:
            ModelError: the hub was reached, and has no such model or revision, or keeps it from us.
        """
        try:
            from huggingface_hub import HfApi
            from huggingface_hub.errors import HfHubHTTPError, HFValidationError
        except ImportError:
            raise ModelError("reading a hub model needs huggingface_hub: pip install 'infoplane[hf]'") from None
        if not self.reachable:
            return None
        try:
            return HfApi().model_info(name, revision=revision, timeout=TIMEOUT, **more)
        except (HfHubHTTPError, HFValidationError) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status == 429 or status >= 500:  # it says nothing of the model
                self.reachable = False
                return None
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"the hub does not give {name!r}, revision {revision or 'main'!r}: {reason}; check its name, or log "
                "in where its owner asks for it"
            ) from None
        except Exception:  # no network, a proxy, offline mode: each library has its own families
            self.reachable = False
            return None


def resolve(entry: Entry, hub: Hub) -> Locked:
    """What an entry is now.

    Raises:
        ModelError: missing, or it cannot be told.
    """
    if entry.is_local:
        weights, words = _local_hashes(entry)
        return replace(_blank(entry), sha256=weights, words_sha256=words)
    check_not_hidden(entry)
    if entry.revision and _COMMIT.fullmatch(entry.revision):
        return replace(_blank(entry), commit=entry.revision)
    answer = hub.info(entry.id, entry.revision)
    commit = answer.sha if answer is not None else _cached(entry.id, entry.revision or "main")
    if not commit:
        raise ModelError(
            f"the hub cannot be reached, and its cache here does not hold {entry.id!r}, revision "
            f"{entry.revision or 'main'!r}: which commit it is cannot be told"
        )
    return replace(_blank(entry), commit=str(commit))


def check_not_hidden(entry: Entry) -> None:
    """Refuse a hub id that names a folder too.

    Raises:
        ModelError: it does.
    """
    if not entry.is_local and Path(entry.id).exists():
        raise ModelError(
            f"{entry.id!r} is a hub id, and a folder of that name lies where you are, which would be loaded instead: "
            "run the survey from elsewhere, or name the folder with path"
        )


def moved(entry: Entry, locked: Locked, hub: Hub) -> str | None:
    """Where the hub has moved on since a model was locked, as a sentence; None where it has not, or nobody can tell."""
    if entry.is_local or (entry.revision and _COMMIT.fullmatch(entry.revision)):
        return None
    try:
        answer = hub.info(entry.id, entry.revision)
    except ModelError as error:
        return f"{entry.id} is locked at {_short(locked.commit)}, but {error}"
    if answer is None or answer.sha == locked.commit:
        return None
    return (
        f"{entry.id}: the hub has moved on from {_short(locked.commit)}, which is locked and measured, to "
        f"{_short(answer.sha)}; to take that, remove the model from {LOCK_NAME}"
    )


def check_local(entry: Entry, locked: Locked) -> None:
    """Refuse local weights, or a tokenizer beside them, that are no longer those locked; what is gone is not missed.

    Raises:
        ModelError: they differ, or something local hides the model of a hub.
    """
    check_not_hidden(entry)
    if not entry.is_local or (entry.path and not Path(entry.path).exists()):
        return
    weights, words = _local_hashes(entry)
    for what, now, then in (
        ("weights", weights, locked.sha256),
        ("tokenizer, configuration or base", words, locked.words_sha256),
    ):
        if now != then:
            raise ModelError(
                f"the {what} at {entry.source} are no longer those locked (SHA-256 {_short(now)}..., locked "
                f"{_short(then)}...): bring those back, or remove the model from {LOCK_NAME}"
            )


def _short(value: str | None) -> str:
    return (value or "nothing")[:12]


def _local_hashes(entry: Entry) -> tuple[str, str | None]:
    """Of the weights, and of the small files that `folder_hash` leaves out and a base that an adapter has here."""
    path = built_in() if entry.source == BUILT_IN else Path(entry.source)
    if not path.exists():
        raise ModelError(f"no model at {str(path)!r}: expected a folder, a .gguf file or an adapter folder that exists")
    if not path.is_dir():
        return files.sha256_file(path), None
    words = words_hash(path)
    if (around := tokenizer_folder(path)) not in (None, path):  # of its run, or of its base
        words = files.hash_of({"words": words, "tokenizer": _tokenizer_hash(around)})
    if (path / "adapter_config.json").is_file() and (base := adapter_base(path)).exists():
        held = folder_hash(base) if base.is_dir() else files.sha256_file(base)
        words = files.hash_of({"words": words, "base": held})
    return folder_hash(path), words


def words_hash(path: Path) -> str:
    """SHA-256 over the small files of a folder, which decide its tokenizer; or of a file.

    Raises:
        ModelError: nothing there.
    """
    if path.is_file():
        return files.sha256_file(path)
    if not path.is_dir():
        raise ModelError(f"no tokenizer at {str(path)!r}: expected a folder or file that exists")
    small = (p for p in sorted(path.iterdir()) if p.suffix in (".json", ".txt", ".model", ".jinja", ".tiktoken"))
    return _hash_of_files(small)


_OF_A_TOKENIZER = re.compile(
    r"(tokenizer|vocab|merges|special_tokens|added_tokens|chat_template|spiece|sentencepiece|source|target).*"
    r"|.*\.(model|tiktoken|jinja)"
)


def _tokenizer_hash(folder: Path) -> str:
    """Over the files of a tokenizer alone: beside it a run writes others, at each checkpoint."""
    return _hash_of_files(path for path in sorted(folder.iterdir()) if _OF_A_TOKENIZER.fullmatch(path.name))


def _hash_of_files(paths: Iterable[Path]) -> str:
    return files.hash_of({path.name: files.sha256_file(path) for path in paths if path.is_file()})


def _cached(name: str, revision: str) -> str | None:
    """The commit that the hub's cache on this machine has for a branch or tag."""
    from huggingface_hub import constants

    reference = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / revision
    with contextlib.suppress(OSError):
        commit = reference.read_text("utf-8").strip()
        if _COMMIT.fullmatch(commit) and reference.resolve().is_relative_to(Path(constants.HF_HUB_CACHE).resolve()):
            return commit
    return None
