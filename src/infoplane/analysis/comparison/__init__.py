"""Measured models beside each other.

Holds what may be compared and the paired differences. In go named measurements; out comes a comparison.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
