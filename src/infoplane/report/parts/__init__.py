"""What every page is made of.

Holds the document, figures, tables, colours and wording. In go charts and rows; out comes HTML that loads nothing from
outside.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
