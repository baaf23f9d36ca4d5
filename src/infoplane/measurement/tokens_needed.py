r"""Budgets: how many tokens a wanted standard error needs.

A standard error falls about as the square root of what is read, so from SE at N tokens the wanted SE* needs

    N* = N (SE / SE*)^2.

That is the law of a mean over documents that are drawn, so it holds while documents grow with tokens. Measured on
SmolLM2-135M and C4 (docs/findings/estimator.md): from 8k to 32k tokens, where 128 documents became 300, the
standard errors found were 0.65 to 0.96 of those predicted. From 32k to 131k, where the 300 documents are only read
deeper, they were 1.07 to 1.20 of them at order 1, too many for the law, and 0.50 to 0.70 at order 2, whose labels
begin to recur. A standard error from 32 blocks is itself known to 1 / sqrt(2 * 31), 13 %, and the tokens, which go as
its square, to 25 %: a plan is no more exact than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infoplane.errors import ResultError, SettingError
from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.uncertainty import MIN_DOCUMENTS

WANTED: Mapping[str, tuple[float, ...]] = {
    "efficiency": (0.005, 0.002, 0.001),
    "bits": (0.03, 0.01, 0.005),
    "nats": (0.02, 0.01, 0.005),
}
"""Standard errors that are asked for where none is named, by the unit of a measurement."""
QUANTITIES = ("complexity", "expressivity", "optimality")


@dataclass(frozen=True)
class Cost:
    """What tighter errors of one row cost.

    Attributes:
        row: of the whole model, with its value and standard error.
        needed: tokens for each wanted standard error; at most those read where it is already there.
    """

    row: Estimate
    needed: tuple[int, ...]


def checked_error(wanted: float | None, name: str = "standard error") -> float:
    """A standard error that can be wanted.

    Raises:
        SettingError: not a number above 0, or not a finite one.
    """
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 < wanted < 1e300:
        raise SettingError(f"{name} = {wanted!r:.60}: expected a number above 0, such as 0.002")
    return float(wanted)


def tokens_for(tokens: int, standard_error: float, wanted: float) -> int:
    """Tokens that a wanted standard error needs, by the square-root law, from that of a budget already read.

    Args:
        tokens: read so far.
        standard_error: found there.
        wanted: in the same unit.
    """
    return math.ceil(tokens * (standard_error / wanted) ** 2 * (1 - 1e-12))  # no token more for a rounding error


def costs(measurement: Measurement, wanted: Sequence[float]) -> tuple[Cost, ...]:
    """Tokens that wanted standard errors need, for the whole model's rows by `corrected`, order by order.

    Args:
        measurement: a measurement of one model.
        wanted: standard errors, in the unit of the measurement; those of optimality are of the ratio.

    Raises:
        ResultError: no such row, no standard errors, or a difference of two measurements.
        SettingError: a wanted error that is not above 0.
    """
    wanted = [checked_error(w) for w in wanted]
    origin = measurement.origin
    tokens = origin.tokens
    if tokens is None:
        raise ResultError("the record does not say how many tokens were read (a difference does not): nothing to plan")
    estimator = origin.settings.corrected
    rows = [row for row in measurement.select(layer="model", estimator=estimator) if row.quantity in QUANTITIES]
    rows = [row for row in rows if row.position_set == f"P_{row.order}"]
    weights = [row.weight for row in rows]
    weight = "frequency" if "frequency" in weights else next(iter(weights), None)
    rows = [row for row in rows if row.weight == weight]
    few = (origin.documents or MIN_DOCUMENTS) < MIN_DOCUMENTS
    if not rows and not few:
        raise ResultError("no row of the whole model by the estimator corrected: measure with --estimator corrected")
    if few or any(row.standard_error is None for row in rows):
        raise ResultError(
            f"no standard errors to plan by: {origin.documents} documents were read, and "
            f"{MIN_DOCUMENTS} are needed; measure on more documents"
        )
    rows.sort(key=lambda row: (row.order or 0, QUANTITIES.index(row.quantity)))
    return tuple(
        Cost(row, tuple(tokens_for(tokens, row.standard_error, w) for w in wanted))
        for row in rows
        if row.standard_error is not None
    )


def spoken_tokens(needed: int, tokens: int) -> str:
    """Tokens as a plan is said: two digits, rounded up, for more are not known."""
    if needed <= tokens:
        return "already there"
    unit = 10 ** max(0, len(str(needed)) - 2)
    return f"{-(-needed // unit) * unit:,}"


def note(measurement: Measurement) -> str:
    """What a plan of this measurement supposes."""
    tokens, documents = measurement.provenance["tokens"], measurement.provenance.get("documents")
    return (
        f"From {tokens:,} tokens of {documents:,} documents, by the square-root law: good to about 25 %. The text must "
        "have the tokens, and documents in proportion: reading the same ones deeper gains less. The error of the "
        "reference points is not in it, and does not fall with tokens."
    )
