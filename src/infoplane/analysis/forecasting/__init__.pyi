from .case_table import Cases as Cases
from .correlations import Correlation as Correlation
from .forecasts import JSON_NAME as JSON_NAME
from .forecasts import Forecast as Forecast
from .join_scores import join as join
from .partial_correlations import Partial as Partial
from .structure_forecast import forecast as forecast
from .validation import BOTH as BOTH
