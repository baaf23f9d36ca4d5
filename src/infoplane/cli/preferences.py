"""Preference pairs on the command line: options of `infoplane measure`, and what it shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoplane.cli.terminal import console

if TYPE_CHECKING:
    from infoplane.measurement import Measurement


def show(measurement: Measurement) -> None:
    """The preference figures of the whole model."""
    from rich.table import Table

    from infoplane.measurement import QUANTITIES

    rows = [row for row in measurement.select(layer="model") if row.quantity in QUANTITIES]
    if not rows:
        return
    title = (
        f"Preference information, whole model ({rows[0].unit}); matched: as many tokens of both answers, place by place"
    )
    shown = Table(title=title, title_justify="left")
    for name in ("quantity", "positions", "estimator", "value", "95 % interval", "swapped", "± spread"):
        shown.add_column(name, justify="left" if name in ("quantity", "positions", "estimator") else "right")
    for row in rows:
        control = measurement.get(
            f"{row.quantity}_swapped", position_set=row.position_set, estimator=(row.estimator or "").partition(",")[0]
        )
        interval = "" if row.interval is None else f"{row.interval[0]:.5f} to {row.interval[1]:.5f}"
        shown.add_row(
            row.quantity,
            row.position_set or "",
            row.estimator or "",
            f"{row.value:.5f}",
            interval,
            f"{control.value:.5f}",
            f"{control.standard_error or 0:.5f}",
        )
    console().print(shown)
