"""The page of a measurement."""

from __future__ import annotations

from html import escape

from infoplane.measurement import Estimate
from infoplane.report.measurement import prose, reference_marks, tables
from infoplane.report.measurement.answer import answer
from infoplane.report.measurement.prose import caveats_of
from infoplane.report.measurement.view import View
from infoplane.report.parts import (
    READINGS,
    Figure,
    caveats,
    document,
    glossary,
    opening,
    origin,
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
    first, others = figures[:1], figures[1:]
    body = "\n".join(
        [
            opening(
                "measurement", view.model_name, answer(view), "".join(_figure(view, f) for f in first), _cards(view)
            ),
            f'<p class="footing">{escape(prose.footing(view))}</p>',
            caveats(caveats_of(view)),
            _in_detail(view),
            *(_figure(view, figure) for figure in others),
            _tables(view),
            glossary(),
            _provenance(view),
            "<footer>A pure function of the stored measurement and the reference models: drawn again from the same "
            "records, this page is the same to the byte. It loads nothing from outside.</footer>",
        ]
    )
    return document(view.model_name, body, figures)


# ---------------------------------------------------------------------- parts


def _in_detail(view: View) -> str:
    sentences = prose.headline(view)
    return f'<section id="detail"><h2>In detail</h2>\n{said(sentences)}</section>' if sentences else ""


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
    value, _, half = words.spoken(row, with_unit=False).partition(f"{words.NO_BREAK}±{words.NO_BREAK}")
    percent = f"{words.NO_BREAK}%" if row.unit == "efficiency" else ""
    value = value.removesuffix(percent) + percent
    error = f"± {half.removesuffix(percent)}" if half else ""
    error = f'<span class="pm">{escape(error)}{" of log m" if percent else ""}</span>'
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
