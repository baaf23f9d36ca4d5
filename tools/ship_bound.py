"""Fit the bound that comes with the package: `python tools/ship_bound.py`, some ten minutes on two cores.

That of the built-in sample by the default settings, taught by the built-in model. It goes where
`infoplane.bottleneck.kept_bounds` finds it; those that were there before are removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MODEL = "smollm2-135m"


def main() -> None:
    """Measure the model with a cache of its own, and keep what was fitted."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # before anything is asked for: nothing that was kept is to be found
        from infoplane.bottleneck import kept_bounds

        home = kept_bounds.shipped_folder("0").parent
        shutil.rmtree(home, ignore_errors=True)
        import infoplane

        infoplane.measure(MODEL, bound=True, dtype="float32", controls=False, parts=False)
        (made,) = (Path(cache) / "infoplane" / "bounds").iterdir()
        shutil.copytree(made, kept_bounds.shipped_folder(made.name))
        print(f"Wrote {kept_bounds.shipped_folder(made.name)}")


if __name__ == "__main__":
    main()
