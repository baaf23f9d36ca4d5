"""What a comparison says in words: of each variant whether it differs from the base, where, and what its loss does.

Of models that are no variants of one base (other widths, other tokenizers), which of them keep and carry most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infoplane.analysis.comparison import ALIKE, DIFFERENT, PREFERENCES, UNKNOWN, Change, Comparison, Verdict
from infoplane.report.comparison.figures import about
from infoplane.report.parts import words

FEW = 3
"""Up to so many variants the answer says of each what differs; of more, how many do."""


def answer(comparison: Comparison) -> list[str]:
    """The sentences at the top."""
    known = [verdict for verdict in comparison.verdicts if verdict.verdict != UNKNOWN]
    if 0 < len(known) <= FEW:
        return [" ".join(verdict_sentences(verdict)) for verdict in known]
    if known:
        return [_how_many(known)]
    said = list(_among_models(comparison))
    unknown = [] if said else comparison.verdicts[:FEW]
    return said or [" ".join(verdict_sentences(verdict)) for verdict in unknown]


def of_each(comparison: Comparison) -> list[str]:
    """Of each variant whether it differs from the first, where the answer has not said it of each."""
    known = [verdict for verdict in comparison.verdicts if verdict.verdict != UNKNOWN]
    return [" ".join(verdict_sentences(verdict)) for verdict in known] if len(known) > FEW else []


def spoken_comparison(comparison: Comparison) -> list[str]:
    """The answer, then what it leaves out of each variant."""
    return [*answer(comparison), *of_each(comparison)]


def _how_many(verdicts: Sequence[Verdict]) -> str:
    base, kinds = verdicts[0].base, dict[str, list[str]]()
    for verdict in verdicts:
        kinds.setdefault(verdict.verdict, []).append(verdict.variant)
    differ, alike = kinds.get(DIFFERENT, []), kinds.get(ALIKE, [])
    parts = [f"{len(differ)} of {len(verdicts)} variants differ from {base} ({words.listed(differ)})"] if differ else []
    if alike:
        seen = "no difference is seen in" if differ else f"no difference from {base} is seen in"
        parts.append(f"{seen} {words.listed(alike)}")
    worse = [v.variant for v in verdicts if v.loss is not None and v.loss.claimed and v.loss.difference > 0]
    loss = f" The next-token loss is higher in {words.listed(worse)}." if worse else ""
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}.{loss}"


def _among_models(comparison: Comparison) -> Iterator[str]:
    """Which models have most and least, where figures compare and the two do not overlap."""
    chosen = comparison.best_set
    good, why = comparison.fairness[chosen]
    if not good:
        yield f"None of these figures compare between the models: {why}. Read each model by itself."
        return
    alike = set(comparison.comparable(chosen))
    rows = [row for row in comparison.values.to_dicts() if row["position_set"] == chosen and row["name"] in alike]
    for quantity, verb, before in (("complexity", "keeps", True), ("expressivity", "carries", False)):
        of = sorted((row for row in rows if row["quantity"] == quantity), key=lambda row: row["value"])
        if len(of) < 2 or any(row["low"] is None for row in of):
            continue
        least, most = of[0], of[-1]
        what = about(chosen, before)
        if most["low"] <= least["high"]:
            plural = {"keeps": "keep", "carries": "carry"}[verb]
            models = words.listed([row["name"] for row in of]) if len(of) <= FEW else f"these {len(of)} models"
            yield f"{models} cannot be told apart by what they {plural} about {what}: their 95 % intervals overlap."
        else:
            ends = [
                f"{row['name']} {verb} {how} ({_value(row['value'], (row['high'] - row['low']) / 2, row['unit'])})"
                for row, how in ((most, "most"), (least, "least"))
            ]
            yield f"About {what}, {words.listed(ends)}."
    if apart := [name for name in comparison.names if name not in alike]:
        do = "does" if len(apart) == 1 else "do"
        yield f"{words.listed(apart)} {do} not compare with the others; the reason is given with the figures."


def figure_text(row: Mapping[str, Any] | None) -> str:
    """A figure in the unit of its column: an efficiency in percent, with half of its 95 % interval."""
    if row is None:
        return words.MISSING
    half = None if row["low"] is None else (row["high"] - row["low"]) / 2
    return words.cell(row["value"], half, row["unit"], 2 if row["quantity"] in PREFERENCES else 0)


def _value(value: float, half: float, unit: str) -> str:
    if unit == "efficiency":
        return f"{words.with_error(100 * value, 100 * half, 1)}{words.NO_BREAK}% of log m"
    return f"{words.number(value, 4)} ± {words.number(half, 4)} {words.UNIT_NAMES.get(unit, unit)}"


def verdict_sentences(verdict: Verdict) -> list[str]:
    """The answer of a verdict, the point first."""
    base, variant = verdict.base, verdict.variant
    if verdict.verdict == UNKNOWN:
        return [f"{variant} is not compared with {base} layer by layer: {verdict.why}.", *_of_loss(verdict)]
    if verdict.verdict == ALIKE:
        if not verdict.detectable:
            same = f"{variant} and {base} have the same figures in all of {_layers(verdict.layers)}."
            return [same, *_of_loss(verdict)]
        where = f"any of {_layers(verdict.layers)}" if verdict.layers > 1 else "the one layer that was measured"
        sentences = [f"No difference between {variant} and {base} is seen in {where}."]
        needed = _listed([f"{quantity} by about {100 * part:.1f} %" for quantity, part in verdict.detectable.items()])
        sentences.append(f"A layer would have had to change its {needed} to be seen.")
        return [*sentences, *_of_loss(verdict)]
    return [
        f"{variant} differs from {base} in {_where(verdict)}.",
        *([] if verdict.strongest is None else [f"The clearest change is in {_change(verdict.strongest)}."]),
        *_of_loss(verdict),
    ]


def certainty(verdict: Verdict) -> str:
    """How sure a verdict is."""
    return (
        f"{verdict.tests} measurements of layers were tested together; the chance of reporting any difference where "
        "there is none is at most 5 %. The ± is half of a 95 % interval."
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
    way = "rises" if change.difference > 0 else "falls"
    code = "" if change.code in (None, "random") else f" by the {change.code} code"
    after = change.before + change.difference
    if change.unit == "efficiency":
        before, after, by, half = (100 * value for value in (change.before, after, abs(change.difference), half))
        digits = 1 if half >= 0.1 else 2
        first, last = (f"{words.number(value, digits)}{words.NO_BREAK}%" for value in (before, after))
        ends = f"{first} to {last} of log m"
        size = f"{words.with_error(by, half, digits)} points"
    else:
        ends = f"{words.number(change.before, 4)} to {words.number(after, 4)} {change.unit}"
        size = words.with_error(abs(change.difference), half, 4)
    return f"{change.layer}, where {change.quantity}{code} {way} from {ends} (by {size})"


def _of_loss(verdict: Verdict) -> list[str]:
    loss = verdict.loss
    if loss is None:
        return ["The next-token loss was not measured in both (--loss)."]
    if loss.difference == 0:
        return ["Its next-token loss is the same."]
    half = (loss.high - loss.low) / 2
    if not loss.claimed:
        size = f"{words.with_error(loss.difference, half, 4)} nats a token"
        return [f"Its next-token loss is not known to differ ({size})."]
    size = f"{words.with_error(abs(loss.difference), half, 4)} nats a token"
    way = "higher" if loss.difference > 0 else "lower"
    after = f"{words.number(loss.before + loss.difference, 3)} against {words.number(loss.before, 3)}"
    verdict_of_loss = "worse" if loss.difference > 0 else "better"
    return [f"Its next-token loss is {size} {way} ({verdict_of_loss}): {after}."]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
