"""The page of a comparison. In goes a comparison; out come `report.html` and its figures."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
