"""How many tokens are run at once, and what is done where memory does not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infoplane.errors import ModelError, SettingError

if TYPE_CHECKING:
    import torch

MAX_BATCH_TOKENS = 4096


@dataclass
class BatchSize:
    """Tokens a batch, at most: halved where memory runs out, and so for all that comes after.

    Attributes:
        tokens: at most, padding included; a window that is longer goes alone.
        fixed: where memory runs out it is an error.
        asked: what it was before memory ran out.
    """

    tokens: int = MAX_BATCH_TOKENS
    fixed: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.tokens, bool) or not isinstance(self.tokens, int) or self.tokens < 1:
            raise SettingError(f"batch = {self.tokens!r}: expected a whole number of tokens, 1 or more")
        self.asked = self.tokens

    @property
    def warning(self) -> str | None:
        """What a result should say of it."""
        if self.tokens == self.asked:
            return None
        return (
            f"memory ran out in batches of {self.asked} tokens: from there on they had at most {self.tokens}. The last "
            f"bits of a state hang on its batch; --batch {self.tokens} runs all windows alike"
        )

    def halve(self, shape: tuple[int, int], why: str, device: torch.device) -> None:
        """After a batch of (windows, tokens) that did not fit.

        Raises:
            ModelError: it was a single window, or all processes must run batches alike.
        """
        import torch

        count, length = shape
        if self.fixed:
            raise ModelError(
                f"memory ran out on {device} in a batch of {count} windows of {length} tokens, and all processes must "
                f"run batches alike: use fewer tokens, or a shorter context ({why})"
            )
        if count == 1:
            raise ModelError(
                f"memory ran out on {device} with a single window of {length} tokens: use a shorter --context, a "
                f"smaller --dtype (bfloat16), fewer --layers or --reference-sets, or another --device ({why})"
            )
        self.tokens = count * length // 2
        if device.type == "cuda":
            torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()


def batches(lengths: npt.NDArray[np.int64], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Neighbouring windows that are run together, as (first, last + 1), padding included in the size.

    Windows come longest first; a batch of some size ends where they get shorter, so that little time goes into padding.
    """
    first = 0
    while first < len(lengths):
        last, width = first, 0
        while last < len(lengths):
            n, length = last - first, int(lengths[last])
            wider = max(width, length)
            if n and (wider * (n + 1) > max_tokens or (width * n >= max_tokens // 4 and length < 0.95 * width)):
                break
            width, last = wider, last + 1
        yield first, last
        first = last


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
