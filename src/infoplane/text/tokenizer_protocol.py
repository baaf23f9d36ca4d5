"""What this package asks of a tokenizer: a part of `transformers.PreTrainedTokenizerBase`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """A tokenizer of `transformers`, or what does as much."""

    @property
    def all_special_ids(self) -> Sequence[int]:
        """Ids of special tokens."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text, where there is one."""
        ...

    def __len__(self) -> int:
        """Number of tokens, added ones included."""
        ...

    def __call__(
        self,
        text: str | list[str],
        *,
        add_special_tokens: bool = True,
        return_attention_mask: bool = False,
        return_offsets_mapping: bool = False,
        verbose: bool = False,
    ) -> Mapping[str, Any]:
        """`input_ids` of a text or of several, and `offset_mapping` where it is asked for."""
        ...

    def decode(self, token_ids: list[int], *, clean_up_tokenization_spaces: bool = False) -> str | list[str]:
        """The text of tokens."""
        ...

    def get_vocab(self) -> Mapping[str, int]:
        """Tokens and their ids."""
        ...
