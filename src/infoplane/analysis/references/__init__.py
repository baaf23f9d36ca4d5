"""Models whose place on the plane is known, to stand beside one that is measured.

Holds what is kept of each, which of them compare with a measurement, and where they lie. In go measurements; out come
reference models.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
