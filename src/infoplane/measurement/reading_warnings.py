"""What a reader of a measurement must know: values in doubt, too few documents, and what of the text was not read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from infoplane.information import PLUGIN, SHARPEST, unit_scale
from infoplane.measurement.estimate import Estimate
from infoplane.text import Windows
from infoplane.text.pairs import is_of_pairs
from infoplane.uncertainty import MIN_DOCUMENTS


def few_documents(windows: Windows, documents: int) -> list[str]:
    """That a text has too few documents for an interval."""
    kind = "pair" if is_of_pairs(windows) else "document"
    return [
        f"{documents} {kind}{'' if documents == 1 else 's'}: no interval is given with fewer than {MIN_DOCUMENTS}; "
        f"{_more_documents(windows)}"
    ]


def of_the_text(windows: Windows) -> list[str]:
    """That a text ended before its budget, or that copies of documents, or files of its folder, were left out."""
    text, warnings = windows.source, list[str]()
    budget = text.get("bytes")
    if budget is not None and budget.get("ended"):
        warnings.append(f"the text ends after {budget['read']:,} bytes, of {budget['budget']:,} to be read")
    elif budget is None and (p := windows.provenance).get("ended"):
        warnings.append(f"the text ends after {p['tokens']:,} tokens, of {p['token_budget']:,} to be read")
    if copies := text.get("copies"):
        warnings.append(
            f"copies of documents, letter by letter, were left out ({copies:,}): a model has the same states on them, "
            "so they would only make errors too small"
        )
    if skipped := text.get("skipped"):
        warnings.append(_skipped(skipped))
    return warnings


def collapsed(temperatures: Mapping[tuple[str, int], float]) -> list[str]:
    """That the states of layers differ too little to hold the capacity of a fitted code.

    Args:
        temperatures: inverse ones, by layer and fit.
    """
    layers = list(dict.fromkeys(layer for (layer, _), k in temperatures.items() if k > SHARPEST / 2))
    if not layers:
        return []
    return [
        f"the states of {', '.join(layers)} differ too little to hold the capacity asked: the code is as sharp as it "
        "can be there, and its ceiling says what it holds"
    ]


_NEAR = 0.5
"""A kept code that holds less than this share of its capacity, or more than the inverse, is far from the states."""


def outgrown(rows: Sequence[Estimate], capacity: float, m: int) -> list[str]:
    """Layers in which a kept code holds less than half of its capacity, or more than twice: it is of other states.

    Args:
        rows: of that code.
        capacity: that it held in its own model, as a share of log m.
        m: directions.
    """
    held = {row.layer: row.value for row in reversed(rows) if row.quantity == "ceiling" and row.layer != "model"}
    unit = next((row.unit for row in rows if row.quantity == "ceiling"), "nats")
    asked = capacity * math.log(m) * unit_scale(unit, m)
    return [layer for layer, value in reversed(held.items()) if not _NEAR <= value / asked <= 1 / _NEAR]


def of_a_kept_code(layers: Sequence[str], of: str) -> list[str]:
    """That a kept code is far from the states of layers."""
    if not layers:
        return []
    return [
        f"the code of {of} is of other states than those of {', '.join(layers)}: it holds less than half of its "
        "capacity there, or more than twice; see what the model keeps by a code of its own too"
    ]


def doubt_of(row: Estimate, m: int, scale: float) -> str | None:
    """Why a value should not be trusted, from its controls and from how few labels recur."""
    if row.estimator == PLUGIN:
        return (
            "plugin is biased upward for rare labels: see its controls" if (row.control_permuted or 0) > 0.01 else None
        )
    doubts = []
    for kind in ("permuted", "shifted"):
        value, error = getattr(row, f"control_{kind}"), getattr(row, f"control_{kind}_error")
        floor = 0.01 * math.log(m) * scale  # one percent of log m
        if value is not None and abs(value) > max(floor, 3 * (error or 0.0)):
            doubts.append(f"its {kind} control is {value:.3f}, not 0")
    if row.repeated_mass is not None and row.repeated_mass < 0.25 and row.order is not None:
        doubts.append(f"only {row.repeated_mass:.0%} of the positions have a label that recurs")
    return "; ".join(doubts) or None


def _more_documents(windows: Windows) -> str:
    """What to do about too few documents."""
    if len(windows.documents) == 1 and windows.source.get("kind") in _ONE_DOCUMENT:
        return "a plain text is one document: give a folder of files, or a row of JSONL for each"
    return "read more"


def _skipped(names: Sequence[str]) -> str:
    packed = [name for name in names if name.lower().endswith(_PACKED)]
    first = f"{', '.join((packed or names)[:3])}{', ...' if len(names) > 3 else ''}"
    hint = " (unpack them, or pack them as .gz, to have them read)" if packed else ""
    return f"{len(names)} files of the folder are no text and were left out: {first}{hint}"


_PACKED = (".zst", ".xz", ".bz2", ".zip", ".7z", ".tar", ".tgz", ".lz4", ".br", ".rar")


_ONE_DOCUMENT = ("text", "txt", "md", "rst", "gz", "stdin text")
