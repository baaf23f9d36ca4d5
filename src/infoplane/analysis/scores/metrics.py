"""Which metrics are fractions: accuracies and their like lie in 0 to 1, perplexities and losses anywhere."""

from __future__ import annotations

import re

_FRACTION = re.compile(
    r"(acc|acc_\w+|\w*accuracy\w*|\w+_acc|exact_match|em|mc[12]|pass@\d+|score|normalised|raw|"
    r"\d+)"  # RULER: the share that is right at a length of so many tokens
)
_FREE = re.compile(
    r"(?:^|[_:\s,-])(ppl|\w*perplexity|bits_per_byte|loss|nll|bleu|rouge\w*|chrf|ter|mcc|brier_score|likelihood\w*|elo)"
    r"(?:$|[_:\s,-])",
    re.IGNORECASE,
)


_POSITIVE = re.compile(r"ppl|perplexity|bits_per_byte|brier_score|bleu|rouge|chrf")


def is_fraction(task: str, metric: str, strict: bool) -> bool:
    """Whether a score must lie in 0 to 1; one that no rule knows must if `strict`."""
    if _FREE.search(metric) or (metric == "score" and _FREE.search(task)):
        return False
    return strict or _FRACTION.fullmatch(metric.partition(",")[0]) is not None


def is_never_negative(task: str, metric: str) -> bool:
    """Whether -1 cannot be a score: of fractions, and of perplexities and their like."""
    return is_fraction(task, metric, strict=False) or _POSITIVE.search(metric) is not None
