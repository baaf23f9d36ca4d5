"""Who does the work: this process, or the workers of a Ray cluster.

Holds the engines, the sizes of what they share, and how work says how far it is. In go pieces of work; out come their
results, done again where a worker was lost.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
