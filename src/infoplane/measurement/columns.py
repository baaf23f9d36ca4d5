"""Figures of the whole model by the names that they have as columns of a table.

A column is called `quantity_order`, and further by what is not the first of its kind: `optimality_1` by the first
estimator named, `optimality_1_plugin` by another one, `_uniform` by weight, `optimality_1_fitted` by another code. Parts
are `ceiling_token`, `ceiling_document`, `ceiling_rest` and `expressivity_document`; probes `probe_input` and `probe_output`.
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
    if row.quantity in ("entropy", "ceiling"):
        if row.position_set != f"P_{min(orders)}":
            return None
        name = row.quantity
    elif row.quantity == "share":
        name = f"share_{row.side}" + (f"_{row.order}" if row.order else "_residual")
    elif row.quantity in ("ceiling_part", "expressivity_part"):
        name = f"{row.quantity.removesuffix('_part')}_{row.side}"
    elif row.quantity == "probe":
        name = f"probe_{row.side}"
    elif row.quantity == "information":
        name = str(row.side).replace(":", "_")
    elif row.order is not None:
        kind, _, width = (row.position_set or "").partition(":")
        if width:  # labels of the text
            name = f"{row.quantity}_{kind}_{width}"
        elif kind.split()[:1] == [f"P_{row.order}"]:
            name = f"{row.quantity}_{row.order}"
        else:
            return None
    else:
        name = row.quantity
    weights = settings.weights or ("frequency",)
    if row.weight not in (None, weights[0]) and row.quantity != "share":
        name += f"_{row.weight}"
    if row.estimator not in (None, estimators[0]):
        name += f"_{row.estimator}"
    return name
