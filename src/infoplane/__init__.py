"""Measure how a language model has compressed its training data.

    >>> import infoplane
    >>> found = infoplane.measure("smollm2-135m", "c4-sample")  # doctest: +SKIP
    >>> found.get("expressivity", order=1)  # doctest: +SKIP

The rooms of the package, in the order in which data flows through them: `storage`, `uncertainty`, `engines`, `text`,
`models`, `information`, `capture`, `bottleneck`, `measurement`, `analysis`, `report`, `cli`. Each says what it holds,
what goes in and what comes out. Public names are loaded when they are first used, so that reading a stored result needs
no torch.
"""

import lazy_loader as _lazy

from infoplane.showing import draw_with as _draw_with

_draw_with("infoplane.report.notebooks")
__version__ = "0.1.0"
__getattr__, __dir__, _names = _lazy.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]
