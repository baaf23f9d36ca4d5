from .drawing import chart_of as chart_of
from .drawing import html_of as html_of
