"""Tables of text and numbers as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from infoplane.report.parts import words
from infoplane.storage import Json

PROSE = ' class="prose"'


NUMBER = ' class="number"'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """An HTML table; the first `names` columns are text, the others numbers. Cells are escaped here."""
    head = "".join(f'<th scope="col"{"" if i < names else NUMBER}>{escape(cell)}</th>' for i, cell in enumerate(header))
    body = []
    for row in rows:
        cells = [f'<th scope="row">{escape(row[0])}</th>']
        cells += [
            f"<td{PROSE if i < names and len(c) > 60 else '' if i < names else NUMBER}>{escape(c)}</td>"
            for i, c in enumerate(row[1:], 1)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    lines = "\n".join(body)
    return f"""<div class="scroll" tabindex="0"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{lines}
</tbody></table></div>"""


def details(summary: str, inside: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n{inside}\n</details>"


def nested(value: Json) -> str:
    """JSON values as nested definition lists; whatever keys there are."""
    if isinstance(value, Mapping):
        if not value:
            return "<span>none</span>"
        items = "".join(f"<dt>{escape(str(k))}</dt><dd>{nested(v)}</dd>" for k, v in value.items())
        return f"<dl>{items}</dl>"
    if isinstance(value, (list, tuple)):
        if all(not isinstance(item, (Mapping, list, tuple)) for item in value):
            return escape(", ".join(str(item) for item in value)) or "<span>none</span>"
        return "<ol>" + "".join(f"<li>{nested(item)}</li>" for item in value) + "</ol>"
    if value is None:
        return f"<span>{words.MISSING}</span>"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:,}"
    return escape(str(value))
