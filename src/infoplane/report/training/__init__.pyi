from .run_page import glance_at_run as glance_at_run
from .run_page import write_run_report as write_run_report
from .several_page import write_several_report as write_several_report
