from .writing import glance_at_measurement as glance_at_measurement
from .writing import said_of as said_of
from .writing import write_report as write_report
