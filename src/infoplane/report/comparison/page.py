"""The page of a comparison: the models in one plane, how they differ, what may be compared, and a table that sorts."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from pathlib import Path

import polars as pl

from infoplane.analysis.comparison import SHOWN, Comparison
from infoplane.report.comparison.figures import DIFFERS, UNCERTAIN, compare_figures, labels_of, models_plane, subject
from infoplane.report.comparison.prose import answer, certainty, figure_text, of_each
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
        "keeps less of what it has just read; a model further up carries more of what comes. The axes do not start "
        "at 0.",
        "The intervals are each model's own: models on the same text differ by less than these suggest, see the "
        "differences below. Position is not quality.",
    ),
    "models-differences": Reading(
        "Differences",
        "Forest plot: for each model the difference from the first, with 95 % intervals, for each quantity.",
        "The dashed line is no difference from the first model. Full colour: the interval leaves out zero, and the "
        "error of the reference points is in it. Pale: the model is not known to differ.",
        "Intervals are not widened for the number of comparisons: of twenty models that are alike, one is expected to "
        "seem different.",
    ),
}


_PAIRED = (
    "Points are percentage points of log m. Where two models read the same documents, or have the same reference "
    "points, what these do to both is subtracted (paired); elsewhere the two errors are added."
)


def render_comparison(comparison: Comparison) -> str:
    """The report of a comparison as the text of one self-contained HTML page."""
    return _page(comparison, compare_figures(comparison))


def write_comparison_report(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write the report of a comparison: `report.html`, and its figures as SVG and PNG in `figures/`.

    Args:
        comparison: what is shown.
        folder: folder or address to write to.

    Returns:
        The paths written, the page first.
    """
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
    drawn = [section(figure, _reading(comparison, figure.name)) for figure in figures]
    body = "\n".join(
        [
            opening("comparison", title, answer(comparison), "".join(drawn[:1])),
            _verdicts(comparison),
            caveats(_caveats(comparison)),
            *drawn[1:],
            *_figures_by_group(comparison),
            f'<section id="differences"><h2>Differences from {escape(comparison.names[0])}</h2>\n'
            f"{_differences(comparison)}</section>",
            "<footer>A pure function of the stored comparison. It loads nothing from outside.</footer>",
            f"<script>{SCRIPT}</script>",
        ]
    )
    return document(title, body, figures)


def _verdicts(comparison: Comparison) -> str:
    tested = [verdict for verdict in comparison.verdicts if verdict.tests]
    return said([*of_each(comparison), certainty(tested[0])]) if tested else ""


def _caveats(comparison: Comparison) -> list[Caveat]:
    apart = [Caveat(words.sentence(f"{name} is left out: {why}")) for name, why in comparison.apart.items()]
    unfair = [
        Caveat(f"Figures about {subject(name)} do not compare: {why}.", name == comparison.best_set)
        for name, (good, why) in comparison.fairness.items()
        if not good
    ]
    return [*(Caveat(words.sentence(w)) for w in comparison.warnings), *apart, *unfair]


def _reading(comparison: Comparison, figure: str) -> Reading:
    reading, alike = READINGS[figure], comparison.comparable(comparison.best_set)
    if figure != "models-plane" or len(alike) in (0, len(comparison.names)):
        return reading
    hollow = " Hollow: models whose figures do not compare with the others'; their places are no comparison."
    return replace(reading, see=reading.see + hollow)


def _figures_by_group(comparison: Comparison) -> list[str]:
    """The figures that compare with each other, then those that do not."""
    good, bad = list[tuple[str, str]](), list[tuple[str, str]]()
    together, apart = set[tuple[str, str]](), set[tuple[str, str]]()
    for name, (compares, why) in comparison.fairness.items():
        (good if compares else bad).append((name, why))
        alike = comparison.comparable(name)
        for model in comparison.names:
            (together if model in alike else apart).add((model, name))
    sections = []
    for key, title, lines, cells in (
        ("compare", "Figures that compare", good, together),
        ("apart", "Figures that do not compare", bad, apart),
    ):
        if table_of := _models(comparison, cells):
            inside = said([_about(name, why) for name, why in lines])
            sections.append(f'<section id="{key}"><h2>{title}</h2>\n{inside}\n{table_of}</section>')
    return sections


def _about(position_set: str, why: str) -> str:
    return words.sentence(f"{labels_of(position_set)} ({position_set}), about {subject(position_set)}: {why}")


def _models(comparison: Comparison, cells: set[tuple[str, str]]) -> str:
    """A table of the figures of these models on these sets of positions; an empty string where there are none."""
    sets = sorted(comparison.fairness, key=lambda name: name != comparison.best_set)
    by = {
        (r["name"], r["position_set"], r["quantity"]): r
        for r in comparison.values.to_dicts()
        if (r["name"], r["position_set"]) in cells
    }
    if not by:
        return ""
    columns = [(s, q) for s in sets for q in SHOWN if any((n, s, q) in by for n in comparison.names)]
    units = {(s, q): row["unit"] for (_, s, q), row in by.items()}
    header = ["model", "family", "parameters", "bits per byte"]
    header += [f"{labels_of(s)}: {words.column_title(q, units[s, q])}" for s, q in columns]
    there = {name for name, _, _ in by}
    rows: list[list[Cell]] = []
    for m in (m for m in comparison.members.to_dicts() if m["name"] in there):
        size, bits = m["parameters"], m["bits_per_byte"]
        row: list[Cell] = [
            (m["name"], m["name"]),
            (m["family"] or words.MISSING, m["family"]),
            (words.MISSING if size is None else words.amount(size), size),
            (words.MISSING if bits is None else words.number(bits, 4), bits),
        ]
        for s, q in columns:
            value = by.get((m["name"], s, q))
            row.append((figure_text(value), None if value is None else value["value"]))
        rows.append(row)
    return sortable_table(header, rows, 2)


def _differences(comparison: Comparison) -> str:
    rows = comparison.differences.filter(pl.col("quantity").is_in(SHOWN))
    if not len(rows):
        return said(["No figures compare, so no difference is taken."])
    header = ["model", "quantity", "of", "difference", "unit", "documents", "reference points", "verdict"]
    return f"{said([_PAIRED])}\n" + table(
        header,
        [
            [
                r["name"],
                r["quantity"].replace("_", " "),
                labels_of(r["position_set"]),
                figure_text({**r, "value": r["difference"]}),
                "points" if r["unit"] == "efficiency" else r["unit"],
                "paired" if r["paired"] else "not paired",
                {"added": "not paired"}.get(r["points"], r["points"]),
                DIFFERS if r["claimed"] else UNCERTAIN,
            ]
            for r in rows.to_dicts()
        ],
        3,
    )
