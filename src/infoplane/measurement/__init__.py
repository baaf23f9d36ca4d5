"""Questions to a capture, and their answers.

Holds questions, the reduction over shards, rows with all that travels with a number, and `measure`, which goes all the
way. In go captures, or a model and text; out come measurements.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
