from .page import write_forecast_report as write_forecast_report
