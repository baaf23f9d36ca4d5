from .cut_pair_windows import make_pair_windows as make_pair_windows
from .pair_rows import PairRows as PairRows
from .pair_rows import is_of_pairs as is_of_pairs
from .pair_settings import PairSettings as PairSettings
from .preference_pairs import Pairs as Pairs
from .preference_pairs import PairSource as PairSource
from .preference_pairs import read_pairs as read_pairs
