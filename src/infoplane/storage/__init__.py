"""Files and records that exist whole or not at all.

Holds addresses, atomic files, locks, Parquet, the sealed JSON record of every result, bounded reading and provenance.
In go bytes, tables and records; out come files that are whole, and errors that say what came and what to do.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
