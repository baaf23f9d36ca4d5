"""The house: data flows one way, rooms know only what lies below them, and heavy packages load only where used."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import infoplane

SOURCE = Path(infoplane.__file__).parent
BELOW = ("errors", "setting_kinds", "setting_spelling", "setting_names", "given_settings", "settings", "showing")
ARROWS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "setting_kinds": (),
    "setting_spelling": (),
    "setting_names": (),
    "given_settings": (),
    "settings": (),
    "showing": (),
    "storage": (),
    "uncertainty": (),
    "engines": ("storage",),
    "text": ("storage", "uncertainty"),
    "text.pairs": ("storage", "text"),
    "models": ("storage", "engines", "text"),
    "information": ("text", "uncertainty"),
    "capture": ("storage", "engines", "text", "models", "information"),
    "bottleneck": ("storage", "uncertainty", "engines", "text", "models", "information"),
    "measurement": (
        "storage", "uncertainty", "engines", "text", "text.pairs", "models", "information", "capture", "bottleneck",
    ),
    "analysis.comparison": ("storage", "uncertainty", "measurement"),
    "analysis.references": ("storage", "information", "measurement"),
    "analysis.training": (
        "storage", "uncertainty", "engines", "text", "text.pairs", "models", "information", "capture", "bottleneck",
        "measurement",
    ),
    "analysis.surveys": (
        "storage", "engines", "text", "text.pairs", "models", "information", "measurement",
    ),
    "analysis.scores": ("storage", "models"),
    "analysis.forecasting": ("storage", "uncertainty", "measurement", "analysis.scores"),
    "report.parts": ("storage", "measurement"),
    "report.measurement": ("storage", "measurement", "analysis.references", "report.parts"),
    "report.text_bound": ("uncertainty", "information", "bottleneck", "report.parts"),
    "report.training": ("measurement", "analysis.training", "report.parts"),
    "report.comparison": ("analysis.comparison", "report.parts"),
    "report.forecasting": ("analysis.forecasting", "report.parts"),
    "report.notebooks": (
        "bottleneck", "measurement", "analysis.comparison", "analysis.training", "analysis.surveys",
        "analysis.forecasting", "report.parts", "report.measurement", "report.text_bound", "report.training",
        "report.comparison", "report.forecasting",
    ),
}  # fmt: skip
"""The rooms in the order of the flow, and what each may import from; all may import from the first seven."""
ABOVE = ("cli", "infoplane")
"""What sees everything: the commands, and the names that the package lifts."""


def room_of(path: Path, source: Path) -> str:
    """The room that a file lies in."""
    parts = path.relative_to(source).parent.parts
    if not parts:
        return "infoplane" if path.stem in ("__init__", "__main__") else path.stem
    return ".".join(parts) if ".".join(parts) in ARROWS else parts[0]


def imports(source: Path) -> Iterator[tuple[Path, str, str, str, str]]:
    """(file, its room, the room that it imports from, by what, the name) of every import within the package."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "infoplane":
                continue
            for name in node.names:
                at = source.joinpath(*str(node.module).split(".")[1:])
                if (at / f"{name.name}.py").is_file():
                    target = at / f"{name.name}.py"
                else:
                    target = at.with_suffix(".py") if at.with_suffix(".py").is_file() else at / "__init__.py"
                by = str(node.module).removeprefix("infoplane").lstrip(".")
                yield path, room_of(path, source), room_of(target, source), by, name.name


def broken(source: Path) -> list[str]:
    """What the table does not allow."""
    found = []
    for path, here, there, by, name in imports(source):
        where = f"{path.relative_to(source)} imports {name} of {there}"
        if here != there and here not in ABOVE and there not in (*BELOW, *ARROWS[here]):
            found.append(f"{where}: {here} may not")
        if here != there and name.startswith("_") and name != "__version__":
            found.append(f"{where}: a private name crosses a room")
        if here != there and there in ARROWS and there not in BELOW and by != there:
            found.append(f"{where}: its face, infoplane.{there}, is passed by")
    return found


def test_rooms_know_only_what_lies_below_them() -> None:
    assert broken(SOURCE) == []


def test_the_table_names_the_rooms_that_there_are() -> None:
    rooms = {room_of(path, SOURCE) for path in SOURCE.rglob("*.py")} - {*ABOVE, "report", "analysis"}
    assert rooms == set(ARROWS)


def test_arrows_point_one_way() -> None:
    rooms = list(ARROWS)
    for room, allowed in ARROWS.items():
        assert all(rooms.index(other) < rooms.index(room) for other in allowed), room


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from infoplane.measurement import Measurement", "text may not"),
        ("def f():\n    from infoplane.capture import folder", "text may not"),
        ("from infoplane.storage import _put_new", "a private name crosses a room"),
        ("from infoplane.storage.atomic_files import write_json", "its face, infoplane.storage, is passed by"),
        ("from infoplane.storage import atomic_files", None),
        ("from infoplane.storage import write_json", None),
    ],
)
def test_an_arrow_that_is_not_allowed_is_seen(line: str, says: str | None, tmp_path: Path) -> None:
    for name in ("text/documents.py", "measurement/results.py", "capture/folder.py", "storage/atomic_files.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line if name.startswith("text") else "", "utf-8")
    found = broken(tmp_path)
    assert len(found) == (says is not None) and all(one.endswith(str(says)) for one in found)


FACES = ("", *sorted(room for room in ARROWS if room not in BELOW))


@pytest.mark.parametrize("room", FACES)
def test_a_face_says_what_is_there(room: str) -> None:
    face = importlib.import_module(f"infoplane.{room}".rstrip("."))
    if room not in ("", "cli"):
        assert re.search(r"\bin\s+goe?s?\b.*\bout\s+comes?\b", str(face.__doc__), re.DOTALL | re.IGNORECASE)
    assert {*face.__all__} - {"__version__"} <= {*dir(face)}
    inside = {path.stem for path in SOURCE.joinpath(*room.split(".")).iterdir()}
    modules = {name for name in face.__all__ if inspect.ismodule(getattr(face, name))}
    assert ({*face.__all__} - modules) & inside == set(), (
        "a name that is a module's too is the one or the other by chance"
    )
    for name in face.__all__:
        assert getattr(face, name) is not None


def test_files_are_short_and_types_are_said() -> None:
    """A file is read on a few screens, and what a value is does not have to be guessed."""
    texts = {
        path.relative_to(SOURCE): path.read_text("utf-8")
        for path in SOURCE.rglob("*")
        if path.suffix in (".py", ".pyi")
    }
    assert {str(path) for path, text in texts.items() if text.count("\n") > 320} == set()
    assert sum(len(re.findall(r"\bAny\b", text)) for text in texts.values()) <= 200


def test_no_module_has_the_name_of_a_public_function() -> None:
    functions = {name for name in infoplane.__all__ if inspect.isroutine(getattr(infoplane, name))}
    assert len(functions) > 20
    names = {path.stem for path in SOURCE.rglob("*.py")} | {path.name for path in SOURCE.rglob("*") if path.is_dir()}
    assert functions & names == set()


def test_reading_and_drawing_stored_results_needs_no_torch() -> None:
    code = (
        "import sys, infoplane; infoplane.Measurement, infoplane.open_capture, infoplane.measure_capture, "
        "infoplane.write_report, infoplane.read_text, infoplane.ReferencePoints; import infoplane.cli.command_line; "
        "bad = [m for m in ('torch', 'transformers', 'datasets', 'peft') if m in sys.modules]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_nothing_that_computes() -> None:
    code = (
        "import sys; sys.argv = ['infoplane', '--help']\n"
        "try:\n    from infoplane.cli import main; main()\n"
        "except SystemExit: pass\n"
        "bad = sorted({'numpy', 'scipy', 'polars', 'altair', 'safetensors', 'torch'} & set(sys.modules)); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
