from .page import glance_at_bound as glance_at_bound
from .page import write_bound_report as write_bound_report
from .view import BoundView as BoundView
