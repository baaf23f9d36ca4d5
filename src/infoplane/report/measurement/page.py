"""The page: one HTML file that holds its styles, its scripts and its data, and loads nothing.

A content security policy in the page forbids every load, so the promise is kept by the browser too.
Each figure is there twice: as a still picture, and live once the script has run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from infoplane.measurement.results import Estimate
from infoplane.report.measurement import prose, tables
from infoplane.report.measurement.figures import Figure, files_of, javascript
from infoplane.report.measurement.view import View
from infoplane.report.parts import words
from infoplane.report.parts.reading import GLOSSARY, READINGS, Reading, with_bound
from infoplane.storage import atomic_files as files
from infoplane.storage.address import place

# Vega compiles the expressions of a chart to functions: that is what 'unsafe-eval' allows.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data:"

SCRIPT = """
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
for (const holder of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
  spec.background = "transparent";
  const live = document.createElement("div");
  vegaEmbed(live, spec, {mode: "vega-lite", renderer: "svg", actions: false, tooltip: {theme}})
    .then(() => { holder.replaceChildren(live); holder.dataset.state = "live"; })
    .catch((error) => { holder.dataset.state = "still"; console.error(String(error)); });
}
"""

PAGE_NAME = "report.html"
FIGURE_FOLDER = "figures"
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


def write_page(page: str, figures: tuple[Figure, ...], folder: str | Path) -> list[Path]:
    """Write `report.html`, then its figures as SVG and PNG in `figures/`, each file whole or not at all.

    The page comes first: it says whose the files beside it are, where a command is stopped before its record.

    Returns:
        The paths written, the page first.
    """
    folder = place(folder)
    written = [folder / PAGE_NAME]
    files.write_text(folder / PAGE_NAME, page)
    for name, content in files_of(figures).items():
        path = folder / FIGURE_FOLDER / name
        files.write_bytes(path, content)
        written.append(path)
    return written


def document(title: str, body: str, figures: tuple[Figure, ...]) -> str:
    """A whole HTML document around the parts of a page."""
    specs = "\n".join(
        f'<script type="application/json" id="spec-{f.name}">{script_json(_live(f.spec))}</script>' for f in figures
    )
    scripts = (
        f"{specs}\n<script>\n{_script_text(javascript())}\n</script>\n<script>{SCRIPT}</script>" if figures else ""
    )
    style = Path(__file__).with_name("style.css").read_text("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)} · infoplane</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
{scripts}
</body>
</html>
"""


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, so no `</script>` and no `<!--`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script_text(code: str) -> str:
    # Within a string or a regular expression, where alone it can stand, the escaped form means the same.
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _live(spec: dict[str, Any]) -> dict[str, Any]:
    # The schema's address is not needed to draw, and a page without outside addresses is easier to trust.
    return {key: value for key, value in spec.items() if key != "$schema"}


# ---------------------------------------------------------------------- parts


def said(sentences: list[str]) -> str:
    """Sentences as a list; nothing for none."""
    items = "\n".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f'<ul class="said">\n{items}\n</ul>' if sentences else ""


def _warnings(view: View) -> str:
    return read_first(prose.warnings(view))


def read_first(lines: list[str]) -> str:
    """The box at the top of a page."""
    if not lines:
        return ""
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="warnings"><h2>Read this first</h2>\n<ul>\n{items}\n</ul></section>'


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
    verdicts = said(prose.control_verdicts(view)) if figure.name == "controls" else ""
    reading = READINGS[figure.name]
    if figure.name == "information-plane" and view.first_order == 1 and view.frontier and view.saturation:
        reading = with_bound(reading)
    return section(figure, reading, verdicts)


def section(figure: Figure, reading: Reading, between: str = "") -> str:
    """A figure with its title and its reading help."""
    still = base64.b64encode(figure.svg.encode("utf-8")).decode("ascii")
    alt = escape(reading.description, quote=True)
    image = f'<img alt="{alt}" src="data:image/svg+xml;base64,{still}">'
    return f"""<section id="{figure.name}">
<h2>{escape(reading.title)}</h2>
<figure role="group" aria-label="{alt}">
<div class="chart" data-chart="spec-{figure.name}">{image}</div>
</figure>
{between}
<div class="reading"><div><h3>What to see</h3><p>{escape(reading.see)}</p></div>
<div><h3>What not to conclude</h3><p>{escape(reading.beware)}</p></div></div>
</section>"""


def _tables(view: View) -> str:
    note = (
        "Values as they are in the record, with half of the 95 % interval; controls with twice their "
        "standard error. An efficiency of 0.123 is 12.3 % of log m. Rows of different estimators do not "
        "compare. Everything, with the jackknife replicates, is in measurement.json and "
        "measurement.parquet."
    )
    layers = tables.by_layer(view)
    return f"""<section id="tables">
<h2>The whole model</h2>
<p class="note">{escape(note)}</p>
{tables.whole_model(view)}
{tables.tokens_needed(view)}
{"<h2>By layer</h2>" if layers else ""}
{layers}
</section>"""


def glossary(entries: Sequence[tuple[str, str]] = GLOSSARY) -> str:
    """What the words of a page mean."""
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in entries)
    return f'<section id="words"><h2>Words</h2>\n<dl class="glossary">{items}</dl></section>'


def _provenance(view: View) -> str:
    return origin(dict(view.measurement.provenance))


def origin(provenance: dict[str, Any]) -> str:
    """Where the numbers come from, whatever keys there are."""
    return f'<section id="provenance"><h2>Where these numbers come from</h2>\n{tables.nested(provenance)}</section>'
