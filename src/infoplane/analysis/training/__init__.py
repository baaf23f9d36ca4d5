"""A model while it trains.

Holds the trace of checkpoints, probes in a running loop, trajectories and their phases. In go checkpoints or a trainer;
out come trajectories, and what can be claimed of their phases.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
