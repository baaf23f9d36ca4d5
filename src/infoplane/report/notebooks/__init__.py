"""Results in a notebook.

Holds what draws any kind of result with the answer of its page and the page's first figure. In goes a result; out comes
HTML, or an Altair chart.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
