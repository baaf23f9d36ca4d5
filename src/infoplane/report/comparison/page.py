"""The page of a comparison: the models in one plane, how they differ, what may be compared, and a table that sorts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.analysis.comparison import PREFERENCES, SHOWN, UNKNOWN, Comparison
from infoplane.report.comparison.figures import compare_figures, models_plane, subject
from infoplane.report.comparison.prose import FEW, answer, certainty, verdict_sentences
from infoplane.report.parts import (
    SCRIPT,
    Caveat,
    Cell,
    Figure,
    Glance,
    Reading,
    caveats,
    document,
    opening,
    said,
    section,
    sortable_table,
    table,
    words,
    write_page,
)

READINGS = {
    "models-plane": Reading(
        "The models in the plane",
        "Scatter plot of models: complexity across, expressivity upward, coloured by family, larger with parameters.",
        "Each point is the mean over the blocks of one model, with 95 % intervals. A model further left "
        "keeps less of what it has just read; a model further up carries more of what comes. Where the dashed "
        "diagonal is in sight, nearer to it means that more of what is kept is carried. The axes do not start at 0.",
        "The intervals are each model's own: models on the same text differ by less than these suggest, see the "
        "differences below. Position is not quality.",
    ),
    "models-differences": Reading(
        "Differences",
        "Forest plot: for each model the difference from the first, with 95 % intervals, for each quantity.",
        "Full colour: the interval leaves out zero, and the error of the reference points is in it. Pale: "
        "nothing is claimed.",
        "Intervals are not widened for the number of comparisons: of twenty models that are alike, one is expected to "
        "seem different.",
    ),
}


def render_comparison(comparison: Comparison) -> str:
    """The report of a comparison as the text of one self-contained HTML page."""
    return _page(comparison, compare_figures(comparison))


def write_comparison_report(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write `report.html` and its figures, as `infoplane.write_report` does for a measurement."""
    figures = compare_figures(comparison)
    return write_page(_page(comparison, figures), figures, folder)


def glance_at_comparison(comparison: Comparison) -> Glance:
    """Its title, answer and first figure, as the page has them."""
    return Glance(_title(comparison), answer(comparison), models_plane(comparison))


def _title(comparison: Comparison) -> str:
    families = comparison.members["family"].drop_nulls().n_unique()
    return f"{len(comparison.names)} models" + (f" of {families} families" if families > 1 else "")


def _page(comparison: Comparison, figures: tuple[Figure, ...]) -> str:
    title = _title(comparison)
    drawn = [section(figure, READINGS[figure.name]) for figure in figures]
    body = "\n".join(
        [
            opening("comparison", title, answer(comparison), "".join(drawn[:1])),
            _verdicts(comparison),
            caveats(_caveats(comparison)),
            *drawn[1:],
            f'<section id="tables"><h2>Every model</h2>\n{_models(comparison)}</section>',
            f'<section id="fair"><h2>What compares</h2>\n{_fairness(comparison)}</section>',
            f'<section id="differences"><h2>Differences from {escape(comparison.names[0])}</h2>\n'
            f"{_differences(comparison)}</section>",
            "<footer>A pure function of the stored comparison. It loads nothing from outside.</footer>",
            f"<script>{SCRIPT}</script>",
        ]
    )
    return document(title, body, figures)


def _verdicts(comparison: Comparison) -> str:
    """Of each model whether it differs from the first, where the answer has not said it of each."""
    known = [verdict for verdict in comparison.verdicts if verdict.verdict != UNKNOWN]
    if not known:
        return ""
    each = [" ".join(verdict_sentences(verdict)) for verdict in known] if len(known) > FEW else []
    return said([*each, certainty(known[0])])


def _caveats(comparison: Comparison) -> list[Caveat]:
    apart = [Caveat(words.sentence(f"{name} is left out: {why}")) for name, why in comparison.apart.items()]
    unfair = [
        Caveat(f"Figures about {subject(name)} do not compare: {why}.", name == comparison.best_set)
        for name, (good, why) in comparison.fairness.items()
        if not good
    ]
    return [*(Caveat(words.sentence(w)) for w in comparison.warnings), *apart, *unfair]


def _fairness(comparison: Comparison) -> str:
    lines = [
        f"{name} ({subject(name)}): {'compares' if good else 'does not compare'}; {why}."
        for name, (good, why) in comparison.fairness.items()
    ]
    return said(lines)


def _models(comparison: Comparison) -> str:
    sets = sorted(comparison.fairness, key=lambda name: (name != comparison.best_set, not comparison.fairness[name][0]))
    values = comparison.values
    by = {(r["name"], r["position_set"], r["quantity"]): r for r in values.to_dicts()}
    columns = [(s, q) for s in sets for q in SHOWN if any((n, s, q) in by for n in comparison.names)]
    header = ["model", "family", "parameters", "bits per byte", *(f"{q}, {s}" for s, q in columns)]
    rows: list[list[Cell]] = []
    for m in comparison.members.to_dicts():
        size, bits = m["parameters"], m["bits_per_byte"]
        row: list[Cell] = [
            (m["name"], m["name"]),
            (m["family"] or words.MISSING, m["family"]),
            (words.MISSING if size is None else f"{size:,}", size),
            (words.MISSING if bits is None else words.number(bits, 4), bits),
        ]
        for s, q in columns:
            value = by.get((m["name"], s, q))
            row.append((_plain(value), None if value is None else value["value"]))
        rows.append(row)
    return sortable_table(header, rows, 2)


def _plain(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return words.MISSING
    half = None if row["low"] is None else (row["high"] - row["low"]) / 2
    digits = 6 if row["quantity"] in PREFERENCES else 4
    return words.number(row["value"], digits) + ("" if half is None else f" ± {words.number(half, digits)}")


def _differences(comparison: Comparison) -> str:
    rows = comparison.differences.filter(pl.col("quantity").is_in(SHOWN))
    if not len(rows):
        return said(["No figures compare, so no difference is taken."])
    header = ["model", "quantity", "positions", "difference", "errors", "reference points", "claimed"]
    return table(
        header,
        [
            [
                r["name"],
                r["quantity"],
                r["position_set"],
                _plain({**r, "value": r["difference"]}),
                "paired" if r["paired"] else "added up",
                r["points"],
                "yes" if r["claimed"] else "no",
            ]
            for r in rows.to_dicts()
        ],
        3,
    )
