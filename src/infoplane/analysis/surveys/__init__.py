"""Many models on the same text.

Holds the survey file, the lock of what was measured, costs and the record. In goes a list of models; out come one
measurement for each, one table, and the reasons of those that failed.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
