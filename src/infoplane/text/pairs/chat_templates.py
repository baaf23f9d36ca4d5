"""Preference pairs as the text that a model reads, and where in it the answers stand.

A conversation is written by the tokenizer's chat template: the prompt with the opening of the assistant's turn, then
the answer. The template is run twice, with and without the answer, and the first text must be the beginning of the
second; the answer is found in what follows. Where a template rewrites either, nothing can be said of where the answer
begins, and the pair is refused. What the template itself adds (the end of a turn, an empty thought) is in no answer.

Sources: transformers, "Chat templates" (`apply_chat_template`, `add_generation_prompt`); TRL, "Dataset formats and
types" for standard data, which is joined as it is. The plain format is that of Anthropic hh.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from infoplane.errors import SettingError, TextError
from infoplane.storage import reason
from infoplane.text import Tokenizer
from infoplane.text.pairs.preference_pairs import ASSISTANT, USER, Message, Pair
from infoplane.text.pairs.time_limit import at_most, within

CHOICES = ("auto", "yes", "no")
PLAIN = "\\n\\nHuman: ...\\n\\nAssistant: ..."
_NAMES = {USER: "Human", ASSISTANT: "Assistant"}
Writer = Callable[[Sequence[Message], bool], str]
"""Messages, and whether the assistant's turn is to be opened after them, as text."""

SECONDS = 10.0
MEMORY = 1 << 30
"""For the two texts of one answer: seconds, and bytes beside what the process has."""


@dataclass(frozen=True)
class Written:
    """One answer in its text.

    Attributes:
        text: the prompt and the answer.
        answers: (first, last + 1) characters of each message of the answer.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Format:
    """How pairs are written.

    Attributes:
        name: `template`, `plain` or `standard`, for the record.
        writer: None joins prompt and answer as they are.
    """

    name: str
    writer: Writer | None


def formats(tokenizer: Tokenizer, choice: str) -> tuple[Format, Format]:
    """The formats of conversations and of standard pairs.

    Args:
        tokenizer: a `transformers` tokenizer.
        choice: `auto` writes conversations by the chat template, or plainly where there is none, and leaves standard
            pairs as they are; `yes` writes all by the template; `no` none.

    Raises:
        SettingError: another choice, or `yes` and no template.
    """
    if choice not in CHOICES:
        raise SettingError(f"chat template {choice!r}: expected one of {', '.join(CHOICES)}")
    has = bool(getattr(tokenizer, "chat_template", None))
    if choice == "yes" and not has:
        raise SettingError(
            f"the tokenizer {getattr(tokenizer, 'name_or_path', '') or 'given'} has no chat template: name one that "
            f"has, or write conversations plainly ({PLAIN}) with chat_template no",
            settings=("chat_template",),
        )
    if has and choice != "no":
        _refuse_powers(tokenizer)
    by_template = Format("template", _template(tokenizer))
    bare = Format("standard", None)
    if choice == "yes":
        return by_template, by_template
    return (by_template if has and choice == "auto" else Format("plain", _plain)), bare


def write(pair: Pair, answer: Sequence[Message], format: Format) -> Written:
    """The text of a pair's prompt and one of its answers.

    Raises:
        TextError: the template refuses the messages, or rewrites them.
    """
    if format.writer is None:
        before, after = pair.prompt[0].content, answer[0].content
        return Written(before + after, ((len(before), len(before) + len(after)),))
    try:
        with at_most(SECONDS), within(MEMORY):
            prompt = format.writer(pair.prompt, True)
            text = format.writer([*pair.prompt, *answer], False)
    except TimeoutError as error:
        raise TextError(
            f"{pair.name}: the chat template loops over its messages: {error}; write the pairs plainly with "
            "chat_template no, or name another tokenizer",
            settings=("chat_template",),
        ) from None
    except Exception as error:  # a template is a program, with errors of its own
        raise TextError(f"{pair.name}: the chat template refuses its messages: {reason(error)}") from None
    if not text.startswith(prompt):
        raise TextError(
            f"{pair.name}: the chat template writes the prompt differently when the answer follows, so where the "
            "answer begins is not known; write the pairs plainly with chat_template no",
            settings=("chat_template",),
        )
    position, spans = len(prompt), []
    for message in answer:
        content = next((c for c in (message.content, message.content.strip()) if text.find(c, position) >= 0), None)
        if content is None:
            raise TextError(
                f"{pair.name}: the chat template rewrites the answer, so it cannot be found in the text; write the "
                "pairs plainly with chat_template no",
                settings=("chat_template",),
            )
        start = text.find(content, position)
        position = start + len(content)
        if message.role == ASSISTANT:
            spans.append((start, position))
    return Written(text, tuple(spans))


def _refuse_powers(tokenizer: Tokenizer) -> None:
    """Refuse a template that computes powers: one may take years, in a step that nothing can interrupt.

    Raises:
        SettingError: it does.
    """
    from jinja2 import Environment, TemplateError

    templates = getattr(tokenizer, "chat_template", None)
    with contextlib.suppress(TemplateError):  # of that the writer says what is wrong
        for template in templates.values() if isinstance(templates, dict) else [templates]:
            if any((kind, value) == ("operator", "**") for _, kind, value in Environment().lex(str(template))):
                raise SettingError(
                    f"the chat template of {getattr(tokenizer, 'name_or_path', '') or 'the tokenizer'} computes powers "
                    "(**), which no template needs: write the pairs plainly with chat_template no, or name another "
                    "tokenizer",
                    settings=("chat_template",),
                )


def _template(tokenizer: Tokenizer) -> Writer:
    def of(messages: Sequence[Message], opened: bool) -> str:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        return str(cast("Any", tokenizer).apply_chat_template(turns, tokenize=False, add_generation_prompt=opened))

    return of


def _plain(messages: Sequence[Message], opened: bool) -> str:
    parts = [f"{_NAMES[m.role]}: {m.content}" if m.role in _NAMES else m.content for m in messages]
    text = "".join(f"\n\n{part}" for part in parts)
    return f"{text}\n\n{_NAMES[ASSISTANT]}: " if opened else text
