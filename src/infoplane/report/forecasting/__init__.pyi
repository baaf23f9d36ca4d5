from .page import glance_at_forecast as glance_at_forecast
from .page import write_forecast_report as write_forecast_report
