from .comparing import PREFERENCES as PREFERENCES
from .comparing import SHOWN as SHOWN
from .comparing import compare as compare
from .comparison import JSON_NAME as JSON_NAME
from .comparison import SCHEMA as SCHEMA
from .comparison import TABLE_NAME as TABLE_NAME
from .comparison import Comparison as Comparison
