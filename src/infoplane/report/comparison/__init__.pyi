from .figures import subject as subject
from .page import glance_at_comparison as glance_at_comparison
from .page import write_comparison_report as write_comparison_report
from .prose import figure_text as figure_text
from .prose import spoken_comparison as spoken_comparison
