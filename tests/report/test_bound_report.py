"""The report of a bound: it says what the stored frontiers say, whatever they are, and is a pure function of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import frontier
from bounds import made_bound as made
from browser import BROWSER, EVIL, browse, holders
from pages import Page, rows_of
from tiny import byte_tokenizer

from infoplane.bottleneck.frontier_curve import LessText
from infoplane.bottleneck.text_bound import Bound
from infoplane.errors import ResultError
from infoplane.report.parts import page
from infoplane.report.text_bound.figures import bound_figures
from infoplane.report.text_bound.page import render_bound, write_bound_report
from infoplane.report.text_bound.view import BoundView
from infoplane.uncertainty.document_jackknife import error_and_interval, standard_error_of


@pytest.fixture(scope="module")
def bound() -> Bound:
    return made()


@pytest.fixture(scope="module")
def html(bound: Bound) -> str:
    return render_bound(bound)


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


# ---------------------------------------------------------------------- the promises of every page


def test_it_loads_nothing_and_has_its_parts(html: str, parsed: Page) -> None:
    assert parsed.addresses and all(a.startswith("data:") for a in parsed.addresses)
    assert f'content="{page.POLICY}"' in html
    assert "://" not in html.split("<script>")[0]
    for part in ("novels.jsonl", "caveat", "What to see", "What not to conclude", "The numbers", "Words"):
        assert part in parsed.text
    assert "Where these numbers come from" in parsed.text and "ab" * 32 in parsed.text
    assert parsed.tags.count("figure") == 1


def test_stored_and_read_again_it_is_the_same_to_the_byte(bound: Bound, html: str, tmp_path: Path) -> None:
    bound.save(tmp_path)
    written = write_bound_report(Bound.load(tmp_path), tmp_path)
    assert written[0].read_text("utf-8") == html
    assert {p.relative_to(tmp_path).as_posix() for p in written} == {
        "report.html", "figures/frontier.svg", "figures/frontier.png"
    }  # fmt: skip
    assert written[2].read_bytes().startswith(b"\x89PNG")
    assert render_bound(made(documents=301)) != html


def test_names_cannot_become_markup(parsed: Page) -> None:
    hostile = Page(render_bound(made(
        text={"source": EVIL, "kind": EVIL}, windows={"tokenizer": {"name": EVIL}}, **{EVIL: [EVIL]}
    )))  # fmt: skip
    assert hostile.tags.count("script") == parsed.tags.count("script")
    assert hostile.tags.count("img") == parsed.tags.count("img") and hostile.handlers == []


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
def test_its_chart_is_drawn_in_a_browser(bound: Bound, tmp_path: Path) -> None:
    document, console = browse(write_bound_report(bound, tmp_path)[0], "--dump-dom")
    assert console == []
    (inside,) = holders(document).values()
    assert 'data-state="live"' in inside and "diagonal" in inside


# ---------------------------------------------------------------------- what it says


def test_sentences_give_what_is_told_with_its_interval(bound: Bound, parsed: Page) -> None:
    """By `Frontier.at`, replicate by replicate."""
    for order, positions, before in (
        (1, "all", "A code of at most 100 symbols that keeps 1 nat about the last token tells"),
        (2, "all", "A code of at most 100 symbols that keeps 1 nat about the last 2 tokens tells"),
        (2, "seen", "On the 24 % of the positions whose last 2 tokens the other half of the documents has too, a code "
                    "that keeps 1 nat tells"),
    ):  # fmt: skip
        reached = bound.get(order, positions).at(np.ones(33))
        _, interval = error_and_interval(reached[0], reached[1:])
        assert interval is not None
        assert f"{before} {reached[0]:.2f} ± {(interval[1] - interval[0]) / 2:.2f}" in parsed.text
    assert (
        "is known as a band only: it is at least 0.27 nats, which predicting from it saves on held-out text, and at "
        "most 4.61" in parsed.text
    )
    assert "Order 3: only 5 % of the positions have 3 tokens in a row that the other half" in parsed.text
    assert "Order 2: only" not in parsed.text
    assert "32,768 tokens of 300 documents, as the tokenizer words cuts them" in parsed.text


def test_a_line_that_ends_early_is_said_where_it_still_is(parsed: Page) -> None:
    short = frontier(1)
    short = replace(short, complexity=short.complexity / 6, relevance=short.relevance / 6)  # ends at 0.57
    text = Page(render_bound(made([short])))
    assert "A code of at most 100 symbols that keeps 0.5 nats about the last token" in text.text
    row = next(row for row in text.rows if row[:2] == ["1", "all"])
    assert [cell == "–" for cell in row[4:9]] == [False, False, True, True, True]
    tiny = replace(short, complexity=short.complexity / 6)
    assert "kept about the last token, a code of at most" not in Page(render_bound(made([tiny]))).text


def test_the_table_has_a_row_for_each_frontier(bound: Bound, parsed: Page) -> None:
    header, *rows = parsed.rows[: 1 + len(bound.frontiers)]
    assert header == ["k", "positions", "n", "seen", "0.25", "0.5", "1", "2", "3", "end", "saturation"]
    assert [row[:2] for row in rows] == [[str(f.order), f.positions] for f in bound.frontiers]
    for row, f in zip(rows, bound.frontiers, strict=True):
        x, y = f.hull()[-1]
        reached = f.at(np.full(33, 2.0))
        _, interval = error_and_interval(reached[0], reached[1:])
        assert interval is not None
        assert row[2:4] == [f"{f.n:,}", f"{f.seen:.0%}"]
        assert row[7] == f"{reached[0]:.2f} ± {(interval[1] - interval[0]) / 2:.2f}"
        assert row[9:] == [f"{y:.2f} at {x:.1f}", "0.27 to 4.61"]


def test_whether_there_was_enough_text_is_said() -> None:
    whole = frontier(1, positions="seen")
    less = LessText(4_000, 0.99 * whole.complexity, 0.99 * whole.relevance)
    f = replace(whole, fitted_on=8_000, smaller=(less,), teacher="smol", tangents=np.array([[1.0, 0.0], [0.3, 0.5]]))
    text = Page(render_bound(made([f])))
    moved, error = f.moved_at(np.ones(33)), standard_error_of(f.at(np.ones(33))[1:])
    assert moved is not None
    assert f"Fitted on half of the text it would be {moved[0]:.3f} lower" in text.text
    assert ("it has converged" in text.text) == (moved[0] < error)
    assert ("The curve lies between that and 0.80" in text.text) == (moved[0] >= error)
    assert "They are fitted to what smol expects after each token" in text.text
    header, less_text, all_of_it, upper = [row for row in text.rows if len(row) == 8]
    assert header[2] == "fitted on" and [row[2] for row in (less_text, all_of_it)] == ["4,000", "8,000"]
    assert upper[2:6] == ["upper side", "0.25", "0.50", "0.80"]
    assert "too little text to say whether more" in Page(render_bound(made([whole]))).text


def test_without_replicates_there_is_no_interval() -> None:
    bare = Page(render_bound(made([frontier(1, replicates=0)])))
    assert "There are no intervals" in bare.text and "±" not in bare.text
    told = frontier(1).at(np.ones(33))[0]
    assert f"tells {told:.2f} nats about the next one." in bare.text


# ---------------------------------------------------------------------- what it draws


def test_lines_points_and_ends_are_those_of_the_frontiers(bound: Bound, parsed: Page) -> None:
    rows = rows_of(parsed.spec("frontier"))
    for f in bound.frontiers:
        for x, y in f.hull().tolist():
            assert any(r.get("x") == x and r.get("y") == y for r in rows)
        for (*_, symbols), x, y in zip(f.codes, f.complexity[:, 0], f.relevance[:, 0], strict=True):
            assert any((r.get("x"), r.get("y"), r.get("symbols")) == (x, y, symbols) for r in rows)
    banded = [r for r in rows if "series" in r and "y" in r and "low" in r]
    assert banded and all(r["low"] <= r["y"] <= r["high"] for r in banded)
    assert sum(r["high"] - r["low"] > 0.005 for r in banded) > 100
    assert any(r.get("text") == "diagonal" for r in rows)
    assert {r.get("beta") for r in rows} >= {"1.2", "none: a hard code"}


def bars(bound: Bound) -> dict[str, Any]:
    (figure,) = bound_figures(BoundView(bound))
    return {r["order"]: r for r in rows_of(figure.spec) if "is_cut" in r}


def test_saturation_is_a_bar_as_far_as_the_axis_goes() -> None:
    """The axis is that of the frontier, however far above saturation lies; its numbers are always there."""
    inside, cut, beyond, below = (
        frontier(1, saturation=band)
        for band in ((0.3, 1.5), (0.3, 9.0), (8.0, 9.0), (-0.02, 1.5))
    )  # fmt: skip
    for f, (low, high, is_cut) in zip(
        (inside, cut, beyond, below), ((0.3, 1.5, False), (0.3, None, True), (None, None, True), (0.0, 1.5, False)),
        strict=True,
    ):  # fmt: skip
        bar = bars(made([f]))["1"]
        top = bar["top"]
        assert 1.7 < top < 2.2
        assert (bar["low"], bar["high"]) == (top if low is None else low, top if high is None else high)
        assert bar["is_cut"] == is_cut and bar["beyond"] == (low is None)
        (figure,) = bound_figures(BoundView(made([f])))
        for value in f.saturation:
            assert f">{value:.2f}</text>".replace("-", "−") in figure.svg


def test_a_wider_target_has_a_figure_of_its_own() -> None:
    wide = made([frontier(1), frontier(2), frontier(2, target=2)])
    assert [f.name for f in bound_figures(BoundView(wide))] == ["frontier", "frontier-next-2"]
    parsed = Page(render_bound(wide))
    assert "The frontier of the next 2 tokens" in parsed.text
    assert "told about the next 2 tokens (nats)" in json.dumps(parsed.spec("frontier-next-2"))
    assert any(row[0] == "2, next 2" for row in parsed.rows)


# ---------------------------------------------------------------------- the command line


def run_cli(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from infoplane.cli import app

    return CliRunner().invoke(app, list(arguments))


def test_bound_writes_the_page_and_report_draws_it_again(tmp_path: Path) -> None:
    draw = np.random.default_rng(13)
    text, tokenizer, out = tmp_path / "text.jsonl", tmp_path / "tokenizer", tmp_path / "out"
    text.write_text("\n".join(json.dumps({"text": "".join(draw.choice(list("abcd efgh"), 60))}) for _ in range(60)))
    byte_tokenizer().save_pretrained(tokenizer)
    asked = ["bound", str(text), "--tokenizer", str(tokenizer), "--tokens", "4000", "--context", "64", "-m", "5",
             "--orders", "1", "--out", str(out)]  # fmt: skip
    result = run_cli(*asked)
    assert result.exit_code == 0, result.output
    assert "Wrote" in result.output and str(out / "report.html") in result.output.replace("\n", "")
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names == {"bound.json", "bound.parquet", "report.html", "figures/frontier.svg", "figures/frontier.png"}
    first = {p: (out / p).read_bytes() for p in names}

    for source, place in ((out, tmp_path / "again"), (out / "bound.json", tmp_path / "by-name")):
        assert run_cli("report", str(source), "--out", str(place)).exit_code == 0
        for p in names - {"bound.json", "bound.parquet"}:
            assert (place / p).read_bytes() == first[p]
    again = run_cli("report", str(out))
    assert isinstance(again.exception, ResultError) and "--force to overwrite it" in str(again.exception)
    again = run_cli(*asked)
    assert again.exit_code == 0 and "Nothing was left to do" in again.output
    again = run_cli(*asked, "--seed", "1")
    assert isinstance(again.exception, ResultError) and "bound.json exists" in str(again.exception)
    (out / "bound.json").unlink()
    (out / "report.html").write_text("another result's")
    again = run_cli(*asked)
    assert isinstance(again.exception, ResultError) and "report.html exists" in str(again.exception)
    assert (out / "report.html").read_text() == "another result's"
    assert run_cli(*asked, "--force").exit_code == 0
    assert re.sub(rb"\s", b"", (out / "report.html").read_bytes()) == re.sub(rb"\s", b"", first["report.html"])
