"""What every page has: the document around it, the box of warnings, a section for each figure, glossary and origin.

A page is one HTML file that holds its styles, its scripts and its data, and loads nothing. A content security policy in
it forbids every load, so the promise is kept by the browser too. Each figure is there twice: as a still picture, and
live once the script has run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from infoplane.report.parts import tables
from infoplane.report.parts.figure import Figure, files_of, packed_javascript, still
from infoplane.report.parts.reading import GLOSSARY, Reading
from infoplane.storage import Json, to_path
from infoplane.storage import atomic_files as files

# Vega compiles the expressions of a chart to functions: that is what 'unsafe-eval' allows.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data:"


PAGE_NAME = "report.html"


FIGURE_FOLDER = "figures"


def write_page(page: str, figures: tuple[Figure, ...], folder: str | Path) -> list[Path]:
    """Write `report.html`, then its figures as SVG and PNG in `figures/`, each file whole or not at all.

    The page comes first: it says whose the files beside it are, where a command is stopped before its record.

    Returns:
        The paths written, the page first.
    """
    folder = to_path(folder)
    written = [folder / PAGE_NAME]
    files.write_text(folder / PAGE_NAME, page)
    for name, content in files_of(figures).items():
        path = folder / FIGURE_FOLDER / name
        files.write_bytes(path, content)
        written.append(path)
    return written


def document(title: str, body: str, figures: tuple[Figure, ...]) -> str:
    """A whole HTML document around the parts of a page."""
    scripts = _scripts(figures) if figures else ""
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


def _scripts(figures: tuple[Figure, ...]) -> str:
    """The specifications of the figures, the library that draws them, and what calls it."""
    specs = "\n".join(
        f'<script type="application/json" id="spec-{f.name}">{script_json(_live(f.spec))}</script>' for f in figures
    )
    library = f'<script type="application/gzip" id="vega">{packed_javascript()}</script>'
    live = Path(__file__).with_name("live.js").read_text("utf-8")
    return f"{specs}\n{library}\n<script>\n{live}</script>"


def script_json(value: Mapping[str, Json]) -> str:
    """JSON that can stand inside a script element: no `<`, so no `</script>` and no `<!--`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _live(spec: dict[str, Any]) -> dict[str, Any]:
    # The schema's address is not needed to draw, and a page without outside addresses is easier to trust.
    return {key: value for key, value in spec.items() if key != "$schema"}


def said(sentences: list[str]) -> str:
    """Sentences as a list; nothing for none."""
    items = "\n".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f'<ul class="said">\n{items}\n</ul>' if sentences else ""


@dataclass(frozen=True)
class Caveat:
    """What a reader must know of the figures.

    Attributes:
        text: a sentence.
        doubtful: whether it puts the answer at the top of the page in doubt.
    """

    text: str
    doubtful: bool = False


def opening(kind: str, title: str, answer: Sequence[str], figure: str = "", cards: str = "") -> str:
    """How a page begins: what it is of, the answer in sentences, the figure that shows it, its numbers.

    Args:
        kind: of the result, such as `measurement`.
        title: plain text.
        answer: sentences, one paragraph each.
        figure, cards: HTML.
    """
    said_first = "\n".join(f"<p>{escape(sentence)}</p>" for sentence in answer)
    return f"""<p class="eyebrow">infoplane {escape(kind)}</p>
<h1>{escape(title)}</h1>
<section class="answer" aria-label="Answer">
{said_first}
</section>
{figure}
{cards}"""


def caveats(found: Sequence[Caveat]) -> str:
    """What must be known, folded under a line that says how many there are and how grave; nothing for none."""
    if not found:
        return ""
    grave, n = sum(caveat.doubtful for caveat in found), len(found)
    if n == 1:
        how = "which puts the answer above in doubt" if grave else "which does not touch the answer above"
        line = f"1 caveat, {how}"
    elif grave == 0:
        line = f"{n} caveats, none of which touches the answer above"
    elif grave == n:
        line = f"{n} caveats, all of which put the answer above in doubt"
    else:
        line = f"{n} caveats, {grave} of which {'puts' if grave == 1 else 'put'} the answer above in doubt"
    items = "\n".join(
        f"<li>{'<b>In doubt:</b> ' if caveat.doubtful else ''}{escape(caveat.text)}</li>"
        for caveat in sorted(found, key=lambda caveat: not caveat.doubtful)
    )
    grade = " grave" if grave else ""
    return f'<details class="caveats{grade}"><summary>{line}</summary>\n<ul>\n{items}\n</ul></details>'


def section(figure: Figure, reading: Reading, between: str = "") -> str:
    """A figure with its title and its reading help."""
    alt = escape(reading.description, quote=True)
    image = f'<img alt="{alt}" src="{still(figure.svg)}">'
    return f"""<section id="{figure.name}">
<h2>{escape(reading.title)}</h2>
<figure role="group" aria-label="{alt}">
<div class="chart" data-chart="spec-{figure.name}">{image}</div>
</figure>
{between}
<details class="how"><summary>How to read this figure</summary>
<div class="reading"><div><h3>What to see</h3><p>{escape(reading.see)}</p></div>
<div><h3>What not to conclude</h3><p>{escape(reading.beware)}</p></div></div></details>
</section>"""


def glossary(entries: Sequence[tuple[str, str]] = GLOSSARY) -> str:
    """What the words of a page mean."""
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in entries)
    return f'<section id="words"><h2>Words</h2>\n<dl class="glossary">{items}</dl></section>'


def origin(provenance: Mapping[str, Any]) -> str:
    """Where the numbers come from, whatever keys there are."""
    return f'<section id="provenance"><h2>Where these numbers come from</h2>\n{tables.nested(provenance)}</section>'
