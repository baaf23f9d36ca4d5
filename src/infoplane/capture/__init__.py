"""The one step that needs the model.

Holds the forward pass, the folder of a capture with its shards, and the plan of memory. In go a model, windows and
reference points; out comes a capture, from which every later question is answered.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
