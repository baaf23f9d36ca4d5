"""A chart as a figure: its specification, and drawn as SVG and PNG.

Nothing is downloaded: vl-convert carries the Vega libraries and a font, and is told to load no data from anywhere.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

import altair as alt
import vl_convert
from altair.typing import ChartType

from infoplane.errors import ResultError
from infoplane.report.parts import theme
from infoplane.storage import cached_text

resource: ModuleType | None = None
with contextlib.suppress(ImportError):  # Windows has no such limits
    import resource

PNG_SCALE = 2.0


@dataclass(frozen=True)
class Glance:
    """What is seen of a result at once: its title, the answer in sentences, and the figure that shows it, if any."""

    title: str
    answer: Sequence[str]
    chart: ChartType | None


@dataclass(frozen=True)
class Figure:
    """A figure that a measurement has the rows for."""

    name: str
    spec: dict[str, Any]
    svg: str

    def png(self) -> bytes:
        drawn: bytes = vl_convert.svg_to_png(self.svg, scale=PNG_SCALE)
        return drawn


_ROOM = 1 << 37  # bytes of address space that the engine of vl-convert reserves, of which it uses little


def check_room() -> None:
    """Refuse to draw where the engine would end the process: under a limit of address space (`ulimit -v`).

    Raises:
        ResultError: there is one.
    """
    if resource is not None:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and limit < _ROOM:
            raise ResultError(
                f"figures cannot be drawn: this process may have {limit >> 30} GiB of address space (ulimit -v), and "
                f"drawing reserves {_ROOM >> 30} GiB of it, though it uses little memory; lift the limit, or print the "
                "result with --json, which draws nothing"
            )


def draw(name: str, chart: ChartType) -> Figure:
    """An Altair chart as a figure.

    Raises:
        ResultError: the process has no room for the engine.
    """
    check_room()
    spec = theme.specification(chart)
    svg = vl_convert.vegalite_to_svg(spec, vl_version=vegalite_version(), allowed_base_urls=[])
    return Figure(name, spec, renumbered(svg))


_IDENTIFIER = re.compile(r'(?<=\bid=")[a-z]+_?\d+(?=")|(?<=url\(#)[a-z]+_?\d+(?=\))')


def renumbered(svg: str) -> str:
    """The SVG with its ids numbered from 0: Vega counts them on from one drawing to the next."""
    names: dict[str, str] = {}
    return _IDENTIFIER.sub(lambda match: names.setdefault(match[0], f"part{len(names)}"), svg)


_LONG = re.compile(r"-?\d+\.\d{3,}")
_NOT_SEEN = re.compile(r' (?:(?:class|font-family)="[^"]*"|pointer-events="none"|aria-hidden="true"|opacity="1")')


def still(svg: str) -> str:
    """The address of a picture that stands in the page itself, without what makes no difference to the eye."""
    short = _NOT_SEEN.sub("", _LONG.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), svg))
    short = short.replace('<path d="M0,0h0v0h0Z"/>', "").replace("<svg ", f'<svg font-family="{theme.FONT}" ', 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(short.encode('utf-8')).decode('ascii')}"


def files_of(figures: tuple[Figure, ...]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for figure in figures:
        files[f"{figure.name}.svg"] = figure.svg.encode("utf-8")
        files[f"{figure.name}.png"] = figure.png()
    return files


def vegalite_version() -> str | None:
    """The Vega-Lite that Altair writes for, where vl-convert carries it; its newest otherwise."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return version if version in vl_convert.get_vegalite_versions() else None


@functools.cache
def packed_javascript() -> str:
    """`javascript()` as gzip in base64: a third of its size, and no character that could end a script."""
    packed = gzip.compress(javascript().encode("utf-8"), mtime=0)
    return base64.b64encode(packed).decode("ascii")


@functools.cache
def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script without imports, which defines `vegaEmbed`."""
    version = vegalite_version()

    def bundle() -> str:
        # The stub asks for a snippet, the function does not: without one it sets `window.vegaEmbed`.
        return str(vl_convert.javascript_bundle(vl_version=version))  # type: ignore[call-arg]

    return cached_text(f"vega-{version or 'newest'}-of-vl-convert-{metadata.version('vl-convert-python')}.js", bundle)
