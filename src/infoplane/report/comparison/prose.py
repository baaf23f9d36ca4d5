"""What a comparison says in words: of each variant whether it differs from the base, where, and what its loss does."""

from __future__ import annotations

from infoplane.analysis.comparison import ALIKE, UNKNOWN, Change, Verdict
from infoplane.report.parts import words


def verdict_sentences(verdict: Verdict) -> list[str]:
    """The answer of a verdict, the point first."""
    base, variant = verdict.base, verdict.variant
    if verdict.verdict == UNKNOWN:
        return [f"{variant} is not compared with {base} layer by layer: {verdict.why}.", *_of_loss(verdict)]
    if verdict.verdict == ALIKE:
        if not verdict.seen:
            same = f"{variant} and {base} have the same figures in all of {_layers(verdict.layers)}."
            return [same, *_of_loss(verdict)]
        sentences = [f"No difference between {variant} and {base} is seen in any of {_layers(verdict.layers)}."]
        needed = _listed([f"{quantity} by about {100 * part:.1f} %" for quantity, part in verdict.seen.items()])
        sentences.append(f"A layer would have had to change its {needed} to be seen.")
        return [*sentences, *_of_loss(verdict)]
    return [
        f"{variant} differs from {base} in {_where(verdict)}.",
        *([] if verdict.strongest is None else [f"The surest change is in {_change(verdict.strongest)}."]),
        *_of_loss(verdict),
    ]


def certainty(verdict: Verdict) -> str:
    """How sure a verdict is."""
    return (
        f"{verdict.tests} figures of layers were tested together; the chance that any of them is claimed falsely is at "
        "most 5 %."
    )


def _where(verdict: Verdict) -> str:
    changed, every = verdict.changed, verdict.layers
    if len(changed) == 1:
        return f"one of {_layers(every)}, {changed[0]}"
    if len(changed) == every:
        return f"all {_layers(every)}"
    return f"{len(changed)} of {_layers(every)}, the first of them {changed[0]} and the last {changed[-1]}"


def _layers(n: int) -> str:
    return words.count(n, "layer")


def _change(change: Change) -> str:
    half = (change.high - change.low) / 2
    way = "higher" if change.difference > 0 else "lower"
    part = f" ({100 * abs(change.difference) / change.before:.1f} %)" if change.before > 0 else ""
    unit = "of log m" if change.unit == "efficiency" else change.unit
    code = "" if change.code in (None, "random") else f" by the {change.code} code"
    return (
        f"{change.layer}, where {change.quantity}{code} is {words.number(abs(change.difference), 4)} ± "
        f"{words.number(half, 4)} {unit} {way} than {words.number(change.before, 4)}{part}"
    )


def _of_loss(verdict: Verdict) -> list[str]:
    loss = verdict.loss
    if loss is None:
        return ["The next-token loss was not measured in both (--loss)."]
    if loss.difference == 0:
        return ["Its next-token loss is the same."]
    half = (loss.high - loss.low) / 2
    if not loss.claimed:
        size = f"{words.number(loss.difference, 4)} ± {words.number(half, 4)} nats a token"
        return [f"Its next-token loss is not known to differ ({size})."]
    size = f"{words.number(abs(loss.difference), 4)} ± {words.number(half, 4)} nats a token"
    way = "higher" if loss.difference > 0 else "lower"
    return [f"Its next-token loss is {size} {way} than {words.number(loss.before, 3)}."]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
