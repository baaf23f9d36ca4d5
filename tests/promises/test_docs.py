"""The docs name what is there: files, commands, options, modules and public names."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest
from paths import ROOT
from slow_tests import slow_tests
from typer.main import get_command

from infoplane.cli import app

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "studies").rglob("*.md")])
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_sections_that_links_name_are_there(page: Path) -> None:
    for target, section in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        other = page.parent / target if target else page
        headings = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert section in anchors, (target, section)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_that_are_named_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"\b((?:tests|bench|studies|tools)/[\w/.-]*\.py)\b", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\b(src/infoplane/[\w/.-]+)", text):
        assert (ROOT / name.rstrip(".")).exists(), name


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_names_of_the_package_are_there(page: Path) -> None:
    for dotted in re.findall(r"`?\binfoplane((?:\.\w+)+)", page.read_text("utf-8")):
        if dotted.startswith((".readthedocs", ".egg")):
            continue
        value: object = importlib.import_module("infoplane")
        for name in dotted[1:].split("."):
            value = getattr(value, name, None) or importlib.import_module(f"{value.__name__}.{name}")  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_their_options_are_there(page: Path) -> None:
    command = get_command(app)
    known = {name: {"--help", *(o for p in sub.params for o in p.opts)} for name, sub in command.commands.items()}  # type: ignore[attr-defined]
    for line in re.findall(r"\binfoplane ([a-z]+ [^`\n#]*)", page.read_text("utf-8")):
        name, *words = line.split()
        if name not in known:
            continue
        for word in words:
            if re.fullmatch(r"--[a-z][a-z-]*", word):
                assert word in known[name] or any(f"{word}/" in o for o in known[name]), f"{name} {word}"


def test_slow_tests_are_there() -> None:
    names = slow_tests()
    assert len(names) > 100
    for name in names:
        path, _, function = name.partition("::")
        assert re.search(rf"^def {function}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE), name


BLOCKS = [
    (page.relative_to(ROOT).as_posix(), number, code)
    for page in PAGES
    for number, code in enumerate(re.findall(r"^[ ]*```python\n(.*?)^[ ]*```", page.read_text("utf-8"), re.M | re.S))
]


@pytest.mark.parametrize(("page", "number", "code"), BLOCKS, ids=[f"{page}-{number}" for page, number, _ in BLOCKS])
def test_code_can_be_read(page: str, number: int, code: str) -> None:
    if code.lstrip().startswith("# src/"):  # a part of that file, as it stands in a class
        code = f"class Part:\n{code}"
    compile(textwrap.dedent(code), f"{page}, block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_readme_is_short_and_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The five lines of Python do what they say, on the built-in model and text."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.count("\n") < 120
    (code,) = (code for page, _, code in BLOCKS if page == "README.md")
    assert len(code.splitlines()) <= 6
    pytest.importorskip("torch", reason="the code measures a model")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "vega" in (tmp_path / "plane.html").read_text("utf-8")
