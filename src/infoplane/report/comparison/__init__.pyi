from .page import glance_at_comparison as glance_at_comparison
from .page import write_comparison_report as write_comparison_report
from .prose import verdict_sentences as verdict_sentences
