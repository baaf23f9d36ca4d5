"""The report says what the record says, loads nothing, and is the same for the same record."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import altair as alt
import pytest
from pages import Page, rows_of
from report_factory import BLOCKS, full_measurement, minimal_measurement

from infoplane.measurement.estimate import Estimate
from infoplane.measurement.results import Measurement
from infoplane.report.measurement import planes, prose
from infoplane.report.measurement.figures import FIGURES as EVERY
from infoplane.report.measurement.figures import draw_figures
from infoplane.report.measurement.view import View, model_name
from infoplane.report.measurement.writing import figure_files, render_report, write_report
from infoplane.report.parts import page, words
from infoplane.report.parts.figure import Figure, draw, renumbered

FIGURES = [name for name in EVERY if name != "preferences"]  # these records are not of preference pairs

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def full() -> Measurement:
    return full_measurement()


@pytest.fixture(scope="module")
def html(full: Measurement) -> str:
    return render_report(full)


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


# ---------------------------------------------------------------------- self-contained


def test_nothing_is_loaded_from_outside(html: str, parsed: Page) -> None:
    assert parsed.addresses and all(a.startswith("data:") for a in parsed.addresses)
    assert f'content="{page.POLICY}"' in html
    assert "default-src 'none'" in page.POLICY
    assert "connect-src" not in page.POLICY
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "vegaEmbed=" in gzip.decompress(base64.b64decode(parsed.scripts["vega"])).decode()
    # Apart from the libraries, which hold the names of XML namespaces, no address is even mentioned.
    assert "://" not in html


def test_charts_take_their_data_from_the_page(parsed: Page) -> None:
    for name in FIGURES:
        assert "url" not in {key for source in walk(parsed.spec(name)) for key in source}


def walk(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for inner in value.values() for found in walk(inner))]
    if isinstance(value, list):
        return [found for inner in value for found in walk(inner)]
    return []


def test_size(html: str) -> None:
    assert len(html.encode()) < 3_000_000


# ---------------------------------------------------------------------- pure


def test_same_record_same_bytes(full: Measurement, html: str) -> None:
    assert render_report(full) == html


def test_same_bytes_in_another_process_and_after_a_file(full: Measurement, html: str, tmp_path: Path) -> None:
    full.save(tmp_path)
    code = (
        "import sys, altair, hashlib; from infoplane.measurement.results import Measurement;"
        "from infoplane.report.measurement.writing import render_report;"
        "altair.theme.enable('dark');"  # what the user of a notebook may have done
        "altair.Chart(altair.Data(values=[])).mark_point().interactive().to_dict();"  # moves its counters on
        "sys.stdout.buffer.write(render_report(Measurement.load(sys.argv[1])).encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, env=environment)
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout.decode() == html


def test_the_measurement_decides(html: str) -> None:
    assert render_report(full_measurement(seed=1)) != html


def test_no_theme_of_the_user_leaks_in_or_out(full: Measurement, html: str) -> None:
    with alt.theme.enable("dark"):
        assert render_report(full) == html
        assert alt.theme.active == "dark"


def test_svg_ids_start_anew() -> None:
    svg = '<g clip-path="url(#clip7)"><clipPath id="clip7"/><rect fill="url(#gradient_2)"/>clip7</g>'
    part = '<g clip-path="url(#part0)"><clipPath id="part0"/><rect fill="url(#part1)"/>clip7</g>'
    assert renumbered(svg) == part


# ---------------------------------------------------------------------- hostile names


def test_names_cannot_become_markup(html: str) -> None:
    plain = Page(html)
    rows = []
    for row in full_measurement(model=EVIL):
        is_label = row.quantity == "information"
        side, positions = (f"label:{EVIL}", EVIL) if is_label else (row.side, row.position_set)
        warning = EVIL if row.warning else None
        estimator = {"plugin": EVIL}.get(row.estimator or "", row.estimator)
        rows.append(dataclasses.replace(row, side=side, position_set=positions, warning=warning, estimator=estimator))
    provenance = {**full_measurement(model=EVIL).provenance, EVIL: {EVIL: [EVIL]}, "warnings": [EVIL]}
    hostile = Page(render_report(Measurement(tuple(rows), provenance)))
    assert hostile.tags.count("script") == plain.tags.count("script")
    assert hostile.tags.count("img") == plain.tags.count("img")
    assert hostile.handlers == []
    assert all(a.startswith("data:") for a in hostile.addresses)
    assert EVIL in hostile.text
    assert hostile.spec("labels")  # still JSON
    assert any(EVIL in str(row.get("series")) for row in rows_of(hostile.spec("labels")))


@pytest.mark.parametrize("text", ["</script>", "<!--", "</SCRIPT >", "]]>", "\u2028", "&lt;"])
def test_json_in_a_script_element(text: str) -> None:
    escaped = page.script_json({"name": text})
    assert "<" not in escaped
    assert json.loads(escaped) == {"name": text}


# ---------------------------------------------------------------------- what it says


def test_headline_gives_value_and_interval(full: Measurement, parsed: Page) -> None:
    row = full.get("complexity", side="input", order=1)
    assert row.interval is not None
    half = 100 * (row.interval[1] - row.value)
    expected = f"keeps {100 * row.value:.1f}\u00a0±\u00a0{half:.1f}\u00a0% of log m about the present token"
    assert expected.replace("\u00a0", " ") in parsed.text
    loss = full.get("loss")
    assert f"loss on the same text is {loss.value:.3f} ±" in parsed.text
    assert "SmolLM2-135M-Instruct · infoplane" in parsed.text


def test_the_answer_comes_first_then_its_figure_the_numbers_and_what_to_know(html: str) -> None:
    parts = (
        'class="answer"',
        'id="information-plane"',
        'class="cards"',
        'class="caveats',
        'id="detail"',
        'id="profiles"',
    )
    places = [html.index(part) for part in parts]
    assert places == sorted(places)
    first = html.index('<details class="caveats')
    assert "4 caveats, none of which touches the answer above" in html
    box = html[first : html.index("</details>", first)]
    assert "The weights were stored in 4 bits" in box
    assert "Complexity, expressivity and optimality of order 3 (null-curve), 32 layers" in box
    assert "order 1, 2, 3 and 4 (plugin)" in box  # the same words are said once
    assert box.count("<li>") == 4


def test_lines_of_the_planes_are_named_and_not_mixed(parsed: Page) -> None:
    drawn = {name: json.dumps(parsed.spec(name)) for name in ("information-plane", "ceiling-plane")}
    assert "diagonal (reference, not a bound): expressivity = complexity" in drawn["information-plane"]
    assert "bound: expressivity = ceiling" in drawn["ceiling-plane"]
    assert "bound: expressivity = ceiling" not in drawn["information-plane"]


def test_the_plane_holds_every_layer_of_the_first_estimator(full: Measurement, parsed: Page) -> None:
    points = {row["layer"]: row for row in rows_of(parsed.spec("information-plane")) if "layer" in row}
    assert set(points) == {*full.layers, "model"}
    for layer, point in points.items():
        x = full.get("complexity", layer, side="input", order=1, estimator="null-curve")
        y = full.get("expressivity", layer, side="output", order=1, estimator="null-curve")
        assert (point["x"], point["y"]) == (x.value, y.value)
        assert (point["x_low"], point["x_high"]) == x.interval
    assert [points[f"block.{i}"]["depth"] for i in (0, BLOCKS - 1)] == [0, BLOCKS - 1]
    kinds = {layer: points[layer]["kind"] for layer in ("embed", "final_norm", "model", "block.3")}
    assert kinds == {
        "embed": "embedding", "final_norm": "final norm", "model": "mean over blocks", "block.3": "block",
    }  # fmt: skip


def test_profiles_hold_each_order_with_its_interval(full: Measurement, parsed: Page) -> None:
    points = [r for r in rows_of(parsed.spec("profiles")) if r.get("layer") == "block.7"]
    for quantity, side in (("complexity", "input"), ("expressivity", "output"), ("optimality", None)):
        for order in (1, 2, 3, 4):
            row = full.get(quantity, "block.7", side=side, order=order)
            drawn = [p for p in points if p["value"] == row.value]
            assert drawn and (drawn[0]["low"], drawn[0]["high"]) == row.interval
            assert drawn[0]["warned"] == (order >= 3)
    for quantity in ("entropy", "ceiling"):
        assert any(p["value"] == full.get(quantity, "block.7").value for p in points)


def test_negative_shares_are_drawn_as_they_are(full: Measurement, parsed: Page) -> None:
    spec = parsed.spec("shares")
    bars = [row for row in rows_of(spec) if "part" in row]
    assert min(row["value"] for row in bars) < 0
    assert all(e["stack"] == "zero" for s in walk(spec) if isinstance(e := s.get("y"), dict) and "stack" in e)
    ceiling = full.get("ceiling", "block.28", position_set="P_4", estimator="null-curve")
    totals = [r["total"] for r in rows_of(spec) if r.get("layer") == "block.28" and "total" in r]
    assert totals == pytest.approx([ceiling.value, ceiling.value])


def test_controls_stand_beside_the_values(full: Measurement, parsed: Page) -> None:
    points = rows_of(parsed.spec("controls"))
    row = full.get("complexity", side="input", order=3)
    assert row.control_shifted is not None and row.control_shifted_error is not None
    shifted = [p for p in points if p.get("value") == row.control_shifted and p["layer"] == "model"]
    assert shifted[0]["low"] == pytest.approx(row.control_shifted - 2 * row.control_shifted_error)
    assert "Order 1: all controls are 0 within twice their standard errors" in parsed.text
    assert "Order 4: a control is not 0; the largest is" in parsed.text


def test_control_verdict_needs_an_error() -> None:
    row = Estimate(
        "complexity",
        "model",
        0.2,
        "efficiency",
        side="input",
        order=1,
        position_set="P_1",
        control_permuted=0.01,
    )
    assert prose.control_verdicts(View(Measurement((row,), {}))) == [
        "Order 1: the largest control is 1.0 % of log m; it has no error to judge it by."
    ]


def test_one_control_off_zero_is_enough() -> None:
    row = Estimate(
        "complexity", "model", 0.2, "efficiency", side="input", order=1, position_set="P_1",
        control_permuted=0.001, control_permuted_error=0.001,
        control_shifted=0.02, control_shifted_error=0.003,
    )  # fmt: skip
    (verdict,) = prose.control_verdicts(View(Measurement((row,), {})))
    assert verdict.startswith("Order 1: a control is not 0; the largest is 2.0 % of log m.")


def test_tables_hold_every_row(full: Measurement, html: str, parsed: Page) -> None:
    start = html.index("The whole model</h2>")
    whole = Page(html[start : html.index("By layer</h2>")].replace("The whole model</h2>", "").removesuffix("<h2>"))
    cells = [row for row in whole.rows if row[0] != "quantity"]
    assert len(cells) == len(full.select(layer="model"))
    row = full.get("complexity", side="input", order=2, estimator="plugin")
    assert any(words.plain(row) in line and "complexity, order 2" in line for line in cells)
    for estimator in ("null-curve", "plugin"):
        row = full.get("expressivity", "block.11", side="output", order=4, estimator=estimator)
        assert any(line[0] == "block.11" and words.plain(row) in line for line in parsed.rows)
    assert "Order 4 (quadgram), plugin" in parsed.text


def test_provenance_is_shown_whatever_its_keys(parsed: Page) -> None:
    for text in ("LlamaForCausalLM", "134,515,008", "calibration exact", "c0ffee", "transformers 5.23.0"):
        assert text in parsed.text


def test_every_figure_has_reading_help(parsed: Page) -> None:
    assert parsed.tags.count("figure") == len(FIGURES)
    assert parsed.text.count("What to see") == parsed.text.count("What not to conclude") == len(FIGURES)


# ---------------------------------------------------------------------- with the bound

CORNERS = [[0.0, 0.0], [0.06, 0.04], [0.3, 0.12]]


def bounded(full: Measurement, saturation: list[float] | None, unit: str = "efficiency") -> Measurement:
    """The measurement as if it had been made with `--bound`."""
    scale = 1.0 if unit == "efficiency" else 4.6
    rows = [dataclasses.replace(r, unit=unit if r.unit == "efficiency" else r.unit) for r in full]
    if unit != "efficiency":
        rows = [dataclasses.replace(
            r, value=scale * r.value, interval=None if r.interval is None else tuple(scale * v for v in r.interval)
        ) for r in rows]  # fmt: skip
    hull = [[scale * v for v in corner] for corner in CORNERS]
    one = {"order": 1, "target": 1, "positions": "all", "n": 31_120, "seen": 0.76, "m": 100, "hull": hull}
    other = {**one, "order": 2, "saturation": [7.0, 8.0]}
    more = {} if saturation is None else {"saturation": [scale * v for v in saturation]}
    return Measurement(tuple(rows), {**full.provenance, "bound": [{**one, **more}, other]})


def plane(measurement: Measurement) -> Figure:
    return draw("information-plane", planes.information_plane(View(measurement)))


@pytest.mark.parametrize("unit", ["efficiency", "nats"])
def test_saturation_in_sight_is_a_band(full: Measurement, unit: str) -> None:
    scale = 1.0 if unit == "efficiency" else 4.6
    for saturation, text, drawn in (
        ([0.05, 0.09], {"efficiency": "saturation of one token: 5.0 to 9.0\u00a0% of log m",
                        "nats": "saturation of one token: 0.23 to 0.41 nats"}, 0.09),
        ([0.05, 1.0], {"efficiency": "saturation of one token: 5.0 to 100\u00a0% of log m \u2191",
                       "nats": "saturation of one token: 0.23 to 4.60 nats \u2191"}, None),
    ):  # fmt: skip
        rows = rows_of(plane(bounded(full, saturation, unit)).spec)
        (band,) = (r for r in rows if "top" in r and "right" in r)
        assert band["y"] == pytest.approx(scale * 0.05)
        top = max(r["y_high"] for r in rows if "y_high" in r)
        assert band["top"] == pytest.approx(scale * drawn) if drawn else top < band["top"] < 1.2 * top
        assert text[unit] in {r.get("text") for r in rows}


def test_saturation_above_the_plane_is_a_line_of_text_at_its_top(full: Measurement) -> None:
    low = bounded(full, [0.3, 0.85], "nats")
    low.provenance["bound"][0]["hull"][-1][1] = 0.3  # else the frontier leaves through the top, where the text is long
    rows = rows_of(plane(low).spec)
    assert not [r for r in rows if "right" in r]
    (name,) = (r for r in rows if str(r.get("text", "")).startswith("\u2191"))
    assert name["text"] == "\u2191 saturation of one token: 1.38 to 3.91 nats, above this plot"
    assert name["y"] > 0.85 * max(r["y_high"] for r in rows if "y_high" in r)


def test_a_record_without_saturation_is_drawn_as_before(full: Measurement) -> None:
    rows = rows_of(plane(bounded(full, None)).spec)
    assert not any("saturation" in str(r.get("text", "")) for r in rows)
    assert any("frontier" in str(r.get("text", "")) for r in rows)
    assert "saturation" not in Page(render_report(full)).text
    text = Page(render_report(bounded(full, [0.05, 1.0]))).text
    assert "The blue band is saturation" in text and "whose lower end is low" in text


def marks(svg: str, kind: str) -> list[ElementTree.Element]:
    groups = [g for g in ElementTree.fromstring(svg).iter() if f"mark-{kind} role-mark" in g.get("class", "")]
    return [element for group in groups for element in group if element.get("transform")]


def place(element: ElementTree.Element) -> tuple[float, float]:
    x, y = re.findall(r"[-\d.]+", element.get("transform", ""))[:2]
    return float(x), float(y)


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Each straight text of the plane and the box around it, from where Vega put it."""
    found = {}
    for element in marks(svg, "text"):
        if "rotate" not in element.get("transform", ""):
            text, (x, y) = element.text or "", place(element)
            width = 4.7 * len(text)
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
            found[text] = (left, y - 9, left + width, y + 3)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("saturation", [[0.05, 1.0], [0.02, 0.08], [0.3, 0.9], [-0.01, 0.5]])
def test_the_name_of_saturation_covers_no_point_and_no_text(seed: int, saturation: list[float]) -> None:
    svg = plane(bounded(full_measurement(seed), saturation)).svg
    named = boxes(svg)
    (mine,) = (box for text, box in named.items() if "saturation" in text)
    assert 0 <= mine[0] < mine[2] <= 680 and 0 <= mine[1] < mine[3] <= 430
    others = {text: box for text, box in named.items() if "saturation" not in text}
    assert len(others) == 6  # the frontier, and five points
    for text, box in others.items():
        assert box[2] < mine[0] or mine[2] < box[0] or box[3] < mine[1] or mine[3] < box[1], text
    points = [place(element) for element in marks(svg, "symbol")]
    assert len(points) > BLOCKS
    for x, y in points:
        assert not (mine[0] - 3 < x < mine[2] + 3 and mine[1] - 3 < y < mine[3] + 3)


# ---------------------------------------------------------------------- other records


def test_a_minimal_record() -> None:
    measurement = minimal_measurement()
    parsed = Page(render_report(measurement))
    assert [f.name for f in draw_figures(View(measurement))] == [
        "information-plane",
        "ceiling-plane",
        "profiles",
    ]
    assert "keeps 21.0 % of log m" in parsed.text
    assert "There is no interval" in parsed.text
    assert "±" not in parsed.text.split("The ±")[0].split("What to see")[0]
    assert "Read this first" not in parsed.text


def test_an_empty_record() -> None:
    parsed = Page(render_report(Measurement((), {})))
    assert "a model" in parsed.text
    assert "figure" not in parsed.tags


@pytest.mark.parametrize("drop", ["entropy", "ceiling", "complexity", "expressivity", "optimality", "share"])
def test_any_quantity_may_be_missing(drop: str) -> None:
    rows = tuple(r for r in full_measurement() if r.quantity != drop and r.layer in ("embed", "block.4", "model"))
    assert Page(render_report(Measurement(rows, {}))).rows


def test_orders_that_start_at_two(full: Measurement) -> None:
    rows = [r for r in full if r.position_set == "P_2" and r.quantity not in ("share", "information")]
    view = View(Measurement(tuple(rows), {}))
    assert view.orders == (2,)  # although next-token expressivity is there on P_2
    parsed = Page(render_report(view.measurement))
    points = {row["layer"]: row for row in rows_of(parsed.spec("information-plane")) if "layer" in row}
    row = full.get("expressivity", side="output", order=2)
    assert points["model"]["y"] == row.value
    assert "about the next bigram" in parsed.text
    assert "about the present bigram" in json.dumps(parsed.spec("information-plane"))


def test_bits() -> None:
    rows = [
        dataclasses.replace(r, unit="bits", value=4 * r.value, interval=None) if r.unit == "efficiency" else r
        for r in minimal_measurement()
    ]
    parsed = Page(render_report(Measurement(tuple(rows), {})))
    assert "keeps 0.840 bits about the present token" in parsed.text
    assert "% of log m" not in parsed.text.split("The whole model")[0]
    assert "(bits)" in json.dumps(parsed.spec("information-plane"))


def test_differences_have_no_bound() -> None:
    difference = full_measurement().minus(full_measurement(seed=1, model="other/model"))
    parsed = Page(render_report(difference))
    assert "SmolLM2-135M-Instruct minus other/model" in parsed.text
    assert "spec-information-plane" not in parsed.scripts
    assert "spec-ceiling-plane" not in parsed.scripts
    assert parsed.spec("profiles")
    assert "Difference of complexity, order 1" in parsed.text
    single = tuple(dataclasses.replace(row, points_error=None) for row in difference)
    text = Page(render_report(Measurement(single, difference.provenance))).text
    assert "the error of the reference points is not known, so no significance is claimed" in text
    both = tuple(dataclasses.replace(row, points_error=0.001) for row in difference)
    text = Page(render_report(Measurement(both, difference.provenance))).text
    assert "no significance is claimed" not in text


def test_two_weights_do_not_mix(full: Measurement) -> None:
    uniform = [dataclasses.replace(r, weight="uniform", value=9.0) for r in full if r.weight]
    parsed = Page(render_report(Measurement((*uniform, *full.estimates), full.provenance)))
    assert max(row["x"] for row in rows_of(parsed.spec("information-plane"))) < 1
    assert "labels weighted by frequency" in parsed.text
    assert any("uniform" in row and "9.000" in " ".join(row) for row in parsed.rows)


@pytest.mark.parametrize(
    ("provenance", "name"),
    [
        ({}, "a model"),
        ({"model": "org/name"}, "org/name"),
        ({"model": {"source": "/home/me/models/tiny/"}}, "tiny"),
        ({"model": {"source": "pkg/SmolLM2.Q4_1.gguf"}}, "SmolLM2.Q4_1.gguf"),
        ({"model": {"source": "C:\\models\\tiny"}}, "tiny"),
        ({"model": {"source": None, "architecture": "LlamaForCausalLM"}}, "LlamaForCausalLM"),
        ({"model": {"parameters": 3}}, "a model"),
    ],
)
def test_model_name(provenance: dict[str, Any], name: str) -> None:
    assert model_name(provenance) == name


@pytest.mark.parametrize(
    ("value", "half", "unit", "spoken"),
    [
        (0.1234, 0.0021, "efficiency", "12.3\u00a0±\u00a00.2\u00a0%"),
        (0.1234, None, "efficiency", "12.3\u00a0%"),
        (-0.0004, 0.0003, "efficiency", "\u22120.04\u00a0±\u00a00.03\u00a0%"),
        (0.4912, 0.0123, "ratio", "0.491\u00a0±\u00a00.012"),
        (3.2142, 0.0311, "nats/token", "3.214\u00a0±\u00a00.031\u00a0nats per token"),
        (0.5, 0.0, "ratio", "0.500\u00a0±\u00a00.000"),
    ],
)
def test_spoken_numbers(value: float, half: float | None, unit: str, spoken: str) -> None:
    interval = None if half is None else (value - half, value + half)
    assert words.spoken(Estimate("complexity", "model", value, unit, interval=interval)) == spoken


# ---------------------------------------------------------------------- files


def test_files(full: Measurement, html: str, tmp_path: Path) -> None:
    written = write_report(full, tmp_path)
    assert written[0] == tmp_path / "report.html"
    assert written[0].read_bytes() == html.encode()
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    )
    assert set(written) == {p for p in tmp_path.rglob("*") if p.is_file()}  # and no part of a file
    for path in written[1:]:
        content = path.read_bytes()
        if path.suffix == ".svg":
            root = ElementTree.fromstring(content)
            assert root.tag.endswith("svg") and len(list(root.iter())) > 50
            assert b"Liberation Sans" in content
            assert not re.search(rb'(href|src)="(?!#|data:)', content)
        else:
            assert content.startswith(b"\x89PNG") and len(content) > 5_000
    assert {path.name: path.read_bytes() for path in written[1:]} == figure_files(full)


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    written = write_report(minimal_measurement(), tmp_path)
    assert written[0].read_bytes().startswith(b"<!DOCTYPE html>")
    assert write_report(minimal_measurement(), tmp_path) == written


def test_reading_results_needs_no_drawing_library() -> None:
    code = "import sys, infoplane.measurement.results; sys.exit('altair' in sys.modules or 'vl_convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
