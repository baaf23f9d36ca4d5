"""Lines of a plane that are no layer's: the diagonal, the frontier of the text, and what is known of saturation.

Each has its name beside it, put where it covers no point and no other text, in pixels from the top left corner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
from altair.typing import ChartType

from infoplane.report.parts import theme, words

WIDTH, HEIGHT = 680, 430
FRONTIER, FRONTIER_NAME = "#009e73", "frontier: codes of the token alone, on held-out text"
SATURATION = "#56b4e9"
CHARACTER = 6.1
"""Mean width of a letter at size 11, in pixels."""
_DIGIT = 5.4
"""The same of a text that is half numbers and spaces; it is 4.9, and a little more does no harm."""
Domain = tuple[float, float]
Pixel = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Plane:
    """The axes: what they span, and the encodings that draw on them."""

    x_domain: Domain
    y_domain: Domain
    x: alt.X
    y: alt.Y

    def pixel(self, x: float, y: float) -> Pixel:
        return _pixel(x, self.x_domain, WIDTH), HEIGHT - _pixel(y, self.y_domain, HEIGHT)

    def along(self, corners: list[Pixel]) -> list[Pixel]:
        """Pixels of a line through corners, close enough that no text fits between them."""
        corners_along = list(corners)
        for a, b in itertools.pairwise(corners):
            steps = int(math.dist(a, b) / 4) + 1
            corners_along += [
                (a[0] + i / steps * (b[0] - a[0]), a[1] + i / steps * (b[1] - a[1])) for i in range(1, steps)
            ]
        return corners_along

    def diagonal(self, named: list[Pixel]) -> list[Pixel]:
        """Pixels of the diagonal, and of its name, which runs beside that part of it."""
        low, high = (pick(a, b) for pick, a, b in zip((max, min), self.x_domain, self.y_domain, strict=True))
        if high <= low:
            return []
        start, stop = self.pixel(low, low), self.pixel(high, high)
        length = math.dist(start, stop)
        across = (stop[1] - start[1]) / length, (start[0] - stop[0]) / length  # to the upper left
        return [
            *self.along([start, stop]),
            *((x + d * across[0], y + d * across[1]) for x, y in named for d in (8, 20)),
        ]


def diagonal(plane: Plane, text: str, bound: bool, pixels: list[Pixel]) -> tuple[list[ChartType], list[Pixel]]:
    """Layers of the diagonal, and the pixels that its text covers."""
    x_domain, y_domain, x, y = plane.x_domain, plane.y_domain, plane.x, plane.y
    low = max(x_domain[0], y_domain[0])
    high = min(x_domain[1], y_domain[1])
    if high <= low:
        return [], []
    layers = []
    if bound:  # no code can lie above this line: the area is not part of the plane
        corners = [{"x": v, "y": v, "top": y_domain[1]} for v in (low, high)]
        area = alt.Chart(theme.values(corners)).mark_area(color=theme.QUIET, opacity=0.16, clip=True)
        layers.append(area.encode(x=x, y=y, y2="top:Q"))
    ends = alt.Chart(theme.values([{"x": v, "y": v} for v in (low, high)]))
    dash = [1, 0] if bound else [6, 4]
    layers.append(ends.mark_line(color=theme.QUIET, strokeDash=dash, strokeWidth=1.5, clip=True).encode(x=x, y=y))

    # The text runs along the line, which has an angle because the two axes differ in scale; it goes
    # where the line is farthest from any point.
    start, stop = plane.pixel(low, low), plane.pixel(high, high)
    length = math.dist(start, stop)
    half = min(0.5, (CHARACTER * len(text) / 2 + 30) / length)

    def along(share: float) -> list[Pixel]:
        parts = [share + half * (step / 10 - 1) for step in range(21)]
        return [(start[0] + p * (stop[0] - start[0]), start[1] + p * (stop[1] - start[1])) for p in parts]

    shares = [half + (1 - 2 * half) * step / 10 for step in range(11)]
    share = max(shares, key=lambda s: min((math.dist(a, b) for a in along(s) for b in pixels), default=0.0))
    middle = low + share * (high - low)
    label = alt.Chart(theme.values([{"x": middle, "y": middle, "text": text}]))
    angle = 360 - math.degrees(math.atan2(start[1] - stop[1], stop[0] - start[0]))
    mark = label.mark_text(angle=angle, dy=-8, color=theme.QUIET, fontSize=11, baseline="bottom")
    layers.append(mark.encode(x=x, y=y, text="text:N"))
    return layers, along(share)


def frontier(
    plane: Plane, corners: Sequence[Mapping[str, float]], taken: list[Box]
) -> tuple[list[ChartType], list[Pixel]]:
    """Layers of the line that codes of the present token achieve, flat after its last corner, and the pixels of it.

    The box of its name is added to `taken`.
    """
    if not corners:
        return [], []
    x, y, x_domain, y_domain = plane.x, plane.y, plane.x_domain, plane.y_domain
    line = [*corners, {"x": max(x_domain[1], corners[-1]["x"]), "y": corners[-1]["y"]}]
    data = alt.Chart(theme.values(line))
    tips = [theme.tip("x", "complexity"), theme.tip("y", "achieved by a code of the present token")]
    # the name stands where the line is three quarters up, or at its end if it never is
    height = min(0.75 * y_domain[1], corners[-1]["y"])
    where = min(float(np.interp(height, [c["y"] for c in corners], [c["x"] for c in corners])), 0.6 * x_domain[1])
    name = alt.Chart(theme.values([{"x": where, "y": height, "text": FRONTIER_NAME}]))
    left, middle = plane.pixel(where, height)
    taken.append((left + 10, middle - 1, left + 10 + CHARACTER * len(FRONTIER_NAME), middle + 13))
    layers = [
        data.mark_line(color=FRONTIER, strokeWidth=1.6, clip=True).encode(x=x, y=y, tooltip=tips),
        name.mark_text(color=FRONTIER, fontSize=11, align="left", dx=10, dy=6).encode(x=x, y=y, text="text:N"),
    ]
    return layers, plane.along([plane.pixel(c["x"], c["y"]) for c in line])


def saturation(
    plane: Plane, band: tuple[float, float], unit: str, covered: list[Pixel], taken: list[Box]
) -> list[ChartType]:
    """Layers of the band of I(X; Y) as far as it is in sight, and its name with its ends; its box is added to `taken`.

    Where no part is in sight, the name alone, at the top edge.
    """
    (left, right), (bottom, top) = plane.x_domain, plane.y_domain
    low, high = band
    is_above, goes_on = low >= top, high > top
    texts = [f"{name}: {span_of(band, unit)}" for name in ("saturation of one token", "saturation")]
    if is_above:
        texts = [f"\u2191 {texts[0]}, above this plot", *(f"\u2191 {text}" for text in texts)]
    elif goes_on:
        texts = [f"{text} \u2191" for text in texts]
    layers = []
    low, high = min(max(low, bottom), top), min(high, top)
    if not is_above:
        area = alt.Chart(theme.values([{"x": left, "right": right, "y": low, "top": high}]))
        area = area.mark_rect(color=SATURATION, opacity=0.13, clip=True)
        layers.append(area.encode(x=plane.x, x2="right:Q", y=plane.y, y2="top:Q"))
        for edge in (low, *([] if goes_on else [high])):
            ends = alt.Chart(theme.values([{"x": x, "y": edge} for x in plane.x_domain]))
            layers.append(ends.mark_line(color=SATURATION, strokeWidth=1, clip=True).encode(x=plane.x, y=plane.y))
    # rows from the top of what is in sight to its bottom, then below it: a name belongs inside its band, if it can be
    rows = np.arange(plane.pixel(left, high)[1] + 10, max(plane.pixel(left, low)[1] - 8, 60.0), 8.0)
    places = [
        ((start, row - 7.0, start + _DIGIT * len(text), row + 7.0), text)
        for text in texts  # a shorter one only where a longer would cover something
        for row in (*rows.tolist(), plane.pixel(left, low)[1] + 10)
        for start in np.linspace(WIDTH - _DIGIT * len(text) - 6, 6, 25).tolist()
    ]
    best, text = min(places, key=lambda place: _cost(place[0], covered, taken))
    taken.append(best)
    # a point of the plane is where the text begins, because only those can be drawn at
    x = left + best[0] / WIDTH * (right - left)
    y = bottom + (HEIGHT - (best[1] + 7)) / HEIGHT * (top - bottom)
    name = alt.Chart(theme.values([{"x": x, "y": y, "text": text}]))
    name = name.mark_text(color=theme.QUIET, fontSize=11, align="left", baseline="middle")
    return [*layers, name.encode(x=plane.x, y=plane.y, text="text:N")]


def span_of(band: tuple[float, float], unit: str) -> str:
    """`1.40 to 3.90 nats`, `5.8 to 31 % of log m`."""
    if unit == "efficiency":
        low, high = (words.number(100 * value, 1 if abs(value) < 0.1 else 0) for value in band)
        return f"{low} to {high}{words.NO_BREAK}% of log m"
    low, high = (words.number(value, 2) for value in band)
    return f"{low} to {high} {words.UNIT_NAMES.get(unit, unit)}"


def _cost(box: Box, covered: list[Pixel], taken: list[Box]) -> int:
    """How much a text would cover."""
    points = sum(box[0] - 8 <= x <= box[2] + 8 and box[1] - 5 <= y <= box[3] + 5 for x, y in covered)
    texts = sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)
    return points + 100 * texts


def _pixel(value: float, domain: Domain, length: int) -> float:
    return (value - domain[0]) / (domain[1] - domain[0]) * length
