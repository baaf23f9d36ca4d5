"""The page of a measurement."""

from __future__ import annotations

from html import escape

from infoplane.measurement import Estimate
from infoplane.report.measurement import prose, reference_marks, tables
from infoplane.report.measurement.view import View
from infoplane.report.parts import (
    READINGS,
    Figure,
    document,
    glossary,
    origin,
    read_first,
    said,
    section,
    with_bound,
    words,
)

CARDS = (
    ("complexity", "kept about the present token"),
    ("expressivity", "carried about the next token"),
    ("optimality", "expressivity / complexity"),
    ("ceiling", "kept of everything read"),
    ("loss", "next-token loss"),
    ("bits_per_byte", "the same loss"),
)


def render(view: View, figures: tuple[Figure, ...]) -> str:
    """The whole page as HTML text."""
    name = escape(view.model_name)
    body = "\n".join(
        [
            '<p class="eyebrow">infoplane measurement</p>',
            f"<h1>{name}</h1>",
            f'<p class="lead">{escape(prose.lead(view))}</p>',
            _warnings(view),
            _cards(view),
            said(prose.headline(view)),
            f'<p class="footing">{escape(prose.footing(view))}</p>',
            *(_figure(view, figure) for figure in figures),
            _tables(view),
            glossary(),
            _provenance(view),
            "<footer>A pure function of the stored measurement: drawn again from the same record, this "
            "page is the same to the byte. It loads nothing from outside.</footer>",
        ]
    )
    return document(view.model_name, body, figures)


# ---------------------------------------------------------------------- parts


def _warnings(view: View) -> str:
    return read_first(prose.warnings(view))


def _cards(view: View) -> str:
    cards = []
    for quantity, gloss in CARDS:
        order = view.first_order if quantity in ("complexity", "expressivity", "optimality") else None
        row = view.row(quantity, order=order)
        if row is not None:
            if order not in (1, None):
                gloss = gloss.replace("token", words.gram(order))
            cards.append(_card(row, gloss))
    return f'<div class="cards">\n{"".join(cards)}\n</div>' if cards else ""


def _card(row: Estimate, gloss: str) -> str:
    value, plus_minus, rest = words.spoken(row, with_unit=False).partition(" ± ")
    unit = "of log m" if row.unit == "efficiency" else ""
    error = f'<span class="pm">{plus_minus.strip()} {escape(rest)} {unit}</span>'
    if row.unit not in ("efficiency", "ratio"):
        gloss += f", {words.UNIT_NAMES.get(row.unit, row.unit)}"
    name = escape(row.quantity.replace("_", " "))
    return (
        f'<div class="card"><span class="name">{name}</span><b>{escape(value)}{error}</b>'
        f'<span class="gloss">{escape(gloss)}</span></div>\n'
    )


def _figure(view: View, figure: Figure) -> str:
    between = said(prose.control_verdicts(view)) if figure.name == "controls" else ""
    if figure.name == "information-plane":
        between = said(list(reference_marks.sentences(view)))
    reading = READINGS[figure.name]
    if figure.name == "information-plane" and view.first_order == 1 and view.frontier and view.saturation:
        reading = with_bound(reading)
    return section(figure, reading, between)


def _tables(view: View) -> str:
    note = (
        "Values as they are in the record, with half of the 95 % interval; controls with twice their "
        "standard error. An efficiency of 0.123 is 12.3 % of log m. Rows of different estimators do not "
        "compare. Everything, with the jackknife replicates, is in measurement.json and "
        "measurement.parquet."
    )
    if view.others:
        note += f" All else on this page is of the code {view.measurement.codes[0]}."
    layers = tables.by_layer(view)
    return f"""<section id="tables">
<h2>The whole model</h2>
<p class="note">{escape(note)}</p>
{tables.whole_model(view)}
{tables.tokens_needed(view)}
{"<h2>By layer</h2>" if layers else ""}
{layers}
</section>"""


def _provenance(view: View) -> str:
    return origin(dict(view.measurement.provenance))
