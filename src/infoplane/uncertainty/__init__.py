"""Errors of what is measured.

Holds the jackknife over blocks of documents and resampling over families of models. In go replicates, or cases with
their families; out come standard errors, intervals and p-values.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
