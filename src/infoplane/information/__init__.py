"""Information between labels and the soft assignments of states.

Holds the code (reference directions and temperature), sums over labels, and estimators with their replicates. In go
hidden states or assignments, and labels; out come informations in nats. Equations and sources stand in each module.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
