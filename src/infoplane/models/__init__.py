"""The decoder whose states are read.

Holds loading (hub, folder, .gguf, adapter), what decides its weights, and how its parts are found by what they do. In
go names or loaded modules; out come models with named layers, or a refusal that says why.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
