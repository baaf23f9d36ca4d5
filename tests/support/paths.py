"""Where things lie."""

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
"""The folder of the project."""
SCORE_FILES = SUPPORT / "score_files"
GOLDEN = TESTS / "promises/golden"
