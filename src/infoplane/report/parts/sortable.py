"""Tables that sort and filter in the page: without the script they are plain tables, in the order given."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

SCRIPT = """
for (const box of document.querySelectorAll("[data-sortable]")) {
  const table = box.querySelector("table"), body = table.tBodies[0], rows = [...body.rows];
  const filter = box.querySelector("input"), count = box.querySelector("output");
  filter.parentElement.hidden = false;
  const show = () => {
    const words = filter.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.value = shown + " of " + rows.length;
  };
  filter.addEventListener("input", show);
  show();
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const numbers = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
      const order = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1;
        return (up ? 1 : -1) * (numbers ? Number(x) - Number(y) : x.localeCompare(y));
      };
      body.append(...rows.sort(order));
    });
  });
}
"""
Cell = tuple[str, float | str | None]
"""What is shown, and what it is sorted by: a number, a text, or None, which comes last."""


def sortable_table(header: Sequence[str], rows: Sequence[Sequence[Cell]], names: int = 1) -> str:
    """An HTML table whose columns sort and whose rows can be filtered; the first `names` columns are text.

    Cells are escaped here. `SCRIPT` must be in the page once.
    """
    heads = "".join(
        f'<th scope="col"{"" if i < names else NUMBER}><button type="button">{escape(cell)}</button></th>'
        for i, cell in enumerate(header)
    )
    body = []
    for row in rows:
        cells = []
        for i, (shown, value) in enumerate(row):
            tag = 'th scope="row"' if i == 0 else "td"
            key = "" if value is None else value if isinstance(value, str) else repr(float(value))
            kind = "" if i < names else NUMBER
            cells.append(f'<{tag}{kind} data-value="{escape(key, quote=True)}">{escape(shown)}</{tag.split()[0]}>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    lines = "\n".join(body)
    return f"""<div class="sortable" data-sortable>
<label hidden>Filter <input type="search" placeholder="words in a row"> <output></output></label>
<div class="scroll" tabindex="0"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{lines}
</tbody></table></div></div>"""


NUMBER = ' class="number"'
