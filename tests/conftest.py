"""Tests run side by side, one a processor: threads of theirs would only wait for each other, and busily.

Where torch is not installed, the files that need it are left out, and the head of the report says so.
"""

import ast
import importlib.util
import os
import tempfile
from pathlib import Path

import pytest
from slow_tests import slow_tests

if "PYTEST_XDIST_WORKER" not in os.environ:  # what was kept by other versions of the code proves nothing of this one
    _cache = tempfile.TemporaryDirectory(prefix="infoplane-cache-")
    os.environ["XDG_CACHE_HOME"] = _cache.name
    os.environ["XDG_DATA_HOME"] = _cache.name
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch are imported, and for commands that tests run
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # where it is set, each of those commands would compile the package

NEED_TORCH = {"torch", "transformers", "peft", "datasets", "ray", "tiny", "training", "peft_adapters"}
HAS_TORCH = importlib.util.find_spec("torch") is not None


def _needs_torch(path: Path) -> bool:
    """Whether a file of tests imports torch when it is imported itself, or a helper that does."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    return bool({name.split(".")[0] for name in names} & NEED_TORCH)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot be imported."""
    if HAS_TORCH or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    return _needs_torch(collection_path) or None


def pytest_report_header() -> str | None:
    """What is left out."""
    if HAS_TORCH:
        return None
    left = [path for path in Path(__file__).parent.rglob("test_*.py") if _needs_torch(path)]
    return f"torch is not installed: {len(left)} files of tests that need it are left out"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long; tests of clusters, which wait more than they work, begin first."""
    items.sort(key=lambda item: "engines" not in item.path.parts)
    slow = slow_tests()
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without figures, for tests that are about something else: charts take most of the time of a command."""
    monkeypatch.setattr("infoplane.report.measurement.figures.FIGURES", {})
    for page, figures in {
        "training.run_page": "run_figures", "comparison.page": "compare_figures", "text_bound.page": "bound_figures",
    }.items():  # fmt: skip
        monkeypatch.setattr(f"infoplane.report.{page}.{figures}", lambda *_: ())
