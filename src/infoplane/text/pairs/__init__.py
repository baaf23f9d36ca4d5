"""Preference pairs as text that a model reads.

Holds the readers of pairs, chat templates, and windows that know where the answers stand. In go pairs of a chosen and a
rejected answer; out come windows with both.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
