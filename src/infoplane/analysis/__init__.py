"""What several measurements say together: comparisons, training runs, surveys, scores and forecasts.

Each is a room of its own, and none knows another, but for forecasts, which read scores.
"""
