"""How charts look, and how a chart becomes a specification that is the same every time.

One definition is drawn twice, by the browser and by vl-convert, so everything that could differ is
fixed here: fonts (Liberation Sans is inside vl-convert and has the widths of Arial), colours, sizes,
and the names that Altair would otherwise number from a counter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt
from altair.typing import ChartType

from infoplane.storage import Json

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK = "#33373d"
QUIET = "#69717c"
GRID = "#d9dce1"
BAD = "#d55e00"

# Okabe and Ito's colours, apart for the common kinds of colour blindness.
ORDER_COLOURS = {1: "#0072b2", 2: "#009e73", 3: "#e69f00", 4: "#cc79a7"}
SHARE_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#b4b8bf")
MODEL_COLOUR = "#d55e00"
# One a family, or a configuration.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8a9099", "#33373d", "#a0c41c")
UNKNOWN = "family not known"
# Early to late blocks: evenly growing lightness, within what shows on white and on black paper alike.
DEPTH_COLOURS = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0c41c")
ARROW = "M0,-1.3L0.9,1.1L0,0.5L-0.9,1.1Z"
STAR = "M0,-1.25L0.32,-0.42L1.19,-0.39L0.51,0.16L0.73,1.01L0,0.52L-0.73,1.01L-0.51,0.16L-1.19,-0.39L-0.32,-0.42Z"

AXIS_TITLES = {"efficiency": "% of log m", "bits": "bits", "ratio": "ratio"}
FORMATS = {"efficiency": ".1%", "bits": ".3f", "ratio": ".2f"}
TOOLTIP_FORMATS = {"efficiency": ".2%", "bits": ".4f", "ratio": ".4f"}

CONFIG: Mapping[str, Json] = {
    "font": FONT,
    "aria": False,  # hundreds of marks read out one by one help nobody: the page describes each figure
    "background": "white",
    "padding": 8,
    "view": {"stroke": None, "continuousWidth": 300, "continuousHeight": 200},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "gridOpacity": 0.6,
        "domainColor": QUIET,
        "tickColor": QUIET,
        "titlePadding": 8,
        "labelFlush": False,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "symbolStrokeWidth": 1.5,
    },
    "title": {"color": INK, "fontSize": 13, "fontWeight": "bold", "anchor": "start", "frame": "group"},
    "concat": {"spacing": 22},
}


def specification(chart: ChartType) -> dict[str, Any]:
    """The Vega-Lite specification of an Altair chart, whatever theme or transformer its user enabled."""
    with alt.theme.enable("none"), alt.data_transformers.enable("default"):
        spec: dict[str, Any] = chart.to_dict()
    spec["config"] = CONFIG
    spec["datasets"] = {
        name: data.rows if isinstance(data, _Rows) else data for name, data in spec.get("datasets", {}).items()
    }
    return dict(drawable(spec))


def dressed(chart: ChartType) -> ChartType:
    """The chart with our fonts, colours and sizes, and its data as rows: one that Altair can do anything with."""
    made: ChartType = type(chart).from_dict(specification(chart), validate=False)
    return made


Datum: TypeAlias = "Mapping[str, object]"
"""A row of the data of a chart: JSON values, or a TypedDict of them."""


class _Rows(str):
    """Rows of data under the text that stands for them while a chart is put together.

    Altair copies and checks its data at every step, some 500 times for a page of 32 layers: a text is copied for
    nothing. It tells equal data from others, as rows would.
    """

    rows: list[Datum]

    def __new__(cls, rows: list[Datum]) -> _Rows:
        made = super().__new__(cls, json.dumps(rows, sort_keys=True))
        made.rows = rows
        return made


_UNDRAWABLE = re.compile("[\u2028\u2029\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def drawable(value: Any) -> Any:
    """The same with spaces for characters that cannot be drawn.

    Vega puts names into expressions, whose strings hold no line separators, and vl-convert ends the process at
    characters that XML has not.
    """
    if isinstance(value, dict):
        return {drawable(k): drawable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [drawable(v) for v in value]
    return _UNDRAWABLE.sub(" ", value) if isinstance(value, str) else value


def values(rows: Sequence[Datum]) -> alt.InlineData:
    """Data of a chart, which lie in the specification itself."""
    return alt.InlineData(values=_Rows(list(rows)))


def value_axis(unit: str) -> alt.Axis:
    return alt.Axis(format="%" if unit == "efficiency" else "~g", tickCount=6)


def axis_title(quantity: str, unit: str) -> str:
    return f"{quantity} ({AXIS_TITLES.get(unit, unit)})"


def tip(field: str, title: str, unit: str | None = None) -> alt.Tooltip:
    """A line of a tooltip; with a unit, a number of that unit."""
    if unit is None:
        return alt.Tooltip(f"{field}:N", title=title)
    return alt.Tooltip(f"{field}:Q", title=title, format=TOOLTIP_FORMATS.get(unit, ".4f"))


def span(numbers: Sequence[float], room: float = 0.06, through: float | None = 0.0) -> tuple[float, float]:
    """A domain around the numbers with some room, reaching to `through` where it is given."""
    wide = [*numbers, through] if through is not None else list(numbers)
    low, high = min(wide), max(wide)
    pad = room * ((high - low) or abs(high) or 1.0)
    return (low if low == through else low - pad), (high if high == through else high + pad)


def colour_of(families: Iterable[str], legend: bool = True) -> alt.Color:
    """One colour a family, in the order in which they come."""
    names = list(dict.fromkeys(families))
    colours = [QUIET if name == UNKNOWN else COLOURS[i % len(COLOURS)] for i, name in enumerate(names)]
    shown = alt.Legend(title=None, orient="top", columns=5, labelLimit=200) if legend else None
    return alt.Color("family:N", scale=alt.Scale(domain=names, range=colours), legend=shown)
