"""Preference pairs: a prompt, the answer that was chosen and the one that was rejected, read from the usual layouts.

| layout | columns |
|---|---|
| TRL standard | `prompt`, `chosen`, `rejected`, all strings; without `prompt` it is what the two begin with alike |
| TRL conversational | the same as lists of `{role, content}`; without `prompt` the messages both lists begin with |
| UltraFeedback | `prompt` a string, the answers lists of messages that repeat it |
| ShareGPT | `conversations` of `{from, value}`, each answer one such message |
| Alpaca, Orca | `instruction` and `input`, or `question`; perhaps `system` and `history`; the answers strings |
| Anthropic hh | two strings `Human: ... Assistant: ...` that begin alike |

Sources: TRL, "Dataset formats and types" (huggingface.co/docs/trl/dataset_formats); LLaMA-Factory, data/README.md,
"Preference dataset"; Bai et al. 2022 (arXiv 2204.05862) for the last. A row that is none of these is an error: nothing
is guessed or passed over, but for answers that are identical or empty, which are left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from infoplane.errors import TextError, check_whole
from infoplane.storage import Json
from infoplane.storage import atomic_files as files
from infoplane.text import SourceRecord
from infoplane.text.pairs.pair_files import pair_rows

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_ROLES = {
    "user": USER,
    "human": USER,
    "prompter": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
    "chatgpt": ASSISTANT,
    "system": SYSTEM,
}
_TURN = re.compile(r"\n\n(Human|Assistant):")
_MEDIA = ("images", "image", "videos", "audios")
_PROMPTS = ("prompt", "conversations", "instruction", "question")
_KNOWN = ", ".join(_PROMPTS)


@dataclass(frozen=True)
class Message:
    """One message: `role` is `user`, `assistant` or `system`."""

    role: str
    content: str


@dataclass(frozen=True)
class Pair:
    """A prompt and two answers.

    Attributes:
        name: within its source.
        prompt: messages before the answers; of a standard pair one, whose content is the text to go on from.
        chosen, rejected: messages of each answer, one as a rule.
        standard: whether it is bare text to be joined, not a conversation.
    """

    name: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    standard: bool = False


@dataclass(frozen=True)
class Pairs:
    """Preference pairs, in the order of their source.

    Attributes:
        pairs: the pairs; `read_pairs` leaves out those with identical answers or an empty one.
        provenance: `source`, `kind`, `split`, `config`, `revision`, `limit`, `pairs` and `standard` (their numbers),
            `identical` and `empty` (numbers of those left out), and `sha256` over all that was kept.
    """

    pairs: tuple[Pair, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Pairs: {len(self.pairs):,} from {self.provenance.get('source', 'python')}>"

    def __len__(self) -> int:
        return len(self.pairs)


PairSource: TypeAlias = "str | Path | Pairs | Iterable[Mapping[str, Any]]"
"""Pairs by their name, read already, or as rows."""


def read_pairs(
    source: PairSource,
    *,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> Pairs:
    """Read preference pairs: prompts, each with a chosen and a rejected answer.

    Args:
        source: a file (.json, .jsonl, .ndjson or .parquet; all but .parquet also as .gz), a folder that `datasets` can
            load, a `datasets` id `owner/name`, rows as mappings, or `Pairs`, which are returned unchanged.
        split, config, revision: split, configuration and version of a dataset.
        limit: how many pairs to keep, from the first on; by default all, or those of 10,000 rows of a hub dataset.

    Raises:
        TextError: the source is unreadable or not of pairs, lacks a column or a prompt, holds content that is not text,
            or has no pair to keep.
        SettingError: `limit` is not a whole number above 0; or `split`, `config` or `revision` without a dataset.
    """
    if isinstance(source, Pairs):
        return source
    if limit is not None:
        check_whole("limit", limit, 1)
    record: SourceRecord = {
        "source": str(source) if isinstance(source, str | Path) else "python",
        "kind": "",
        "split": None,
        "config": config,
        "revision": revision,
        "limit": limit,
    }
    kept: list[Pair] = []
    dropped = {"identical": 0, "empty": 0}
    for name, row, where in pair_rows(source, split, record):
        pair = _pair(row, name, where)
        if isinstance(pair, str):
            dropped[pair] += 1
            continue
        kept.append(pair)
        if len(kept) == limit:
            break
    if not kept:
        why = f"{dropped['identical']} have chosen and rejected alike and {dropped['empty']} an empty answer"
        raise TextError(
            f"no preference pair in {record['source']}: {why if sum(dropped.values()) else 'it is empty'}; give pairs "
            "whose answers differ"
        )
    text = [
        [p.name, p.standard, *([[m.role, m.content] for m in part] for part in (p.prompt, p.chosen, p.rejected))]
        for p in kept
    ]
    try:
        digest = files.hash_of(text)
    except UnicodeEncodeError:
        raise TextError(
            f"{record['source']} holds half of a surrogate pair, which no text does: mend the file"
        ) from None
    record |= {"pairs": len(kept), "standard": sum(p.standard for p in kept), "sha256": digest}
    record |= {"identical": dropped["identical"], "empty": dropped["empty"]}
    return Pairs(tuple(kept), record)


# ---------------------------------------------------------------------- one row


def _pair(row: Json, name: str, where: str) -> Pair | str:
    """The pair of a row; `identical` or `empty` where there is nothing to tell apart."""
    if not isinstance(row, Mapping):
        raise TextError(f"{where}: expected a row with named columns, found {type(row).__name__}")
    row = {key: value for key, value in row.items() if value is not None}
    _is_paired(row, where)
    for media in _MEDIA:
        if row.get(media):
            raise TextError(f"{where}: column {media!r} holds more than text, which is not measured: leave it out")
    column = next((c for c in _PROMPTS if c in row), None)
    first, second = (_answer(row[side], f"{where}, {side}") for side in ("chosen", "rejected"))
    if first == second:
        return "identical"
    (prompt, chosen, rejected), standard = _parts(row, column, first, second, where)
    for side, answer in (("chosen", chosen), ("rejected", rejected)):
        if answer[0].role != ASSISTANT:
            raise TextError(f"{where}: after the prompt {side} has no message of the assistant; expected its answer")
    if any(not "".join(m.content for m in answer).strip() for answer in (chosen, rejected)):
        return "empty"
    return Pair(name, prompt, chosen, rejected, standard)


Parts = tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]
"""Prompt, chosen, rejected."""


def _parts(
    row: Mapping[str, Json],
    column: str | None,
    first: str | tuple[Message, ...],
    second: str | tuple[Message, ...],
    where: str,
) -> tuple[Parts, bool]:
    """Prompt and answers, and whether they are plain strings beside a prompt, or without one."""
    if isinstance(first, str) and isinstance(second, str):
        turns = (None, None) if column else (_turns(first), _turns(second))
        if turns[0] is not None and turns[1] is not None:
            return _shared_messages(turns[0], turns[1], where), False
        standard = column is None or (column == "prompt" and isinstance(row[column], str))
        return _of_strings(row, column, first, second, where), standard
    if isinstance(first, str) or isinstance(second, str):
        raise TextError(f"{where}: one of chosen and rejected is a string, the other messages; expected two of a kind")
    if first[0].role != ASSISTANT:
        return _shared_messages(first, second, where), False
    if column is None:
        raise TextError(f"{where}: no prompt: expected a column of {_KNOWN}, or answers that begin with it")
    return (_prompt(row, column, where), first, second), False


def _of_strings(row: Mapping[str, Json], column: str | None, chosen: str, rejected: str, where: str) -> Parts:
    if column is None:
        before, chosen, rejected = _shared_text(chosen, rejected, where)
        prompt: tuple[Message, ...] = (Message(USER, before),)
    else:
        prompt = _prompt(row, column, where)
    return prompt, (Message(ASSISTANT, chosen),), (Message(ASSISTANT, rejected),)


def _is_paired(row: Mapping[str, Json], where: str) -> None:
    missing = [side for side in ("chosen", "rejected") if side not in row]
    if not missing:
        return
    has = ", ".join(map(str, row)) or "none"
    if len(missing) == 2 and ("kto_tag" in row or ("label" in row and "completion" in row)):
        raise TextError(
            f"{where}: unpaired preferences (one answer a row and whether it is good, as for KTO); a pair is what is "
            f"measured: join rows of one prompt into prompt, chosen, rejected. Columns: {has}"
        )
    raise TextError(f"{where}: no column {' and no column '.join(map(repr, missing))}; it has: {has}")


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        raise TextError(
            f"{where}: content is {type(value).__name__}, expected a string; images and other parts are not measured"
        )
    return value


def _message(value: Json, where: str) -> Message:
    pairs = (("role", "content"), ("from", "value"))
    keys = next((k for k in pairs if isinstance(value, Mapping) and k[0] in value), None)
    if keys is None or not isinstance(value, Mapping):
        raise TextError(
            f"{where}: expected a message with role and content, or from and value, found {str(value)[:60]!r}"
        )
    role = _ROLES.get(str(value[keys[0]]))
    if role is None:
        raise TextError(f"{where}: role {value[keys[0]]!r} is not known; expected one of {', '.join(_ROLES)}")
    return Message(role, _text(value.get(keys[1]), where))


def _messages(values: Json, where: str) -> tuple[Message, ...]:
    if isinstance(values, Mapping):
        values = [values]
    if not isinstance(values, Sequence) or not values:
        raise TextError(f"{where}: expected a string or a list of messages, found {type(values).__name__}")
    return tuple(_message(value, f"{where}, message {i}") for i, value in enumerate(values, start=1))


def _answer(value: Json, where: str) -> str | tuple[Message, ...]:
    return value if isinstance(value, str) else _messages(value, where)


def _prompt(row: Mapping[str, Any], column: str, where: str) -> tuple[Message, ...]:
    """The messages of an explicit prompt."""
    value = row[column]
    if column in ("prompt", "conversations") and not isinstance(value, str):
        return _messages(value, f"{where}, {column}")
    out = [Message(SYSTEM, _text(row["system"], f"{where}, system"))] if row.get("system") else []
    for turn in row.get("history") or ():
        out += [Message(r, _text(t, f"{where}, history")) for r, t in zip((USER, ASSISTANT), turn, strict=False)]
    words = [_text(value, f"{where}, {column}")]
    if column == "instruction" and row.get("input"):
        words.append(_text(row["input"], f"{where}, input"))
    return (*out, Message(USER, "\n".join(words)))


def _turns(text: str) -> tuple[Message, ...] | None:
    """The messages of an Anthropic hh transcript, None for what is none."""
    parts = _TURN.split("\n\n" + text.lstrip("\n"))
    if parts[0].strip() or parts[1:2] != ["Human"]:
        return None
    roles = {"Human": USER, "Assistant": ASSISTANT}
    return tuple(Message(roles[r], t.strip()) for r, t in zip(parts[1::2], parts[2::2], strict=True))


def _shared_messages(chosen: tuple[Message, ...], rejected: tuple[Message, ...], where: str) -> Parts:
    n = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    if n == 0:
        raise TextError(
            f"{where}: chosen and rejected begin with different messages, so they answer no prompt in common"
        )
    if n == min(len(chosen), len(rejected)):
        raise TextError(f"{where}: one of chosen and rejected is the beginning of the other, so it has no answer left")
    return chosen[:n], chosen[n:], rejected[n:]


def _shared_text(chosen: str, rejected: str, where: str) -> tuple[str, str, str]:
    """What two strings begin with alike, up to the end of a word: the space goes with the answer, as its token does."""
    n = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    while n and not (chosen[n : n + 1].isspace() and rejected[n : n + 1].isspace()):
        n -= 1
    if not chosen[:n].strip():
        raise TextError(
            f"{where}: no prompt: expected a column of {_KNOWN}, or chosen and rejected that begin with the same words"
        )
    return chosen[:n], chosen[n:], rejected[n:]
