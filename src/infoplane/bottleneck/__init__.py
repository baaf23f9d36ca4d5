"""What the text itself allows.

Holds back-off, Blahut-Arimoto annealing, cross-fitting and the achievable frontier. In go windows; out comes the bound
of the text, fitted on some documents and judged on others.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
