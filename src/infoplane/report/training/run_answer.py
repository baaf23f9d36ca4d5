"""The answer at the top of the page of training runs: which phases they went through, and what that made of them.

Sentences are composed from series, phases and claims; one that lacks what it needs is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infoplane.analysis.training import COMPRESSION, FITTING, Claim, Phases, Seeds, Series
from infoplane.report.parts import words
from infoplane.report.training.run_view import RunView

_DOES = {FITTING: "rises", COMPRESSION: "falls"}
_CALLED = {FITTING: "fitting", COMPRESSION: "compression"}


def answer_of_run(view: RunView, name: str) -> list[str]:
    """Of one run."""
    series = view.series
    said = [_of_phases(view.phases.get("complexity"), series.get("complexity"), name)]
    said += [from_to(series.get(quantity), what) for quantity, what in (("expressivity", _NEXT), ("loss", _LOSS))]
    return [sentence for sentence in said if sentence]


_NEXT, _LOSS = "what it carries about the next token", "its next-token loss"


def _of_phases(phases: Phases | None, series: Series | None, name: str) -> str:
    """What complexity does over training."""
    if series is None or len(series) < 2:
        return ""
    kept = f"what {name} keeps about the token it has just read"
    if phases is None:  # too few checkpoints to look for phases
        return from_to(series, kept)
    if not (phases.compression.found or phases.fitting.found):
        ending = " Its loss is still falling, so a phase may yet come." if phases.saturated is False else ""
        return (
            f"Over training, {kept} neither rises nor falls by more than an optimiser wanders (no phase is found)."
            f"{ending}"
        )
    parts = []
    for segment in phases.segments:
        does = _DOES.get(segment.kind)
        until = "" if segment is phases.segments[-1] else f" until step {segment.end_step:,.0f}"
        if does is None:
            parts.append(f"stays level{until}")
        else:
            size = _points(abs(segment.change), (segment.interval[1] - segment.interval[0]) / 2, series.unit)
            parts.append(f"{does} by {size}{until} ({_CALLED[segment.kind]})")
    late = {
        False: " No compression (a fall after that) is found; the loss is still falling, so it may yet come.",
        True: " No compression (a fall after that) is found, and the loss has stopped falling.",
        None: " No compression (a fall after that) is found.",
    }
    ending = "" if phases.compression.found else late[phases.saturated]
    return f"{kept[0].upper()}{kept[1:]} {', then '.join(parts)}{_unit(series)}.{ending}"


def from_to(series: Series | None, what: str) -> str:
    """The first and the last checkpoint, and the paired difference; nothing of fewer than two."""
    if series is None or len(series) < 2:
        return ""
    value, _, interval = series.difference(0, len(series) - 1)
    half = None if interval is None else (interval[1] - interval[0]) / 2
    first, last = (_amount(float(series.values[i]), None, series.unit) for i in (0, -1))
    first = first.removesuffix(f" {words.UNIT_NAMES.get(series.unit, series.unit)}")
    steps = f"From step {series.steps[0]:,} to {series.steps[-1]:,}"
    if half is not None and interval is not None and interval[0] <= 0 <= interval[1]:
        return f"{steps}, {what} does not clearly change ({first} to {last})."
    change = "" if half is None else f", a change of {_points(value, half, series.unit)}"
    return f"{steps}, {what} goes from {first} to {last}{change}."


def _amount(value: float, half: float | None, unit: str) -> str:
    """A value in its unit, with the digits that its error allows."""
    scale, digits, name = (100.0, 2, f"{words.NO_BREAK}%") if unit == "efficiency" else (1.0, 3, "")
    if half is not None and scale * half >= 0.1:
        digits -= 1
    number = words.with_error(scale * value, None if half is None else scale * half, digits) + name
    return number if name or unit == "ratio" else f"{number} {words.UNIT_NAMES.get(unit, unit)}"


def _points(value: float, half: float, unit: str) -> str:
    """A change: of percent it is said in points."""
    return _amount(value, half, unit).replace(f"{words.NO_BREAK}%", " points")


def _unit(series: Series) -> str:
    return " (in % of log m, the most that a state can hold as it is read)" if series.unit == "efficiency" else ""


# ---------------------------------------------------------------------- several runs


def answer_of_several(groups: Sequence[Seeds], claims: Sequence[tuple[Seeds, Claim]]) -> list[str]:
    """Of several configurations: for which compression after fitting is claimed, and for which it is not.

    Args:
        groups: all configurations.
        claims: of those that have checkpoints enough, on complexity.
    """
    return [sentence for sentence in (*_claims(claims), *_not_judged(groups, claims)) if sentence]


def _claims(claims: Sequence[tuple[Seeds, Claim]]) -> Iterator[str]:
    several = [(group, claim) for group, claim in claims if len(group.runs) > 1]
    by_kind: dict[str, list[str]] = {}
    for group, claim in several:
        by_kind.setdefault(_kind(claim), []).append(group.name)
    for kind, names in by_kind.items():
        yield f"What is kept about the present token {kind} in {words.listed(names)}."


def _kind(claim: Claim) -> str:
    """What two thirds of the seeds, and at least two, show."""
    if claim.then_compresses:
        return "rises and then falls (compression after fitting is claimed)"
    if claim.fitting and claim.compression:
        return "falls before it rises (both phases are claimed, compression after fitting is not)"
    if claim.fitting:
        return "rises (fitting is claimed, compression is not)"
    if claim.compression:
        return "falls (compression is claimed, fitting is not)"
    return "neither rises nor falls by more than seeds differ (no phase is claimed)"


def _not_judged(groups: Sequence[Seeds], claims: Sequence[tuple[Seeds, Claim]]) -> Iterator[str]:
    judged = {group.name for group, _ in claims}
    if alone := [group.name for group in groups if len(group.runs) == 1]:
        yield f"Nothing is claimed for {words.listed(alone)}: one run each, and a claim needs two seeds that show it."
    if few := [group.name for group in groups if group.name not in judged and len(group.runs) > 1]:
        yield f"{words.listed(few)} cannot be judged: phases need 8 checkpoints that all runs have."
