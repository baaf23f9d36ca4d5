from .page import write_comparison_report as write_comparison_report
from .prose import verdict_sentences as verdict_sentences
