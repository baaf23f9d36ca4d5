"""Do measurements forecast scores?

Holds the table of cases, correlations with errors over families, ridge regression on families left out, and power. In
go measurements joined with scores; out comes a forecast that says how much better than the baselines it is.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
