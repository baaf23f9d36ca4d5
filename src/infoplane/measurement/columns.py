"""Figures of the whole model by the names that they have as columns of a table.

A column is called `quantity_order`, and further by what is not the first of its kind: `optimality_1` by the first
estimator named, `optimality_1_plugin` by another one, `_uniform` by weight, `optimality_1_fitted` by another code.
Parts are `ceiling_token`, `ceiling_document`, `ceiling_rest` and `expressivity_document`; probes `probe_input` and
`probe_output`.
"""

from __future__ import annotations

from infoplane.measurement.estimate import Estimate
from infoplane.measurement.origin import QuestionsOrigin
from infoplane.measurement.results import Measurement


def figures_by_column(measurement: Measurement) -> dict[str, Estimate]:
    """Figures of the whole model by the names of their columns (see above)."""
    rows: dict[str, Estimate] = {}
    settings, primary = measurement.origin.settings, measurement.codes[0]
    for estimate in (row for row in measurement if row.layer == "model"):
        name = _column(estimate, settings)
        if name is not None:
            rows.setdefault(name if estimate.code in (None, primary) else f"{name}_{estimate.code}", estimate)
    return rows


def _column(row: Estimate, settings: QuestionsOrigin) -> str | None:
    """What a figure is called among the columns; None for those that stand on the positions of another order."""
    orders, estimators = settings.orders or (1,), settings.estimators or (row.estimator,)
    name = _by_side(row) or _by_order(row, min(orders))
    if name is None:
        return None
    weights = settings.weights or ("frequency",)
    if row.weight not in (None, weights[0]) and row.quantity != "share":
        name += f"_{row.weight}"
    if row.estimator not in (None, estimators[0]):
        name += f"_{row.estimator}"
    return name


def _by_side(row: Estimate) -> str | None:
    """The name of a figure that its side belongs to; None for others."""
    if row.quantity == "share":
        return f"share_{row.side}" + (f"_{row.order}" if row.order else "_residual")
    if row.quantity in ("ceiling_part", "expressivity_part"):
        return f"{row.quantity.removesuffix('_part')}_{row.side}"
    if row.quantity == "probe":
        return f"probe_{row.side}"
    return str(row.side).replace(":", "_") if row.quantity == "information" else None


def _by_order(row: Estimate, lowest: int) -> str | None:
    """The name of a figure by its order; None for those that stand on the positions of another one."""
    if row.quantity in ("entropy", "ceiling"):
        return row.quantity if row.position_set == f"P_{lowest}" else None
    if row.order is None:
        return row.quantity
    kind, _, width = (row.position_set or "").partition(":")
    if width:  # labels of the text
        return f"{row.quantity}_{kind}_{width}"
    return f"{row.quantity}_{row.order}" if kind.split()[:1] == [f"P_{row.order}"] else None
