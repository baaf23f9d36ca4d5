"""Tests run side by side, one a processor: threads of theirs would only wait for each other, and busily."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch are imported, and for commands that tests run
