"""Pages drawn from stored results, and from nothing else.

Each kind of result has a room of its own; what all pages share lies in `infoplane.report.parts`.
"""
