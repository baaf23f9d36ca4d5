"""Benchmark scores.

Holds readers of lm-eval results and tables, four published tables, and the matching of model names. In go files and
names; out come scores, one row for each, with the model that they are of.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
