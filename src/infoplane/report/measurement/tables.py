"""Tables of a report: the whole model with every order, estimator and control; the layers; provenance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from infoplane.errors import ResultError
from infoplane.measurement import WANTED, Estimate, costs, note, spoken_tokens
from infoplane.report.measurement.view import MODEL, View
from infoplane.report.parts import details, table, words

# ---------------------------------------------------------------------- whole model


def whole_model(view: View) -> str:
    """Every row of the whole model: a table for each code and estimator, the first of each code open."""
    return "\n".join(_of_code(each, bool(view.others)) for each in (view, *map(View, view.others)))


def _of_code(view: View, named: bool) -> str:
    """The tables of a code; whether it is named in their titles."""
    rows = view.measurement.select(layer=MODEL)
    parts: list[str] = []
    for estimator in view.estimators or (None,):
        # Loss and bits per byte have no estimator: they stand with the first.
        own = [r for r in rows if r.estimator == estimator or (r.estimator is None and not parts)]
        if own:
            inside = _row_table(own, len(view.weights) > 1)
            title = f"Estimator {view.spoken(estimator)}" if estimator else "All rows"
            if named:
                title = f"Code {view.measurement.codes[0]}, {title[0].lower()}{title[1:]}"
            parts.append(f"<h3>{escape(title)}</h3>\n{inside}" if not parts else details(title, inside))
    return "\n".join(parts)


def _row_table(estimates: Sequence[Estimate], weighted: bool) -> str:
    columns: dict[str, list[str]] = {
        "quantity": [words.row_name(r) for r in estimates],
        "set": [r.position_set or words.MISSING for r in estimates],
        "weight": [(r.weight if weighted else None) or words.MISSING for r in estimates],
        "unit": [r.unit for r in estimates],
        "value": [words.plain(r) for r in estimates],
        "control: permuted": [words.control(r.control_permuted, r.control_permuted_error) for r in estimates],
        "control: shifted": [words.control(r.control_shifted, r.control_shifted_error) for r in estimates],
        "control: halved": [words.control(r.control_halved, r.control_halved_error) for r in estimates],
        "repeated mass": [words.percent(r.repeated_mass) for r in estimates],
        "error of the points": [words.control(r.points_error, None) for r in estimates],
        "n": [words.MISSING if r.n is None else f"{r.n:,}" for r in estimates],
        "note": ["warning" if r.warning else words.MISSING for r in estimates],
    }
    kept = [name for name, cells in columns.items() if any(cell != words.MISSING for cell in cells)]
    cells = list(zip(*(columns[name] for name in kept), strict=True))
    return table(kept, cells, kept.index("value"))


def tokens_needed(view: View) -> str:
    """A collapsed table of what tighter intervals cost; an empty string where there is nothing to plan by."""
    wanted = WANTED.get(view.unit, WANTED["efficiency"])
    try:
        plans = costs(view.measurement, wanted)
    except ResultError:
        return ""
    tokens = view.measurement.provenance["tokens"]
    header = ["quantity", "standard error now", *(f"tokens for {w:g}" for w in wanted)]
    rows = [
        [
            words.row_name(c.row),
            words.control(c.row.standard_error, None),
            *(spoken_tokens(n, tokens) for n in c.needed),
        ]
        for c in plans
    ]
    note_line = f'<p class="note">{escape(note(view.measurement))}</p>'
    return details("How many tokens a tighter interval needs", f"{note_line}\n{table(header, rows)}")


# ---------------------------------------------------------------------- layers


def by_layer(view: View) -> str:
    """Collapsed tables by layer: one for each estimator, weight and order, then shares and labels."""
    parts = []
    for estimator in view.estimators or (None,):
        named = view.spoken(estimator)
        for weight in view.weights or (None,):
            suffix = named or ""
            if weight and len(view.weights) > 1:
                suffix += f", {weight} weights"
            for order in view.orders:
                inside = _order_table(view, estimator, weight, order)
                parts += [details(_join(f"Order {order} ({words.gram(order)})", suffix), inside)]
        for side in ("input", "output"):
            inside = _share_table(view, estimator, side)
            parts += [details(_join(f"Shares of the ceiling, {side} side", named), inside)] if inside else []
        inside = _part_table(view, estimator)
        parts += [details(_join("What the ceiling is spent on", named), inside)] if inside else []
        inside = _probe_table(view) if estimator == (view.estimators or (None,))[0] else ""
        parts += [details("What linear probes read of frequent tokens, at least", inside)] if inside else []
        inside = _label_table(view, estimator)
        parts += [details(_join("Information about labels", named), inside)] if inside else []
    return "\n".join(parts)


def _join(*texts: str | None) -> str:
    return ", ".join(text for text in texts if text)


def _names(view: View) -> list[str]:
    return [*(layer.name for layer in view.layers), MODEL]


def _order_table(view: View, estimator: str | None, weight: str | None, order: int) -> str:
    # Each column: its title and what it shows of a layer. All stand on the positions of this order.
    def find(quantity: str, layer: str, k: int | None) -> Estimate | None:
        return view.row(quantity, layer, k, position_set=f"P_{order}", estimator=estimator, weight=weight)

    columns: list[tuple[str, str, int | None]] = [
        ("entropy", "entropy", None),
        ("ceiling", "ceiling", None),
        ("complexity", "complexity", order),
        ("expressivity", "expressivity", order),
    ]
    if order > 1:
        columns.append(("expressivity, next token", "expressivity", 1))
    columns.append(("optimality", "optimality", order))
    controlled = [c for c in columns if c[1] in ("complexity", "expressivity") and c[2] == order]
    rows = []
    for layer in _names(view):
        cells = [words.plain(find(quantity, layer, k)) for _, quantity, k in columns]
        for _, quantity, k in controlled:
            row = find(quantity, layer, k)
            cells.append(words.control(row.control_permuted, row.control_permuted_error) if row else words.MISSING)
            cells.append(words.control(row.control_shifted, row.control_shifted_error) if row else words.MISSING)
            cells.append(words.control(row.control_halved, row.control_halved_error) if row else words.MISSING)
        rows.append([layer, *cells])
    header = ["layer", *(title for title, _, _ in columns)]
    header += [f"{title}, {kind}" for title, _, _ in controlled for kind in ("permuted", "shifted", "halved")]
    return _without_empty(header, rows)


def _share_table(view: View, estimator: str | None, side: str) -> str:
    parts = view.share_parts
    rows = [[layer, *(words.plain(view.share(layer, side, k, estimator)) for k in parts)] for layer in _names(view)]
    return _without_empty(["layer", *("residual" if k is None else words.gram(k) for k in parts)], rows)


def _part_table(view: View, estimator: str | None) -> str:
    columns = {
        "token": ("ceiling_part", "token"),
        "document, beside the token": ("ceiling_part", "document"),
        "rest": ("ceiling_part", "rest"),
        "of expressivity: document": ("expressivity_part", "document"),
    }
    rows = [
        [
            layer,
            *(
                words.plain(view.row(quantity, layer, side=side, position_set="P_1", estimator=estimator))
                for quantity, side in columns.values()
            ),
        ]
        for layer in _names(view)
    ]
    return _without_empty(["layer", *columns], rows)


def _probe_table(view: View) -> str:
    sides = {"present token": "input", "next token": "output"}
    rows = [[layer, *(words.plain(view.row("probe", layer, 1, side=side)) for side in sides.values())]
            for layer in _names(view)]  # fmt: skip
    return _without_empty(["layer", *sides], rows)


def _label_table(view: View, estimator: str | None) -> str:
    rows = [
        [
            layer,
            *(words.plain(view.row("information", layer, side=side, estimator=estimator)) for side in view.labels),
        ]
        for layer in _names(view)
    ]
    return _without_empty(["layer", *(side.removeprefix("label:") for side in view.labels)], rows)


def _without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table less its empty columns; an empty string when nothing is left but names."""
    keep = [0, *(i for i in range(1, len(header)) if any(row[i] != words.MISSING for row in rows))]
    if len(keep) == 1:
        return ""
    kept = [[row[i] for i in keep] for row in rows if any(row[i] != words.MISSING for i in keep[1:])]
    return table([header[i] for i in keep], kept)


# ---------------------------------------------------------------------- provenance
