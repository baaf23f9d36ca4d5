"""Numbers and names as a reader meets them: `12.3 ± 0.2 %`, `0.1234 ± 0.0021`, `complexity, order 2`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from infoplane.measurement import Estimate

GRAMS = {1: "token", 2: "bigram", 3: "trigram", 4: "quadgram"}
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
MINUS = "\u2212"
NO_BREAK = "\u00a0"
MISSING = "\u2013"

UNIT_NAMES = {
    "efficiency": "share of log m",
    "bits": "bits",
    "ratio": "ratio",
    "nats/token": "nats per token",
    "bits/byte": "bits per byte",
}


def gram(order: int) -> str:
    return GRAMS.get(order, f"{order}-gram")


def signed(text: str) -> str:
    """A typographic minus, so that a negative number is not read as a hyphen."""
    return text.replace("-", MINUS)


def number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:  # no "-0.00"
        text = text.lstrip("-")
    return signed(text)


def half_width(row: Estimate) -> float | None:
    """Half of the 95 % interval, the number behind every ± of a report."""
    return None if row.interval is None else (row.interval[1] - row.interval[0]) / 2


def _digits(half: float | None, default: int, most: int) -> int:
    # One significant digit more than the error's first: enough to see the error, no false precision.
    if half is None or not math.isfinite(half) or half <= 0:
        return default
    return max(0, min(most, 1 - math.floor(math.log10(half)))) if half < 1 else default


def plain(row: Estimate | None) -> str:
    """The value with its ±, in the unit of the record, for tables."""
    if row is None:
        return MISSING
    half = half_width(row)
    if half is None:
        return number(row.value, 4)
    digits = max(3, _digits(half, 4, 5))
    return f"{number(row.value, digits)} ± {number(half, digits)}"


def with_error(value: float, half: float | None, digits: int) -> str:
    """`12.3 ± 0.2`, on one line."""
    return number(value, digits) + ("" if half is None else f"{NO_BREAK}±{NO_BREAK}{number(half, digits)}")


def spoken(row: Estimate, with_unit: bool = True) -> str:
    """The value with its ± and unit, for sentences: an efficiency is said in percent of log m."""
    half = half_width(row)
    if row.unit == "efficiency":
        percent = None if half is None else 100 * half
        digits = max(1, min(2, _digits(percent, 2, 3) - 1))
        return f"{with_error(100 * row.value, percent, digits)}{NO_BREAK}%"
    digits = _digits(half, 3, 4)
    value = with_error(row.value, half, digits)
    unit = UNIT_NAMES.get(row.unit, row.unit)
    return value if row.unit == "ratio" or not with_unit else f"{value}{NO_BREAK}{unit}"


def column_title(quantity: str, unit: str) -> str:
    """The title of a column of `cell`s: `complexity, %`."""
    return quantity.replace("_", " ") + {"efficiency": ", %", "ratio": ""}.get(unit, f", {UNIT_NAMES.get(unit, unit)}")


def cell(value: float, half: float | None, unit: str, more_digits: int = 0) -> str:
    """A figure with its ± in a table that a unit heads: an efficiency in percent."""
    factor, digits = (100, 2) if unit == "efficiency" else (1, 4)
    return with_error(factor * value, None if half is None else factor * half, digits + more_digits)


def control(value: float | None, error: float | None) -> str:
    """A control with twice its standard error."""
    if value is None:
        return MISSING
    return number(value, 4) + ("" if error is None else f" ± {number(2 * error, 4)}")


def percent(share: float | None) -> str:
    return MISSING if share is None else f"{share:.0%}"


def is_zero(value: float, error: float | None) -> bool | None:
    """Whether a control is 0 within twice its standard error; None where it has no error."""
    return None if error is None else abs(value) <= 2 * error


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def amount(n: int) -> str:
    """A large count as people write it: `31,488`, `135 M`, `1.26 T`."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if n >= unit:
            return f"{n / unit:.3g}{NO_BREAK}{name}"
    return f"{n:,}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def sentence(text: str) -> str:
    """A message as a sentence: a capital first, one full stop at the end."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def row_name(row: Estimate) -> str:
    """What a row measures, without layer and estimator."""
    if row.quantity == "share":
        part = "residual" if row.order is None else gram(row.order)
        return f"share of the {row.side} {part}" if row.side else f"share of the {part}"
    if row.quantity == "information" and row.side:
        return f"information about {row.side.removeprefix('label:')}"
    if row.quantity in ("ceiling_part", "expressivity_part"):
        return f"part of {'the ceiling' if row.quantity == 'ceiling_part' else 'expressivity'}: {row.side}"
    if row.quantity == "probe":
        return f"probe of the {'present' if row.side == 'input' else 'next'} token"
    name = row.quantity.replace("_", " ")
    own_set = row.position_set in (None, f"P_{row.order}")
    if row.order is None:
        return name
    if row.quantity == "expressivity" and not own_set:
        return f"{name} about the next {gram(row.order)}"
    return f"{name}, order {row.order}"
