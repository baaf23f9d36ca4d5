"""What a model reads.

Holds documents, budgets, windows of tokens and the labels of their positions. In go files, datasets or strings and a
tokenizer; out come windows, each of one document, and labels that do not depend on any model.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
