"""Measure how a language model has compressed its training data."""

__version__ = "0.1.0"
